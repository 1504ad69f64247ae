//! A primary's orders that name a hash: what waits for it, and what does not.

use super::*;
use crate::delegation::{Candidates, Local};
use crate::session::PrimarySession;
use crate::session::primary::{Output as PrimaryOutput, PathSpec};

const HASH: [u8; 32] = [9; 32];

/// A primary with these streams of the client delegated, number 0 with proof, and the edge added.
fn primary(edge: PathState, streams: &[u64]) -> PrimarySession {
    let (config, now) = (SessionConfig::default(), Instant::ZERO);
    let mut primary = PrimarySession::new(&config, &hello(), SESSION, 7, now).unwrap();
    let spec = PathSpec {
        addresses: vec!["198.51.100.1:443".parse().unwrap()],
        identity: ServerIdentity::Pin([1; 32]),
        grant_all: false,
    };
    assert_eq!(primary.add_path(spec, now), Ok(EDGE));
    if edge == PathState::Live {
        let (path, epoch, detail) = (EDGE, Epoch::FIRST, String::new());
        let result = AddPathResult { path, epoch, code: ErrorCode::None, detail };
        primary.handle_control(ControlFrame::AddPathResult(result), now);
    }
    for &id in streams {
        primary.handle_header(id + 4, stream(id)).unwrap();
        let window = StreamWindow { stream: stream(id), max_offset: offset(64 << 20) };
        primary.handle_control(ControlFrame::StreamWindow(window), now);
    }
    for &id in streams {
        let (part, resource) = (range(0, 32 << 20), Bytes::from(vec![id as u8]));
        let all = Candidates::All;
        primary.delegate(stream(id), part, resource, all, Local::Fallback, now).unwrap();
        if id == 0 {
            primary.prove(stream(id), part);
        }
    }
    primary
}

/// Streams, ids and hashes of what is ordered, and the ids of what is to be read.
#[derive(Debug, Default, PartialEq)]
struct Done {
    ordered: Vec<(StreamId, DelegationId, Option<[u8; 32]>)>,
    numbers: Vec<u64>,
    read: Vec<DelegationId>,
    supplied: Vec<StreamId>,
}

fn drain(primary: &mut PrimarySession, now: Instant) -> Done {
    let mut done = Done::default();
    for output in std::iter::from_fn(|| primary.poll_output(now)).take(10_000) {
        match output {
            PrimaryOutput::Sign(orders) => {
                done.numbers.push(orders.number);
                done.ordered.extend(orders.orders.iter().filter_map(|order| match order {
                    Order::Delegation(order) => Some((order.stream, order.id, order.blake3)),
                    _ => None,
                }));
            }
            PrimaryOutput::Prove { delegation, stream: of, .. } => {
                assert_eq!(of, stream(0));
                done.read.push(delegation);
            }
            PrimaryOutput::Supply { stream, .. } => done.supplied.push(stream),
            _ => {}
        }
    }
    done
}

#[test]
fn what_waits_for_a_hash_leaves_numbers_and_room_to_others() {
    let mut primary = primary(PathState::Live, &[0, 4]);
    let first = drain(&mut primary, Instant::ZERO);
    let plain =
        |done: &Done| done.ordered.iter().all(|(of, _, hash)| (*of, *hash) == (stream(4), None));
    assert!(!first.ordered.is_empty() && plain(&first), "{first:?}");
    let (waits, plain) = (first.read.len(), first.ordered.len());
    assert!(waits > 0 && plain >= 2, "as many are ordered as if nothing waited: {first:?}");
    let later = Instant::ZERO + ms(5);
    primary.handle_proof(first.read[0], Some(HASH), later);
    let second = drain(&mut primary, later);
    assert_eq!(second.ordered, [(stream(0), first.read[0], Some(HASH))]);
    let numbers: Vec<u64> = first.numbers.into_iter().chain(second.numbers).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
}

#[test]
fn a_copy_that_says_nothing_leaves_the_range_to_the_primary_and_comes_back() {
    let mut primary = primary(PathState::Live, &[0]);
    let first = drain(&mut primary, Instant::ZERO);
    assert!(first.supplied.is_empty(), "it is the last resort");
    let late = Instant::ZERO + ms(1000);
    primary.handle_timeout(late);
    let second = drain(&mut primary, late);
    assert!(second.supplied.contains(&stream(0)) && second.read.is_empty(), "{second:?}");
    assert_eq!(second.ordered, []);
    let answers = late + ms(10);
    assert!(!primary.handle_proof_read(first.read[0], answers), "nobody waits for it");
    let third = drain(&mut primary, answers);
    assert!(!third.read.is_empty(), "secondaries are asked again: {third:?}");
}

#[test]
fn a_path_that_is_still_dialled_is_not_asked_again_and_again() {
    let mut primary = primary(PathState::Dialing, &[0, 4]);
    for turn in 0..40 {
        let now = Instant::ZERO + ms(turn * 25);
        primary.handle_timeout(now);
        let done = drain(&mut primary, now);
        assert!(done.ordered.len() + done.read.len() < 1_000, "{turn}");
    }
}

#[test]
fn a_copy_is_wanted_until_its_range_was_read_long_ago() {
    let now = Instant::ZERO;
    let mut primary = primary(PathState::Live, &[0]);
    let first = range(0, 32 << 20);
    drain(&mut primary, now);
    let read = |primary: &mut PrimarySession, at: u64| {
        let progress = StreamProgress {
            stream: stream(0),
            read_offset: offset(at),
            contiguous_end: offset(at),
            held: Vec::new(),
            reader_waiting: false,
        };
        primary.handle_control(ControlFrame::StreamProgress(progress), now);
        drain(primary, now);
    };
    let segment = |n: u64| range((32 + n) << 20, (33 + n) << 20);
    read(&mut primary, 32 << 20);
    assert!(primary.wants_copy(stream(0), first), "bytes that were read lately may be in dispute");
    for n in 0..20 {
        let (resource, all) = (Bytes::from(vec![n as u8]), Candidates::All);
        let local = Local::Fallback;
        primary.delegate(stream(0), segment(n), resource, all, local, now).unwrap();
        primary.prove(stream(0), segment(n));
        assert!(primary.wants_copy(stream(0), segment(n)));
        drain(&mut primary, now);
        read(&mut primary, (33 + n) << 20);
    }
    assert!(!primary.wants_copy(stream(0), first) && !primary.wants_copy(stream(0), segment(18)));
    assert!(primary.wants_copy(stream(0), segment(19)));
    assert!(primary.provers.len() <= 3, "{} provers", primary.provers.len());
}
