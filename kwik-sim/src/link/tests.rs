use super::*;

const MS: Duration = Duration::from_millis(1);
const START: Duration = Duration::ZERO;

fn at(fate: Fate) -> Duration {
    match fate {
        Fate::Delivered { at, .. } => at,
        Fate::Dropped(why) => panic!("dropped: {why:?}"),
    }
}

/// 1 byte per microsecond.
fn slow() -> LinkConfig {
    LinkConfig { rate: Some(Rate::mbit(8)), ..LinkConfig::default() }
}

#[test]
fn a_perfect_link_delivers_at_once() {
    let mut link = Link::new(LinkConfig::default(), 1);
    for tick in 0..10 {
        assert_eq!(at(link.send(MS * tick, 1_472)), MS * tick);
    }
    assert_eq!(link.backlog(MS * 9), 0);
}

#[test]
fn packets_above_the_mtu_are_dropped_and_take_no_time() {
    let mut link = Link::new(slow(), 1);
    assert_eq!(link.send(START, 1_473), Fate::Dropped(DropReason::TooLarge));
    assert_eq!(at(link.send(START, 1_472)), Duration::from_micros(1_472));
}

#[test]
fn packets_leave_one_after_the_other() {
    let mut link = Link::new(LinkConfig { delay: MS * 5, mtu: 9_001, ..slow() }, 1);
    assert_eq!(at(link.send(START, 1_000)), MS * 6);
    assert_eq!(at(link.send(START, 2_000)), MS * 8);
    assert_eq!(at(link.send(MS * 10, 1_000)), MS * 16, "an idle transmitter starts at once");
}

#[test]
fn throughput_is_the_rate() {
    let mut link = Link::new(LinkConfig { queue: 1 << 30, ..slow() }, 1);
    let last = (0..10_000).map(|_| at(link.send(START, 1_000))).last();
    assert_eq!(last, Some(Duration::from_secs(10)));
    assert_eq!(Rate::mbit(8).bytes_in(Duration::from_secs(10)), 10_000_000);
}

#[test]
fn a_full_queue_drops_the_newest_until_it_drains() {
    let mut link = Link::new(LinkConfig { queue: 3_000, ..slow() }, 1);
    for _ in 0..4 {
        at(link.send(START, 1_000));
    }
    assert_eq!(link.send(START, 1_000), Fate::Dropped(DropReason::QueueFull));
    assert_eq!(link.backlog(START), 4_000, "one on the transmitter, three in the queue");
    assert_eq!(
        link.send(MS - Duration::from_nanos(1), 1_000),
        Fate::Dropped(DropReason::QueueFull)
    );
    assert_eq!(at(link.send(MS, 1_000)), MS * 5);
}

#[test]
fn an_idle_link_takes_a_packet_larger_than_its_queue() {
    let mut link = Link::new(LinkConfig { queue: 0, ..slow() }, 1);
    assert_eq!(at(link.send(START, 1_000)), MS);
    assert_eq!(link.send(START, 1), Fate::Dropped(DropReason::QueueFull));
    assert_eq!(at(link.send(MS, 1_000)), MS * 2);
}

#[test]
fn a_link_that_is_down_takes_nothing_and_forgets_nothing() {
    let mut link = Link::new(slow(), 1);
    assert_eq!(at(link.send(START, 1_000)), MS);
    link.set_condition(Condition::Down);
    assert_eq!(link.send(START, 1_000), Fate::Dropped(DropReason::Down));
    link.set_condition(Condition::Up);
    assert_eq!(at(link.send(START, 1_000)), MS * 2, "behind what was sent before");
}

#[test]
fn loss_is_the_share_that_was_asked_for() {
    let mut link = Link::new(LinkConfig { loss: Chance::percent(10), ..LinkConfig::default() }, 5);
    let fates = (0..100_000).map(|tick| link.send(MS * tick, 1_000));
    let lost = fates.filter(|fate| *fate == Fate::Dropped(DropReason::Lost)).count();
    assert!((9_700..10_300).contains(&lost), "{lost}");
}

#[test]
fn a_lost_packet_has_used_its_time() {
    let mut link = Link::new(LinkConfig { loss: Chance::ALWAYS, ..slow() }, 1);
    assert_eq!(link.send(START, 1_000), Fate::Dropped(DropReason::Lost));
    link.set_config(slow());
    assert_eq!(at(link.send(START, 1_000)), MS * 2);
}

#[test]
fn jitter_stays_in_its_bounds_and_keeps_the_order() {
    let config = LinkConfig { delay: MS * 10, jitter: MS * 5, ..LinkConfig::default() };
    let mut link = Link::new(config, 3);
    let (mut last, mut delays) = (START, Vec::new());
    for tick in 0..1_000 {
        let arrival = at(link.send(MS * tick, 100));
        assert!(arrival >= last);
        last = arrival;
        delays.push(arrival - MS * tick);
    }
    assert!(delays.iter().all(|delay| (MS * 10..=MS * 15).contains(delay)));
    assert!(delays.iter().max() > delays.iter().min());
}

#[test]
fn reordered_packets_are_late_alone() {
    let config = LinkConfig {
        delay: MS * 10,
        reordered: Chance::percent(20),
        reordering: MS * 5,
        ..LinkConfig::default()
    };
    let mut link = Link::new(config, 3);
    let late: Vec<Duration> =
        (0..10_000).map(|tick| at(link.send(MS * tick, 100)) - MS * tick - MS * 10).collect();
    assert!(late.iter().all(|late| *late <= MS * 5));
    let reordered = late.iter().filter(|late| **late > START).count();
    assert!((1_850..2_150).contains(&reordered), "{reordered}");
    let overtaken = late.windows(2).filter(|pair| pair[0] > pair[1] + MS).count();
    assert!(overtaken > 1_000, "{overtaken}");
}

#[test]
fn what_is_late_holds_up_nobody() {
    let config =
        LinkConfig { reordered: Chance::ALWAYS, reordering: MS * 50, ..LinkConfig::default() };
    let mut link = Link::new(config, 3);
    at(link.send(START, 100));
    link.set_config(LinkConfig::default());
    assert_eq!(at(link.send(MS, 100)), MS);
}

#[test]
fn corruption_changes_one_byte() {
    let config = LinkConfig { corruption: Chance::ALWAYS, ..LinkConfig::default() };
    let mut link = Link::new(config, 11);
    for length in 1..200 {
        let Fate::Delivered { corruption: Some(corruption), .. } = link.send(START, length) else {
            panic!("not corrupted");
        };
        let mut packet = vec![0; length];
        corruption.apply(&mut packet);
        assert_eq!(packet.iter().filter(|byte| **byte != 0).count(), 1);
    }
    let Fate::Delivered { corruption: None, .. } = link.send(START, 0) else {
        panic!("an empty packet has no byte to change");
    };
}

#[test]
fn a_change_counts_from_the_next_packet_on() {
    let mut link = Link::new(slow(), 1);
    assert_eq!(at(link.send(START, 1_000)), MS);
    link.set_config(LinkConfig { rate: Some(Rate::mbit(8) / 10), ..slow() });
    assert_eq!(at(link.send(START, 1_000)), MS * 11);
    link.set_config(LinkConfig::default());
    assert_eq!(at(link.send(START, 1_000)), MS * 11, "nothing overtakes");
    assert_eq!(at(link.send(MS * 12, 1_000)), MS * 12);
}

#[test]
fn a_seed_decides_everything() {
    let config = LinkConfig {
        jitter: MS * 3,
        loss: Chance::percent(20),
        corruption: Chance::percent(20),
        reordered: Chance::percent(20),
        reordering: MS * 3,
        ..slow()
    };
    let run = |seed| -> Vec<Fate> {
        let mut link = Link::new(config, seed);
        (0..500).map(|tick| link.send(MS * tick, 700)).collect()
    };
    assert_eq!(run(42), run(42));
    assert_ne!(run(42), run(43));
}

#[test]
fn one_chance_does_not_shift_another() {
    let config = LinkConfig { loss: Chance::percent(20), ..LinkConfig::default() };
    let losses = |config| -> Vec<bool> {
        let mut link = Link::new(config, 9);
        (0..500).map(|tick| matches!(link.send(MS * tick, 700), Fate::Dropped(_))).collect()
    };
    let corrupting = LinkConfig { corruption: Chance::percent(30), jitter: MS, ..config };
    assert_eq!(losses(config), losses(corrupting));
    let reordering = LinkConfig { reordered: Chance::percent(30), reordering: MS, ..config };
    assert_eq!(losses(config), losses(reordering));
}
