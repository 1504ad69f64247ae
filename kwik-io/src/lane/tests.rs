#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::atomic::AtomicUsize;
use std::task::Wake;

use super::*;

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn at(offset: u64) -> Offset {
    Offset::new(offset).unwrap()
}

/// Two carriers of one stream: the first has handed over what QUIC has room for, and the second waits. How often that was woken.
fn full() -> (Arc<Lane>, Place, Place, u64, Arc<Wakes>) {
    let lane = Arc::<Lane>::default();
    let stream = StreamId::from_wire(1).unwrap();
    let (mut first, second) = (lane.place(3, stream), lane.place(7, stream));
    let wakes = Arc::<Wakes>::default();
    let Poll::Ready(room) = first.poll_turn(at(0), &Context::from_waker(Waker::noop())) else {
        panic!("nobody is before it");
    };
    first.handed(room as u64);
    let waker = Waker::from(wakes.clone());
    assert!(second.poll_turn(at(1 << 20), &Context::from_waker(&waker)).is_pending());
    (lane, first, second, room as u64, wakes)
}

fn count(wakes: &Wakes) -> usize {
    wakes.0.load(Ordering::Relaxed)
}

#[test]
fn who_waits_is_woken_once_when_quic_has_sent_enough() {
    let (lane, _first, second, room, wakes) = full();
    lane.sent(3, room / 4);
    assert_eq!(count(&wakes), 0, "not for each packet");
    lane.sent(3, room / 2);
    lane.sent(3, room);
    assert_eq!(count(&wakes), 1);
    assert!(second.poll_turn(at(1 << 20), &Context::from_waker(Waker::noop())).is_ready());
}

#[test]
fn what_was_sent_is_told_in_steps_and_whenever_another_carrier_has_its_turn() {
    let (lane, first, second, room, _) = full();
    let mut sent = Sent::default();
    for end in (0..room).step_by(1_200).skip(1) {
        sent.tell(&lane, 3, end);
        assert!(lane.unsent() < room - end + Sent::STEP, "{end}");
    }
    // Again, as after a loss.
    sent.tell(&lane, 3, 1_200);
    sent.tell(&lane, 3, room);
    assert!(lane.unsent() < Sent::STEP);
    assert!(second.poll_turn(at(1 << 20), &Context::from_waker(Waker::noop())).is_ready());
    sent.tell(&lane, 7, 10);
    assert_eq!(lane.unsent(), 0);
    drop(first);
}

/// QUIC does not send what it has of a carrier that was reset.
#[test]
fn a_carrier_that_is_over_keeps_nobody_waiting() {
    let (lane, first, _second, _, wakes) = full();
    drop(first);
    assert_eq!((count(&wakes), lane.unsent()), (1, 0));
}

#[test]
fn whose_turn_it_is_and_has_nothing_leaves_it_to_the_next() {
    let (lane, first, second, room, wakes) = full();
    let waker = Waker::from(wakes.clone());
    assert!(first.poll_turn(at(1 << 10), &Context::from_waker(&waker)).is_pending());
    lane.sent(3, room);
    assert_eq!(count(&wakes), 1, "the one with the lower offset");
    first.idle();
    assert_eq!(count(&wakes), 2);
    drop(second);
}
