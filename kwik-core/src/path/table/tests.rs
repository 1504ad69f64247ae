#![allow(clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;

use super::super::backoff::Backoff;
use super::super::lifecycle::PathEffect;
use super::*;
use kwik_proto::frame::ServerIdentity;

fn at(ms: u64) -> Instant {
    Instant::from_start(Duration::from_millis(ms))
}

fn offer(path: u16, epoch: u32) -> AddPath {
    AddPath {
        path: PathId::new(path),
        epoch: Epoch(epoch),
        addresses: vec!["203.0.113.9:443".parse().unwrap()],
        identity: ServerIdentity::Pin([path as u8; 32]),
        token: "v4.public.x".into(),
    }
}

fn table() -> PathTable {
    let mut table = PathTable::new(PathLimits::default(), 42);
    table.handle_primary_rtt(Duration::from_millis(20));
    table
}

const ONE: PathId = PathId::new(1);
const NONE: ErrorCode = ErrorCode::None;

fn happen(
    table: &mut PathTable,
    event: PathEvent,
    code: ErrorCode,
    now: u64,
) -> Option<Transition> {
    let epoch = table.path(ONE).unwrap().epoch();
    table.handle(ONE, epoch, event, code.into(), at(now))
}

fn attach(table: &mut PathTable, now: u64) {
    assert!(matches!(table.handle_timeout(at(now)), Some(PathWork::Dial { .. })));
    happen(table, PathEvent::Connected, NONE, now).unwrap();
    happen(table, PathEvent::Admitted, NONE, now).unwrap();
    let path = table.path_mut(ONE).unwrap();
    path.handle_rtt(Duration::from_millis(10), Duration::from_millis(1));
    assert_eq!(path.state(), PathState::Live);
}

fn live() -> PathTable {
    let mut table = table();
    table.add(offer(1, 1), at(0)).unwrap();
    attach(&mut table, 0);
    table
}

fn works(table: &mut PathTable, now: u64) -> Vec<PathWork> {
    std::iter::from_fn(|| table.handle_timeout(at(now))).collect()
}

#[test]
fn sixteen_paths_and_the_seventeenth_is_refused() {
    let mut table = table();
    for path in 1..=16 {
        table.add(offer(path, 1), at(0)).unwrap();
    }
    let error = table.add(offer(17, 1), at(0)).unwrap_err();
    assert_eq!(error, AddPathError::Full { limit: 16 });
    assert_eq!(error.code(), ErrorCode::LimitExceeded);
    assert_eq!(table.len(), 16);
    table.remove(PathId::new(3), Duration::ZERO, at(1)).unwrap();
    assert!(table.add(offer(17, 1), at(1)).is_ok());
}

#[test]
fn new_paths_start_one_round_trip_apart() {
    let mut table = table();
    for path in 1..=3 {
        table.add(offer(path, 1), at(100)).unwrap();
    }
    let dial = |path| PathWork::Dial { path: PathId::new(path), epoch: Epoch(1) };
    assert_eq!(works(&mut table, 100), [dial(1)]);
    assert_eq!(works(&mut table, 119), []);
    assert_eq!(table.poll_timeout(), Some(at(120)));
    assert_eq!(works(&mut table, 140), [dial(2), dial(3)]);
}

#[test]
fn adding_and_removing_for_ever_is_refused() {
    let mut table = table();
    let mut errors = Vec::new();
    for path in 1..100 {
        match table.add(offer(path, 1), at(0)) {
            Ok(_) => drop(table.remove(PathId::new(path), Duration::ZERO, at(0))),
            Err(error) => errors.push(error),
        }
    }
    assert_eq!(errors.len(), 99 - 32);
    assert!(errors.iter().all(|error| *error == AddPathError::TooFast));
    assert_eq!(errors[0].code(), ErrorCode::LimitExceeded);
}

#[test]
fn an_epoch_that_is_not_higher_is_refused() {
    let mut table = live();
    table.add(offer(1, 5), at(0)).unwrap();
    for epoch in [0, 4, 5] {
        let error = table.add(offer(1, epoch), at(0)).unwrap_err();
        assert_eq!(error, AddPathError::StaleEpoch { offered: epoch, known: 5 });
    }
}

#[test]
fn a_number_belongs_to_one_server_for_the_whole_session() {
    let mut table = table();
    table.add(offer(1, 1), at(0)).unwrap();
    let other = AddPath { identity: ServerIdentity::Name("other.example".into()), ..offer(1, 2) };
    assert_eq!(table.add(other.clone(), at(0)), Err(AddPathError::OtherServer));
    table.remove(ONE, Duration::ZERO, at(0)).unwrap();
    assert!(table.is_empty());
    assert_eq!(table.retired().count(), 1);
    assert_eq!(table.add(other, at(0)), Err(AddPathError::OtherServer));
    assert_eq!(
        table.add(offer(1, 1), at(0)),
        Err(AddPathError::StaleEpoch { offered: 1, known: 1 })
    );
    assert!(table.add(offer(1, 2), at(0)).is_ok(), "the same server may come back");
    assert_eq!((table.len(), table.retired().count()), (1, 0));
}

#[test]
fn numbers_are_not_remembered_without_bound() {
    let mut table = table();
    // One that stays, and one that is over and comes back.
    table.add(offer(1, 1), at(0)).unwrap();
    let most = PathTable::MAX_REMEMBERED as u16;
    for path in 2..=most + 10 {
        let now = u64::from(path) * 1_000;
        table.add(offer(path, 1), at(now)).unwrap();
        table.remove(PathId::new(path), Duration::ZERO, at(now)).unwrap();
        if path == most {
            table.add(offer(7, 2), at(now)).unwrap();
            table.remove(PathId::new(7), Duration::ZERO, at(now)).unwrap();
        }
    }
    assert_eq!((table.len(), table.retired().count()), (1, usize::from(most)));
    let told: Vec<PathId> = std::iter::from_fn(|| table.poll_forgotten()).collect();
    let mut forgotten: Vec<PathId> = (2..=11).filter(|n| *n != 7).map(PathId::new).collect();
    forgotten.reverse();
    assert_eq!(told, forgotten);
    let later = at(9_999_999);
    for gone in [2, 11] {
        let error = table.add(offer(gone, 2), later).unwrap_err();
        assert_eq!((error, error.code()), (AddPathError::Forgotten, ErrorCode::LimitExceeded));
    }
    for known in [1, 7, 12] {
        assert!(table.add(offer(known, 3), later).is_ok(), "{known} is remembered");
    }
    assert!(table.add(offer(60_000, 1), later).is_ok(), "a new number");
}

#[test]
fn path_zero_and_no_address_are_refused() {
    let none = AddPath { addresses: vec![], ..offer(1, 1) };
    assert_eq!(table().add(offer(0, 1), at(0)), Err(AddPathError::PrimaryNumber));
    assert_eq!(table().add(none, at(0)), Err(AddPathError::NoAddress));
}

#[test]
fn dialling_and_admission_share_one_time() {
    let mut table = table();
    table.add(offer(1, 1), at(0)).unwrap();
    works(&mut table, 0);
    happen(&mut table, PathEvent::Connected, NONE, 6_000).unwrap();
    assert_eq!(works(&mut table, 9_999), []);
    let [PathWork::Changed(changed)] = works(&mut table, 10_000)[..] else { panic!("not over") };
    assert_eq!(changed.to, PathState::Gone);
    assert_eq!(changed.reason, Some(ErrorCode::HandshakeTimeout));
    assert!(changed.effects.contains(&PathEffect::Answer));
}

#[test]
fn the_dial_time_starts_with_the_dial_not_with_the_queue() {
    let mut table = table();
    table.add(offer(2, 1), at(0)).unwrap();
    table.add(offer(1, 1), at(0)).unwrap();
    works(&mut table, 30);
    assert_eq!(works(&mut table, 10_000).len(), 0);
    assert_eq!(table.path(ONE).unwrap().state(), PathState::Dialing);
}

#[test]
fn a_silent_debtor_goes_suspect_heals_and_goes() {
    let mut table = live();
    table.path_mut(ONE).unwrap().handle_owes(true, at(1_000));
    assert_eq!(works(&mut table, 1_125), [PathWork::Ping { path: ONE }]);
    let [PathWork::Changed(changed)] = works(&mut table, 1_250)[..] else { panic!("not suspect") };
    assert_eq!((changed.from, changed.to), (PathState::Live, PathState::Suspect));
    assert_eq!(changed.reason, Some(ErrorCode::PathTimeout));
    assert_eq!(table.path(ONE).unwrap().status(at(1_250)).reason, Some(ErrorCode::PathTimeout));

    let healed = table.path_mut(ONE).unwrap().handle_activity(at(1_300)).unwrap();
    assert_eq!((healed.to, healed.reason), (PathState::Live, None));
    assert_eq!(table.path(ONE).unwrap().reason(), None);

    let mut gone = None;
    for _ in 0..100 {
        let due = table.poll_timeout().unwrap();
        if let Some(PathWork::Changed(changed)) = table.handle_timeout(due)
            && changed.to == PathState::Gone
        {
            gone = Some((due, changed));
            break;
        }
    }
    let (due, changed) = gone.unwrap();
    assert_eq!(due, at(1_550 + 3_000));
    assert!(changed.effects.contains(&PathEffect::Redial));
}

#[test]
fn a_lost_path_asks_for_a_token_after_a_pause_and_comes_back() {
    let mut table = live();
    happen(&mut table, PathEvent::Lost, ErrorCode::Unreachable, 500).unwrap();
    assert_eq!(table.len(), 1, "it keeps its slot");
    let due = table.poll_timeout().unwrap();
    assert!(due >= at(500) + Backoff::FIRST / 2 && due <= at(500) + Backoff::FIRST);
    let wanted = PathWork::RequestToken { path: ONE, epoch: Epoch(1) };
    assert_eq!(table.handle_timeout(due), Some(wanted));
    assert_eq!(table.poll_timeout(), None, "it is asked for once");

    let changed = table.add(offer(1, 2), at(2_000)).unwrap().unwrap();
    assert_eq!((changed.from, changed.to), (PathState::Gone, PathState::Dialing));
    assert_eq!((changed.ended, changed.epoch), (Epoch(1), Epoch(2)));
    attach(&mut table, 2_000);
}

#[test]
fn a_server_that_asks_for_patience_gets_it() {
    let mut table = table();
    table.add(offer(1, 1), at(0)).unwrap();
    works(&mut table, 0);
    happen(&mut table, PathEvent::Connected, NONE, 10).unwrap();
    let cause = Cause { code: ErrorCode::Busy, retry_after: Duration::from_secs(7) };
    table.handle(ONE, Epoch(1), PathEvent::Deferred, cause, at(20)).unwrap();
    assert_eq!(table.poll_timeout(), Some(at(7_020)));
}

#[test]
fn a_refused_path_is_not_tried_again() {
    let mut table = table();
    table.add(offer(1, 1), at(0)).unwrap();
    works(&mut table, 0);
    let changed = happen(&mut table, PathEvent::Refused, ErrorCode::IdentityMismatch, 10).unwrap();
    assert_eq!(changed.reason, Some(ErrorCode::IdentityMismatch));
    assert_eq!(table.poll_timeout(), None);
    assert!(table.is_empty());
    assert_eq!(table.path(ONE).unwrap().state(), PathState::Gone);
    assert!(table.path(ONE).unwrap().token().is_empty());
}

#[test]
fn removal_drains_and_ends() {
    let mut table = live();
    let drain = Duration::from_millis(700);
    let changed = table.remove(ONE, drain, at(1_000)).unwrap();
    assert_eq!(changed.to, PathState::Draining);
    assert_eq!(table.remove(ONE, drain, at(1_100)), None);
    assert_eq!(works(&mut table, 1_699), []);
    let [PathWork::Changed(changed)] = works(&mut table, 1_700)[..] else { panic!("not over") };
    assert_eq!((changed.to, changed.reason), (PathState::Gone, Some(ErrorCode::PathRemoved)));
    assert!(changed.effects.contains(&PathEffect::HandBack));
    assert!(table.is_empty());

    let mut table = live();
    table.remove(ONE, Duration::MAX, at(0)).unwrap();
    assert_eq!(table.poll_timeout(), Some(at(5_000)), "five seconds at most");
    let changed = happen(&mut table, PathEvent::Drained, NONE, 100).unwrap();
    assert!(changed.effects.contains(&PathEffect::HandBack), "carriers nobody ordered end with it");
    assert_eq!(table.path(ONE).unwrap().reason(), Some(ErrorCode::PathRemoved));
}

#[test]
fn a_server_that_goes_away_drains_and_is_dialled_again() {
    let mut table = live();
    let changed = table.leave(ONE, Epoch(1), Duration::from_secs(30), at(1_000)).unwrap();
    assert_eq!((changed.to, changed.reason), (PathState::Draining, Some(ErrorCode::GoingAway)));
    assert_eq!(table.leave(ONE, Epoch(1), Duration::ZERO, at(1_100)), None, "once");
    let changed = happen(&mut table, PathEvent::Drained, ErrorCode::GoingAway, 2_000).unwrap();
    assert_eq!(changed.to, PathState::Gone);
    assert!(table.path(ONE).unwrap().is_wanted());
    assert!(table.poll_timeout().is_some(), "a token is asked for");

    let mut table = live();
    table.leave(ONE, Epoch(1), Duration::from_secs(30), at(1_000)).unwrap();
    assert_eq!(table.remove(ONE, Duration::from_secs(1), at(2_000)), None);
    let [PathWork::Changed(changed)] = works(&mut table, 3_000)[..] else { panic!("not over") };
    assert_eq!((changed.to, changed.reason), (PathState::Gone, Some(ErrorCode::PathRemoved)));
    assert!(table.is_empty(), "the primary does not want it back");
}

#[test]
fn a_path_that_is_removed_while_it_waits_for_a_token_is_forgotten() {
    let mut table = live();
    happen(&mut table, PathEvent::Lost, ErrorCode::Unreachable, 0).unwrap();
    assert_eq!(table.remove(ONE, Duration::ZERO, at(1)), None);
    assert_eq!((table.len(), table.poll_timeout()), (0, None));
}

#[test]
fn what_an_old_connection_says_is_ignored() {
    let mut table = live();
    table.add(offer(1, 2), at(50)).unwrap().unwrap();
    let cause = Cause::from(ErrorCode::Unreachable);
    assert_eq!(table.handle(ONE, Epoch(1), PathEvent::Lost, cause, at(60)), None);
    assert_eq!(table.path(ONE).unwrap().state(), PathState::Dialing);
}

#[test]
fn the_primarys_events_do_not_come_through_the_connection() {
    let mut table = live();
    for event in [PathEvent::Remove, PathEvent::Replaced] {
        assert_eq!(happen(&mut table, event, NONE, 1), None);
    }
}

#[test]
fn only_time_with_work_on_a_live_path_is_told() {
    let mut table = table();
    table.add(offer(1, 1), at(0)).unwrap();
    table.path_mut(ONE).unwrap().handle_outstanding(true, at(0));
    works(&mut table, 0);
    happen(&mut table, PathEvent::Connected, NONE, 50).unwrap();
    happen(&mut table, PathEvent::Admitted, NONE, 100).unwrap();
    table.path_mut(ONE).unwrap().handle_received(1_000);
    assert_eq!(table.path(ONE).unwrap().status(at(130)).busy_us, 30_000);
    happen(&mut table, PathEvent::Lost, ErrorCode::Unreachable, 150).unwrap();
    let status = table.path(ONE).unwrap().status(at(10_000));
    assert_eq!((status.busy_us, status.received_bytes), (50_000, 1_000));
    table.add(offer(1, 2), at(10_000)).unwrap();
    attach(&mut table, 10_000);
    assert_eq!(table.path(ONE).unwrap().status(at(10_001)).received_bytes, 1_000);
}

#[derive(Clone, Debug)]
enum Step {
    Add(u16, u32),
    Remove(u16, u64),
    Event(u16, u32, PathEvent),
    Activity(u16),
    Owes(u16, bool),
    Timeout,
}

fn step() -> impl Strategy<Value = (u64, Step)> {
    let path = 0_u16..6;
    let step = prop_oneof![
        (path.clone(), 0_u32..6).prop_map(|(path, epoch)| Step::Add(path, epoch)),
        (path.clone(), 0_u64..9_000).prop_map(|(path, drain)| Step::Remove(path, drain)),
        (path.clone(), 0_u32..6, proptest::sample::select(PathEvent::ALL.to_vec()))
            .prop_map(|(path, epoch, event)| Step::Event(path, epoch, event)),
        path.clone().prop_map(Step::Activity),
        (path, any::<bool>()).prop_map(|(path, owes)| Step::Owes(path, owes)),
        Just(Step::Timeout),
    ];
    (0_u64..3_000, step)
}

proptest! {
    #[test]
    fn any_history_keeps_the_bounds_and_settles(steps in prop::collection::vec(step(), 0..120)) {
        let limits = PathLimits { max_paths: 3, ..PathLimits::default() };
        let mut table = PathTable::new(limits, 1);
        let mut now = 0;
        for (pause, step) in steps {
            now += pause;
            match step {
                Step::Add(path, epoch) => drop(table.add(offer(path, epoch), at(now))),
                Step::Remove(path, drain) => {
                    table.remove(PathId::new(path), Duration::from_millis(drain), at(now));
                }
                Step::Event(path, epoch, event) => {
                    let cause = ErrorCode::Internal.into();
                    table.handle(PathId::new(path), Epoch(epoch), event, cause, at(now));
                }
                Step::Activity(path) => {
                    table.path_mut(PathId::new(path)).map(|path| path.handle_activity(at(now)));
                }
                Step::Owes(path, owes) => {
                    if let Some(path) = table.path_mut(PathId::new(path)) {
                        path.handle_owes(owes, at(now));
                        path.handle_outstanding(owes, at(now));
                    }
                }
                Step::Timeout => {
                    prop_assert!(works(&mut table, now).len() <= 40);
                    prop_assert!(table.poll_timeout().is_none_or(|due| due > at(now)));
                }
            }
            prop_assert!(table.len() <= 3);
            for path in table.iter() {
                let waits_for_token = path.state() == PathState::Gone;
                prop_assert_eq!(path.token().is_empty(), waits_for_token);
                let busy = Duration::from_micros(path.status(at(now)).busy_us);
                prop_assert!(busy <= Duration::from_millis(now));
            }
            for path in table.retired() {
                prop_assert!(path.state() == PathState::Gone && !path.is_wanted());
            }
        }
    }
}
