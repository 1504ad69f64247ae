#![allow(clippy::unwrap_used)]

use super::*;
use kwik_proto::control::ControlDecoder;
use kwik_proto::frame::{Ping, Relay, RelayCredit, StreamProgress, StreamWindow};
use kwik_proto::{Epoch, Offset};

fn stream(id: u64) -> StreamId {
    StreamId::from_wire(id).unwrap()
}

fn offset(value: u64) -> Offset {
    Offset::new(value).unwrap()
}

fn ping(nonce: u64) -> ControlFrame {
    ControlFrame::Ping(Ping { nonce })
}

fn window(id: u64, max: u64) -> ControlFrame {
    ControlFrame::StreamWindow(StreamWindow { stream: stream(id), max_offset: offset(max) })
}

fn progress(id: u64, read: u64) -> ControlFrame {
    ControlFrame::StreamProgress(StreamProgress {
        stream: stream(id),
        read_offset: offset(read),
        contiguous_end: offset(read),
        held: vec![],
        reader_waiting: false,
    })
}

fn status(path: u16, state: PathState, received_bytes: u64) -> ControlFrame {
    ControlFrame::PathStatus(PathStatus {
        path: PathId::new(path),
        epoch: Epoch::FIRST,
        state,
        reason: None,
        smoothed_rtt_us: 0,
        rtt_variation_us: 0,
        received_bytes,
        busy_us: 0,
    })
}

fn relay(message_id: u64, size: usize) -> ControlFrame {
    ControlFrame::Relay(Relay {
        path: PathId::new(1),
        message_id,
        message_size: size as u32,
        piece_offset: 0,
        piece: Bytes::from(vec![0; size]),
    })
}

fn queue(frames: &[ControlFrame]) -> Queue {
    let mut queue = Queue::default();
    for frame in frames {
        queue.push(frame).unwrap();
    }
    queue
}

/// Everything that waits, in the order in which it goes out.
fn drain(queue: &mut Queue) -> Vec<ControlFrame> {
    let mut decoder = ControlDecoder::new();
    let mut frames = vec![];
    while let Some(bytes) = queue.pop(Room::Whole(0)) {
        decoder.push(bytes);
        frames.push(decoder.poll().unwrap().unwrap());
    }
    assert!(queue.is_empty());
    assert_eq!((queue.waiting, queue.relays_waiting, queue.places.len()), (0, 0, 0));
    frames
}

#[test]
fn ordinary_frames_keep_their_order() {
    let frames = [ping(1), ping(2), ping(1)];
    assert_eq!(drain(&mut queue(&frames)), frames);
}

#[test]
fn the_latest_state_wins_in_the_place_of_the_first() {
    let mut queue = queue(&[window(0, 1), ping(1), window(0, 2), window(4, 9), window(0, 3)]);
    assert_eq!(drain(&mut queue), [window(0, 3), ping(1), window(4, 9)]);
}

#[test]
fn window_and_progress_of_one_stream_are_two_states() {
    let frames = [window(0, 1), progress(0, 1), status(1, PathState::Live, 1)];
    assert_eq!(drain(&mut queue(&frames)), frames);
}

#[test]
fn a_state_that_was_taken_out_is_not_replaced() {
    let mut queue = queue(&[window(0, 1)]);
    assert_eq!(drain(&mut queue), [window(0, 1)]);
    queue.push(&window(0, 2)).unwrap();
    assert_eq!(drain(&mut queue), [window(0, 2)]);
}

#[test]
fn current_progress_goes_out_before_suspect_and_gone() {
    for state in [PathState::Suspect, PathState::Gone] {
        let mut queue =
            queue(&[status(1, PathState::Live, 1), progress(0, 5), status(1, state, 2)]);
        assert_eq!(drain(&mut queue), [progress(0, 5), status(1, state, 2)]);
    }
}

#[test]
fn relay_pieces_wait_for_everything_else() {
    let mut queue = queue(&[relay(0, 10), ping(1), relay(1, 10), window(0, 1)]);
    assert_eq!(drain(&mut queue), [ping(1), window(0, 1), relay(0, 10), relay(1, 10)]);
}

#[test]
fn a_frame_without_room_holds_back_what_follows() {
    let mut queue = queue(&[relay(0, 4_000), ping(1)]);
    assert!(queue.pop(Room::Rest(3)).is_none());
    assert!(queue.pop(Room::Rest(20)).is_some());
    assert!(queue.pop(Room::Rest(4_000)).is_none());
    assert!(queue.pop(Room::Rest(4_100)).is_some());
    assert!(queue.is_empty());
}

#[test]
fn a_frame_larger_than_the_limit_goes_alone() {
    let room = Room::Whole(16 << 10);
    assert!(room.takes(64 << 10));
    assert!(!room.after(64 << 10).takes(1));
    assert!(room.after(1).takes((16 << 10) - 1));
    assert!(!room.after(1).takes(16 << 10));
}

#[test]
fn a_full_queue_takes_no_more_and_loses_nothing() {
    let mut queue = Queue::default();
    let mut taken = 0;
    while queue.push(&ping(taken)).is_ok() {
        taken += 1;
    }
    assert!(queue.waiting <= MAX_WAITING);
    assert_eq!(queue.push(&window(0, 1)), Err(PushError::Full));
    assert_eq!(drain(&mut queue).len() as u64, taken);
}

#[test]
fn relay_pieces_have_a_limit_of_their_own() {
    let mut queue = Queue::default();
    let mut taken = 0;
    while queue.push(&relay(taken, 4_096)).is_ok() {
        taken += 1;
    }
    assert!(queue.relays_waiting <= MAX_RELAYS);
    assert!(taken >= 60, "{taken}");
    queue.push(&ping(1)).unwrap();
    assert_eq!(drain(&mut queue).len() as u64, taken + 1);
}

#[test]
fn states_pushed_for_ever_take_no_more_room() {
    let mut queue = Queue::default();
    for count in 0..100_000 {
        queue.push(&progress(0, count)).unwrap();
        queue.push(&status(1, PathState::Suspect, count)).unwrap();
    }
    assert_eq!(queue.frames.len(), 2);
    drain(&mut queue);
}

#[test]
fn credit_for_messages_never_waits_twice_for_a_path() {
    let credit = |path, max_bytes| {
        ControlFrame::RelayCredit(RelayCredit { path: PathId::new(path), max_bytes })
    };
    let mut queue = queue(&[credit(1, 5), credit(2, 6), credit(1, 7), credit(1, 8)]);
    assert_eq!(drain(&mut queue), [credit(1, 8), credit(2, 6)]);
}
