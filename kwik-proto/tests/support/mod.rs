//! Frames at random, every variant and every field, up to its limits.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use kwik_proto::control::limits::*;
use kwik_proto::data::{self, DataHeader};
use kwik_proto::frame::*;
use kwik_proto::id::MAX_VARINT;
use kwik_proto::{ByteRange, DelegationId, Epoch, Offset, PathId, SessionId, StreamId};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// Numbers of the wire: small ones, those around a varint's steps, and any.
pub(crate) fn number() -> impl Strategy<Value = u64> {
    let steps =
        prop::sample::select(vec![0, 1, 127, 128, 16_383, 16_384, MAX_VARINT - 1, MAX_VARINT]);
    prop_oneof![steps, 0..1000u64, 0..=MAX_VARINT]
}

pub(crate) fn any_u64() -> impl Strategy<Value = u64> {
    prop_oneof![number(), any::<u64>()]
}

pub(crate) fn stream() -> impl Strategy<Value = StreamId> {
    number().prop_map(|id| StreamId::from_wire(id).unwrap())
}

pub(crate) fn offset() -> impl Strategy<Value = Offset> {
    number().prop_map(|value| Offset::new(value).unwrap())
}

pub(crate) fn range() -> impl Strategy<Value = ByteRange> {
    (offset(), offset()).prop_map(|(a, b)| ByteRange::new(a.min(b), a.max(b)).unwrap())
}

fn path() -> impl Strategy<Value = PathId> {
    any::<u16>().prop_map(PathId::new)
}

fn secondary() -> impl Strategy<Value = PathId> {
    (1..=u16::MAX).prop_map(PathId::new)
}

fn epoch() -> impl Strategy<Value = Epoch> {
    (1..=u32::MAX).prop_map(Epoch)
}

fn delegation() -> impl Strategy<Value = DelegationId> {
    number().prop_map(DelegationId)
}

fn bytes(most: usize) -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..=most).prop_map(Bytes::from)
}

/// Texts as they are once they were received.
fn text(most: usize) -> impl Strategy<Value = String> {
    vec(any::<char>(), 0..=most / 4).prop_map(move |text| {
        let mut text = kwik_proto::sanitized(&String::from_iter(text)).to_string();
        text.truncate(text.floor_char_boundary(most));
        text
    })
}

fn token() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9._-]{1,200}"
}

fn code() -> impl Strategy<Value = ErrorCode> {
    prop::sample::select(ErrorCode::ALL.to_vec())
}

fn gap_reason() -> impl Strategy<Value = GapReason> {
    use GapReason::*;
    prop::sample::select(vec![
        Late,
        Refused,
        Reset,
        PathGone,
        PathSuspect,
        Corrupt,
        Stale,
        NotFound,
        Busy,
        Conflict,
        Revoked,
        Unassigned,
        SourceFailed,
    ])
}

fn limits() -> impl Strategy<Value = Limits> {
    let window = MIN_INITIAL_WINDOW..=MAX_VARINT;
    (0..=MAX_STREAMS, 0..=MAX_STREAMS, window).prop_map(|(bidi, uni, window)| Limits {
        max_bidirectional_streams: bidi,
        max_unidirectional_streams: uni,
        initial_window: window,
    })
}

fn hello() -> impl Strategy<Value = Hello> {
    let admission = (token(), any::<[u8; 64]>())
        .prop_map(|(token, proof)| Admission { token: token.into(), proof });
    let versions = vec(any::<u32>(), 1..=MAX_VERSIONS);
    let features = vec(any::<u32>(), 0..=MAX_FEATURES);
    (versions, features, limits(), option::of(any::<[u8; 32]>()), option::of(admission)).prop_map(
        |(versions, features, limits, confirmation_key, admission)| Hello {
            versions,
            features,
            limits,
            confirmation_key,
            admission,
        },
    )
}

fn welcome() -> impl Strategy<Value = Welcome> {
    let features = vec(any::<u32>(), 0..=MAX_FEATURES);
    (1..=u32::MAX, features, limits(), any::<[u8; 16]>()).prop_map(
        |(version, features, limits, session)| Welcome {
            version,
            features,
            limits,
            session: SessionId(session),
        },
    )
}

fn refuse() -> impl Strategy<Value = Refuse> {
    (code(), text(MAX_TEXT), option::of(any::<u32>()))
        .prop_map(|(code, reason, retry_after_ms)| Refuse { code, reason, retry_after_ms })
}

fn address() -> impl Strategy<Value = SocketAddr> {
    let ip = prop_oneof![
        any::<[u8; 4]>().prop_map(std::net::IpAddr::from),
        any::<[u8; 16]>().prop_map(std::net::IpAddr::from)
    ];
    (ip, 1..=u16::MAX).prop_map(SocketAddr::from)
}

fn add_path() -> impl Strategy<Value = AddPath> {
    let identity = prop_oneof![
        any::<[u8; 32]>().prop_map(ServerIdentity::Pin),
        "[a-z0-9.-]{1,253}".prop_map(ServerIdentity::Name)
    ];
    let addresses = vec(address(), 1..=MAX_ADDRESSES);
    (secondary(), epoch(), addresses, identity, token()).prop_map(
        |(path, epoch, addresses, identity, token)| AddPath {
            path,
            epoch,
            addresses,
            identity,
            token: token.into(),
        },
    )
}

fn add_path_result() -> impl Strategy<Value = AddPathResult> {
    (secondary(), epoch(), code(), text(MAX_TEXT))
        .prop_map(|(path, epoch, code, detail)| AddPathResult { path, epoch, code, detail })
}

fn path_status() -> impl Strategy<Value = PathStatus> {
    use PathState::*;
    let state = prop::sample::select(vec![Dialing, Proving, Live, Suspect, Draining, Gone]);
    let numbers = [any_u64().boxed(), any_u64().boxed(), any_u64().boxed(), any_u64().boxed()];
    (path(), epoch(), state, option::of(code()), numbers).prop_map(
        |(path, epoch, state, reason, [smoothed_rtt_us, rtt_variation_us, received, busy_us])| {
            PathStatus {
                path,
                epoch,
                state,
                reason,
                smoothed_rtt_us,
                rtt_variation_us,
                received_bytes: received,
                busy_us,
            }
        },
    )
}

fn signed_orders() -> impl Strategy<Value = SignedOrders> {
    (bytes(2000), any::<[u8; 64]>(), text(MAX_KEY_ID))
        .prop_map(|(body, signature, key_id)| SignedOrders { body, signature, key_id })
}

fn delegation_status() -> impl Strategy<Value = DelegationStatus> {
    let state = prop_oneof![
        Just(DelegationState::Accepted),
        Just(DelegationState::Pending),
        Just(DelegationState::Sent),
        gap_reason().prop_map(DelegationState::Refused),
        gap_reason().prop_map(DelegationState::Failed),
    ];
    (path(), delegation(), state).prop_map(|(path, delegation, state)| DelegationStatus {
        path,
        delegation,
        state,
    })
}

fn progress() -> impl Strategy<Value = StreamProgress> {
    let held = (range(), path()).prop_map(|(range, path)| HeldRange { range, path });
    (stream(), offset(), offset(), vec(held, 0..=MAX_HELD), any::<bool>()).prop_map(
        |(stream, read_offset, contiguous_end, held, reader_waiting)| StreamProgress {
            stream,
            read_offset,
            contiguous_end,
            held,
            reader_waiting,
        },
    )
}

fn gap() -> impl Strategy<Value = Gap> {
    (stream(), range(), gap_reason(), option::of(path()), option::of(delegation())).prop_map(
        |(stream, range, reason, path, delegation)| Gap { stream, range, reason, path, delegation },
    )
}

fn relay() -> impl Strategy<Value = Relay> {
    let place = 0..=MAX_RELAY_MESSAGE - MAX_RELAY_PIECE as u32;
    let piece = vec(any::<u8>(), 1..=MAX_RELAY_PIECE).prop_map(Bytes::from);
    (path(), any_u64(), place, piece).prop_map(|(path, message_id, piece_offset, piece)| Relay {
        path,
        message_id,
        message_size: piece_offset + piece.len() as u32,
        piece_offset,
        piece,
    })
}

fn snapshot() -> impl Strategy<Value = MappingSnapshot> {
    let mapping = (number(), stream(), option::of(delegation()), option::of(range())).prop_map(
        |(carrier, stream, delegation, promised)| Mapping { carrier, stream, delegation, promised },
    );
    (any_u64(), vec(mapping, 0..40))
        .prop_map(|(query, mappings)| MappingSnapshot { query, mappings })
}

fn session_close() -> impl Strategy<Value = SessionClose> {
    (code(), option::of(number()), text(MAX_TEXT)).prop_map(|(code, application_code, reason)| {
        SessionClose { code, application_code, reason }
    })
}

/// Any control frame.
pub(crate) fn control_frame() -> impl Strategy<Value = ControlFrame> {
    use ControlFrame as F;
    let drain = (secondary(), 0..=MAX_DRAIN_MS);
    let set_up = prop_oneof![
        hello().prop_map(F::Hello),
        welcome().prop_map(F::Welcome),
        refuse().prop_map(F::Refuse),
        add_path().prop_map(F::AddPath),
        add_path_result().prop_map(F::AddPathResult),
        drain.prop_map(|(path, drain_ms)| F::RemovePath(RemovePath { path, drain_ms })),
        path_status().prop_map(F::PathStatus),
        (secondary(), epoch())
            .prop_map(|(path, epoch)| F::TokenRequest(TokenRequest { path, epoch })),
    ];
    let streams = prop_oneof![
        (stream(), number(), offset()).prop_map(|(stream, error_code, final_size)| {
            F::StreamReset(StreamReset { stream, error_code, final_size })
        }),
        (stream(), number())
            .prop_map(|(stream, error_code)| F::StreamStop(StreamStop { stream, error_code })),
        (stream(), any::<bool>())
            .prop_map(|(stream, complete)| F::StreamClosed(StreamClosed { stream, complete })),
        (stream(), offset())
            .prop_map(|(stream, max_offset)| F::StreamWindow(StreamWindow { stream, max_offset })),
        (stream(), offset()).prop_map(|(stream, max_offset)| {
            F::StreamBlocked(StreamBlocked { stream, max_offset })
        }),
        progress().prop_map(F::StreamProgress),
        gap().prop_map(F::Gap),
    ];
    let rest = prop_oneof![
        signed_orders().prop_map(F::Orders),
        delegation_status().prop_map(F::DelegationStatus),
        relay().prop_map(F::Relay),
        (path(), any_u64())
            .prop_map(|(path, max_bytes)| F::RelayCredit(RelayCredit { path, max_bytes })),
        (any_u64(), vec(number(), 0..=MAX_QUERIED))
            .prop_map(|(query, carriers)| { F::MappingQuery(MappingQuery { query, carriers }) }),
        snapshot().prop_map(F::MappingSnapshot),
        any_u64().prop_map(|nonce| F::Ping(Ping { nonce })),
        any_u64().prop_map(|nonce| F::Pong(Pong { nonce })),
        session_close().prop_map(F::SessionClose),
        any::<u32>().prop_map(|grace_ms| F::GoAway(GoAway { grace_ms })),
    ];
    prop_oneof![set_up, streams, rest]
}

/// Any orders.
pub(crate) fn orders() -> impl Strategy<Value = Orders> {
    let grant = (stream(), range(), any::<bool>(), offset()).prop_map(
        |(stream, range, bounded, max_offset)| {
            let end = bounded.then_some(range.end());
            Order::Grant(Grant { stream, start: range.start(), end, max_offset })
        },
    );
    let rank =
        (any::<i32>(), any::<bool>()).prop_map(|(priority, urgent)| Rank { priority, urgent });
    let hash = option::of(any::<[u8; 32]>());
    let delegated = (delegation(), stream(), range(), bytes(500), hash, rank).prop_map(
        |(id, stream, range, resource, blake3, rank)| {
            Order::Delegation(Delegation { id, stream, range, resource, blake3, rank })
        },
    );
    let revoke = (stream(), option::of(delegation()))
        .prop_map(|(stream, delegation)| Order::Revoke(Revoke { stream, delegation }));
    let order = prop_oneof![grant, delegated, revoke, relay().prop_map(Order::Relay)];
    (any::<[u8; 16]>(), secondary(), epoch(), 1..u64::MAX, vec(order, 1..8)).prop_map(
        |(session, path, epoch, number, orders)| Orders {
            session: SessionId(session),
            path,
            epoch,
            number,
            orders,
        },
    )
}

/// Any header of a carrier of that kind.
pub(crate) fn stream_header(kind: CarrierKind) -> impl Strategy<Value = StreamHeader> {
    (stream(), option::of(delegation()), option::of(range())).prop_map(
        move |(stream, delegation, promised)| StreamHeader { stream, kind, delegation, promised },
    )
}

/// A data frame with its payload, as a sender has it.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) offset: Offset,
    pub(crate) fin: bool,
    pub(crate) payload: Vec<u8>,
}

/// Any frame for a carrier of that kind.
pub(crate) fn data_frame(kind: CarrierKind) -> impl Strategy<Value = Frame> {
    let length = prop_oneof![0..100usize, 0..5000usize];
    let payload = length.prop_flat_map(|length| vec(any::<u8>(), length));
    (offset(), any::<bool>(), payload).prop_map(move |(offset, fin, payload)| Frame {
        offset: Offset::new(offset.value().min(MAX_VARINT - payload.len() as u64)).unwrap(),
        fin: fin && kind == CarrierKind::Public,
        payload,
    })
}

/// A whole carrier: its header, and some frames.
pub(crate) fn carrier(kind: CarrierKind) -> impl Strategy<Value = (StreamHeader, Vec<Frame>)> {
    (stream_header(kind), vec(data_frame(kind), 0..6))
}

pub(crate) fn any_carrier() -> impl Strategy<Value = (StreamHeader, Vec<Frame>)> {
    prop_oneof![carrier(CarrierKind::Public), carrier(CarrierKind::Contribution)]
}

/// The bytes of a frame on a carrier with that header.
pub(crate) fn encode_frame(header: &StreamHeader, frame: &Frame, out: &mut BytesMut) {
    let Frame { offset, fin, payload } = frame;
    let (stream, length) = (header.stream, payload.len());
    let crc32c = match header.kind {
        CarrierKind::Public => None,
        CarrierKind::Contribution => {
            Some(data::checksum(stream, *offset, *fin, length, [&payload[..]]))
        }
    };
    DataHeader { stream, offset: *offset, fin: *fin, length, crc32c }.encode(out);
    out.extend_from_slice(payload);
}

/// The bytes of a carrier.
pub(crate) fn encode_carrier(header: &StreamHeader, frames: &[Frame]) -> Bytes {
    let mut out = BytesMut::new();
    data::encode_stream_header(header, &mut out);
    for frame in frames {
        encode_frame(header, frame, &mut out);
    }
    out.freeze()
}

/// Cuts the bytes at those places (taken modulo the length).
pub(crate) fn split(bytes: &Bytes, cuts: &[usize]) -> Vec<Bytes> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| bytes.slice(pair[0]..pair[1])).collect()
}
