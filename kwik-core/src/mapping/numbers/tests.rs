#![allow(clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;

use super::*;

fn limits(bidirectional: u32, unidirectional: u32) -> Limits {
    Limits {
        max_bidirectional_streams: bidirectional,
        max_unidirectional_streams: unidirectional,
        initial_window: 1,
    }
}

fn client() -> StreamNumbers {
    let mut numbers = StreamNumbers::new(Initiator::Client, limits(4, 4));
    numbers.set_peer_limits(limits(2, 1));
    numbers
}

fn id(wire: u64) -> StreamId {
    StreamId::from_wire(wire).unwrap()
}

fn ids(wire: &[u64]) -> Vec<StreamId> {
    wire.iter().copied().map(id).collect()
}

fn opened(created: &[u64], accepted: &[u64]) -> RemoteId {
    RemoteId::Opened { created: ids(created), accepted: ids(accepted) }
}

#[test]
fn own_streams_count_up_within_the_peers_limit() {
    let mut numbers = client();
    assert_eq!(numbers.open_local(StreamKind::Bidirectional), Some(id(0)));
    assert_eq!(numbers.open_local(StreamKind::Bidirectional), Some(id(4)));
    assert_eq!(numbers.open_local(StreamKind::Bidirectional), None);
    assert_eq!(numbers.open_local(StreamKind::Unidirectional), Some(id(2)));
    assert!(numbers.handle_closed(id(0)));
    assert_eq!(numbers.open_local(StreamKind::Bidirectional), Some(id(8)));
}

#[test]
fn before_the_peers_limits_the_early_streams_may_be_opened() {
    let mut numbers = StreamNumbers::new(Initiator::Server, limits(9, 9));
    for index in 0..u64::from(StreamNumbers::EARLY) {
        assert_eq!(numbers.open_local(StreamKind::Bidirectional), Some(id(4 * index + 1)));
    }
    assert_eq!(numbers.open_local(StreamKind::Bidirectional), None);
    numbers.set_peer_limits(limits(17, 1));
    assert_eq!(numbers.open_local(StreamKind::Bidirectional), Some(id(65)));
}

#[test]
fn a_header_opens_all_lower_ids_of_its_kind_alone() {
    let mut numbers = client();
    assert_eq!(numbers.handle_remote(id(9), true), opened(&[1, 5, 9], &[1, 5, 9]));
    assert_eq!(numbers.handle_remote(id(5), true), RemoteId::Open);
    assert_eq!(numbers.standing(id(3)), Standing::Never);
    assert_eq!(numbers.handle_remote(id(13), true), opened(&[13], &[13]));
}

#[test]
fn a_grant_makes_a_stream_and_the_header_shows_it() {
    let mut numbers = client();
    assert_eq!(numbers.handle_remote(id(5), false), opened(&[1, 5], &[]));
    assert_eq!(numbers.standing(id(1)), Standing::Announced);
    assert_eq!(numbers.handle_remote(id(5), false), RemoteId::Open);
    assert_eq!(numbers.handle_remote(id(1), true), opened(&[], &[1]));
    assert_eq!(numbers.standing(id(1)), Standing::Open);
    assert_eq!(numbers.standing(id(5)), Standing::Announced);
    assert_eq!(numbers.handle_remote(id(9), true), opened(&[9], &[5, 9]));
}

#[test]
fn a_stream_that_was_over_before_it_was_shown_is_passed_over() {
    let mut numbers = client();
    numbers.handle_remote(id(5), false);
    numbers.handle_closed(id(1));
    assert_eq!(numbers.handle_remote(id(5), true), opened(&[], &[5]));
}

#[test]
fn a_closed_stream_stays_closed() {
    let mut numbers = client();
    numbers.handle_remote(id(5), true);
    assert!(numbers.handle_closed(id(1)));
    assert!(!numbers.handle_closed(id(1)));
    assert_eq!(numbers.standing(id(1)), Standing::Closed);
    assert_eq!(numbers.handle_remote(id(1), true), RemoteId::Closed);
    assert!(numbers.was_opened(id(1)));
}

#[test]
fn the_peer_cannot_use_our_numbers() {
    let mut numbers = client();
    numbers.open_local(StreamKind::Bidirectional);
    assert_eq!(numbers.handle_remote(id(0), true), RemoteId::Open);
    assert_eq!(numbers.handle_remote(id(4), true), RemoteId::Unknown);
    assert!(!numbers.was_opened(id(4)));
    numbers.handle_closed(id(0));
    assert_eq!(numbers.handle_remote(id(0), false), RemoteId::Closed);
}

#[test]
fn more_than_anybody_may_have_under_way_is_refused_before_any_is_made() {
    let mut numbers = client();
    for index in [16, 17, (1 << 60) - 1] {
        let far = StreamId::new(Initiator::Server, StreamKind::Bidirectional, index).unwrap();
        assert_eq!(numbers.handle_remote(far, true), RemoteId::LimitExceeded);
    }
    assert_eq!(numbers.open_count(Initiator::Server, StreamKind::Bidirectional), 0);
}

#[test]
fn headers_beyond_twice_the_limit_wait_for_those_before_them() {
    let mut numbers = client();
    let server =
        |index| StreamId::new(Initiator::Server, StreamKind::Bidirectional, index).unwrap();
    assert!(matches!(numbers.handle_remote(server(15), true), RemoteId::Opened { .. }));
    for index in [18, 16] {
        assert_eq!(numbers.handle_remote(server(index), true), RemoteId::Wait);
        numbers.wait(server(index));
    }
    assert_eq!(numbers.take_admissible(), None);
    numbers.handle_closed(server(3));
    assert_eq!(numbers.take_admissible(), Some(server(16)));
    assert_eq!(numbers.handle_remote(server(16), true), opened(&[65], &[65]));
    assert_eq!(numbers.take_admissible(), None);
    numbers.handle_closed(server(4));
    assert_eq!(numbers.take_admissible(), None, "17 and 18 are two");
    numbers.handle_closed(server(5));
    assert_eq!(numbers.take_admissible(), Some(server(18)));
    assert_eq!(numbers.handle_remote(server(18), true), opened(&[69, 73], &[69, 73]));
    assert_eq!(numbers.take_admissible(), None);
}

#[test]
fn one_that_waits_is_let_in_once_a_frame_made_it() {
    let mut numbers = client();
    let server =
        |index| StreamId::new(Initiator::Server, StreamKind::Bidirectional, index).unwrap();
    numbers.handle_remote(server(15), true);
    assert_eq!(numbers.handle_remote(server(16), true), RemoteId::Wait);
    numbers.wait(server(16));
    numbers.handle_closed(server(0));
    assert!(matches!(numbers.handle_remote(server(16), false), RemoteId::Opened { .. }));
    assert_eq!(numbers.take_admissible(), Some(server(16)));
}

proptest! {
    #[test]
    fn every_id_is_made_once_and_accepted_at_most_once_in_order(
        steps in prop::collection::vec((0_u64..100, 0_u8..3), 0..120),
    ) {
        let mut numbers = client();
        let (mut created, mut accepted) = (Vec::new(), Vec::new());
        for (wire, what) in steps {
            if what == 2 {
                numbers.handle_closed(id(wire));
                continue;
            }
            if let RemoteId::Opened { created: more, accepted: seen } =
                numbers.handle_remote(id(wire), what == 1)
            {
                prop_assert!(!more.is_empty() || !seen.is_empty());
                created.extend(more);
                accepted.extend(seen);
            }
        }
        for kind in [1, 3] {
            let of_kind = |all: &[StreamId]| -> Vec<u64> {
                all.iter().filter(|id| id.value() & 3 == kind).map(|id| id.index()).collect()
            };
            let made = of_kind(&created);
            prop_assert_eq!(&made, &(0..made.len() as u64).collect::<Vec<_>>());
            prop_assert!(of_kind(&accepted).is_sorted_by(|one, next| one < next));
        }
        prop_assert!(created.iter().all(|id| id.initiator() == Initiator::Server));
    }
}
