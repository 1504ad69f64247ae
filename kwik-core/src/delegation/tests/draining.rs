//! A removed path keeps what nobody else can send, for as long as it may drain.

use super::*;

const ONE: PathId = PathId::new(1);
const TWO: PathId = PathId::new(2);

/// Path 1 was asked for ranges, and is removed before a byte of them came. Path 2 has nothing left to do.
fn removed(candidates: Candidates) -> (Bench, Vec<(DelegationId, ByteRange)>) {
    let mut bench = Bench::new(MIB, candidates, Local::None);
    let (mut asked, other): (Vec<_>, Vec<_>) =
        bench.orders().into_iter().partition(|order| order.0 == ONE);
    // The other delivers what it owes, and has room.
    let held: Vec<_> = other.into_iter().map(|(path, _, range)| (range, path)).collect();
    bench.held(0, &held);
    asked.sort_by_key(|order| order.2.start());
    bench.state(ONE, PathState::Draining);
    (bench, asked.into_iter().map(|(_, id, range)| (id, range)).collect())
}

fn late(bench: &mut Bench, (id, range): (DelegationId, ByteRange)) {
    bench.gap(ONE, id, range, GapReason::Late);
}

/// Everything that is decided in five seconds.
fn decided(bench: &mut Bench) -> Vec<Decision> {
    let mut decided = bench.decisions();
    for _ in 0..100 {
        bench.now = bench.now + ms(50);
        decided.extend(bench.decisions());
    }
    decided
}

#[test]
fn what_nobody_else_can_send_stays_with_it() {
    let (mut bench, asked) = removed(Candidates::List(vec![ONE]));
    assert!(asked.len() > 1, "the head, and what lies behind it");
    for range in asked.clone() {
        late(&mut bench, range);
    }
    assert_eq!(decided(&mut bench), []);
    // Its time is over.
    bench.state(ONE, PathState::Gone);
    let events: Vec<_> = std::iter::from_fn(|| bench.scheduler.poll_event()).collect();
    for (_, whole) in asked {
        let back = |event: &Event| matches!(event, Event::Lost { range, .. } if *range == whole);
        assert!(events.iter().any(back), "{whole:?} of {events:?}");
    }
}

#[test]
fn what_another_can_send_is_asked_of_it() {
    let (mut bench, asked) = removed(Candidates::All);
    // There is enough to waste.
    let config = DelegationConfig { redundancy_opening: 4 * MIB, ..DelegationConfig::default() };
    bench.scheduler.bucket = Bucket::new(&config);
    late(&mut bench, asked[0]);
    let decisions = decided(&mut bench);
    let robbed = |decision: &Decision| matches!(decision, Decision::Revoke { path: ONE, .. });
    assert!(!decisions.iter().any(robbed), "it could not be asked again: {decisions:?}");
    let copied: RangeSet = decisions
        .into_iter()
        .filter_map(|decision| match decision {
            Decision::Delegate { path: TWO, delegation } => Some(delegation.range),
            _ => None,
        })
        .collect();
    assert!(asked.iter().all(|(_, range)| copied.covers(*range)), "{copied:?} of {asked:?}");
}

/// It had refused some, and its server goes away: it is dialled again, and may have the bytes then.
#[test]
fn what_a_server_that_goes_away_alone_can_send_waits_for_its_return() {
    for (reason, given_up) in [(ErrorCode::GoingAway, false), (ErrorCode::PathRemoved, true)] {
        let mut bench = Bench::new(64 * MIB, Candidates::List(vec![ONE]), Local::None);
        let asked = bench.orders();
        bench.state(ONE, PathState::Suspect);
        bench.state(ONE, PathState::Live);
        let status = bench.status(ONE, PathState::Draining);
        let status = PathStatus { reason: Some(reason), ..status };
        bench.scheduler.handle_path_status(&status, bench.now);
        assert!(!asked.is_empty());
        let gave_up = decided(&mut bench).iter().any(|it| matches!(it, Decision::GiveUp { .. }));
        assert_eq!(gave_up, given_up, "{reason:?}");
    }
}
