#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::*;

fn stream(id: u64) -> StreamId {
    StreamId::from_wire(id).unwrap()
}

fn at(offset: u64) -> Offset {
    Offset::new(offset).unwrap()
}

/// Who hands over what, if every carrier of `bytes` has that many and QUIC sends a packet at a time.
fn drain(order: &mut SendOrder, mut carriers: Vec<(u64, u64, u64)>) -> Vec<(u64, u64)> {
    const PACKET: u64 = 1_200;
    let (mut handed, mut log) = (BTreeMap::<u64, u64>::new(), Vec::new());
    let mut sending = std::collections::VecDeque::new();
    let start = carriers.clone();
    loop {
        for (carrier, offset, left) in &mut carriers {
            if *left == 0 {
                continue;
            }
            if let Some(room) = order.ask(*carrier, at(*offset)) {
                let take = room.min(*left);
                let total = handed.entry(*carrier).or_default();
                *total += take;
                order.handed(*carrier, *total);
                sending.push_back((*carrier, *total - take, *total));
                log.push((*carrier, take));
                (*offset, *left) = (*offset + take, *left - take);
            }
        }
        let Some((carrier, from, to)) = sending.front_mut() else { break };
        *from = (*from + PACKET).min(*to);
        order.sent(*carrier, *from);
        if from == to {
            sending.pop_front();
        }
    }
    for (carrier, _, bytes) in start {
        assert_eq!(handed.get(&carrier).copied().unwrap_or_default(), bytes, "carrier {carrier}");
    }
    log
}

#[test]
fn a_streams_ranges_go_one_after_the_other_in_its_order() {
    let mut order = SendOrder::default();
    [3, 7, 11].into_iter().for_each(|carrier| order.open(carrier, stream(1)));
    let mib = 1 << 20;
    let log = drain(&mut order, vec![(3, 2 * mib, mib), (7, 0, mib), (11, mib, mib)]);
    // The first to ask meets an empty QUIC and may begin; from then on by offset.
    let order_of_ends: Vec<u64> = log.iter().skip(1).map(|(carrier, _)| *carrier).collect();
    let mut grouped = order_of_ends.clone();
    grouped.dedup();
    assert_eq!(grouped, [7, 11, 3]);
}

#[test]
fn quic_has_never_more_than_a_batch_and_its_share_of_the_window() {
    let mut order = SendOrder::default();
    order.open(3, stream(1));
    assert_eq!(order.ask(3, at(0)), Some(BATCH));
    order.set_pace(400_000, Duration::from_millis(20));
    assert_eq!(order.ask(3, at(0)), Some(BATCH + 100_000));
    order.handed(3, BATCH + 100_000);
    assert_eq!(order.ask(3, at(BATCH + 100_000)), None);
    order.sent(3, (BATCH + 100_000) / 2);
    assert_eq!(order.next(), Some(3));
    assert_eq!(order.unsent(), (BATCH + 100_000) / 2);
    // Within a host: what it sends in two milliseconds, and no more than it buffers.
    order.set_pace(400_000, Duration::from_micros(500));
    assert_eq!(order.limit(), BATCH + 1_600_000);
    order.set_pace(400_000, Duration::ZERO);
    assert_eq!(order.limit(), BATCH + MOST);
    order.set_pace(u64::MAX, Duration::MAX);
    assert_eq!(order.limit(), BATCH + u64::MAX / WINDOW_SHARE);
}

/// The connection's own thread may send bytes before the task that handed them over has said so.
#[test]
fn what_was_sent_before_it_was_told_as_handed_over_is_not_waited_for() {
    let mut order = SendOrder::default();
    [3, 7].into_iter().for_each(|carrier| order.open(carrier, stream(1)));
    let room = order.ask(3, at(0)).unwrap();
    order.sent(3, room / 2);
    order.sent(3, room);
    order.handed(3, room);
    assert_eq!(order.unsent(), 0);
    assert_eq!(order.ask(7, at(room)), Some(room), "it stands still for ever");
    order.handed(3, room + 10);
    assert_eq!(order.unsent(), 10);
    order.close(3);
    assert_eq!(order.unsent(), 0);
}

#[test]
fn equal_streams_take_turns_byte_for_byte() {
    let mut order = SendOrder::default();
    [0, 4, 8].into_iter().for_each(|carrier| order.open(carrier, stream(carrier)));
    let mib = 1 << 20;
    // One has its bytes far out, which counts only within a stream.
    let log = drain(&mut order, vec![(0, 0, 4 * mib), (4, 1 << 40, 4 * mib), (8, 0, 4 * mib)]);
    let mut bytes = BTreeMap::<u64, u64>::new();
    for (carrier, take) in log {
        *bytes.entry(carrier).or_default() += take;
        let least = [0, 4, 8].map(|it| bytes.get(&it).copied().unwrap_or_default());
        let (most, least) = (least.iter().max().unwrap(), least.iter().min().unwrap());
        assert!(most - least <= 2 * BATCH, "{bytes:?}");
    }
}

#[test]
fn who_comes_back_has_no_turns_saved() {
    let mut order = SendOrder::default();
    order.open(0, stream(0));
    drain(&mut order, vec![(0, 0, 8 << 20)]);
    order.open(4, stream(4));
    let log = drain(&mut order, vec![(4, 0, 1 << 20), (0, 0, 1 << 20)]);
    let first: u64 = log.iter().take(6).filter(|(it, _)| *it == 0).map(|(_, take)| take).sum();
    assert!(first > BATCH, "the older stream has its turn among the first six: {log:?}");
}

#[test]
fn a_higher_priority_goes_first_and_lower_ones_wait() {
    let mut order = SendOrder::default();
    [0, 4].into_iter().for_each(|carrier| order.open(carrier, stream(carrier)));
    order.set_priority(stream(4), 1);
    let log = drain(&mut order, vec![(0, 0, 1 << 20), (4, 0, 1 << 20)]);
    let grouped: Vec<u64> = log.iter().skip(1).map(|(carrier, _)| *carrier).collect();
    let last = grouped.iter().rposition(|it| *it == 4).unwrap();
    assert!(grouped[..last].iter().all(|it| *it == 4), "{grouped:?}");
}

#[test]
fn what_is_closed_leaves_nothing_behind() {
    let mut order = SendOrder::default();
    [3, 7].into_iter().for_each(|carrier| order.open(carrier, stream(1)));
    let room = order.ask(3, at(0)).unwrap();
    order.handed(3, room);
    assert_eq!(order.ask(7, at(0)), None);
    order.close(3);
    assert_eq!((order.unsent(), order.next()), (0, Some(7)));
    order.close(7);
    assert_eq!(order.next(), None);
    assert!(order.carriers.is_empty() && order.streams.is_empty() && order.turns.is_empty());
}

#[test]
fn unknown_carriers_and_numbers_that_cannot_be_change_nothing() {
    let mut order = SendOrder::default();
    assert_eq!(order.ask(1, at(0)), None);
    order.idle(1);
    order.handed(1, 10);
    order.sent(1, 10);
    order.close(1);
    order.set_priority(stream(0), 3);
    order.open(3, stream(1));
    order.open(3, stream(5));
    order.handed(3, 100);
    order.handed(3, 50);
    assert_eq!(order.unsent(), 100);
    order.sent(3, 1 << 40);
    assert_eq!(order.unsent(), 0);
}

#[test]
fn what_is_urgent_goes_before_all_else_and_costs_no_other_stream_its_turns() {
    let mut order = SendOrder::default();
    [0, 4, 8].into_iter().for_each(|carrier| order.open(carrier, stream(carrier)));
    order.open(12, stream(0));
    order.set_priority(stream(4), 7);
    order.set_urgent(12);
    let mib = 1 << 20;
    let carriers = vec![(0, 0, mib), (4, 0, mib), (8, 0, mib), (12, 1 << 40, mib)];
    let log = drain(&mut order, carriers);
    let carriers: Vec<u64> = log.iter().skip(1).map(|(carrier, _)| *carrier).collect();
    let last = |it| carriers.iter().rposition(|carrier| *carrier == it).unwrap();
    assert!(last(12) < last(4), "{carriers:?}");
    assert!(carriers[..last(12)].iter().all(|it| *it == 12), "{carriers:?}");
    assert!(carriers[..last(4)].iter().all(|it| [12, 4].contains(it)), "{carriers:?}");
}

#[test]
fn an_urgent_carrier_that_is_over_leaves_nothing_behind() {
    let mut order = SendOrder::default();
    order.open(3, stream(1));
    order.set_urgent(3);
    assert!(order.ask(3, at(9)).is_some());
    assert!(order.ask(3, at(5)).is_some());
    order.idle(3);
    assert_eq!(order.next(), None);
    order.ask(3, at(5));
    order.close(3);
    assert!(order.urgent.is_empty() && order.next().is_none());
}
