//! Who is woken when: fewer wake-ups across threads are most of what workers gain.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};

use bytes::Bytes;
use kwik_core::stream::{ReceiveConfig, ReceiveHalf, SendConfig, SourceKey};
use kwik_proto::{Offset, PathId, StreamId};

use super::*;
use crate::env::Env;

/// A batch of this size is bulk.
const BATCH: usize = 64 << 10;

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Wakes {
    fn new() -> (Arc<Self>, Waker) {
        let wakes = Arc::<Self>::default();
        (wakes.clone(), wakes.into())
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

fn id() -> StreamId {
    StreamId::from_wire(4).unwrap()
}

fn receive() -> (ReceiveStream, SharedReceive, SourceKey) {
    let config = ReceiveConfig { initial_window: 1 << 20, ..ReceiveConfig::default() };
    let services = ServiceList::default();
    let shared = SharedReceive::new(id(), ReceiveHalf::new(config), &services, Env::system());
    let source = shared.update(|half| half.add_source(PathId::PRIMARY, None));
    (ReceiveStream::new(shared.clone()), shared, source)
}

fn batch(index: u64) -> Arrivals {
    let offset = Offset::new(index * BATCH as u64).unwrap();
    let payload = Bytes::from(vec![7; BATCH]);
    Arrivals { pieces: vec![Piece { offset, payload, allocation: BATCH }], fin: None }
}

#[test]
fn in_bulk_a_reader_sleeps_until_it_is_worth_a_wake_up() {
    let (mut stream, shared, source) = receive();
    let (wakes, waker) = Wakes::new();
    let mut cx = Context::from_waker(&waker);
    assert!(stream.poll_receive(&mut cx).is_pending());
    for index in 0..3 {
        shared.insert(source, &mut batch(index)).unwrap();
        assert_eq!((wakes.count(), shared.holds()), (0, true));
    }
    shared.insert(source, &mut batch(3)).unwrap();
    assert_eq!((wakes.count(), shared.holds()), (1, false));
}

#[test]
fn a_pump_that_has_no_more_wakes_the_reader() {
    let (mut stream, shared, source) = receive();
    let (wakes, waker) = Wakes::new();
    let mut cx = Context::from_waker(&waker);
    assert!(stream.poll_receive(&mut cx).is_pending());
    shared.insert(source, &mut batch(0)).unwrap();
    shared.release();
    shared.release();
    assert_eq!((wakes.count(), shared.holds()), (1, false));
}

#[test]
fn the_end_of_a_stream_wakes_the_reader_at_once() {
    let (mut stream, shared, source) = receive();
    let (wakes, waker) = Wakes::new();
    let mut cx = Context::from_waker(&waker);
    assert!(stream.poll_receive(&mut cx).is_pending());
    let fin = Offset::new(BATCH as u64);
    shared.insert(source, &mut Arrivals { fin, ..batch(0) }).unwrap();
    assert_eq!((wakes.count(), shared.holds()), (1, false));
}

#[test]
fn a_reader_that_reads_meanwhile_is_not_left_asleep() {
    let (mut stream, shared, source) = receive();
    let (wakes, waker) = Wakes::new();
    let mut cx = Context::from_waker(&waker);
    assert!(stream.poll_receive(&mut cx).is_pending());
    shared.insert(source, &mut batch(0)).unwrap();
    assert!(stream.poll_receive(&mut cx).is_ready());
    assert!(stream.poll_receive(&mut cx).is_pending());
    assert!(!shared.holds());
    shared.insert(source, &mut batch(1)).unwrap();
    shared.release();
    assert_eq!(wakes.count(), 1);
}

/// The session's task finds that others send on the stream just after the reader has found nothing.
#[test]
fn a_reader_that_waited_before_it_was_watched_is_told_of() {
    let (services, mut due) = (ServiceList::default(), Vec::new());
    let half = ReceiveHalf::new(ReceiveConfig::default());
    let shared = SharedReceive::new(id(), half, &services, Env::system());
    let mut stream = ReceiveStream::new(shared.clone());
    let (_wakes, waker) = Wakes::new();
    let mut cx = Context::from_waker(&waker);
    shared.service(|_| ());
    assert!(stream.poll_receive(&mut cx).is_pending());
    services.take(&mut due);
    assert_eq!(due, []);
    shared.watch(Watch::Progress);
    services.take(&mut due);
    assert_eq!(due, [StreamHalf::Receive(id())]);
    shared.service(|_| ());
    shared.watch(Watch::Progress);
    due.clear();
    services.take(&mut due);
    assert_eq!(due, []);
}

#[test]
fn a_write_wakes_a_pump_that_waits_for_bytes_and_none_that_waits_for_quic() {
    let config = SendConfig { initial_window: 1 << 20, queue: 1 << 20 };
    let shared = SharedSend::new(id(), config, &ServiceList::default());
    let mut stream = SendStream::new(shared.clone());
    let (wakes, waker) = Wakes::new();
    let mut cx = Context::from_waker(&waker);
    let mut frames = Vec::new();
    assert!(shared.poll_frames(1 << 20, 1 << 20, &mut frames, &mut cx).is_pending());
    stream.send_data(Bytes::from_static(b"news")).unwrap();
    assert_eq!(wakes.count(), 1);
    assert!(shared.poll_frames(1 << 20, 1 << 20, &mut frames, &mut cx).is_ready());
    // QUIC takes no more.
    assert!(shared.poll_abrupt_end(&mut cx).is_pending());
    stream.send_data(Bytes::from_static(b"more")).unwrap();
    assert_eq!(wakes.count(), 1);
    stream.reset(7u8.into()).unwrap();
    assert_eq!(wakes.count(), 2);
}
