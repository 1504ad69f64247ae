#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::time::Duration;

use kwik_proto::StreamId;

use super::*;

fn stream(id: u64) -> StreamId {
    StreamId::from_wire(id).unwrap()
}

fn at(offset: u64) -> Offset {
    Offset::new(offset).unwrap()
}

/// So many carriers of stream 1, each a mebibyte further on than the one before it; the first to ask is the last in order.
fn many(count: u64) -> (SendOrder, Vec<(u64, Offset)>) {
    let mut order = SendOrder::default();
    let carriers: Vec<_> = (0..count).rev().map(|n| (4 * n + 3, at(n << 20))).collect();
    carriers.iter().for_each(|(carrier, _)| order.open(*carrier, stream(1)));
    (order, carriers)
}

/// Who writes, in order, until nobody may; each writes what it is expected to. All of them want to.
fn fill(order: &mut SendOrder, carriers: &[(u64, Offset)]) -> Vec<u64> {
    let mut queued = BTreeMap::<u64, u64>::new();
    let mut wrote = Vec::new();
    while let Some(carrier) = order.admit() {
        let offset = carriers.iter().find(|(it, _)| *it == carrier).unwrap().1;
        let total = queued.entry(carrier).or_default();
        while order.may_write(carrier, offset.saturating_add(*total)) {
            *total += READ;
            order.wrote(carrier, *total);
            wrote.push(carrier);
            assert!(order.written() <= most(0), "{} bytes", order.written());
        }
    }
    wrote
}

#[test]
fn all_writers_of_a_path_share_its_bound_and_the_lowest_offset_is_read_first() {
    let (mut order, carriers) = many(64);
    // All want to write before there is room for one.
    order.open(1_000, stream(5));
    order.wrote(1_000, most(0));
    for (carrier, offset) in &carriers {
        assert!(!order.may_write(*carrier, *offset));
    }
    order.left(1_000, 0);
    let wrote = fill(&mut order, &carriers);
    assert_eq!(order.written(), most(0));
    assert!(wrote.iter().all(|carrier| *carrier == 3), "the lowest offset alone: {wrote:?}");
}

#[test]
fn who_may_read_counts_before_it_has_read() {
    let (mut order, mut carriers) = many(64);
    carriers.reverse();
    let may = carriers.iter().filter(|(it, offset)| order.may_write(*it, *offset)).count();
    assert_eq!(may as u64, most(0) / READ);
    assert_eq!(order.written(), most(0));
    assert!(order.may_write(3, at(0)), "it keeps its leave until it has written");
    order.wrote(3, 0);
    assert_eq!(order.next_writer(), Some(4 * 8 + 3), "the next in order");
}

#[test]
fn a_larger_window_is_filled_further_up_to_a_bound() {
    let mut order = SendOrder::default();
    order.set_pace(1 << 20, Duration::from_millis(100));
    assert_eq!(order.most_written, LEAST + (1 << 20));
    order.set_pace(u64::MAX, Duration::MAX);
    assert_eq!(order.most_written, LEAST + MOST);
}

#[test]
fn what_quic_does_not_take_keeps_nobody_waiting() {
    let (mut order, _) = many(2);
    assert!(order.may_write(3, at(0)));
    order.wrote(3, most(0));
    assert!(!order.may_write(7, at(1 << 20)));
    order.block(3);
    assert_eq!(order.next_writer(), Some(7));
    // It takes some again.
    order.ask(3, at(0));
    assert_eq!(order.next_writer(), None);
}

#[test]
fn urgent_ones_read_first_then_by_priority_then_by_what_waits() {
    let mut order = SendOrder::default();
    for id in [1, 5, 9] {
        order.open(id, stream(id));
    }
    order.open(13, stream(1));
    order.set_urgent(13);
    order.set_priority(stream(9), 1);
    order.open(1_000, stream(17));
    order.wrote(1_000, most(0));
    order.wrote(1, 100);
    for (carrier, offset) in [(1, 0), (5, 1 << 40), (9, 1 << 50), (13, 1 << 60)] {
        assert!(!order.may_write(carrier, at(offset)));
    }
    order.close(1_000);
    let mut next = || {
        let carrier = order.admit()?;
        assert!(order.may_write(carrier, at(0)), "it has leave");
        order.wrote(carrier, 0);
        Some(carrier)
    };
    let first: Vec<_> = std::iter::from_fn(&mut next).take(3).collect();
    assert_eq!(first, [13, 9, 5], "the stream that has 100 bytes waiting is last");
    assert_eq!(next(), Some(1));
    assert_eq!(next(), None);
}

#[test]
fn a_writer_that_is_gone_leaves_nothing_behind() {
    let (mut order, _) = many(3);
    assert!(order.may_write(3, at(0)));
    order.wrote(3, most(0));
    assert!(!order.may_write(7, at(1 << 20)));
    assert!(!order.may_write(11, at(2 << 20)));
    order.close(7);
    order.close(3);
    assert_eq!((order.written(), order.next_writer()), (0, Some(11)));
    order.close(11);
    assert_eq!((order.writers, order.next_writer()), (0, None));
    assert!(order.may_write(11, at(0)), "nobody keeps it: it finds out elsewhere");
    assert!(order.streams.is_empty() && order.urgent_writers.is_empty());
}

#[test]
fn who_has_leave_and_writes_nothing_keeps_little_from_the_others() {
    let (mut order, mut carriers) = many(3);
    carriers.reverse();
    order.open(1_000, stream(5));
    order.wrote(1_000, most(0));
    for (carrier, offset) in &carriers {
        assert!(!order.may_write(*carrier, *offset));
    }
    order.left(1_000, most(0) - 2 * READ);
    assert_eq!((order.admit(), order.admit(), order.admit()), (Some(3), Some(7), None));
    order.withdraw(3);
    assert_eq!(order.admit(), Some(11));
}
