//! Ranges whose hash the primary named.

use bytes::Bytes;
use kwik_proto::{ByteRange, Offset, PathId};

use crate::conflict::{ConflictPolicy, Verdict};
use crate::stream::{Inserted, Read, ReceiveConfig, ReceiveError, ReceiveHalf};
use crate::time::Instant;

const NOW: Instant = Instant::ZERO;
const P: PathId = PathId::PRIMARY;
const A: PathId = PathId::new(1);
const B: PathId = PathId::new(2);

fn content(range: std::ops::Range<u64>) -> Vec<u8> {
    range.map(|at| (at * 7 % 251) as u8).collect()
}

fn span(range: &std::ops::Range<u64>) -> ByteRange {
    let at = |offset| Offset::new(offset).unwrap();
    ByteRange::new(at(range.start), at(range.end)).unwrap()
}

struct Bench {
    half: ReceiveHalf,
    read: u64,
}

impl Bench {
    fn new() -> Self {
        Self { half: ReceiveHalf::new(ReceiveConfig::default()), read: 0 }
    }

    fn that_rejects() -> Self {
        let config = ReceiveConfig { policy: ConflictPolicy::Reject, ..ReceiveConfig::default() };
        Self { half: ReceiveHalf::new(config), read: 0 }
    }

    fn expect(&mut self, range: std::ops::Range<u64>) {
        let hash = blake3::hash(&content(range.clone()));
        assert!(self.half.expect_hash(span(&range), *hash.as_bytes()));
    }

    fn put(&mut self, path: PathId, range: std::ops::Range<u64>, bytes: Vec<u8>) -> Inserted {
        let source = self.half.add_source(path, None);
        let size = bytes.len();
        let offset = span(&range).start();
        self.half.insert(source, offset, Bytes::from(bytes), size, NOW).unwrap()
    }

    /// The path that is convicted for a frame.
    fn convicted(&mut self, path: PathId, range: std::ops::Range<u64>, bytes: Vec<u8>) -> PathId {
        let source = self.half.add_source(path, None);
        let (offset, size) = (span(&range).start(), bytes.len());
        match self.half.insert(source, offset, Bytes::from(bytes), size, NOW) {
            Err(ReceiveError::Conflict { conflict }) => {
                assert_eq!(conflict.verdict, Verdict::Wrong(conflict.rival));
                conflict.rival
            }
            other => panic!("{other:?}"),
        }
    }

    fn honest(&mut self, path: PathId, range: std::ops::Range<u64>) -> Inserted {
        self.put(path, range.clone(), content(range))
    }

    fn lie(&mut self, path: PathId, range: std::ops::Range<u64>) -> Inserted {
        let lie = content(range.clone()).iter().map(|byte| !byte).collect();
        self.put(path, range, lie)
    }

    /// Reads all there is; every byte must be right. Returns where the reader is then.
    fn read(&mut self) -> u64 {
        while let Read::Data(data) = self.half.read(33, NOW) {
            let end = self.read + data.len() as u64;
            assert_eq!(data, content(self.read..end), "wrong bytes from {} on", self.read);
            self.read = end;
        }
        self.read
    }
}

#[test]
fn nothing_is_read_before_the_hash_holds() {
    let mut bench = Bench::new();
    bench.expect(0..100);
    assert!(!bench.honest(A, 0..60).readable);
    assert_eq!(bench.read(), 0);
    assert_eq!(bench.half.contiguous_end().value(), 60, "it is held all the same");
    assert!(bench.honest(B, 60..100).readable);
    assert_eq!(bench.read(), 100);
}

#[test]
fn who_forged_a_range_is_named_and_its_bytes_are_asked_for_again() {
    let mut bench = Bench::new();
    bench.expect(0..100);
    let forged = bench.lie(A, 0..100).conflict.unwrap();
    assert_eq!((forged.verdict, forged.range), (Verdict::Forged(A), span(&(0..100))));
    assert_eq!(bench.half.next_conflict(), Some(forged));
    assert_eq!(bench.read(), 0);
    assert_eq!(bench.half.missing_in(span(&(0..100))).next(), Some(span(&(0..100))));
    assert_eq!(bench.honest(B, 0..100).conflict, None);
    assert_eq!(bench.read(), 100);
}

#[test]
fn one_wrong_byte_is_enough() {
    let mut bench = Bench::new();
    bench.expect(0..100);
    let mut bytes = content(0..100);
    bytes[77] ^= 1;
    let forged = bench.put(A, 0..100, bytes).conflict.unwrap();
    assert_eq!(forged.verdict, Verdict::Forged(A));
}

#[test]
fn where_two_sent_a_wrong_range_only_the_primary_is_believed() {
    let mut bench = Bench::new();
    bench.expect(0..100);
    bench.honest(A, 0..50);
    let conflict = bench.lie(B, 50..100).conflict.unwrap();
    assert_eq!(conflict.verdict, Verdict::Undecided);
    bench.lie(B, 0..100);
    assert_eq!(bench.read(), 0);
    bench.honest(P, 0..100);
    assert_eq!(bench.read(), 100);
    assert!(bench.half.disputed().is_empty());
}

#[test]
fn who_differs_from_a_proven_byte_is_wrong_and_the_byte_stays() {
    let mut bench = Bench::that_rejects();
    bench.expect(50..100);
    bench.honest(A, 50..100);
    let lie = |range| content(range).iter().map(|byte| !byte).collect();
    assert_eq!(bench.convicted(B, 60..80, lie(60..80)), B);
    assert!(bench.half.disputed().is_empty(), "there is nothing to ask the primary");
    bench.honest(A, 0..50);
    assert_eq!(bench.read(), 100, "what was proven is there still");
}

#[test]
fn a_dispute_about_other_bytes_leaves_the_proven_ones_alone() {
    let mut bench = Bench::that_rejects();
    bench.expect(50..60);
    bench.honest(A, 20..100);
    let mut bytes = content(30..90);
    (bytes[5], bytes[55]) = (!bytes[5], !bytes[55]);
    let conflict = bench.put(B, 30..90, bytes).conflict.unwrap();
    assert_eq!((conflict.verdict, conflict.range), (Verdict::Undecided, span(&(35..86))));
    let missing: Vec<ByteRange> = bench.half.missing_in(span(&(20..100))).collect();
    assert_eq!(missing, [span(&(35..50)), span(&(60..86))]);
}

#[test]
fn the_primary_needs_no_proof_and_its_bytes_take_the_place_of_others() {
    let mut bench = Bench::new();
    bench.expect(0..100);
    bench.lie(A, 20..60);
    bench.honest(P, 0..50);
    assert_eq!(bench.read(), 50);
    bench.honest(P, 50..100);
    assert_eq!(bench.read(), 100);
}

#[test]
fn a_range_whose_beginning_was_read_is_proven_with_it() {
    let mut bench = Bench::new();
    bench.expect(0..100);
    bench.expect(50..150);
    bench.honest(A, 0..100);
    assert_eq!(bench.read(), 100);
    assert_eq!(bench.lie(B, 100..150).conflict.unwrap().verdict, Verdict::Forged(B));
    assert_eq!(bench.read(), 100);
    bench.honest(A, 100..150);
    assert_eq!(bench.read(), 150);
}

#[test]
fn a_hash_that_comes_too_late_does_not_hold_back_what_others_prove() {
    let mut bench = Bench::new();
    bench.expect(0..100);
    bench.honest(A, 0..100);
    assert_eq!(bench.read(), 100);
    bench.expect(50..100);
    bench.honest(B, 100..150);
    assert_eq!(bench.read(), 150, "that one is not taken");
}

#[test]
fn what_only_a_late_hash_covers_is_believed_of_the_primary_alone() {
    let mut bench = Bench::new();
    bench.expect(0..100);
    bench.honest(P, 0..80);
    assert_eq!(bench.read(), 80);
    bench.expect(50..200);
    bench.honest(B, 80..100);
    assert_eq!(bench.read(), 100);
    assert_eq!(bench.lie(A, 100..200).conflict.unwrap().verdict, Verdict::Undecided);
    bench.honest(P, 100..200);
    assert_eq!(bench.read(), 200);
}

#[test]
fn a_stream_is_complete_when_it_is_proven() {
    let mut bench = Bench::new();
    bench.expect(0..100);
    let primary = bench.half.add_source(P, None);
    bench.half.handle_fin(primary, Offset::new(100).unwrap()).unwrap();
    bench.lie(A, 0..100);
    assert!(!bench.half.is_complete());
    bench.honest(B, 0..100);
    assert!(bench.half.is_complete());
    assert_eq!(bench.read(), 100);
    assert_eq!(bench.half.read(1, NOW), Read::Finished);
}

#[test]
fn what_was_proven_outlives_the_isolation_of_its_sender() {
    let mut bench = Bench::new();
    bench.expect(0..100);
    bench.expect(100..200);
    bench.honest(A, 100..200);
    assert_eq!(bench.lie(A, 0..100).conflict.unwrap().verdict, Verdict::Forged(A));
    assert!(bench.half.isolate(A).is_empty(), "the lie is gone already, the rest is right");
    bench.expect(0..100);
    bench.honest(B, 0..100);
    bench.lie(B, 100..200);
    assert_eq!(bench.read(), 200);
}

#[test]
fn liars_never_reach_the_reader() {
    // A small generator: which ranges are ordered, who sends which pieces in which order.
    for seed in 0..3_000u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut roll = move |end: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % end
        };
        let mut bench = Bench::new();
        let end = 400;
        let mut ordered = 0;
        for _ in 0..60 {
            if ordered < end && roll(3) == 0 {
                let next = (ordered + 1 + roll(90)).min(end);
                bench.expect(ordered..next);
                ordered = next;
            }
            if ordered == 0 {
                continue;
            }
            // A copy of some part.
            let start = roll(ordered);
            let stop = (start + 1 + roll(80)).min(ordered);
            if roll(4) == 0 {
                bench.expect(start..stop);
            }
            match roll(4) {
                0 => bench.lie(A, start..stop),
                1 => bench.honest(B, start..stop),
                2 => bench.honest(P, start..stop),
                _ => bench.honest(A, start..stop),
            };
            bench.read();
        }
        if ordered > 0 {
            bench.honest(P, 0..ordered);
            assert_eq!(bench.read(), ordered, "seed {seed}");
        }
    }
}

#[test]
fn what_a_liar_sent_is_not_counted_as_delivered() {
    let mut bench = Bench::new();
    bench.expect(0..1000);
    bench.lie(A, 0..700);
    bench.lie(A, 700..1000);
    assert_eq!(bench.half.path_bytes().collect::<Vec<_>>(), [(A, 0)]);
    bench.honest(B, 0..1000);
    assert_eq!(bench.half.path_bytes().collect::<Vec<_>>(), [(A, 0), (B, 1000)]);
    assert_eq!(bench.read(), 1000);
}

#[test]
fn hashes_that_are_awaited_are_bounded() {
    let mut half = ReceiveHalf::new(ReceiveConfig::default());
    let mut next = (0..20_000).rev().map(|at| span(&(at..at + 1)));
    let awaited = next.by_ref().take_while(|range| half.expect_hash(*range, [0; 32])).count();
    assert_eq!(awaited, 16_384);
    assert!(!next.all(|range| half.expect_hash(range, [0; 32])));
}

#[test]
fn a_hash_that_is_named_again_counts_once() {
    let mut bench = Bench::new();
    for _ in 0..20_000 {
        bench.expect(0..60_000);
    }
    bench.honest(A, 0..60_000);
    assert_eq!(bench.read(), 60_000);
}

/// Each of thousands of ranges would have the window hashed anew.
#[test]
fn bytes_that_are_hashed_are_bounded() {
    let mut half = ReceiveHalf::new(ReceiveConfig::default());
    let window = half.max_offset().value();
    let mut next = (0..1_000).map(|more| span(&(0..60_000 + more)));
    let taken = next.by_ref().take_while(|range| half.expect_hash(*range, [0; 32])).count() as u64;
    assert_eq!(taken, 16 * window / 60_010, "sixteen windows");
    // What was proven, or came from the primary, needs no hash.
    let mut bench = Bench::new();
    for from in 0..1_000 {
        bench.expect(from..60_000);
        bench.honest(P, 0..60_000);
    }
    assert_eq!(bench.read(), 60_000);
}
