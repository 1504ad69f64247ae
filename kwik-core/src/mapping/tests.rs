#![allow(clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;

use super::*;

const EDGE: PathId = PathId::new(1);
const OTHER: PathId = PathId::new(2);

fn stream(wire: u64) -> StreamId {
    StreamId::from_wire(wire).unwrap()
}

fn contribution(wire: u64, delegation: Option<u64>) -> StreamHeader {
    StreamHeader {
        stream: stream(wire),
        kind: CarrierKind::Contribution,
        delegation: delegation.map(DelegationId),
        promised: None,
    }
}

fn public(wire: u64) -> StreamHeader {
    StreamHeader { kind: CarrierKind::Public, ..contribution(wire, None) }
}

#[test]
fn what_arrives_is_routed_by_path_and_carrier() {
    let mut mapping = Mapping::new();
    mapping.create(EDGE, 3, contribution(0, Some(1))).unwrap();
    mapping.create(EDGE, 7, contribution(4, Some(2))).unwrap();
    mapping.create(OTHER, 3, contribution(8, Some(1))).unwrap();
    let routed = |path, carrier| mapping.route(path, carrier).map(|route| route.stream.value());
    assert_eq!(routed(EDGE, 3), Some(0));
    assert_eq!(routed(EDGE, 7), Some(4));
    assert_eq!(routed(OTHER, 3), Some(8), "carriers of two paths are two numberings");
    assert_eq!(routed(OTHER, 7), None);
}

#[test]
fn closing_a_carrier_leaves_the_stream_and_its_others() {
    let mut mapping = Mapping::new();
    mapping.create(EDGE, 3, contribution(0, Some(1))).unwrap();
    mapping.create(OTHER, 3, contribution(0, Some(2))).unwrap();
    assert_eq!(mapping.close(EDGE, 3).map(|route| route.stream), Some(stream(0)));
    assert_eq!(mapping.close(EDGE, 3), None);
    assert_eq!(mapping.carriers_of(stream(0)).collect::<Vec<_>>(), [(OTHER, 3)]);
    assert!(mapping.create(EDGE, 7, contribution(0, Some(1))).is_ok(), "its delegation is free");
}

#[test]
fn closing_a_stream_closes_all_its_carriers_and_no_other() {
    let mut mapping = Mapping::new();
    mapping.create(PathId::PRIMARY, 0, public(0)).unwrap();
    mapping.create(EDGE, 3, contribution(0, None)).unwrap();
    mapping.create(EDGE, 7, contribution(4, None)).unwrap();
    assert_eq!(mapping.close_stream(stream(0)), [(PathId::PRIMARY, 0), (EDGE, 3)]);
    assert_eq!(mapping.close_stream(stream(0)), []);
    assert_eq!(
        (mapping.len(), mapping.contributions_on(EDGE), mapping.count_of(stream(0))),
        (1, 1, 0)
    );
}

#[test]
fn closing_a_path_tells_what_its_carriers_carried() {
    let mut mapping = Mapping::new();
    mapping.create(EDGE, 3, contribution(0, Some(9))).unwrap();
    mapping.create(OTHER, 3, contribution(0, None)).unwrap();
    let closed = mapping.close_path(EDGE);
    assert_eq!(closed, [(3, contribution(0, Some(9)).into())]);
    assert_eq!((mapping.len(), mapping.contributions_on(EDGE)), (1, 0));
}

#[test]
fn duplicates_are_detected() {
    let mut mapping = Mapping::new();
    mapping.create(EDGE, 3, contribution(0, Some(1))).unwrap();
    let same = mapping.create(EDGE, 3, contribution(4, None)).unwrap_err();
    assert_eq!(same, MappingError::DuplicateCarrier { carrier: 3, known: stream(0) });
    let twice = mapping.create(EDGE, 7, contribution(0, Some(1))).unwrap_err();
    assert_eq!(twice, MappingError::DuplicateDelegation { delegation: DelegationId(1), known: 3 });
    mapping.create(PathId::PRIMARY, 4, public(0)).unwrap();
    let again = mapping.create(PathId::PRIMARY, 8, public(0)).unwrap_err();
    assert_eq!(again, MappingError::DuplicateStream { stream: stream(0), known: 4 });
    for error in [same, twice, again] {
        assert_eq!(error.code(), ErrorCode::Mapping);
    }
    assert_eq!(mapping.len(), 2, "what failed left nothing behind");
}

#[test]
fn a_frame_of_another_stream_is_detected() {
    let mut mapping = Mapping::new();
    mapping.create(EDGE, 3, contribution(0, None)).unwrap();
    assert!(mapping.check(EDGE, 3, stream(0)).is_ok());
    let (mapped, said) = (stream(0), stream(4));
    let error = MappingError::Disagrees { carrier: 3, mapped, said };
    assert_eq!(mapping.check(EDGE, 3, said), Err(error));
    assert_eq!(mapping.check(EDGE, 7, said), Err(MappingError::NotMapped { carrier: 7 }));
}

#[test]
fn a_carrier_carries_only_what_its_direction_allows() {
    let mut mapping = Mapping::new();
    let mut refused = |path, carrier, header| mapping.create(path, carrier, header).unwrap_err();
    assert_eq!(refused(EDGE, 1, public(1)), MappingError::PublicOnSecondary { path: EDGE });
    assert_eq!(
        refused(EDGE, 3, contribution(2, None)),
        MappingError::NotContributable { stream: stream(2) }
    );
    for carrier in [0, 1, 2] {
        let wrong = MappingError::WrongCarrier { carrier, stream: stream(0) };
        assert_eq!(refused(EDGE, carrier, contribution(0, None)), wrong);
    }
    let wrong = MappingError::WrongCarrier { carrier: 4, stream: stream(3) };
    assert_eq!(refused(PathId::PRIMARY, 4, public(3)), wrong);
    for wire in [0, 1, 3] {
        assert!(mapping.create(EDGE, 3 + 4 * wire, contribution(wire, None)).is_ok());
    }
}

#[test]
fn a_paths_contributions_have_a_bound_of_their_own() {
    let mut mapping = Mapping::new();
    for n in 0..Mapping::MAX_CONTRIBUTIONS as u64 {
        mapping.create(EDGE, 3 + 4 * n, contribution(0, None)).unwrap();
    }
    let error = mapping.create(EDGE, 400_003, contribution(0, None)).unwrap_err();
    assert_eq!(error, MappingError::Full { path: EDGE });
    assert_eq!(error.code(), ErrorCode::LimitExceeded);
    assert!(mapping.create(OTHER, 3, contribution(0, None)).is_ok());
    assert_eq!(mapping.snapshot(EDGE, &[]).len(), Mapping::MAX_SNAPSHOT);
}

#[test]
fn public_streams_are_bounded_by_the_sessions_limits_alone() {
    let mut mapping = Mapping::new();
    for index in 0..10_000 {
        mapping.create(PathId::PRIMARY, 4 * index, public(4 * index)).unwrap();
    }
    assert_eq!(mapping.contributions_on(PathId::PRIMARY), 0);
    assert!(mapping.create(PathId::PRIMARY, 3, contribution(0, None)).is_ok());
    mapping.close(PathId::PRIMARY, 0);
    assert_eq!(mapping.contributions_on(PathId::PRIMARY), 1);
}

#[test]
fn a_snapshot_answers_what_was_asked() {
    let mut mapping = Mapping::new();
    mapping.create(EDGE, 3, contribution(0, Some(5))).unwrap();
    mapping.create(EDGE, 7, contribution(4, None)).unwrap();
    let carriers = |asked: &[u64]| -> Vec<_> {
        mapping.snapshot(EDGE, asked).iter().map(|entry| entry.carrier).collect()
    };
    assert_eq!(carriers(&[]), [3, 7]);
    assert_eq!(carriers(&[7, 11]), [7]);
    assert_eq!(mapping.snapshot(EDGE, &[3])[0].delegation, Some(DelegationId(5)));
}

#[test]
fn three_kinds_of_unknown_stream_are_told_apart() {
    let limits = kwik_proto::frame::Limits {
        max_bidirectional_streams: 10,
        max_unidirectional_streams: 10,
        initial_window: 1,
    };
    let mut numbers = StreamNumbers::new(Initiator::Client, limits);
    numbers.handle_remote(stream(1), true);
    numbers.handle_remote(stream(9), false);
    numbers.handle_remote(stream(3), true);
    numbers.handle_closed(stream(3));
    let unknown = |wire| UnknownStream::of(stream(wire), &numbers);
    assert_eq!(unknown(1), None);
    assert_eq!(unknown(5), Some(UnknownStream::Announced));
    assert_eq!(unknown(9), Some(UnknownStream::Announced));
    assert_eq!(unknown(3), Some(UnknownStream::Closed));
    assert_eq!(unknown(13), Some(UnknownStream::Corrupt));
    assert_eq!(unknown(0), Some(UnknownStream::Corrupt));
}

proptest! {
    #[test]
    fn indices_agree_and_counts_return_to_zero(
        steps in prop::collection::vec((0_u8..5, 0_u16..3, 0_u64..12, 0_u64..12, 0_u64..6), 0..150),
    ) {
        let mut mapping = Mapping::new();
        for (kind, path, carrier, wire, delegation) in steps {
            let path = PathId::new(path);
            match kind {
                0 => drop(mapping.create(path, carrier, public(wire))),
                1 => drop(mapping.create(path, carrier, contribution(wire, Some(delegation)))),
                2 => drop(mapping.close(path, carrier)),
                3 => drop(mapping.close_stream(stream(wire))),
                _ => drop(mapping.close_path(path)),
            }
            for path in (0..3).map(PathId::new) {
                let kinds = mapping.on_path(path).map(|(_, route)| route.kind);
                let contributions = kinds.filter(|kind| *kind == CarrierKind::Contribution).count();
                prop_assert_eq!(mapping.contributions_on(path), contributions);
            }
            let by_stream: usize = (0..12).map(|wire| mapping.count_of(stream(wire))).sum();
            prop_assert_eq!(by_stream, mapping.len());
        }
        (0..3).for_each(|path| drop(mapping.close_path(PathId::new(path))));
        prop_assert!(mapping.is_empty() && mapping.carriers.is_empty());
        prop_assert!(mapping.contributions.is_empty() && mapping.delegations.is_empty());
    }
}
