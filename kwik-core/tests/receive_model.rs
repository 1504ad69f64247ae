//! The receiving half against a plain byte map: random frames of up to 16 carriers on 6 paths, every policy, windows,
//! ends and failures.
//!
//! `KWIK_CASES` sets the number of cases (10,000 if it is not set). A failure prints the operations, shrunk.

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod oracle;

use std::time::Duration;

use bytes::Bytes;
use kwik_core::conflict::{ConflictPolicy, Verdict};
use kwik_core::interval::RangeSet;
use kwik_core::stream::{Failure, Read, ReceiveConfig, ReceiveError, ReceiveHalf, SourceKey};
use kwik_core::time::Instant;
use kwik_core::window::Budget;
use kwik_proto::{ByteRange, Offset, PathId};
use oracle::{Dispute, Oracle, Policy, ReadResult, Refused};
use proptest::prelude::*;

const PATHS: u16 = 6;

#[derive(Clone, Debug)]
enum Op {
    Insert { source: usize, from: u64, len: usize, variant: u8, allocation: usize },
    Append { source: usize, len: usize, variant: u8 },
    Read { max: usize },
    Fin { source: usize, past: u64 },
    Reset { past: u64 },
    Stop,
    GiveUp,
    Reopen { source: usize, allowed: Option<(u64, u64)> },
    Isolate { path: u16 },
    MoveWindow,
}

fn op() -> impl Strategy<Value = Op> {
    let source = || 0..16_usize;
    // Mostly the truth, so that lies are told from it; the primary may lie as well.
    let variant = || prop_oneof![6 => Just(0_u8), 1 => 1..3_u8];
    prop_oneof![
        20 => (source(), 0..160_u64, 0..60_usize, variant(), 0..300_usize).prop_map(
            |(source, from, len, variant, allocation)| Op::Insert { source, from, len, variant, allocation }
        ),
        20 => (source(), 0..40_usize, variant())
            .prop_map(|(source, len, variant)| Op::Append { source, len, variant }),
        12 => (0..80_usize).prop_map(|max| Op::Read { max }),
        1 => (source(), 0..40_u64).prop_map(|(source, past)| Op::Fin { source, past }),
        1 => (0..40_u64).prop_map(|past| Op::Reset { past }),
        1 => Just(Op::Stop),
        1 => Just(Op::GiveUp),
        3 => (source(), prop::option::of((0..100_u64, 0..200_u64)))
            .prop_map(|(source, allowed)| Op::Reopen { source, allowed }),
        2 => (0..PATHS).prop_map(|path| Op::Isolate { path }),
        6 => Just(Op::MoveWindow),
    ]
}

fn policies() -> impl Strategy<Value = (Policy, ConflictPolicy)> {
    prop_oneof![
        Just((Policy::FirstWins, ConflictPolicy::FirstWins)),
        Just((Policy::PrimaryWins, ConflictPolicy::PrimaryWins)),
        Just((Policy::Reject, ConflictPolicy::Reject)),
    ]
}

fn cases() -> ProptestConfig {
    let cases = std::env::var("KWIK_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig {
        cases: cases.unwrap_or(10_000),
        failure_persistence: None,
        ..Default::default()
    }
}

fn at(offset: u64) -> Offset {
    Offset::new(offset).unwrap()
}

fn span(range: std::ops::Range<u64>) -> ByteRange {
    ByteRange::new(at(range.start), at(range.end)).unwrap()
}

/// Every variant differs from every other at every offset.
fn content(from: u64, len: usize, variant: u8) -> Vec<u8> {
    (from..).take(len).map(|at| ((at * 31 + at / 7) % 80) as u8 * 3 + variant).collect()
}

struct Source {
    key: SourceKey,
    allowed: Option<std::ops::Range<u64>>,
}

struct Pair {
    half: ReceiveHalf,
    oracle: Oracle,
    sources: Vec<Source>,
    budget: Budget,
    window: u64,
    /// Whether evidence of disputes is kept.
    compares: bool,
    now: Instant,
}

impl Pair {
    fn new(policy: Policy, real: ConflictPolicy, window: u64) -> Self {
        let mut half = ReceiveHalf::new(ReceiveConfig { policy: real, initial_window: window });
        let sources = (0..16)
            .map(|index| Source {
                key: half.add_source(PathId::new(index % PATHS), None),
                allowed: None,
            })
            .collect();
        let budget = Budget::with_floor(window * 3 / 2, 1, window);
        let oracle = Oracle::new(policy, window);
        let compares = policy == Policy::Reject;
        Self { half, oracle, sources, budget, window, compares, now: Instant::ZERO }
    }

    fn path(source: usize) -> u16 {
        source as u16 % PATHS
    }

    fn insert(&mut self, source: usize, from: u64, len: usize, variant: u8, allocation: usize) {
        let bytes = content(from, len, variant);
        let Source { key, allowed } = &self.sources[source];
        let expected = self.oracle.insert(Self::path(source), allowed.clone(), from, &bytes);
        // The payload is a slice of a buffer of that size, as a QUIC stack hands it out.
        let mut buffer = vec![0; allocation];
        buffer.extend_from_slice(&bytes);
        let payload = Bytes::from(buffer).slice(allocation..);
        let result = self.half.insert(*key, at(from), payload, allocation + len, self.now);
        match (result, expected) {
            (Ok(taken), Ok(expected)) => {
                assert_eq!((taken.new_bytes, taken.readable), (expected.new, expected.readable));
                assert_eq!(taken.new_bytes + taken.duplicate_bytes, len as u64);
            }
            (Err(error), Err(expected)) => assert_eq!(refused(error), expected),
            (result, expected) => panic!("{result:?}, expected {expected:?}"),
        }
    }

    fn apply(&mut self, op: &Op) {
        self.now = self.now + Duration::from_millis(1);
        match *op {
            Op::Insert { source, from, len, variant, allocation } => {
                let from = from + self.oracle.read_offset().saturating_sub(40);
                self.insert(source, from, len, variant, allocation);
            }
            Op::Append { source, len, variant } => {
                let next = self.half.source(self.sources[source].key).unwrap().next;
                self.insert(source, next.value(), len, variant, 0);
            }
            Op::Read { max } => self.read(max as u64),
            Op::Fin { source, past } => {
                let size = self.half.received_end().value().saturating_sub(10) + past;
                let expected = self.oracle.fin(Self::path(source), size);
                let result = self.half.handle_fin(self.sources[source].key, at(size));
                assert_eq!(result.map(|taken| taken.readable).map_err(refused), expected);
            }
            Op::Reset { past } => {
                let size = self.half.received_end().value().saturating_sub(10) + past;
                let expected = self.oracle.reset(7, size);
                assert_eq!(self.half.handle_reset(7, at(size)).map_err(refused), expected);
            }
            Op::Stop => {
                self.oracle.stop(9);
                self.half.stop(9);
            }
            Op::GiveUp => {
                self.oracle.give_up();
                self.half.fail(Failure::Missing { offset: self.half.contiguous_end(), len: 1 });
            }
            Op::Reopen { source, allowed } => {
                let allowed = allowed.map(|(start, len)| start..start + len);
                let path = PathId::new(Self::path(source));
                self.half.remove_source(self.sources[source].key);
                let key = self.half.add_source(path, allowed.clone().map(span).map(RangeSet::from));
                self.sources[source] = Source { key, allowed };
            }
            Op::Isolate { path } => {
                let gone: Vec<u64> =
                    self.half.isolate(PathId::new(path)).iter().flat_map(bytes_of).collect();
                assert_eq!(gone, self.oracle.isolate(path));
            }
            Op::MoveWindow => {
                let announced = self.half.update_window(self.now, Duration::ZERO, &mut self.budget);
                assert_eq!(announced.map(Offset::value), self.oracle.move_window());
            }
        }
        self.compare();
    }

    /// One read of the oracle is as many of the half as that takes: it hands out one piece at a time.
    fn read(&mut self, max: u64) {
        let expected = self.oracle.read(max);
        let ReadResult::Data(expected) = expected else {
            return assert_eq!(read_result(self.half.read(max as usize, self.now)), expected);
        };
        let mut read = Vec::new();
        loop {
            match self.half.read(max as usize - read.len(), self.now) {
                Read::Data(bytes) => read.extend_from_slice(&bytes),
                other => panic!("{other:?} after {read:?}, expected {expected:?}"),
            }
            if read.len() >= expected.len() {
                return assert_eq!(read, expected);
            }
        }
    }

    fn compare(&mut self) {
        let (half, oracle) = (&mut self.half, &mut self.oracle);
        assert_eq!(half.read_offset().value(), oracle.read_offset());
        assert_eq!(half.contiguous_end().value(), oracle.contiguous_end());
        assert_eq!(half.max_offset().value(), oracle.max_offset);
        assert_eq!(half.final_size().map(Offset::value), oracle.final_size);
        assert_eq!(half.is_complete(), oracle.is_complete());
        assert_eq!(half.is_finished(), oracle.is_finished());
        let all = 0..oracle.max_offset;
        let missing: Vec<u64> = half.missing_in(span(all.clone())).flat_map(bytes_of).collect();
        assert_eq!(missing, oracle.missing_in(all));
        let disputed: Vec<u64> = half.disputed().iter().flat_map(bytes_of).collect();
        assert_eq!(disputed, oracle.disputed.iter().copied().collect::<Vec<_>>());
        for (path, bytes) in half.path_bytes() {
            let expected = oracle.path_bytes.get(&path.value()).copied().unwrap_or(0);
            assert_eq!(bytes, expected, "bytes of path {path}");
        }
        let pinned = half.pinned();
        assert!(pinned >= oracle.buffered(), "{pinned} pinned for {}", oracle.buffered());
        let claims = if self.compares { 8192 } else { 0 };
        let bound = self.window + self.window.div_ceil(2) + claims;
        assert!(pinned <= bound, "{pinned} pinned, at most {bound} promised");
        assert!(
            half.peak_pinned() <= bound + 2 * 60,
            "a frame, and a piece while it is copied, come on top"
        );
        assert!(self.budget.promised() <= self.budget.total());
        let verdicts: Vec<Dispute> = std::iter::from_fn(|| half.next_conflict())
            .map(|conflict| Dispute {
                range: conflict.range.start().value()..conflict.range.end().value(),
                holder: conflict.holder.value(),
                rival: conflict.rival.value(),
                wrong: match conflict.verdict {
                    Verdict::Wrong(path) => Some(path.value()),
                    _ => None,
                },
            })
            .filter(|dispute| self.oracle.final_size.is_none_or(|size| dispute.range.start < size))
            .collect();
        let expected = std::mem::take(&mut self.oracle.verdicts);
        let expected: Vec<Dispute> = expected
            .into_iter()
            .filter(|dispute| self.oracle.final_size.is_none_or(|size| dispute.range.start < size))
            .collect();
        assert_eq!(verdicts, expected);
    }

    /// Ends the half, and nothing is left.
    fn finish(mut self) {
        let mut half = self.half;
        half.stop(1);
        half.isolate(PathId::new(1));
        if half.failure().is_none() && !matches!(half.read(1, self.now), Read::Finished) {
            assert_eq!(half.pinned(), 0, "{half:?}");
        }
        for source in &self.sources {
            half.remove_source(source.key);
        }
        assert_eq!(half.source_count(), 0);
        half.close_window(&mut self.budget);
        assert_eq!(self.budget.promised(), 0);
    }
}

fn bytes_of(range: ByteRange) -> std::ops::Range<u64> {
    range.start().value()..range.end().value()
}

fn refused(error: ReceiveError) -> Refused {
    match error {
        ReceiveError::FlowControl { .. } => Refused::FlowControl,
        ReceiveError::FinalSize { .. } => Refused::FinalSize,
        ReceiveError::NotGranted { .. } => Refused::NotGranted,
        ReceiveError::Conflict { conflict } => Refused::Conflict(bytes_of(conflict.range)),
        other => panic!("{other:?}"),
    }
}

fn read_result(read: Read) -> ReadResult {
    match read {
        Read::Data(bytes) => ReadResult::Data(bytes.to_vec()),
        Read::Finished => ReadResult::Finished,
        Read::Blocked => ReadResult::Blocked,
        Read::Reset { error_code } => ReadResult::Reset(error_code),
        Read::Failed(Failure::Missing { .. }) => ReadResult::Missing,
        Read::Failed(Failure::DataConflict { offset, len }) => {
            ReadResult::DataConflict(offset.value()..offset.value() + len)
        }
        other => panic!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn half_does_what_the_byte_map_does(
        (policy, real) in policies(),
        window in prop_oneof![Just(64_u64), Just(200), Just(1000)],
        ops in prop::collection::vec(op(), 1..80),
    ) {
        let mut pair = Pair::new(policy, real, window);
        for op in &ops {
            pair.apply(op);
        }
        pair.finish();
    }

    /// Two readers see the same frames; at each turn one asks for a little, the other for all there is.
    #[test]
    fn result_does_not_depend_on_how_much_is_read_at_a_time(
        (_, policy) in policies(),
        ops in prop::collection::vec(op(), 1..80),
    ) {
        let config = ReceiveConfig { policy, initial_window: 100_000 };
        let mut readers = [(); 2].map(|()| {
            let mut half = ReceiveHalf::new(config);
            let keys: Vec<_> =
                (0..16).map(|index| half.add_source(PathId::new(index % PATHS), None)).collect();
            (half, keys, Vec::new())
        });
        let now = Instant::ZERO;
        for op in &ops {
            let [little, all] = &mut readers;
            match *op {
                Op::Insert { source, from, len, variant, .. } => {
                    let payload = Bytes::from(content(from, len, variant));
                    let results = [little, all].map(|(half, keys, _)| {
                        let result = half.insert(keys[source], at(from), payload.clone(), len, now);
                        (result.map(|taken| taken.new_bytes), half.next_conflict())
                    });
                    // What the faster reader took is no longer news, but it is not refused either.
                    prop_assert_eq!(results[0].0.is_ok(), results[1].0.is_ok());
                    prop_assert_eq!(results[0].1, results[1].1);
                }
                Op::Isolate { path } => {
                    let gone = [little, all].map(|(half, ..)| half.isolate(PathId::new(path)));
                    prop_assert_eq!(&gone[0], &gone[1]);
                }
                Op::Fin { source, past } => {
                    let size = at(all.0.received_end().value().saturating_sub(10) + past);
                    let results = [little, all].map(|(half, keys, _)| {
                        let result = half.handle_fin(keys[source], size);
                        (result.is_ok(), half.next_conflict())
                    });
                    prop_assert_eq!(results[0], results[1]);
                }
                Op::GiveUp => {
                    for (half, ..) in [little, all] {
                        let offset = half.contiguous_end();
                        half.fail(Failure::Missing { offset, len: 1 });
                    }
                }
                Op::Read { max } => {
                    drain(little, max.max(1));
                    while drain(all, usize::MAX) {}
                }
                _ => {}
            }
        }
        for reader in &mut readers {
            while drain(reader, usize::MAX) {}
        }
        let [(little, _, slow), (all, _, fast)] = &mut readers;
        prop_assert_eq!(slow, fast);
        prop_assert_eq!(little.read(1, now), all.read(1, now));
    }
}

fn drain((half, _, read): &mut (ReceiveHalf, Vec<SourceKey>, Vec<u8>), max: usize) -> bool {
    match half.read(max, Instant::ZERO) {
        Read::Data(bytes) => {
            read.extend_from_slice(&bytes);
            true
        }
        _ => false,
    }
}
