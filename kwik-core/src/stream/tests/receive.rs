use std::time::Duration;

use bytes::Bytes;
use kwik_proto::frame::HeldRange;
use kwik_proto::{ByteRange, Offset, PathId};

use crate::conflict::{ConflictPolicy, Verdict};
use crate::stream::{Failure, Read, ReceiveConfig, ReceiveError, ReceiveHalf};
use crate::time::Instant;
use crate::window::Budget;

const NOW: Instant = Instant::ZERO;
const A: PathId = PathId::new(1);
const B: PathId = PathId::new(2);

fn half(policy: ConflictPolicy, window: u64) -> ReceiveHalf {
    ReceiveHalf::new(ReceiveConfig { policy, initial_window: window })
}

fn first_wins(window: u64) -> ReceiveHalf {
    half(ConflictPolicy::FirstWins, window)
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

fn later(millis: u64) -> Instant {
    Instant::from_start(Duration::from_millis(millis))
}

#[test]
fn reader_waits_from_its_first_empty_read() {
    let mut half = first_wins(100);
    let source = half.add_source(A, None);
    assert_eq!(half.waiting_since(), None);
    assert_eq!(half.read(10, later(5)), Read::Blocked);
    assert_eq!(half.read(10, later(9)), Read::Blocked);
    assert_eq!(half.waiting_since(), Some(later(5)));
    half.insert(source, at(3), text("d"), 1, later(10)).unwrap();
    assert_eq!(half.waiting_since(), Some(later(5)), "bytes beyond the hole are no help");
    assert!(half.insert(source, at(0), text("abc"), 3, later(11)).unwrap().readable);
    assert_eq!(half.waiting_since(), None);
}

#[test]
fn waits_are_told_with_who_ended_them() {
    let mut half = first_wins(100);
    let (one, two) = (half.add_source(A, None), half.add_source(B, None));
    half.insert(one, at(0), text("ab"), 2, later(1)).unwrap();
    assert_eq!(half.next_ended_wait(), None, "nobody waited");
    half.read(10, later(2));
    half.read(10, later(3));
    half.insert(one, at(5), text("fgh"), 3, later(4)).unwrap();
    half.insert(two, at(2), text("cde"), 3, later(60)).unwrap();
    // The reader is already waiting again when somebody asks.
    half.read(10, later(61));
    half.read(10, later(62));
    half.read(10, later(63));
    let wait = half.next_ended_wait().unwrap();
    assert_eq!((wait.offset, wait.by), (at(2), B));
    assert_eq!((wait.since, wait.until), (later(3), later(60)));
    assert_eq!(half.next_ended_wait(), None);
    assert_eq!(half.waiting_since(), Some(later(63)));
}

#[test]
fn the_longest_waits_are_kept() {
    let mut half = first_wins(1000);
    let source = half.add_source(A, None);
    for index in 0..40 {
        let start = index * 100;
        half.read(10, later(start));
        half.insert(source, at(index), text("x"), 1, later(start + 40 - index)).unwrap();
        half.read(10, later(start + 50));
    }
    let waits: Vec<_> = std::iter::from_fn(|| half.next_ended_wait()).collect();
    assert_eq!(waits.len(), 16);
    let kept = waits.iter().filter(|wait| wait.duration() >= Duration::from_millis(26));
    assert_eq!(kept.count(), 15, "and the last one");
}

#[test]
fn only_the_insert_that_lets_the_reader_go_on_wakes_it() {
    let mut half = first_wins(100);
    let source = half.add_source(A, None);
    assert!(!half.insert(source, at(2), text("c"), 1, NOW).unwrap().readable);
    assert!(half.insert(source, at(0), text("a"), 1, NOW).unwrap().readable);
    assert!(!half.insert(source, at(1), text("b"), 1, NOW).unwrap().readable);
}

#[test]
fn final_size_at_the_read_offset_wakes_the_reader() {
    let mut half = first_wins(100);
    let primary = half.add_source(PathId::PRIMARY, None);
    half.insert(primary, at(0), text("abc"), 3, NOW).unwrap();
    half.read(10, NOW);
    assert_eq!(half.read(10, NOW), Read::Blocked);
    assert!(half.handle_fin(primary, at(3)).unwrap().readable);
    assert_eq!(half.waiting_since(), None);
    assert!(half.is_complete() && half.is_finished());
}

#[test]
fn held_ranges_name_their_senders_nearest_first() {
    let mut half = first_wins(100);
    let (a, b) = (half.add_source(A, None), half.add_source(B, None));
    for (source, offset, bytes) in
        [(a, 30, "x"), (b, 12, "cd"), (a, 10, "ab"), (a, 14, "e"), (a, 15, "f")]
    {
        half.insert(source, at(offset), text(bytes), 1, NOW).unwrap();
    }
    let held = [
        HeldRange { range: range(10, 12), path: A },
        HeldRange { range: range(12, 14), path: B },
        HeldRange { range: range(14, 16), path: A },
        HeldRange { range: range(30, 31), path: A },
    ];
    assert_eq!(half.held(32), held);
    assert_eq!(half.held(3), held[..3]);
    assert_eq!(half.held(0), []);
}

#[test]
fn byte_past_the_window_blames_its_own_path_only() {
    let mut half = first_wins(10);
    let (a, b) = (half.add_source(A, None), half.add_source(B, None));
    let error = half.insert(a, at(10), text("k"), 1, NOW).unwrap_err();
    assert_eq!(error, ReceiveError::FlowControl { path: A, offset: at(11), max_offset: at(10) });
    assert_eq!(half.insert(b, at(0), text("abcdefghij"), 10, NOW).unwrap().new_bytes, 10);
    assert_eq!((half.counters().refused, half.counters().frames), (1, 1));
}

#[test]
fn frame_at_the_end_of_the_number_space_is_refused() {
    let mut half = first_wins(u64::MAX);
    let source = half.add_source(A, None);
    let error = half.insert(source, Offset::MAX, text("x"), 1, NOW).unwrap_err();
    assert!(matches!(error, ReceiveError::FlowControl { path: A, .. }));
}

#[test]
fn frame_of_a_removed_source_is_refused() {
    let mut half = first_wins(10);
    let source = half.add_source(A, None);
    half.remove_source(source);
    half.add_source(B, None);
    let error = half.insert(source, at(0), text("a"), 1, NOW).unwrap_err();
    assert!(matches!(error, ReceiveError::SourceRemoved { path: A, .. }));
    assert_eq!(half.source(source), None);
}

/// Every source is drained: within the window nothing is refused or put off, however long the reader sleeps.
#[test]
fn all_of_the_window_is_taken_without_a_read() {
    let mut half = first_wins(64 << 10);
    let sources = [A, B, PathId::PRIMARY].map(|path| half.add_source(path, None));
    for start in (0..64).rev().map(|index| index * 1024) {
        for source in sources {
            half.insert(source, at(start), Bytes::from(vec![1; 1024]), 1024, NOW).unwrap();
        }
    }
    assert_eq!(half.contiguous_end(), at(64 << 10));
    assert_eq!(half.counters().duplicate_bytes, 2 * (64 << 10));
}

#[test]
fn memory_is_bounded_when_each_byte_pins_a_large_buffer() {
    let window = 256 << 10;
    let mut half = first_wins(window);
    for start in (0..window).step_by(4096) {
        // A carrier of its own each time, so that no two share a buffer.
        let source = half.add_source(A, None);
        let payload = Bytes::from(vec![9; 64 << 10]).slice(..64);
        half.insert(source, at(start), payload, 64 << 10, NOW).unwrap();
        half.remove_source(source);
        assert!(half.pinned() <= window * 3 / 2, "{} pinned", half.pinned());
    }
    assert!(half.counters().copied_bytes > 0);
    assert!(half.peak_pinned() <= window * 3 / 2 + 128, "{} at most", half.peak_pinned());
    assert_eq!(half.missing_in(range(0, 64)).count(), 0);
    half.stop(0);
    assert_eq!(half.pinned(), 0);
}

#[test]
fn small_neighbours_are_joined_before_anybody_is_blamed() {
    let mut half = first_wins(64 << 10);
    let source = half.add_source(A, None);
    for offset in 1..4000 {
        half.insert(source, at(offset), text("x"), 1, NOW).unwrap();
    }
    half.insert(source, at(0), text("x"), 1, NOW).unwrap();
    let mut read = 0;
    while let Read::Data(bytes) = half.read(usize::MAX, NOW) {
        assert!(bytes.iter().all(|byte| *byte == b'x'));
        read += bytes.len();
    }
    assert_eq!(read, 4000);
}

#[test]
fn path_that_cuts_the_stream_to_crumbs_is_blamed_and_others_are_not() {
    let mut half = first_wins(64 << 10);
    let (honest, crumbs) = (half.add_source(A, None), half.add_source(B, None));
    let mut offset = 1;
    let error = loop {
        offset += 2;
        assert!(offset < 64 << 10, "nobody was blamed");
        if let Err(error) = half.insert(crumbs, at(offset), text("x"), 1, NOW) {
            break error;
        }
    };
    assert_eq!(error, ReceiveError::Fragmented { path: B, offset: at(offset) });
    half.insert(honest, at(0), text("a"), 1, NOW).unwrap();
    half.isolate(B);
    half.insert(honest, at(1), text("b"), 1, NOW).unwrap();
    assert_eq!(half.contiguous_end(), at(2));
}

#[test]
fn isolated_bytes_no_longer_count_for_their_path() {
    let mut half = first_wins(100);
    let (a, b) = (half.add_source(A, None), half.add_source(B, None));
    half.insert(a, at(0), text("abcd"), 4, NOW).unwrap();
    half.insert(b, at(4), text("ef"), 2, NOW).unwrap();
    half.read(1, NOW);
    half.insert(a, at(6), text("gh"), 2, NOW).unwrap();
    assert_eq!(half.isolate(A).iter().collect::<Vec<_>>(), [range(6, 8)]);
    assert_eq!(half.path_bytes().collect::<Vec<_>>(), [(A, 4), (B, 2)]);
    assert_eq!(half.insert(a, at(1), text("bcd"), 3, NOW).unwrap().new_bytes, 0);
    assert_eq!(half.counters().unwanted_bytes, 3);
}

#[test]
fn both_liars_of_a_dispute_are_convicted_by_the_primary() {
    let mut half = half(ConflictPolicy::Reject, 100);
    let (a, b) = (half.add_source(A, None), half.add_source(B, None));
    let primary = half.add_source(PathId::PRIMARY, None);
    half.insert(a, at(0), text("aXc"), 3, NOW).unwrap();
    let conflict = half.insert(b, at(0), text("aYc"), 3, NOW).unwrap().conflict.unwrap();
    assert_eq!((conflict.range, conflict.verdict), (range(1, 2), Verdict::Undecided));
    assert_eq!((conflict.holder, conflict.rival), (A, B));
    assert_eq!(half.next_conflict(), Some(conflict));
    half.insert(primary, at(1), text("b"), 1, NOW).unwrap();
    let verdicts: Vec<_> =
        std::iter::from_fn(|| half.next_conflict()).map(|next| next.verdict).collect();
    assert_eq!(verdicts, [Verdict::Wrong(A), Verdict::Wrong(B)]);
    assert_eq!(half.counters().conflicts, 3);
}

#[test]
fn honest_side_of_a_dispute_is_not_convicted() {
    let mut half = half(ConflictPolicy::Reject, 100);
    let (a, b) = (half.add_source(A, None), half.add_source(B, None));
    let primary = half.add_source(PathId::PRIMARY, None);
    half.insert(a, at(0), text("aXc"), 3, NOW).unwrap();
    half.insert(b, at(0), text("abc"), 3, NOW).unwrap();
    half.next_conflict();
    half.insert(primary, at(1), text("b"), 1, NOW).unwrap();
    let verdicts: Vec<_> =
        std::iter::from_fn(|| half.next_conflict()).map(|next| next.verdict).collect();
    assert_eq!(verdicts, [Verdict::Wrong(A)], "though its copy came second");
}

#[test]
fn open_disputes_are_bounded() {
    let mut half = half(ConflictPolicy::Reject, 10_000);
    let (a, b) = (half.add_source(A, None), half.add_source(B, None));
    for index in 0..200 {
        half.insert(a, at(index * 10), text("x"), 1, NOW).unwrap();
        half.insert(b, at(index * 10), text("y"), 1, NOW).unwrap();
    }
    assert!(half.pinned() <= 16 * 2 * 256);
    assert_eq!(std::iter::from_fn(|| half.next_conflict()).count(), 64);
    assert_eq!(half.disputed().total_len(), 200, "each still waits for the primary");
}

#[test]
fn what_has_every_byte_when_it_is_stopped_is_complete() {
    let mut half = first_wins(100);
    let (primary, other) = (half.add_source(PathId::PRIMARY, None), half.add_source(A, None));
    half.insert(other, at(0), text("abc"), 3, NOW).unwrap();
    let mut short = first_wins(100);
    let early = short.add_source(PathId::PRIMARY, None);
    for (half, source) in [(&mut half, primary), (&mut short, early)] {
        half.handle_fin(source, at(3)).unwrap();
        half.stop(7);
        assert!(half.is_finished());
    }
    assert!(half.is_complete());
    assert!(!short.is_complete());
}

#[test]
fn failure_comes_after_every_contiguous_byte() {
    let mut half = first_wins(100);
    let source = half.add_source(A, None);
    half.insert(source, at(0), text("abc"), 3, NOW).unwrap();
    half.insert(source, at(5), text("f"), 1, NOW).unwrap();
    half.fail(Failure::SessionEnded);
    assert_eq!(half.read(2, NOW), Read::Data(text("ab")));
    assert_eq!(half.read(2, NOW), Read::Data(text("c")));
    assert_eq!(half.read(2, NOW), Read::Failed(Failure::SessionEnded));
    assert_eq!((half.pinned(), half.is_finished()), (0, true));
}

#[test]
fn window_opens_with_a_share_of_what_is_free() {
    let mut budget = Budget::new(Budget::DEFAULT_TOTAL, 1);
    let mut half = first_wins(Budget::FLOOR);
    assert_eq!(half.open_window(Instant::ZERO, &mut budget), Some(at(4 << 20)));
    assert_eq!(half.open_window(Instant::ZERO, &mut budget), None, "it is open");
    half.close_window(&mut budget);
    assert_eq!(budget.promised(), 0);
}

#[test]
fn window_follows_the_reader() {
    let mut budget = Budget::new(Budget::DEFAULT_TOTAL, 1);
    let mut half = first_wins(Budget::FLOOR);
    let source = half.add_source(A, None);
    half.insert(source, at(0), Bytes::from(vec![0; 16 << 10]), 16 << 10, NOW).unwrap();
    assert!(!half.wants_window(NOW));
    half.read(usize::MAX, NOW);
    assert!(half.wants_window(NOW));
    assert_eq!(half.update_window(NOW, Duration::ZERO, &mut budget), Some(at(80 << 10)));
    assert!(!half.wants_window(NOW));
}

/// STREAM-18: a secondary may not have heard of a reset.
#[test]
fn bytes_beyond_a_reset_are_the_senders_fault_alone() {
    let mut half = first_wins(100);
    let (own, other) = (half.add_source(PathId::PRIMARY, None), half.add_source(A, None));
    half.insert(other, at(0), text("abc"), 3, NOW).unwrap();
    half.handle_reset(7, at(5)).unwrap();
    let taken = half.insert(other, at(3), text("defgh"), 5, NOW).unwrap();
    assert_eq!((taken.new_bytes, taken.duplicate_bytes), (0, 5));
    let beyond = half.insert(own, at(3), text("defgh"), 5, NOW).unwrap_err();
    assert!(matches!(beyond, ReceiveError::FinalSize { .. }), "{beyond}");
    assert_eq!(half.read(10, NOW), Read::Reset { error_code: 7 });
}

#[test]
fn in_order_delay_is_from_arrival_to_its_turn_whenever_it_is_read() {
    let mut half = first_wins(1 << 20);
    let a = half.add_source(A, None);
    let b = half.add_source(B, None);
    half.insert(b, at(5), text(" world"), 6, later(10)).unwrap();
    half.insert(a, at(0), text("he"), 2, later(20)).unwrap();
    assert_eq!(half.in_order_delay().bytes(), 2, "the others wait");
    half.insert(a, at(2), text("llo"), 3, later(50)).unwrap();
    let delays = half.in_order_delay().clone();
    assert_eq!((delays.bytes(), delays.summary().max), (11, Duration::from_millis(40)));
    assert_eq!(delays.quantile(454), Duration::ZERO, "5 of 11");
    assert_eq!(delays.quantile(500), Duration::from_millis(40), "6 of 11");
    // A slow reader changes nothing.
    assert!(matches!(half.read(100, later(9_000)), Read::Data(_)));
    assert_eq!(*half.in_order_delay(), delays);
}

#[test]
fn in_order_delay_ends_when_the_hash_holds() {
    let mut half = first_wins(1 << 20);
    let a = half.add_source(A, None);
    let hash = *blake3::hash(b"hello").as_bytes();
    assert!(half.expect_hash(range(0, 5), hash));
    half.insert(a, at(0), text("hel"), 3, later(10)).unwrap();
    assert_eq!(half.in_order_delay().bytes(), 0, "nothing vouches for it");
    half.insert(a, at(3), text("lo"), 2, later(40)).unwrap();
    let delays = half.in_order_delay();
    assert_eq!((delays.bytes(), delays.summary().max), (5, Duration::from_millis(30)));
}
