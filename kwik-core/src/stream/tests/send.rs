use std::collections::BTreeMap;

use bytes::Bytes;
use kwik_proto::{ByteRange, Offset};
use proptest::prelude::*;

use crate::stream::{DelegateError, FinishError, OutFrame, SendConfig, SendHalf, WriteError};

fn half(window: u64, queue: usize) -> SendHalf {
    SendHalf::new(SendConfig { initial_window: window, queue })
}

fn at(offset: u64) -> Offset {
    Offset::new(offset).unwrap()
}

fn range(start: u64, end: u64) -> ByteRange {
    ByteRange::new(at(start), at(end)).unwrap()
}

fn text(bytes: &'static str) -> Bytes {
    Bytes::from_static(bytes.as_bytes())
}

fn frame(offset: u64, payload: &'static str, fin: bool) -> Option<OutFrame> {
    Some(OutFrame { offset: at(offset), payload: text(payload), fin })
}

#[test]
fn no_byte_passes_the_window() {
    let mut half = half(3, 100);
    half.write(text("abcdef")).unwrap();
    assert_eq!(half.is_blocked(), None);
    assert_eq!(half.next_frame(100), frame(0, "abc", false));
    assert_eq!(half.next_frame(100), None);
    assert_eq!(half.is_blocked(), Some(at(3)));
    assert!(half.extend_window(at(5)));
    assert_eq!(half.next_frame(100), frame(3, "de", false));
    assert!(!half.extend_window(at(4)), "old news");
    assert_eq!(half.is_blocked(), Some(at(5)));
}

#[test]
fn far_write_does_not_block_the_head() {
    let mut half = half(100, 100);
    half.write_at(at(50), text("far")).unwrap();
    half.write(text("head")).unwrap();
    assert_eq!(half.next_frame(100), frame(0, "head", false));
    assert_eq!(half.next_frame(100), frame(50, "far", false));
}

#[test]
fn positioned_write_ends_within_the_window() {
    let mut half = half(10, 100);
    let beyond = WriteError::BeyondWindow { end: at(11), max_offset: at(10) };
    assert_eq!(half.write_at(at(8), text("abc")), Err(beyond));
    assert_eq!(half.write_at(at(7), text("abc")), Ok(()));
    assert!(half.write_at(Offset::MAX, text("x")).is_err());
}

#[test]
fn overlapping_writes_are_refused() {
    let mut half = half(100, 100);
    half.write_at(at(5), text("fgh")).unwrap();
    half.delegate(range(20, 30)).unwrap();
    assert_eq!(half.write_at(at(7), text("xx")), Err(WriteError::Overlap { range: range(7, 8) }));
    assert_eq!(half.write_at(at(25), text("x")), Err(WriteError::Overlap { range: range(25, 26) }));
    assert_eq!(half.delegate(range(30, 31)), Ok(()));
}

#[test]
fn sequential_writes_go_around_what_is_there() {
    let mut half = half(100, 100);
    half.write_at(at(2), text("cd")).unwrap();
    assert_eq!(half.write(text("abef")), Ok(2));
    assert_eq!(half.position(), at(4));
    assert_eq!(half.write(text("ef")), Ok(2));
    assert_eq!(half.next_frame(100), frame(0, "abcdef", false));
}

#[test]
fn full_queue_takes_what_fits() {
    let mut half = half(100, 4);
    assert_eq!(half.write(text("abcdef")), Ok(4));
    assert_eq!(half.write(text("ef")), Ok(0));
    assert_eq!(half.write_at(at(50), text("x")), Err(WriteError::QueueFull));
    assert_eq!(half.next_frame(3), frame(0, "abc", false));
    assert_eq!((half.capacity(), half.queued_bytes()), (3, 1));
}

#[test]
fn delegation_moves_the_position_and_may_pass_the_window() {
    let mut half = half(100, 100);
    half.write(text("abc")).unwrap();
    assert_eq!(
        half.delegate(range(2, 9)),
        Err(DelegateError::BehindPosition { range: range(2, 9), position: at(3) })
    );
    assert_eq!(half.delegate(range(5, 5)), Err(DelegateError::Empty));
    half.write_at(at(8), text("x")).unwrap();
    assert_eq!(half.delegate(range(5, 10)), Err(DelegateError::Overlap { range: range(8, 9) }));
    assert_eq!(half.delegate(range(9, 200)), Ok(()));
    assert_eq!(half.position(), at(200));
}

#[test]
fn hole_keeps_the_half_open() {
    let mut half = half(100, 100);
    half.delegate(range(5, 10)).unwrap();
    assert_eq!(half.finish(), Err(FinishError::Hole { range: range(0, 5) }));
    half.write_at(at(0), text("abcde")).unwrap();
    assert_eq!(half.finish(), Ok(at(10)));
    assert_eq!(half.finish(), Ok(at(10)));
    assert_eq!(half.write(text("x")), Err(WriteError::Finished));
    assert_eq!(half.delegate(range(10, 11)), Err(DelegateError::Closed));
}

#[test]
fn fin_rides_on_the_last_byte() {
    let mut half = half(100, 100);
    half.write(text("abc")).unwrap();
    half.finish().unwrap();
    assert_eq!(half.next_frame(2), frame(0, "ab", false));
    assert!(!half.is_all_sent());
    assert_eq!(half.next_frame(2), frame(2, "c", true));
    assert_eq!(half.next_frame(2), None);
    assert!(half.is_all_sent() && !half.is_complete());
}

#[test]
fn fin_comes_alone_when_the_tail_was_delegated_or_is_gone() {
    let mut delegated = half(100, 100);
    delegated.write(text("abc")).unwrap();
    delegated.delegate(range(3, 9)).unwrap();
    delegated.finish().unwrap();
    assert_eq!(delegated.next_frame(100), frame(0, "abc", false));
    assert_eq!(delegated.next_frame(100), frame(9, "", true));
    assert_eq!(delegated.next_frame(100), None);
    let mut gone = half(100, 100);
    gone.write(text("abc")).unwrap();
    gone.next_frame(100);
    gone.finish().unwrap();
    assert_eq!(gone.next_frame(100), frame(3, "", true));
    let mut empty = half(0, 0);
    assert_eq!(empty.finish(), Ok(at(0)));
    assert_eq!(empty.next_frame(100), frame(0, "", true));
}

#[test]
fn complete_when_the_receiver_has_every_byte() {
    let mut half = half(100, 100);
    half.write(text("abc")).unwrap();
    half.handle_progress(at(0), at(3));
    assert!(!half.is_complete(), "the final size is not fixed");
    half.finish().unwrap();
    half.next_frame(100);
    half.handle_progress(at(0), at(2));
    assert!(!half.is_complete());
    half.handle_progress(at(0), at(3));
    assert!(half.is_complete() && half.is_closed());
    assert_eq!(half.reset(7), at(3), "too late");
    assert_eq!((half.is_complete(), half.reset_code()), (true, None));
}

#[test]
fn reset_names_the_end_of_what_was_sent_or_delegated() {
    let mut half = half(100, 100);
    half.write(text("abcdef")).unwrap();
    half.next_frame(4);
    assert_eq!(half.reset(7), at(4));
    assert_eq!((half.reset_code(), half.queued_bytes(), half.next_frame(4)), (Some(7), 0, None));
    assert_eq!(half.write(text("x")), Err(WriteError::Reset));
    let mut delegated = self::half(100, 100);
    delegated.delegate(range(0, 9)).unwrap();
    assert_eq!(delegated.reset(7), at(9));
    let mut beyond = self::half(5, 100);
    beyond.delegate(range(0, 9)).unwrap();
    assert_eq!(beyond.reset(7), at(5), "nobody was ordered to send past the window");
    let mut finished = self::half(100, 100);
    finished.write(text("abc")).unwrap();
    finished.finish().unwrap();
    finished.next_frame(100);
    assert_eq!(finished.reset(7), at(3), "fin fixed it");
}

#[test]
fn stop_drops_the_queue_and_tells_the_writer() {
    let mut half = half(100, 100);
    half.write(text("abcdef")).unwrap();
    half.handle_stop(5);
    assert_eq!(half.write(text("x")), Err(WriteError::Stopped { code: 5 }));
    assert_eq!(half.finish(), Err(FinishError::Stopped { code: 5 }));
    assert_eq!((half.next_frame(9), half.queued_bytes(), half.is_blocked()), (None, 0, None));
}

#[test]
fn closing_by_the_receiver_completes_or_ends_the_half() {
    let mut complete = half(100, 100);
    complete.finish().unwrap();
    complete.handle_closed(true);
    assert!(complete.is_complete());
    let mut given_up = half(100, 100);
    given_up.write(text("abc")).unwrap();
    given_up.handle_closed(false);
    assert!(given_up.is_closed() && !given_up.is_complete());
    assert_eq!(given_up.queued_bytes(), 0);
}

#[derive(Clone, Debug)]
enum Op {
    Write(usize),
    WriteAt(u64, usize),
    Delegate(u64, u64),
    Frame(usize),
    Extend(u64),
    Finish,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        (0..3000_usize).prop_map(Op::Write),
        (0..9000_u64, 0..2000_usize).prop_map(|(offset, len)| Op::WriteAt(offset, len)),
        (0..3000_u64, 0..2000_u64).prop_map(|(past, len)| Op::Delegate(past, len)),
        (1..4000_usize).prop_map(Op::Frame),
        (0..12_000_u64).prop_map(Op::Extend),
        Just(Op::Finish),
    ]
}

fn content(offset: u64, len: usize) -> Bytes {
    (offset..).take(len).map(|at| (at * 31 % 251) as u8).collect()
}

proptest! {
    /// Every byte that was written is handed out once, at its offset, within the window, and nothing else is.
    #[test]
    fn frames_carry_what_was_written(
        window in 0..6000_u64,
        queue in 0..6000_usize,
        ops in prop::collection::vec(op(), 1..60),
    ) {
        let mut half = half(window, queue);
        let (mut written, mut sent): (BTreeMap<u64, u8>, BTreeMap<u64, u8>) = Default::default();
        let mut max_offset = window;
        let (mut fins, mut delegated_end, mut final_size) = (0, 0, None);
        for op in ops.iter().chain([&Op::Extend(1 << 20), &Op::Finish]).chain(std::iter::repeat_n(&Op::Frame(5000), 200)) {
            match *op {
                Op::Write(len) => {
                    let position = half.position().value();
                    let bytes = content(position, len);
                    if let Ok(taken) = half.write(bytes.clone()) {
                        written.extend((position..).zip(bytes.into_iter().take(taken)));
                    }
                }
                Op::WriteAt(offset, len) => {
                    let bytes = content(offset, len);
                    if half.write_at(at(offset), bytes.clone()).is_ok() {
                        prop_assert!(offset + len as u64 <= max_offset);
                        for (offset, byte) in (offset..).zip(bytes) {
                            prop_assert_eq!(written.insert(offset, byte), None);
                        }
                    }
                }
                Op::Delegate(past, len) => {
                    let start = half.position().value() + past;
                    if half.delegate(range(start, start + len)).is_ok() {
                        delegated_end = start + len;
                        prop_assert_eq!(written.range(start..start + len).count(), 0);
                    }
                }
                Op::Frame(max) => {
                    if let Some(frame) = half.next_frame(max) {
                        let start = frame.offset.value();
                        let end = start + frame.payload.len() as u64;
                        prop_assert!(frame.payload.len() <= max && end <= max_offset);
                        prop_assert!(frame.fin || !frame.payload.is_empty());
                        fins += u32::from(frame.fin);
                        prop_assert!(!frame.fin || Some(end) == final_size);
                        for (offset, byte) in (start..).zip(frame.payload) {
                            prop_assert_eq!(sent.insert(offset, byte), None);
                        }
                    }
                }
                Op::Extend(limit) => {
                    prop_assert_eq!(half.extend_window(at(limit)), limit > max_offset);
                    max_offset = max_offset.max(limit);
                }
                Op::Finish => {
                    if let Ok(size) = half.finish() {
                        let end = written.last_key_value().map_or(0, |(offset, _)| offset + 1);
                        prop_assert_eq!(size.value(), end.max(delegated_end));
                        final_size = Some(size.value());
                    }
                }
            }
            prop_assert_eq!(half.queued_bytes(), (written.len() - sent.len()) as u64);
            prop_assert!(half.queued_bytes() <= queue as u64);
        }
        prop_assert_eq!(&sent, &written);
        prop_assert_eq!(fins, u32::from(final_size.is_some()));
        prop_assert_eq!(half.is_all_sent(), final_size.is_some());
    }
}
