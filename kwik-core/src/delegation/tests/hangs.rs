//! One range hangs or crawls, while its owner is quick with all others. Nothing may be sent twice.

use super::*;

/// Two sources that send 10 MB/s all the time, and the range at the head, that one of them is late with since 50 ms.
struct Hang {
    bench: Bench,
    owner: PathId,
    id: DelegationId,
    head: ByteRange,
}

impl Hang {
    fn new() -> Self {
        Self::of(8 * MIB)
    }

    fn of(size: u64) -> Self {
        let mut bench = Bench::new(size, Candidates::All, Local::None);
        bench.scheduler.bucket = Bucket::new(&DelegationConfig {
            redundancy_opening: 0,
            redundancy_share: 0.0,
            ..DelegationConfig::default()
        });
        let orders = bench.orders();
        let &(owner, id, head) = orders.iter().find(|o| o.2.start() == Offset::ZERO).unwrap();
        let mut hang = Self { bench, owner, id, head };
        hang.go_on(50);
        hang.bench.gap(owner, id, head, GapReason::Late);
        hang
    }

    fn go_on(&mut self, millis: u64) {
        self.bench.now = at(millis);
        for path in [1, 2] {
            let mut status = self.bench.status(PathId::new(path), PathState::Live);
            (status.received_bytes, status.busy_us) = (millis * 10_000, millis * 1000);
            self.bench.scheduler.handle_path_status(&status, at(millis));
        }
    }

    /// When the head is taken from its owner, and of whom the rest of it is asked then. `came`: bytes of it by a time.
    fn moved(&mut self, came: impl Fn(u64) -> u64) -> Option<(u64, Vec<PathId>)> {
        for millis in (50..5000).step_by(10) {
            self.go_on(millis);
            self.bench.held(came(millis), &[]);
            if millis % 250 == 50 && came(millis) > 0 {
                let rest = range(came(millis), self.head.end().value());
                self.bench.gap(self.owner, self.id, rest, GapReason::Late);
            }
            let decisions = self.bench.decisions();
            let revoked = |decision: &Decision| matches!(decision, Decision::Revoke { delegation, .. } if *delegation == self.id);
            if !decisions.iter().any(revoked) {
                continue;
            }
            let rest = range(came(millis), self.head.end().value());
            let asked = decisions.iter().filter_map(|decision| match decision {
                Decision::Delegate { path, delegation } => {
                    delegation.range.intersection(rest).map(|_| *path)
                }
                _ => None,
            });
            return Some((millis, asked.collect()));
        }
        None
    }
}

#[test]
fn a_range_that_hangs_is_moved_though_its_owner_sends_others() {
    let mut hang = Hang::new();
    let other = PathId::new(3 - hang.owner.value());
    assert_eq!(hang.moved(|_| 0), Some((300, vec![other])), "not to the one that hangs on it");
    let source = &hang.bench.scheduler.book.sources[&hang.owner];
    assert!(source.is_doubtful(), "it may hang on others too");
    // What may have come behind a lost packet.
    assert_eq!(hang.bench.scheduler.stats().redundancy_charged, 16 * KIB);
}

#[test]
fn what_stands_still_is_waited_for_longer_when_too_much_was_wasted() {
    for (came, moved) in [(4 * KIB, 1050), (0, 300)] {
        let mut hang = Hang::new();
        hang.bench.scheduler.bucket.spend(1);
        // Loss is no reason to wait for what never began.
        assert_eq!(hang.moved(|_| came).map(|(when, _)| when), Some(moved), "{came} bytes came");
    }
}

#[test]
fn two_that_are_late_with_the_same_bytes_do_not_excuse_each_other() {
    let mut bench = Bench::new(8 * MIB, Candidates::All, Local::None);
    let view = PathView { state: PathState::Live, srtt: Some(ms(20)), rttvar: Duration::ZERO };
    bench.scheduler.set_path(PathId::new(3), view, at(0));
    let mut late = Vec::new();
    // The second is late when the first is given some time still.
    for millis in [0, 100, 200, 350] {
        bench.now = at(millis);
        for path in [1, 2, 3] {
            let mut status = bench.status(PathId::new(path), PathState::Live);
            (status.received_bytes, status.busy_us) = (millis * 10_000, millis * 1000);
            bench.scheduler.handle_path_status(&status, bench.now);
        }
        if millis == 200 {
            let due = bench.scheduler.poll_timeout();
            assert!(
                bench.decisions().is_empty() && due.is_some_and(|due| due <= at(350)),
                "{due:?}"
            );
            continue;
        }
        let orders = bench.orders();
        let head = orders.into_iter().find(|order| order.2.start() == Offset::ZERO);
        let (path, id, range) = head.unwrap_or_else(|| panic!("at {millis} ms nobody is asked"));
        assert!(!late.contains(&path), "{path} is late with it");
        late.push(path);
        bench.gap(path, id, range, GapReason::Late);
    }
}

#[test]
fn a_late_range_is_not_moved_to_who_is_hardly_sooner() {
    let late = |rate: u64| {
        let mut hang = Hang::new();
        let mut status = hang.bench.status(hang.owner, PathState::Live);
        (status.received_bytes, status.busy_us) = (510_000, 150_000);
        hang.bench.scheduler.handle_path_status(&status, at(60));
        (status.received_bytes, status.busy_us) = (510_000 + rate / 10, 250_000);
        hang.bench.scheduler.handle_path_status(&status, at(60));
        hang.bench.now = at(60);
        // The other would be there in 78 ms.
        let rest = range(0, 256 * KIB);
        hang.bench.gap(hang.owner, hang.id, rest, GapReason::Late);
        let decisions = hang.bench.decisions();
        decisions.iter().any(|decision| matches!(decision, Decision::Revoke { .. }))
    };
    assert!(late(1_000_000));
    assert!(!late(2_500_000));
}

/// The owner does nothing else, and sends it as fast as it can.
#[test]
fn a_late_range_at_its_owners_rate_is_moved_only_to_who_is_much_sooner() {
    let moved = |rate: u64| {
        let mut hang = Hang::of(512 * KIB);
        let orders = hang.bench.scheduler.book.ledger.of_stream(hang.bench.stream);
        let entries = orders.iter().filter_map(|&id| hang.bench.scheduler.book.ledger.entry(id));
        let others = entries.filter(|entry| entry.id != hang.id);
        let others: Vec<_> = others.map(|entry| (entry.range, entry.path)).collect();
        (50..=1050).step_by(10).any(|millis| {
            for path in [1, 2].map(PathId::new) {
                let rate = if path == hang.owner { 40 } else { rate };
                let mut status = hang.bench.status(path, PathState::Live);
                status.received_bytes = 500_000 + (millis - 50) * rate;
                status.busy_us = millis * 1000;
                hang.bench.scheduler.handle_path_status(&status, at(millis));
            }
            hang.bench.now = at(millis);
            let came = (millis - 50) * 40;
            hang.bench.held(came, &others);
            if millis % 250 == 50 {
                let rest = range(came, hang.head.end().value());
                hang.bench.gap(hang.owner, hang.id, rest, GapReason::Late);
            }
            let decisions = hang.bench.decisions();
            decisions.iter().any(|decision| matches!(decision, Decision::Revoke { .. }))
        })
    };
    assert_eq!([60, 80, 160].map(moved), [false, false, true]);
}

#[test]
fn the_end_game_takes_less_than_half_of_the_bucket() {
    let mut bucket = Bucket::new(&DelegationConfig {
        redundancy_opening: 300,
        redundancy_share: 0.1,
        ..DelegationConfig::default()
    });
    assert_eq!(bucket.end_game_balance(3000), 270);
    bucket.spend_at_end(150);
    assert_eq!((bucket.end_game_balance(3000), bucket.balance(3000)), (120, 450));
    bucket.spend(430);
    assert_eq!(bucket.end_game_balance(3000), 20);
    bucket.refund(580);
    assert_eq!(bucket.end_game_balance(3000), 270, "what was given back was the end game's too");
}

#[test]
fn a_range_that_hangs_is_looked_at_in_time() {
    let mut hang = Hang::new();
    hang.bench.decisions();
    assert_eq!(hang.bench.scheduler.pace_due(), Some(at(300)));
    assert!(hang.bench.scheduler.poll_timeout().is_some_and(|due| due <= at(300)));
    hang.bench.now = at(300);
    hang.bench.decisions();
    assert_eq!(hang.bench.scheduler.pace_due(), None);
}

#[test]
fn a_range_that_drips_is_moved() {
    let mut hang = Hang::new();
    let owner = hang.owner;
    let (when, asked) = hang.moved(|millis| (millis - 50) / 10).unwrap();
    assert_eq!(when, 300);
    assert!(!hang.bench.orders().iter().any(|order| order.0 == owner), "nor anything else yet");
    assert!(!asked.contains(&owner));
}

#[test]
fn nothing_that_may_be_under_way_is_moved_when_too_much_was_wasted() {
    let late = |owed: u64| {
        let mut hang = Hang::new();
        // The owner has 100 kB/s, the other 10 MB/s: it would be sooner at once.
        let mut status = hang.bench.status(hang.owner, PathState::Live);
        (status.received_bytes, status.busy_us) = (510_000, 150_000);
        hang.bench.scheduler.handle_path_status(&status, at(60));
        (status.received_bytes, status.busy_us) = (520_000, 250_000);
        hang.bench.scheduler.handle_path_status(&status, at(60));
        hang.bench.scheduler.bucket.spend(owed);
        hang.bench.now = at(60);
        hang.bench.gap(hang.owner, hang.id, hang.head, GapReason::Late);
        let decisions = hang.bench.decisions();
        decisions.iter().any(|decision| matches!(decision, Decision::Revoke { .. }))
    };
    assert!(late(0));
    assert!(!late(1));
}

#[test]
fn a_range_that_goes_on_stays_where_it_is() {
    let mut hang = Hang::new();
    let whole = hang.head.len();
    let by = |millis: u64| ((millis - 50) * 1000).min(whole - 1);
    let done = 50 + whole / 1000;
    let moved = hang.moved(by);
    assert!(moved.as_ref().is_none_or(|(when, _)| *when > done), "{moved:?} of {done}");
}

#[test]
fn what_is_under_way_of_a_suspect_path_is_charged_once() {
    let mut bench = Bench::new(4 * MIB, Candidates::All, Local::None);
    let one = PathId::new(1);
    let count = bench.orders().iter().filter(|order| order.0 == one).count();
    assert!(count > 1);
    let mut status = bench.status(one, PathState::Live);
    (status.received_bytes, status.busy_us) = (100_000, 100_000);
    bench.scheduler.handle_path_status(&status, at(100));
    status.state = PathState::Suspect;
    bench.scheduler.handle_path_status(&status, at(400));
    // 1 MB/s for 20 ms.
    assert_eq!(bench.scheduler.stats().redundancy_charged, 20_000);
    bench.state(one, PathState::Gone);
    assert_eq!(bench.scheduler.stats().redundancy_charged, 20_000);
}

/// What the owner of a late head owes besides, and what of it others were asked for then.
fn copied_with_the_head(size: u64) -> (u64, u64) {
    let mut bench = Bench::new(size, Candidates::All, Local::None);
    bench.scheduler.config.switches.end_game = false;
    bench.scheduler.bucket =
        Bucket::new(&DelegationConfig { redundancy_opening: MIB, ..DelegationConfig::default() });
    let orders = bench.orders();
    let &(owner, id, head) = orders.iter().find(|o| o.2.start() == Offset::ZERO).unwrap();
    let mut others = orders.iter().filter(|order| order.0 == owner && order.1 != id);
    let other = others.next().unwrap().2;
    bench.gap(owner, id, head, GapReason::Late);
    let copies = bench.orders();
    let copied = copies.iter().filter_map(|copy| copy.2.intersection(other)).map(ByteRange::len);
    (other.len(), copied.sum())
}

#[test]
fn at_the_end_all_that_a_late_path_owes_is_copied_with_the_head() {
    let (owed, copied) = copied_with_the_head(MIB);
    assert_eq!(copied, owed);
    let (_, copied) = copied_with_the_head(64 * MIB);
    assert_eq!(copied, 0, "there is more to hand out");
}

/// Of whom bytes are asked that a first source is late with, or lost, when of the two others one was late `ago` ms before.
fn asked_instead(
    reason: GapReason,
    late: impl Fn(&[PathId]) -> PathId,
    ago: u64,
) -> (PathId, PathId) {
    let mut bench = Bench::new(2 * MIB, Candidates::All, Local::None);
    let view = PathView { state: PathState::Live, srtt: Some(ms(20)), rttvar: Duration::ZERO };
    bench.scheduler.set_path(PathId::new(3), view, at(0));
    let orders = bench.orders();
    let &(owner, id, head) = orders.iter().find(|o| o.2.start() == Offset::ZERO).unwrap();
    let others: Vec<_> = (1..=3).map(PathId::new).filter(|&path| path != owner).collect();
    let late = late(&others);
    let config = DelegationConfig::default();
    let sources = &mut bench.scheduler.book.sources;
    for source in sources.values_mut() {
        // All have room.
        source.owes_less(64 * MIB, at(0));
    }
    sources.get_mut(&late).unwrap().range_late(ms(20), &config, at(0));
    bench.now = at(ago);
    bench.gap(owner, id, head, reason);
    let (path, ..) = bench.orders().into_iter().find(|o| o.2.start() == Offset::ZERO).unwrap();
    (late, path)
}

#[test]
fn what_others_failed_to_send_is_not_asked_of_one_who_was_late() {
    for reason in [GapReason::Late, GapReason::Reset] {
        for index in [0, 1] {
            let (late, asked) = asked_instead(reason, |others| others[index], 100);
            assert_ne!(asked, late, "{reason:?}");
        }
    }
    let asked = [0, 1].map(|index| asked_instead(GapReason::Late, |others| others[index], 2_000));
    assert!(asked.iter().any(|(late, asked)| late == asked), "it is long ago");
}

/// Three paths, whose first orders are out. Whoever owes the head, and what else it owes.
type Orders = Vec<(PathId, DelegationId, ByteRange)>;

fn three_paths() -> (Bench, Orders, Orders) {
    let mut bench = Bench::new(64 * MIB, Candidates::All, Local::None);
    let view = PathView { state: PathState::Live, srtt: Some(ms(20)), rttvar: Duration::ZERO };
    bench.scheduler.set_path(PathId::new(3), view, at(0));
    let orders = bench.orders();
    let owner = orders.iter().find(|order| order.2.start() == Offset::ZERO).unwrap().0;
    let (mut own, others): (Vec<_>, Vec<_>) = orders.into_iter().partition(|it| it.0 == owner);
    own.sort_by_key(|order| order.2.start());
    (bench, own, others)
}

#[test]
fn a_range_further_on_that_is_late_before_its_first_byte_is_taken_away() {
    for (came, taken) in [(0, true), (100, false)] {
        let (mut bench, own, _) = three_paths();
        let (path, id, whole) = own[1];
        let start = whole.start().value();
        if came > 0 {
            bench.held(0, &[(range(start, start + came), path)]);
        }
        let rest = range(start + came, whole.end().value());
        bench.gap(path, id, rest, GapReason::Late);
        let decisions = bench.decisions();
        let revoked = |decision: &Decision| matches!(decision, Decision::Revoke { delegation, .. } if *delegation == id);
        assert_eq!(decisions.iter().any(revoked), taken, "{came} bytes came: {decisions:?}");
        // Either way somebody else is asked for it, or will be as soon as there is room.
        let half = &bench.scheduler.halves[&bench.stream];
        let owed = bench.scheduler.book.ledger.owed_in(bench.stream, rest);
        let copies = bench.scheduler.book.ledger.overlapping(bench.stream, rest).len();
        let pooled = half.plans[&Offset::ZERO].pool.covers(rest);
        match taken {
            true => assert!(pooled || owed.covers(rest), "{decisions:?}"),
            false => assert!(copies > 1, "{decisions:?}"),
        }
    }
}

#[test]
fn where_a_copy_fails_the_next_source_is_asked_for_one() {
    let (mut bench, own, _) = three_paths();
    let (owner, id, head) = own[0];
    bench.gap(owner, id, head, GapReason::Late);
    let of_head = |bench: &mut Bench| {
        let mut asked = bench.orders();
        asked.retain(|order| head.intersection(order.2).is_some());
        asked
    };
    let [(second, copy, copied)] = of_head(&mut bench)[..] else { panic!("one copy") };
    assert_eq!(copied, head);
    bench.answer(second, copy, DelegationState::Refused(GapReason::Busy));
    let [(third, _, copied)] = of_head(&mut bench)[..] else { panic!("one more copy") };
    assert!(third != owner && third != second && copied == head, "{third}");
}

/// The mean of what was measured is nothing at all then: whoever was not measured is taken for that slow, and yet sooner.
#[test]
fn what_stands_still_goes_to_a_path_that_was_never_measured() {
    let mut bench = Bench::new(8 * MIB, Candidates::All, Local::None);
    bench.scheduler.bucket = Bucket::new(&DelegationConfig {
        redundancy_opening: 0,
        redundancy_share: 0.0,
        ..DelegationConfig::default()
    });
    let orders = bench.orders();
    let &(owner, id, head) = orders.iter().find(|o| o.2.start() == Offset::ZERO).unwrap();
    for millis in [100, 400] {
        bench.now = at(millis);
        let mut status = bench.status(owner, PathState::Live);
        (status.received_bytes, status.busy_us) = (100_000, millis * 1000);
        bench.scheduler.handle_path_status(&status, bench.now);
    }
    assert_eq!(bench.scheduler.path_share(owner).unwrap().rate, Some(0));
    bench.gap(owner, id, head, GapReason::Late);
    let decisions = bench.decisions();
    let moved = |decision: &Decision| matches!(decision, Decision::Revoke { delegation, .. } if *delegation == id);
    assert!(decisions.iter().any(moved), "{decisions:?}");
}
