#![allow(clippy::unwrap_used)]

use std::time::Duration;

use kwik_proto::Offset;
use proptest::prelude::*;

use super::{Budget, ReceiveWindow, SendWindow, memory};
use crate::time::Instant;

const MIB: u64 = 1 << 20;

fn at(millis: u64) -> Instant {
    Instant::from_start(Duration::from_millis(millis))
}

fn opened(initial: u64, budget: &mut Budget) -> ReceiveWindow {
    let mut window = ReceiveWindow::new(initial);
    assert!(window.admit(budget));
    window
}

#[test]
fn send_window_never_falls() {
    let mut window = SendWindow::new(100);
    assert!(window.extend(Offset::new(200).unwrap()));
    assert!(!window.extend(Offset::new(150).unwrap()));
    assert!(!window.extend(Offset::new(200).unwrap()));
    assert_eq!(window.max_offset().value(), 200);
    assert_eq!(window.room_at(Offset::new(300).unwrap()), 0);
}

#[test]
fn limit_is_announced_at_each_eighth_of_movement() {
    let mut budget = Budget::new(Budget::DEFAULT_TOTAL, 1);
    let mut window = opened(65_536, &mut budget);
    window.consumed(8_191);
    assert_eq!(window.extended(at(0), Duration::ZERO, &mut budget), None);
    assert!(!window.wants_extension(at(0)));
    window.consumed(1);
    assert!(window.wants_extension(at(0)));
    let announced = window.extended(at(0), Duration::ZERO, &mut budget);
    assert_eq!(announced, Offset::new(65_536 + 8_192));
    assert_eq!(window.extended(at(0), Duration::ZERO, &mut budget), None);
}

#[test]
fn a_slow_reader_is_heard_of_every_ten_seconds() {
    let mut budget = Budget::new(Budget::DEFAULT_TOTAL, 1);
    let mut window = opened(65_536, &mut budget);
    assert_eq!(window.extended(at(5_000), Duration::ZERO, &mut budget), None);
    assert!(!window.wants_extension(at(20_000)), "it took nothing");
    window.consumed(1);
    assert_eq!(window.extended(at(14_999), Duration::ZERO, &mut budget), None);
    assert!(!window.wants_extension(at(14_999)));
    assert!(window.wants_extension(at(15_000)));
    let announced = window.extended(at(15_000), Duration::ZERO, &mut budget);
    assert_eq!(announced, Offset::new(65_537));
    window.consumed(1);
    assert_eq!(window.extended(at(24_999), Duration::ZERO, &mut budget), None);
    assert!(window.extended(at(25_000), Duration::ZERO, &mut budget).is_some());
}

#[test]
fn what_a_reader_took_is_said_after_ten_seconds_without_another_read() {
    let mut budget = Budget::new(Budget::DEFAULT_TOTAL, 1);
    let mut window = opened(65_536, &mut budget);
    assert_eq!(window.extended(at(5_000), Duration::ZERO, &mut budget), None);
    assert_eq!(window.due(), None, "it took nothing");
    window.consumed(1);
    assert!(window.wants_extension(at(6_000)), "the session has to know");
    assert_eq!(window.extended(at(6_000), Duration::ZERO, &mut budget), None);
    assert_eq!(window.due(), Some(at(15_000)));
    window.consumed(1);
    assert!(!window.wants_extension(at(7_000)), "it knows");
    let announced = window.extended(at(15_000), Duration::ZERO, &mut budget);
    assert_eq!((announced, window.due()), (Offset::new(65_538), None));
    window.consumed(1);
    assert!(window.wants_extension(at(16_000)));
    window.extended(at(16_000), Duration::ZERO, &mut budget);
    window.consumed(1);
    window.close(&mut budget);
    assert_eq!(window.due(), None);
}

#[test]
fn window_doubles_for_a_reader_faster_than_two_loops() {
    let mut budget = Budget::new(Budget::DEFAULT_TOTAL, 1);
    let mut window = opened(65_536, &mut budget);
    let loop_time = Duration::from_millis(100);
    window.extended(at(0), loop_time, &mut budget);
    window.consumed(32_768);
    window.extended(at(199), loop_time, &mut budget);
    assert_eq!(window.size(), 131_072);
    assert_eq!(window.max_offset().value(), 32_768 + 131_072);
}

#[test]
fn window_stays_for_a_slower_reader() {
    let mut budget = Budget::new(Budget::DEFAULT_TOTAL, 1);
    let mut window = opened(65_536, &mut budget);
    let loop_time = Duration::from_millis(100);
    window.extended(at(0), loop_time, &mut budget);
    window.consumed(32_768);
    window.extended(at(200), loop_time, &mut budget);
    assert_eq!(window.size(), 65_536);
}

#[test]
fn pace_is_judged_anew_for_each_half_window() {
    let mut budget = Budget::new(Budget::DEFAULT_TOTAL, 1);
    let mut window = opened(65_536, &mut budget);
    let loop_time = Duration::from_millis(100);
    window.extended(at(0), loop_time, &mut budget);
    window.consumed(32_768);
    window.extended(at(10_000), loop_time, &mut budget);
    window.consumed(32_768);
    window.extended(at(10_050), loop_time, &mut budget);
    assert_eq!(window.size(), 131_072);
}

#[test]
fn window_grows_to_what_is_asked_for_within_the_budget() {
    let mut budget = Budget::new(3 * MIB, 1);
    let mut window = opened(65_536, &mut budget);
    window.demand(MIB);
    assert!(window.wants_extension(at(0)));
    window.extended(at(0), Duration::ZERO, &mut budget);
    assert_eq!(window.size(), MIB);
    window.demand(100 * MIB);
    window.extended(at(0), Duration::ZERO, &mut budget);
    assert_eq!(window.size(), 2 * MIB);
    assert_eq!(budget.promised(), budget.total());
}

#[test]
fn every_stream_has_its_floor_when_one_took_the_rest() {
    let mut budget = Budget::new(4 * MIB, 4);
    let mut greedy = opened(Budget::FLOOR, &mut budget);
    greedy.demand(u64::MAX / 4);
    greedy.extended(at(0), Duration::ZERO, &mut budget);
    assert_eq!(budget.free(), 0);
    assert_eq!(budget.initial_window(), Budget::FLOOR);
    let mut others: Vec<_> = (0..3).map(|_| opened(Budget::FLOOR, &mut budget)).collect();
    assert!(budget.promised() <= budget.total());
    for window in &mut others {
        window.consumed(Budget::FLOOR);
        assert!(
            window.extended(at(0), Duration::ZERO, &mut budget).is_some(),
            "the floor moves on"
        );
    }
}

#[test]
fn a_limit_ends_growth_takes_nothing_back_and_leaves_new_streams_their_floor() {
    let mut budget = Budget::new(Budget::DEFAULT_TOTAL, 4);
    let mut greedy = opened(Budget::FLOOR, &mut budget);
    greedy.demand(8 * MIB);
    greedy.extended(at(0), Duration::ZERO, &mut budget);
    let promised = budget.promised();
    assert_eq!(promised, memory(8 * MIB));
    // Less than it has: others came.
    for limit in [promised, promised / 2, 0] {
        budget.set_limit(limit);
        greedy.demand(16 * MIB);
        greedy.extended(at(0), Duration::ZERO, &mut budget);
        assert_eq!((greedy.size(), budget.promised()), (8 * MIB, promised));
        assert_eq!(budget.initial_window(), Budget::FLOOR);
    }
    let mut late = opened(Budget::FLOOR, &mut budget);
    assert_eq!(late.size(), Budget::FLOOR);
    late.consumed(Budget::FLOOR);
    assert!(late.extended(at(0), Duration::ZERO, &mut budget).is_some(), "the floor moves on");
    greedy.close(&mut budget);
    budget.set_limit(memory(Budget::FLOOR) + memory(MIB));
    late.demand(16 * MIB);
    late.extended(at(0), Duration::ZERO, &mut budget);
    assert!(late.size() > MIB / 2 && budget.promised() <= memory(Budget::FLOOR) + memory(MIB));
}

#[test]
fn streams_beyond_the_limits_are_not_admitted() {
    let mut budget = Budget::new(Budget::DEFAULT_TOTAL, 1);
    let mut first = opened(Budget::FLOOR, &mut budget);
    assert!(!ReceiveWindow::new(Budget::FLOOR).admit(&mut budget));
    first.close(&mut budget);
    assert!(ReceiveWindow::new(Budget::FLOOR).admit(&mut budget));
}

#[test]
fn new_stream_starts_with_a_quarter_of_what_is_free() {
    assert_eq!(Budget::new(Budget::DEFAULT_TOTAL, 100).initial_window(), 4 * MIB);
    assert_eq!(Budget::new(3 * MIB, 0).initial_window(), MIB / 2);
    assert_eq!(Budget::new(0, 1).initial_window(), Budget::FLOOR);
}

#[test]
fn half_as_much_again_is_rounded_up() {
    assert_eq!([0, 1, 2, 3].map(memory), [0, 2, 3, 5]);
}

#[derive(Clone, Debug)]
enum Op {
    Open,
    Close(usize),
    Consume(usize, u64),
    Update(usize, u64),
    Demand(usize, u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        Just(Op::Open),
        (0..8_usize).prop_map(Op::Close),
        (0..8_usize, 0..300_000_u64).prop_map(|(index, bytes)| Op::Consume(index, bytes)),
        (0..8_usize, 0..300_u64).prop_map(|(index, millis)| Op::Update(index, millis)),
        (0..8_usize, 0..3_000_000_u64).prop_map(|(index, bytes)| Op::Demand(index, bytes)),
    ]
}

proptest! {
    /// However streams open, close and read: what peers may send never costs more than the account has.
    #[test]
    fn account_is_never_overdrawn(
        total in 0..(4 * MIB),
        ops in prop::collection::vec(op(), 1..120),
    ) {
        let mut budget = Budget::new(total, 6);
        let mut windows: Vec<ReceiveWindow> = Vec::new();
        let mut now = at(0);
        for op in ops {
            match op {
                Op::Open => {
                    let mut window = ReceiveWindow::new(Budget::FLOOR);
                    prop_assert_eq!(window.admit(&mut budget), windows.len() < 6);
                    if windows.len() < 6 {
                        windows.push(window);
                    }
                }
                Op::Close(index) if index < windows.len() => {
                    windows.remove(index).close(&mut budget);
                }
                Op::Consume(index, bytes) if index < windows.len() => {
                    let window = &mut windows[index];
                    window.consumed(bytes.min(window.max_offset().since(window.read_offset())));
                }
                Op::Update(index, millis) if index < windows.len() => {
                    now = now + Duration::from_millis(millis);
                    let before = windows[index].max_offset();
                    let announced = windows[index].extended(now, Duration::from_millis(100), &mut budget);
                    prop_assert!(announced.is_none_or(|limit| limit > before));
                    prop_assert!(windows[index].max_offset() >= before);
                }
                Op::Demand(index, bytes) if index < windows.len() => windows[index].demand(bytes),
                _ => {}
            }
            let owed: u64 = windows.iter().map(|window| memory(window.max_offset().since(window.read_offset()))).sum();
            prop_assert!(owed <= budget.promised(), "{owed} owed, {} booked", budget.promised());
            prop_assert!(budget.promised() <= budget.total());
        }
        for mut window in windows {
            window.close(&mut budget);
        }
        prop_assert_eq!(budget.promised(), 0);
    }
}
