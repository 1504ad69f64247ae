#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use kwik_proto::{ByteRange, Offset, PathId};

use super::{Hint, Reassembler};
use crate::time::Instant;

const A: PathId = PathId::new(1);
const B: PathId = PathId::new(2);

fn at(offset: u64) -> Offset {
    Offset::new(offset).unwrap()
}

fn range(start: u64, end: u64) -> ByteRange {
    ByteRange::new(at(start), at(end)).unwrap()
}

fn text(bytes: &'static str) -> Bytes {
    Bytes::from_static(bytes.as_bytes())
}

fn read_all(reassembler: &mut Reassembler) -> Vec<u8> {
    std::iter::from_fn(|| reassembler.read(usize::MAX)).flatten().collect()
}

#[test]
fn bytes_pass_through_without_a_copy() {
    let mut reassembler = Reassembler::new();
    let payload = Bytes::from(vec![7; 3000]);
    let mut hints = [Hint::default(); 2];
    reassembler.insert(&mut hints[0], A, at(1000), payload.slice(1000..), 3000, Instant::ZERO);
    reassembler.insert(&mut hints[1], B, at(0), payload.slice(..1500), 3000, Instant::ZERO);
    assert_eq!(reassembler.read(500).unwrap().as_ptr(), payload.as_ptr());
    assert_eq!(reassembler.read(5000).unwrap().as_ptr(), payload[500..].as_ptr());
    assert_eq!(reassembler.read(5000).unwrap().as_ptr(), payload[1000..].as_ptr());
    assert_eq!(reassembler.copied(), 0);
    assert_eq!(reassembler.read_offset(), at(3000));
}

#[test]
fn memory_counts_a_shared_buffer_once_until_its_last_byte_goes() {
    let mut reassembler = Reassembler::new();
    let mut hint = Hint::default();
    let buffer = Bytes::from(vec![1; 1000]);
    for start in [0, 100, 200] {
        reassembler.insert(&mut hint, A, at(start), buffer.slice(..100), 1000, Instant::ZERO);
    }
    assert_eq!((reassembler.pinned(), reassembler.buffered()), (1000, 300));
    reassembler.read(100);
    reassembler.read(150);
    assert_eq!(reassembler.pinned(), 1000);
    read_all(&mut reassembler);
    assert_eq!((reassembler.pinned(), reassembler.fragments()), (0, 0));
    assert_eq!(reassembler.peak_pinned(), 1000);
}

#[test]
fn payloads_that_cannot_lie_in_one_buffer_count_two() {
    let mut reassembler = Reassembler::new();
    let mut hint = Hint::default();
    reassembler.insert(&mut hint, A, at(0), Bytes::from(vec![1; 600]), 1000, Instant::ZERO);
    reassembler.insert(&mut hint, A, at(600), Bytes::from(vec![1; 600]), 1000, Instant::ZERO);
    assert_eq!(reassembler.pinned(), 2000);
}

#[test]
fn dropped_duplicates_use_up_their_buffer() {
    let mut reassembler = Reassembler::new();
    let (mut near, mut far) = (Hint::default(), Hint::default());
    reassembler.insert(&mut near, A, at(0), Bytes::from(vec![1; 900]), 900, Instant::ZERO);
    // Each frame repeats 900 bytes for one new one, and so lies in a buffer of its own.
    for offset in 1..4 {
        reassembler.insert(&mut far, B, at(offset), Bytes::from(vec![1; 900]), 1000, Instant::ZERO);
    }
    assert_eq!(reassembler.pinned(), 900 + 3 * 1000);
}

#[test]
fn half_read_exact_chunk_keeps_all_of_its_buffer() {
    let mut reassembler = Reassembler::new();
    reassembler.insert(
        &mut Hint::default(),
        A,
        at(0),
        Bytes::from(vec![1; 1000]),
        1000,
        Instant::ZERO,
    );
    reassembler.read(999);
    assert_eq!(reassembler.pinned(), 1000);
    reassembler.read(1);
    assert_eq!(reassembler.pinned(), 0);
}

#[test]
fn bytes_are_copied_out_when_buffers_pass_the_bound() {
    let mut reassembler = Reassembler::new();
    reassembler.set_bound(2_500);
    for index in 0..10 {
        let mut hint = Hint::default();
        let payload = Bytes::from(vec![index; 1000]).slice(..10);
        reassembler.insert(&mut hint, A, at(u64::from(index) * 10), payload, 1000, Instant::ZERO);
        assert!(reassembler.pinned() <= 2_500);
    }
    assert!(reassembler.copied() > 0);
    let read = read_all(&mut reassembler);
    assert!(read.iter().enumerate().all(|(at, byte)| at / 10 == usize::from(*byte)));
}

#[test]
fn stale_hint_costs_time_never_bytes() {
    let mut reassembler = Reassembler::new();
    let mut hint = Hint::default();
    reassembler.insert(&mut hint, A, at(5), text("fg"), 2, Instant::ZERO);
    let stale = hint;
    reassembler.insert(&mut Hint::default(), B, at(0), text("abcde"), 5, Instant::ZERO);
    reassembler.insert(&mut Hint::default(), B, at(20), text("uv"), 2, Instant::ZERO);
    reassembler.insert(&mut stale.clone(), A, at(7), text("hij"), 3, Instant::ZERO);
    reassembler.insert(&mut stale.clone(), A, at(22), text("wx"), 2, Instant::ZERO);
    assert_eq!(read_all(&mut reassembler), b"abcdefghij");
    assert_eq!(
        reassembler.missing_in(range(0, 30)).collect::<Vec<_>>(),
        [range(10, 20), range(24, 30)]
    );
}

#[test]
fn stale_hint_does_not_append_to_another_paths_run() {
    let mut reassembler = Reassembler::new();
    let mut stale = Hint::default();
    reassembler.insert(&mut stale, A, at(5), text("f"), 1, Instant::ZERO);
    reassembler.insert(&mut Hint::default(), B, at(0), text("abcde"), 5, Instant::ZERO);
    // This run takes the place in memory that the hint remembers.
    reassembler.insert(&mut Hint::default(), B, at(20), text("u"), 1, Instant::ZERO);
    reassembler.insert(&mut stale, A, at(21), text("v"), 1, Instant::ZERO);
    let held: Vec<_> = reassembler.held_beyond().map(|held| (held.range, held.path)).collect();
    assert_eq!(held, [(range(20, 21), B), (range(21, 22), A)]);
}

#[test]
fn append_stops_at_the_next_run() {
    let mut reassembler = Reassembler::new();
    let (mut a, mut b) = (Hint::default(), Hint::default());
    reassembler.insert(&mut a, A, at(1), text("b"), 1, Instant::ZERO);
    reassembler.insert(&mut b, B, at(3), text("d"), 1, Instant::ZERO);
    assert_eq!(reassembler.insert(&mut a, A, at(2), text("cXe"), 3, Instant::ZERO), 2);
    reassembler.insert(&mut Hint::default(), B, at(0), text("a"), 1, Instant::ZERO);
    assert_eq!(read_all(&mut reassembler), b"abcde");
}

#[test]
fn discarded_bytes_are_missing_again_and_others_stay() {
    let mut reassembler = Reassembler::new();
    reassembler.insert(&mut Hint::default(), A, at(0), text("abcdef"), 6, Instant::ZERO);
    reassembler.insert(&mut Hint::default(), B, at(6), text("ghij"), 4, Instant::ZERO);
    reassembler.insert(&mut Hint::default(), A, at(20), text("uvwx"), 4, Instant::ZERO);
    reassembler.read(1);
    assert_eq!(reassembler.discard(range(0, 3)), 2);
    assert_eq!(reassembler.discard(range(5, 7)), 2);
    assert_eq!(reassembler.discard(range(21, 23)), 2);
    let missing: Vec<_> = reassembler.missing_in(range(0, 24)).collect();
    assert_eq!(missing, [range(1, 3), range(5, 7), range(10, 20), range(21, 23)]);
    reassembler.insert(&mut Hint::default(), B, at(0), text("-BCDEFGHIJ"), 10, Instant::ZERO);
    assert_eq!(read_all(&mut reassembler), b"BCdeFGhij");
    reassembler.clear();
    assert_eq!((reassembler.pinned(), reassembler.buffered(), reassembler.fragments()), (0, 0, 0));
}

#[test]
fn far_range_of_missing_bytes_is_answered_for_any_range() {
    let reassembler = Reassembler::new();
    let all = ByteRange::new(Offset::ZERO, Offset::MAX).unwrap();
    assert_eq!(reassembler.missing_in(all).collect::<Vec<_>>(), [all]);
    assert_eq!(reassembler.missing_in(range(5, 5)).count(), 0);
}

#[test]
fn bytes_at_the_end_of_the_number_space_are_dropped() {
    let mut reassembler = Reassembler::new();
    let last = at(Offset::MAX.value() - 1);
    assert_eq!(reassembler.insert(&mut Hint::default(), A, last, text("abc"), 3, Instant::ZERO), 1);
    assert_eq!(
        reassembler.insert(&mut Hint::default(), A, Offset::MAX, text("abc"), 3, Instant::ZERO),
        0
    );
}

#[test]
fn pieces_keep_the_time_of_their_arrival() {
    let later = |millis| Instant::from_start(std::time::Duration::from_millis(millis));
    let mut reassembler = Reassembler::new();
    let (mut near, mut far) = (Hint::default(), Hint::default());
    reassembler.insert(&mut far, B, at(4), text("efgh"), 4, later(1));
    reassembler.insert(&mut far, B, at(8), text("ij"), 2, later(2));
    assert_eq!(reassembler.arrivals_in(range(0, 20)).count(), 0, "there is a hole before it");
    reassembler.insert(&mut near, A, at(0), text("abcdef"), 6, later(5));
    let arrivals = |from, to| reassembler.arrivals_in(range(from, to)).collect::<Vec<_>>();
    assert_eq!(arrivals(0, 20), [(4, later(5)), (4, later(1)), (2, later(2))]);
    assert_eq!(arrivals(3, 9), [(1, later(5)), (4, later(1)), (1, later(2))]);
    reassembler.join_small();
    let joined: Vec<_> = reassembler.arrivals_in(range(0, 20)).collect();
    assert_eq!(joined, [(4, later(5)), (6, later(1))], "the earliest counts");
}
