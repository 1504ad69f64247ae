//! Which stream is handed out first, and what is urgent.

use kwik_proto::frame::Rank;

use super::*;

/// Ranks of what is asked of secondaries, by stream, in the order of asking.
fn ranks(scheduler: &mut Scheduler, now: Instant) -> Vec<(StreamId, PathId, ByteRange, Rank)> {
    std::iter::from_fn(|| scheduler.poll(now))
        .filter_map(|decision| match decision {
            Decision::Delegate { path, delegation } => {
                Some((delegation.stream, path, delegation.range, delegation.rank))
            }
            _ => None,
        })
        .collect()
}

#[test]
fn a_stream_of_a_higher_priority_is_handed_out_first() {
    let mut bench = Bench::new(64 * MIB, Candidates::All, Local::None);
    let (low, scheduler) = (bench.stream, &mut bench.scheduler);
    let high = StreamId::from_wire(4).unwrap();
    scheduler.handle_window(high, Offset::new(16 * MIB).unwrap(), at(0));
    scheduler.set_priority(high, 3);
    let resource = Bytes::from_static(b"r");
    let all = Candidates::All;
    scheduler.delegate(high, range(0, 64 * MIB), resource, all, Local::None, at(0)).unwrap();
    let asked = ranks(scheduler, at(0));
    assert!(!asked.is_empty());
    for (stream, _, _, rank) in &asked {
        assert_eq!((*stream, *rank), (high, Rank { priority: 3, urgent: false }));
    }
    // As soon as it is like the other, they take turns.
    let mut bench = Bench::new(64 * MIB, Candidates::All, Local::None);
    let scheduler = &mut bench.scheduler;
    scheduler.handle_window(high, Offset::new(16 * MIB).unwrap(), at(0));
    scheduler.set_priority(high, 3);
    scheduler.set_priority(high, 0);
    let (resource, all) = (Bytes::from_static(b"r"), Candidates::All);
    scheduler.delegate(high, range(0, 64 * MIB), resource, all, Local::None, at(0)).unwrap();
    let asked = ranks(scheduler, at(0));
    for wanted in [low, high] {
        assert!(asked.iter().any(|(stream, ..)| *stream == wanted), "{asked:?}");
    }
}

#[test]
fn a_stream_of_a_higher_priority_without_a_window_keeps_nobody_waiting() {
    let mut bench = Bench::new(64 * MIB, Candidates::All, Local::None);
    let (low, scheduler) = (bench.stream, &mut bench.scheduler);
    let high = StreamId::from_wire(4).unwrap();
    scheduler.set_priority(high, 3);
    let (resource, all) = (Bytes::from_static(b"r"), Candidates::All);
    scheduler.delegate(high, range(0, 64 * MIB), resource, all, Local::None, at(0)).unwrap();
    let asked = ranks(scheduler, at(0));
    assert!(!asked.is_empty());
    assert!(asked.iter().all(|(stream, ..)| *stream == low), "{asked:?}");
}

#[test]
fn what_the_reader_stands_at_is_urgent_once_somebody_failed_to_send_it() {
    let mut bench = Bench::new(64 * MIB, Candidates::All, Local::None);
    let first = ranks(&mut bench.scheduler, at(0));
    assert!(first.iter().all(|(.., rank)| !rank.urgent), "nobody has failed yet: {first:?}");
    let (_, path, head, _) =
        *first.iter().find(|(_, _, range, _)| range.start() == Offset::ZERO).unwrap();
    // The reader waits at the first byte, and the other path has room again.
    let others = first.iter().filter(|(_, other, ..)| *other != path);
    let delivered: Vec<_> = others.map(|&(_, other, range, _)| (range, other)).collect();
    bench.held(0, &delivered);
    bench.state(path, PathState::Gone);
    let again = ranks(&mut bench.scheduler, at(0));
    let of = |urgent: bool| again.iter().filter(move |(.., rank)| rank.urgent == urgent);
    let urgent: Vec<_> = of(true).collect();
    assert_eq!(urgent.len(), 1, "{again:?}");
    assert!(urgent[0].1 != path && head.contains(urgent[0].2.start()), "{again:?}");
}
