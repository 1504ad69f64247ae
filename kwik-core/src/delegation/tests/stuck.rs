//! A window that is full behind a slow head.

use super::*;

/// Two sources. The one that has the head sends so many bytes per millisecond, the other 5,000.
struct Stuck {
    bench: Bench,
    slow: PathId,
    fast: PathId,
    id: DelegationId,
    head: ByteRange,
}

impl Stuck {
    fn new(size: u64, rate: u64) -> Self {
        let mut bench = Bench::new(size, Candidates::All, Local::None);
        let orders = bench.orders();
        let &(slow, id, head) = orders.iter().find(|o| o.2.start() == Offset::ZERO).unwrap();
        let fast = PathId::new(3 - slow.value());
        bench.now = at(100);
        for (path, rate) in [(slow, rate), (fast, 5_000)] {
            let mut status = bench.status(path, PathState::Live);
            bench.scheduler.handle_path_status(&status, at(100));
            (status.received_bytes, status.busy_us) = (200 * rate, 200_000);
            bench.scheduler.handle_path_status(&status, at(100));
        }
        Self { bench, slow, fast, id, head }
    }

    /// The fast one delivers whatever it is asked for above the head, up to the end of the window; `read`: how far the
    /// reader is, who could be at the end of the first 100 KB. What is decided once nothing more can be asked for.
    fn fill(&mut self, read: u64) -> Vec<Decision> {
        let whole = range(0, 64 * MIB);
        for _ in 0..1000 {
            let ids = self.bench.scheduler.ledger.of_stream(self.bench.stream);
            let entries = ids.iter().filter_map(|&id| self.bench.scheduler.ledger.entry(id));
            let others = entries.filter(|entry| !self.head.contains(entry.range.start()));
            let held =
                others.take(31).map(|entry| HeldRange { range: entry.range, path: entry.path });
            let progress = StreamProgress {
                stream: self.bench.stream,
                read_offset: Offset::new(read).unwrap(),
                contiguous_end: Offset::new(100_000).unwrap(),
                held: held.collect(),
                reader_waiting: true,
            };
            self.bench.scheduler.handle_progress(&progress, self.bench.now);
            let decisions = self.bench.decisions();
            let above = |decision: &Decision| matches!(decision, Decision::Delegate { delegation, .. } if delegation.range.start() >= self.head.end());
            if !decisions.iter().any(above) {
                return decisions;
            }
        }
        panic!("there is no end to {whole}");
    }

    /// Of whom bytes of the head are asked in `decisions`, and whether they are taken from their owner.
    fn of_head(&self, decisions: &[Decision]) -> (Vec<(PathId, ByteRange)>, bool) {
        let asked = decisions.iter().filter_map(|decision| match decision {
            Decision::Delegate { path, delegation } => Some((*path, delegation.range)),
            _ => None,
        });
        let taken = decisions.iter().any(|decision| matches!(decision, Decision::Revoke { delegation, .. } if *delegation == self.id));
        (asked.filter(|(_, range)| self.head.intersection(*range).is_some()).collect(), taken)
    }
}

#[test]
fn who_is_fast_copies_the_slow_head_that_keeps_the_window_shut() {
    let mut stuck = Stuck::new(64 * MIB, 500);
    let decisions = stuck.fill(100_000);
    let rest = range(100_000, stuck.head.end().value());
    assert_eq!(stuck.of_head(&decisions), (vec![(stuck.fast, rest)], false));
    assert_eq!(stuck.bench.scheduler.bucket.copied(), rest.len());
    let decisions = stuck.fill(100_000);
    assert_eq!(stuck.of_head(&decisions), (vec![], false), "once is enough");
}

#[test]
fn beyond_the_bucket_the_slow_head_is_taken_from_its_owner() {
    let mut stuck = Stuck::new(64 * MIB, 500);
    stuck.bench.scheduler.bucket = Bucket::new(&DelegationConfig {
        redundancy_opening: 0,
        redundancy_share: 0.0,
        ..DelegationConfig::default()
    });
    let decisions = stuck.fill(100_000);
    let rest = range(100_000, stuck.head.end().value());
    assert_eq!(stuck.of_head(&decisions), (vec![(stuck.fast, rest)], true));
    assert!(stuck.bench.scheduler.sources[&stuck.slow].outstanding < stuck.head.len());
}

#[test]
fn a_head_that_comes_soon_stays_where_it_is() {
    // 162 KB: 108 ms from its owner, 54 ms from the other.
    let mut stuck = Stuck::new(64 * MIB, 1_500);
    let decisions = stuck.fill(100_000);
    assert_eq!(stuck.of_head(&decisions), (vec![], false));
}

#[test]
fn a_reader_with_bytes_to_read_does_not_wait_for_the_head() {
    let mut stuck = Stuck::new(64 * MIB, 500);
    let decisions = stuck.fill(0);
    assert_eq!(stuck.of_head(&decisions), (vec![], false));
}

#[test]
fn where_the_window_is_open_nobody_takes_the_head_over() {
    let mut stuck = Stuck::new(64 * MIB, 500);
    let decisions = stuck.bench.decisions();
    assert_eq!(stuck.of_head(&decisions), (vec![], false));
}
