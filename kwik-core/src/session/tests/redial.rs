//! A path that was lost: a new token, the next epoch, and nothing of the old one.

use super::*;
use crate::delegation::{Candidates, Local};
use crate::session::PrimarySession;
use crate::session::primary::{Output as PrimaryOutput, PathSpec};

#[test]
fn a_lost_path_asks_for_a_token_and_is_dialled_again_with_the_next_epoch() {
    let mut bench = Bench::attached(EDGE);
    bench.client.handle_lost(EDGE, Epoch(1), ErrorCode::Unreachable, "lost", bench.now);
    bench.wait(ms(60_000));
    bench.wait(ms(60_000));
    let request = ControlFrame::TokenRequest(TokenRequest { path: EDGE, epoch: Epoch(1) });
    assert!(bench.sent(PathId::PRIMARY).contains(&&request));
    bench.forget();
    bench.primary(add_path(EDGE, 2));
    bench.wait(ms(5000));
    let dials = |output: &Output| matches!(output, Output::Dial { epoch: Epoch(2), .. });
    assert!(bench.asked.iter().any(dials));
}

#[test]
fn what_a_host_answered_stays_with_the_client_and_its_pause_is_kept() {
    let mut bench = Bench::established();
    bench.primary(add_path(EDGE, 1));
    bench.wait(ms(2000));
    let pause = ms(60_000);
    bench.client.handle_unreached(EDGE, Epoch(1), ErrorCode::Unreachable, None, pause, bench.now);
    bench.wait(ms(0));
    let (path, epoch, code) = (EDGE, Epoch(1), ErrorCode::Unreachable);
    let told = AddPathResult { path, epoch, code, detail: String::new() };
    assert!(bench.sent(PathId::PRIMARY).contains(&&ControlFrame::AddPathResult(told)));
    let request = ControlFrame::TokenRequest(TokenRequest { path: EDGE, epoch: Epoch(1) });
    bench.wait(ms(59_999));
    assert!(!bench.sent(PathId::PRIMARY).contains(&&request));
    bench.wait(ms(1));
    assert!(bench.sent(PathId::PRIMARY).contains(&&request));
}

#[test]
fn a_path_that_breaks_a_rule_is_over_for_good_and_counted() {
    let mut bench = Bench::attached(EDGE);
    let code = ErrorCode::LimitExceeded;
    bench.client.handle_violation(EDGE, Epoch(7), code, "of another epoch", bench.now);
    bench.wait(ms(0));
    assert_eq!((bench.state(EDGE), bench.faults()), (Some(PathState::Live), Vec::new()));
    bench.client.handle_violation(EDGE, Epoch(1), code, "too much", bench.now);
    bench.wait(ms(0));
    assert_eq!((bench.state(EDGE), bench.faults()), (Some(PathState::Gone), vec![(EDGE, code)]));
    bench.forget();
    (0..10).for_each(|_| bench.wait(ms(60_000)));
    let asks = |frame: &&ControlFrame| matches!(frame, ControlFrame::TokenRequest(_));
    assert!(!bench.sent(PathId::PRIMARY).iter().any(asks));
}

#[test]
fn orders_of_another_epoch_are_not_passed_on() {
    let mut bench = Bench::attached(EDGE);
    bench.attach(EDGE, 2);
    bench.forget();
    for (number, epoch) in [1, 3].into_iter().enumerate() {
        let at = number as u64 * 100;
        bench.order(EDGE, epoch, 1, vec![delegation(at, stream(0), range(at, at + 100))]);
    }
    assert!(bench.sent(EDGE).is_empty());
    bench.order(EDGE, 2, 1, vec![delegation(7, stream(0), range(500, 600))]);
    assert!(matches!(bench.sent(EDGE)[..], [ControlFrame::Orders(_), ..]));
}

#[test]
fn an_order_of_an_old_epoch_takes_nothing_from_the_new_one() {
    let mut bench = Bench::attached(EDGE);
    bench.attach(EDGE, 2);
    bench.read(stream(0));
    bench.order(EDGE, 2, 1, vec![delegation(7, stream(0), range(0, 100))]);
    bench.order(EDGE, 1, 1, vec![delegation(8, stream(0), range(100, 200))]);
    assert_eq!(bench.gaps()[0].range, range(100, 200));
    bench.forget();
    for _ in 0..20 {
        bench.wait(ms(10));
    }
    let late = bench.gaps()[0];
    assert_eq!((late.reason, late.delegation), (GapReason::Late, Some(DelegationId(7))));
}

#[test]
fn frames_of_an_epoch_that_is_over_are_dropped() {
    let mut bench = Bench::attached(EDGE);
    bench.attach(EDGE, 2);
    bench.forget();
    bench.secondary(EDGE, 1, ControlFrame::Ping(Ping { nonce: 1 }));
    bench.secondary(EDGE, 1, ControlFrame::Hello(hello()));
    assert!(bench.sent.is_empty());
    assert_eq!(bench.state(EDGE), Some(PathState::Live));
}

#[test]
fn a_path_dialled_again_gets_no_ranges_before_it_is_live() {
    let (config, now) = (SessionConfig::default(), Instant::ZERO);
    let mut primary = PrimarySession::new(&config, &hello(), SESSION, 7, now).unwrap();
    let spec = PathSpec {
        addresses: vec!["198.51.100.1:443".parse().unwrap()],
        identity: ServerIdentity::Pin([1; 32]),
        grant_all: false,
    };
    let edge = primary.add_path(spec, now).unwrap();
    let status = |epoch, state| {
        ControlFrame::PathStatus(PathStatus {
            path: edge,
            epoch: Epoch(epoch),
            state,
            reason: None,
            smoothed_rtt_us: 20_000,
            rtt_variation_us: 1000,
            received_bytes: 0,
            busy_us: 0,
        })
    };
    let answer = |epoch| {
        let (code, detail) = (ErrorCode::None, String::new());
        ControlFrame::AddPathResult(AddPathResult { path: edge, epoch: Epoch(epoch), code, detail })
    };
    let drain = |primary: &mut PrimarySession| -> Vec<PrimaryOutput> {
        std::iter::from_fn(|| primary.poll_output(now)).collect()
    };
    let signs = |output: &PrimaryOutput| matches!(output, PrimaryOutput::Sign(_));
    primary.handle_control(answer(1), now);
    primary.handle_control(status(1, PathState::Gone), now);
    let request = TokenRequest { path: edge, epoch: Epoch(1) };
    primary.handle_control(ControlFrame::TokenRequest(request), now);
    primary.handle_control(ControlFrame::TokenRequest(request), now);
    let attached: Vec<Epoch> = drain(&mut primary)
        .iter()
        .filter_map(|output| match output {
            PrimaryOutput::Attach { epoch, .. } => Some(*epoch),
            _ => None,
        })
        .collect();
    assert_eq!(attached, [Epoch(1), Epoch(2)], "one answer for each epoch that ended");
    primary.handle_header(4, stream(0)).unwrap();
    let part = range(0, 60_000);
    drain(&mut primary);
    primary.delegate(stream(0), part, "x".into(), Candidates::All, Local::None, now).unwrap();
    primary.handle_control(status(2, PathState::Dialing), now);
    primary.handle_control(status(2, PathState::Proving), now);
    assert!(!drain(&mut primary).iter().any(signs));
    primary.handle_control(answer(2), now);
    primary.handle_control(status(2, PathState::Live), now);
    let signed = drain(&mut primary);
    let orders = signed.iter().find_map(|output| match output {
        PrimaryOutput::Sign(orders) => Some((orders.epoch, orders.number)),
        _ => None,
    });
    assert_eq!(orders, Some((Epoch(2), 1)));
}

#[test]
fn a_removed_path_is_asked_for_nothing_whatever_was_under_way() {
    let (config, now) = (SessionConfig::default(), Instant::ZERO);
    let mut primary = PrimarySession::new(&config, &hello(), SESSION, 7, now).unwrap();
    let spec = PathSpec {
        addresses: vec!["198.51.100.1:443".parse().unwrap()],
        identity: ServerIdentity::Pin([1; 32]),
        grant_all: false,
    };
    let path = primary.add_path(spec, now).unwrap();
    primary.handle_header(4, stream(0)).unwrap();
    assert!(primary.remove_path(path, now));
    let (code, detail) = (ErrorCode::None, String::new());
    let answer = AddPathResult { path, epoch: Epoch::FIRST, code, detail };
    primary.handle_control(ControlFrame::AddPathResult(answer), now);
    let live = PathStatus {
        path,
        epoch: Epoch::FIRST,
        state: PathState::Live,
        reason: None,
        smoothed_rtt_us: 20_000,
        rtt_variation_us: 1000,
        received_bytes: 0,
        busy_us: 0,
    };
    primary.handle_control(ControlFrame::PathStatus(live), now);
    let part = range(0, 60_000);
    primary.delegate(stream(0), part, "x".into(), Candidates::All, Local::None, now).unwrap();
    let outputs: Vec<_> = std::iter::from_fn(|| primary.poll_output(now)).collect();
    let asks = |output: &PrimaryOutput| {
        let up = crate::session::primary::Event::PathUp(path);
        matches!(output, PrimaryOutput::Sign(_)) || *output == PrimaryOutput::Event(up)
    };
    assert!(!outputs.iter().any(asks), "{outputs:?}");
}
