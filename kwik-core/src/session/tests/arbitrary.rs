//! Frames and headers as a hostile peer makes them: small numbers that hit what exists, and the largest that the wire
//! can name.

use proptest::prelude::*;

use super::*;

pub(super) fn any_offset() -> impl Strategy<Value = Offset> {
    prop_oneof![
        4 => 0u64..200_000,
        1 => (1u64 << 62) - 70_000..1 << 62,
    ]
    .prop_map(offset)
}

pub(super) fn any_range() -> impl Strategy<Value = ByteRange> {
    prop_oneof![
        4 => (0u64..4, 0u64..4).prop_map(|(at, n)| range(at * 10_000, (at + n) * 10_000)),
        1 => (any_offset(), any_offset())
            .prop_map(|(a, b)| ByteRange::new(a.min(b), a.max(b)).unwrap()),
    ]
}

pub(super) fn any_stream() -> impl Strategy<Value = StreamId> {
    prop_oneof![
        6 => 0u64..12,
        2 => 0u64..1000,
        1 => (1u64 << 62) - 8..1 << 62,
    ]
    .prop_map(stream)
}

pub(super) fn any_path() -> impl Strategy<Value = PathId> {
    prop_oneof![6 => 0u16..4, 1 => any::<u16>()].prop_map(PathId::new)
}

pub(super) fn any_epoch() -> impl Strategy<Value = Epoch> {
    prop_oneof![6 => 1u32..4, 1 => any::<u32>()].prop_map(Epoch)
}

fn any_id() -> impl Strategy<Value = DelegationId> {
    prop_oneof![6 => 0u64..6, 1 => (1u64 << 62) - 2..1 << 62].prop_map(DelegationId)
}

pub(super) fn any_code() -> impl Strategy<Value = ErrorCode> {
    prop::sample::select(vec![
        ErrorCode::None,
        ErrorCode::ProtocolViolation,
        ErrorCode::FrameEncoding,
        ErrorCode::Unreachable,
        ErrorCode::IdentityMismatch,
        ErrorCode::Busy,
        ErrorCode::DataConflict,
    ])
}

fn any_reason() -> impl Strategy<Value = GapReason> {
    prop::sample::select(vec![
        GapReason::Late,
        GapReason::Refused,
        GapReason::PathGone,
        GapReason::Conflict,
        GapReason::Unassigned,
        GapReason::Busy,
    ])
}

fn any_limits() -> impl Strategy<Value = Limits> {
    let windows = prop_oneof![1u64..200_000, Just((1 << 62) - 1)];
    (0u32..300, 0u32..300, windows).prop_map(|(bidirectional, unidirectional, initial_window)| {
        Limits {
            max_bidirectional_streams: bidirectional,
            max_unidirectional_streams: unidirectional,
            initial_window,
        }
    })
}

pub(super) fn any_welcome() -> impl Strategy<Value = ControlFrame> {
    (any_limits(), 0u32..3, any::<bool>()).prop_map(|(limits, version, ours)| {
        let session = if ours { SESSION } else { SessionId([9; 16]) };
        ControlFrame::Welcome(Welcome { version, features: Vec::new(), limits, session })
    })
}

fn any_piece() -> impl Strategy<Value = Relay> {
    (any_path(), 0u64..3, any::<u32>(), 0u32..9000, 0usize..5000).prop_map(
        |(path, message_id, size, piece_offset, length)| Relay {
            path,
            message_id,
            message_size: if size % 2 == 0 { size } else { 8192 },
            piece_offset: piece_offset / 4096 * 4096,
            piece: vec![0; length].into(),
        },
    )
}

pub(super) fn any_order() -> impl Strategy<Value = Order> {
    prop_oneof![
        1 => (any_stream(), any_offset(), prop::option::of(any_offset()), any_offset()).prop_map(
            |(stream, start, end, max_offset)| Order::Grant(Grant {
                stream,
                start,
                end,
                max_offset
            })
        ),
        3 => (any_id(), any_stream(), any_range())
            .prop_map(|(id, stream, range)| delegation(id.0, stream, range)),
        1 => (any_stream(), prop::option::of(any_id()))
            .prop_map(|(stream, delegation)| Order::Revoke(Revoke { stream, delegation })),
        1 => any_piece().prop_map(Order::Relay),
    ]
}

pub(super) fn any_orders() -> impl Strategy<Value = Orders> {
    let orders = any_order_list();
    (any::<u8>(), 1u16..4, 1u32..4, 1u64..4, orders).prop_map(
        |(ours, path, epoch, number, orders)| {
            let session = if ours < 250 { SESSION } else { SessionId([9; 16]) };
            Orders { session, path: PathId::new(path), epoch: Epoch(epoch), number, orders }
        },
    )
}

/// Orders that a decoder lets through; what it does not is another crate's to test.
pub(super) fn any_order_list() -> impl Strategy<Value = Vec<Order>> {
    prop::collection::vec(any_order(), 1..4).prop_map(|mut orders| {
        let (session, path, epoch) = (SESSION, EDGE, Epoch::FIRST);
        orders.retain(|order| {
            let orders = vec![order.clone()];
            Orders { session, path, epoch, number: 1, orders }.validate().is_ok()
        });
        if orders.is_empty() {
            orders.push(Order::Revoke(Revoke { stream: stream(0), delegation: None }));
        }
        orders
    })
}

pub(super) fn any_header() -> impl Strategy<Value = StreamHeader> {
    let kind = prop_oneof![1 => Just(CarrierKind::Public), 3 => Just(CarrierKind::Contribution)];
    (any_stream(), kind, prop::option::of(any_id()), prop::option::of(any_range())).prop_map(
        |(stream, kind, delegation, promised)| StreamHeader { stream, kind, delegation, promised },
    )
}

fn any_state() -> impl Strategy<Value = PathState> {
    prop::sample::select(vec![
        PathState::Dialing,
        PathState::Proving,
        PathState::Live,
        PathState::Suspect,
        PathState::Draining,
        PathState::Gone,
    ])
}

fn any_delegation_state() -> impl Strategy<Value = DelegationState> {
    prop_oneof![
        Just(DelegationState::Accepted),
        Just(DelegationState::Pending),
        Just(DelegationState::Sent),
        any_reason().prop_map(DelegationState::Refused),
        any_reason().prop_map(DelegationState::Failed),
    ]
}

fn stream_frame() -> BoxedStrategy<ControlFrame> {
    prop_oneof![
        (any_stream(), any::<u64>(), any_offset()).prop_map(|(stream, code, final_size)| {
            ControlFrame::StreamReset(StreamReset { stream, error_code: code, final_size })
        }),
        (any_stream(), any::<u64>()).prop_map(|(stream, error_code)| {
            ControlFrame::StreamStop(StreamStop { stream, error_code })
        }),
        (any_stream(), any::<bool>()).prop_map(|(stream, complete)| {
            ControlFrame::StreamClosed(StreamClosed { stream, complete })
        }),
        (any_stream(), any_offset()).prop_map(|(stream, max_offset)| {
            ControlFrame::StreamWindow(StreamWindow { stream, max_offset })
        }),
        (any_stream(), any_offset()).prop_map(|(stream, max_offset)| {
            ControlFrame::StreamBlocked(StreamBlocked { stream, max_offset })
        }),
        any_progress(),
        (
            any_stream(),
            any_range(),
            any_reason(),
            prop::option::of(any_path()),
            prop::option::of(any_id())
        )
            .prop_map(|(stream, range, reason, path, delegation)| {
                ControlFrame::Gap(Gap { stream, range, reason, path, delegation })
            }),
    ]
    .boxed()
}

fn any_progress() -> impl Strategy<Value = ControlFrame> {
    let held = (any_range(), any_path()).prop_map(|(range, path)| HeldRange { range, path });
    let held = prop::collection::vec(held, 0..4);
    (any_stream(), any_offset(), any_offset(), held, any::<bool>()).prop_map(
        |(stream, read_offset, contiguous_end, held, reader_waiting)| {
            ControlFrame::StreamProgress(StreamProgress {
                stream,
                read_offset,
                contiguous_end,
                held,
                reader_waiting,
            })
        },
    )
}

fn path_frame() -> BoxedStrategy<ControlFrame> {
    prop_oneof![
        3 => (any_path(), 0u32..4).prop_map(|(path, epoch)| add_path(path, epoch)),
        1 => (any_path(), any_epoch(), any_code()).prop_map(|(path, epoch, code)| {
            ControlFrame::AddPathResult(AddPathResult { path, epoch, code, detail: "x".into() })
        }),
        1 => (any_path(), any::<u32>()).prop_map(|(path, drain_ms)| {
            ControlFrame::RemovePath(RemovePath { path, drain_ms })
        }),
        1 => (any_path(), any_epoch(), any_state(), any::<u64>()).prop_map(
            |(path, epoch, state, number)| ControlFrame::PathStatus(PathStatus {
                path,
                epoch,
                state,
                reason: None,
                smoothed_rtt_us: number,
                rtt_variation_us: number,
                received_bytes: number,
                busy_us: number,
            })
        ),
        1 => (any_path(), any_epoch()).prop_map(|(path, epoch)| {
            ControlFrame::TokenRequest(TokenRequest { path, epoch })
        }),
        4 => any_orders().prop_map(|orders| {
            let body = orders.encode();
            let signature = [0; 64];
            ControlFrame::Orders(SignedOrders { body, signature, key_id: String::new() })
        }),
        1 => (any_path(), any_id(), any_delegation_state()).prop_map(|(path, delegation, state)| {
            ControlFrame::DelegationStatus(DelegationStatus { path, delegation, state })
        }),
        1 => any_piece().prop_map(ControlFrame::Relay),
        1 => (any_path(), any::<u64>()).prop_map(|(path, max_bytes)| {
            ControlFrame::RelayCredit(RelayCredit { path, max_bytes })
        }),
    ]
    .boxed()
}

fn session_frame() -> BoxedStrategy<ControlFrame> {
    let entry = (0u64..4, any_header()).prop_map(|(carrier, header)| Mapping {
        carrier,
        stream: header.stream,
        delegation: header.delegation,
        promised: header.promised,
    });
    prop_oneof![
        1 => Just(ControlFrame::Hello(hello())),
        1 => any_welcome(),
        1 => (any_code(), prop::option::of(any::<u32>())).prop_map(|(code, retry_after_ms)| {
            ControlFrame::Refuse(Refuse { code, reason: "x".into(), retry_after_ms })
        }),
        4 => (any::<u64>(), prop::collection::vec(0u64..8, 0..4)).prop_map(|(query, carriers)| {
            ControlFrame::MappingQuery(MappingQuery { query, carriers })
        }),
        8 => (0u64..4, prop::collection::vec(entry, 0..4)).prop_map(|(query, mappings)| {
            ControlFrame::MappingSnapshot(MappingSnapshot { query, mappings })
        }),
        4 => any::<u64>().prop_map(|nonce| ControlFrame::Ping(Ping { nonce })),
        4 => any::<u64>().prop_map(|nonce| ControlFrame::Pong(Pong { nonce })),
        1 => any_code().prop_map(|code| {
            ControlFrame::SessionClose(SessionClose {
                code,
                application_code: None,
                reason: "x".into(),
            })
        }),
    ]
    .boxed()
}

/// Every kind of frame, whoever may send it.
pub(super) fn any_frame() -> BoxedStrategy<ControlFrame> {
    prop_oneof![4 => stream_frame(), 4 => path_frame(), 1 => session_frame()]
        .prop_map(|frame| match frame.validate() {
            Ok(()) => frame,
            // A decoder refuses it before a session sees it.
            Err(_) => ControlFrame::Ping(Ping { nonce: 1 }),
        })
        .boxed()
}

/// Those that an honest primary might send: a session that is closed by the first frame shows little.
pub(super) fn from_primary() -> BoxedStrategy<ControlFrame> {
    any_frame()
        .prop_filter("ends the session at once", |frame| {
            !matches!(
                frame,
                ControlFrame::Hello(_)
                    | ControlFrame::Refuse(_)
                    | ControlFrame::SessionClose(_)
                    | ControlFrame::StreamProgress(_)
                    | ControlFrame::Gap(_)
                    | ControlFrame::PathStatus(_)
                    | ControlFrame::AddPathResult(_)
                    | ControlFrame::TokenRequest(_)
                    | ControlFrame::DelegationStatus(_)
                    | ControlFrame::Relay(_)
                    | ControlFrame::MappingQuery(_)
            )
        })
        .boxed()
}

/// Those that a client sends to a secondary.
pub(super) fn from_client() -> BoxedStrategy<ControlFrame> {
    prop_oneof![
        (any_stream(), any_offset()).prop_map(|(stream, max_offset)| {
            ControlFrame::StreamWindow(StreamWindow { stream, max_offset })
        }),
        (any_stream(), any::<bool>()).prop_map(|(stream, complete)| {
            ControlFrame::StreamClosed(StreamClosed { stream, complete })
        }),
        any::<u64>().prop_map(|max_bytes| {
            ControlFrame::RelayCredit(RelayCredit { path: EDGE, max_bytes })
        }),
        prop::collection::vec(0u64..8, 0..4).prop_map(|carriers| {
            ControlFrame::MappingQuery(MappingQuery { query: 1, carriers })
        }),
    ]
    .boxed()
}
