//! A window that is full behind a slow head.

use super::*;

/// Two sources. The one that has the head sends so many bytes per millisecond, the other 5,000: what is left of the head,
/// 162 KB, would be there from that one in 62 ms, the order's way included.
struct Stuck {
    bench: Bench,
    slow: PathId,
    fast: PathId,
    id: DelegationId,
    head: ByteRange,
    /// What the reader has of it.
    contiguous: u64,
}

impl Stuck {
    fn new(rate: u64) -> Self {
        Self::with(rate, Local::None)
    }

    fn with(rate: u64, local: Local) -> Self {
        let mut bench = Bench::new(64 * MIB, Candidates::All, local);
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
        Self { bench, slow, fast, id, head, contiguous: 100_000 }
    }

    /// All that is asked for above the head is delivered, up to the end of the window, and some of the head.
    /// What is decided until nothing more can be asked for.
    fn fill(&mut self, reader_waiting: bool) -> Vec<Decision> {
        let mut decided = Vec::new();
        for _ in 0..1000 {
            let ids = self.bench.scheduler.book.ledger.of_stream(self.bench.stream);
            let entries = ids.iter().filter_map(|&id| self.bench.scheduler.book.ledger.entry(id));
            let others = entries.filter(|entry| !self.head.contains(entry.range.start()));
            let held =
                others.take(31).map(|entry| HeldRange { range: entry.range, path: entry.path });
            let progress = StreamProgress {
                stream: self.bench.stream,
                read_offset: Offset::new(self.contiguous).unwrap(),
                contiguous_end: Offset::new(self.contiguous).unwrap(),
                held: held.collect(),
                reader_waiting,
            };
            self.bench.scheduler.handle_progress(&progress, self.bench.now);
            let decisions = self.bench.decisions();
            let above = |decision: &Decision| match decision {
                Decision::Delegate { delegation, .. } => {
                    delegation.range.start() >= self.head.end()
                }
                _ => false,
            };
            let done = !decisions.iter().any(above);
            decided.extend(decisions);
            if done {
                return decided;
            }
        }
        panic!("there is always more to ask for");
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

fn nobody() -> (Vec<(PathId, ByteRange)>, bool) {
    (vec![], false)
}

#[test]
fn who_is_fast_copies_the_slow_head_that_keeps_the_window_full() {
    let mut stuck = Stuck::new(500);
    let decisions = stuck.fill(true);
    let rest = range(100_000, stuck.head.end().value());
    assert_eq!(stuck.of_head(&decisions), (vec![(stuck.fast, rest)], false));
    assert_eq!(stuck.bench.scheduler.bucket.copied(), rest.len());
    let decisions = stuck.fill(true);
    assert_eq!(stuck.of_head(&decisions), nobody(), "once is enough");
}

#[test]
fn beyond_the_bucket_the_slow_head_is_taken_from_its_owner() {
    let mut stuck = Stuck::new(500);
    stuck.bench.scheduler.bucket = Bucket::new(&DelegationConfig {
        redundancy_opening: 0,
        redundancy_share: 0.0,
        ..DelegationConfig::default()
    });
    let decisions = stuck.fill(true);
    let rest = range(100_000, stuck.head.end().value());
    assert_eq!(stuck.of_head(&decisions), (vec![(stuck.fast, rest)], true));
    assert_eq!(stuck.bench.scheduler.book.sources[&stuck.slow].outstanding, 0);
}

#[test]
fn a_head_that_comes_soon_stays_where_it_is() {
    let table = [
        // 130 ms are more than twice 62, and 116 are not.
        (100_000, 1_250, true),
        (100_000, 1_400, false),
        // 60 KB in 100 ms from the owner, in 42 from the other; or in 90, which nobody would notice.
        (202_144, 600, true),
        (202_144, 667, false),
    ];
    for (contiguous, rate, taken) in table {
        let mut stuck = Stuck { contiguous, ..Stuck::new(rate) };
        let decisions = stuck.fill(true);
        assert_eq!(stuck.of_head(&decisions) != nobody(), taken, "{rate} bytes per ms");
    }
}

#[test]
fn a_reader_that_does_not_wait_needs_no_copy() {
    let mut stuck = Stuck::new(500);
    let decisions = stuck.fill(false);
    assert_eq!(stuck.of_head(&decisions), nobody());
}

#[test]
fn where_the_window_is_open_nobody_takes_the_head_over() {
    let mut stuck = Stuck::new(500);
    let is_stuck = |stuck: &Stuck| {
        let (scheduler, stream) = (&stuck.bench.scheduler, stuck.bench.stream);
        (scheduler.halves[&stream].reader_waiting, scheduler.halves[&stream].is_stuck())
    };
    // What else is asked for is not there yet, and there is more below the window.
    stuck.bench.held(stuck.contiguous, &[]);
    assert_eq!(is_stuck(&stuck), (true, false));
    let decisions = stuck.bench.decisions();
    assert_eq!(stuck.of_head(&decisions), nobody());
    stuck.fill(true);
    assert_eq!(is_stuck(&stuck), (true, true));
}

#[test]
fn a_slow_head_is_not_taken_from_a_path_that_drains() {
    let mut stuck = Stuck::new(500);
    stuck.bench.scheduler.bucket = Bucket::new(&DelegationConfig {
        redundancy_opening: 0,
        redundancy_share: 0.0,
        ..DelegationConfig::default()
    });
    stuck.bench.state(stuck.slow, PathState::Draining);
    let decisions = stuck.fill(true);
    assert_eq!(stuck.of_head(&decisions), nobody());
}

#[test]
fn nobody_takes_over_who_may_fail_or_is_busy_or_the_last_resort() {
    let spoil: [fn(&mut Stuck); 3] = [
        |stuck| {
            let now = stuck.bench.now;
            stuck.bench.scheduler.book.sources.get_mut(&stuck.fast).unwrap().doubted(now);
        },
        |stuck| {
            stuck.bench.scheduler.book.sources.get_mut(&stuck.fast).unwrap().owes_more(2 * MIB);
        },
        |stuck| stuck.bench.state(stuck.fast, PathState::Suspect),
    ];
    let spoil = std::iter::once(None).chain(spoil.into_iter().map(Some));
    for (case, spoil) in spoil.enumerate() {
        let mut stuck = Stuck::with(100, Local::Fallback);
        stuck.fill(false);
        let Some(spoil) = spoil else {
            let decisions = stuck.fill(true);
            assert_ne!(stuck.of_head(&decisions), nobody(), "nothing is in the way");
            continue;
        };
        spoil(&mut stuck);
        let decisions = stuck.fill(true);
        assert_eq!(stuck.of_head(&decisions), nobody(), "case {case}");
        let local = |decision: &Decision| matches!(decision, Decision::SupplyLocally { .. });
        assert!(!decisions.iter().any(local), "case {case}: {decisions:?}");
    }
}
