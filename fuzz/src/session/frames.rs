//! Control frames as a peer makes them: of every kind, with numbers that hit what exists.

use bytes::Bytes;
use kwik_proto::SessionId;
use kwik_proto::control::ControlDecoder;
use kwik_proto::frame::*;

use super::input::Input;

pub(super) const SESSION: SessionId = SessionId([7; 16]);

/// Streams that the fuzzed end lets its peer open: few, so that the limit is met.
pub(super) const STREAMS: u32 = 6;

/// What a decoder made of the input's own bytes.
pub(super) fn raw(input: &mut Input<'_>) -> Vec<ControlFrame> {
    let mut decoder = ControlDecoder::new();
    decoder.push(input.piece());
    let mut frames = Vec::new();
    while let Ok(Some(frame)) = decoder.poll() {
        frames.push(frame);
    }
    frames
}

/// A frame of any kind; `None` where no decoder lets it through.
pub(super) fn any(input: &mut Input<'_>) -> Option<ControlFrame> {
    let frame = match input.below(26) {
        kind @ 0..=6 => of_stream(kind, input),
        kind @ 7..=15 => of_path(kind, input),
        kind => of_session(kind, input),
    };
    frame.validate().is_ok().then_some(frame)
}

fn of_stream(kind: u8, input: &mut Input<'_>) -> ControlFrame {
    let stream = input.stream();
    match kind {
        0 => {
            let (error_code, final_size) = (input.number() >> 2, input.offset());
            ControlFrame::StreamReset(StreamReset { stream, error_code, final_size })
        }
        1 => ControlFrame::StreamStop(StreamStop { stream, error_code: input.number() >> 2 }),
        2 => ControlFrame::StreamClosed(StreamClosed { stream, complete: input.flag() }),
        3 => ControlFrame::StreamWindow(StreamWindow { stream, max_offset: input.offset() }),
        4 => ControlFrame::StreamBlocked(StreamBlocked { stream, max_offset: input.offset() }),
        5 => ControlFrame::StreamProgress(StreamProgress {
            stream,
            read_offset: input.offset(),
            contiguous_end: input.offset(),
            held: (0..input.below(4))
                .map(|_| HeldRange { range: input.range(), path: input.path() })
                .collect(),
            reader_waiting: input.flag(),
        }),
        _ => ControlFrame::Gap(Gap {
            stream,
            range: input.range(),
            reason: reason(input),
            path: input.flag().then(|| input.path()),
            delegation: input.flag().then(|| input.delegation()),
        }),
    }
}

fn of_path(kind: u8, input: &mut Input<'_>) -> ControlFrame {
    let path = input.path();
    match kind {
        7 => ControlFrame::AddPath(AddPath {
            path,
            epoch: input.epoch(),
            addresses: (0..1 + input.below(8)).map(|_| address(input.byte())).collect(),
            identity: ServerIdentity::Pin([input.byte(); 32]),
            token: "v4.public.x".into(),
        }),
        8 => ControlFrame::AddPathResult(AddPathResult {
            path,
            epoch: input.epoch(),
            code: code(input),
            detail: "x".into(),
        }),
        9 => ControlFrame::RemovePath(RemovePath { path, drain_ms: input.number() as u32 }),
        10 => ControlFrame::PathStatus(PathStatus {
            path,
            epoch: input.epoch(),
            state: state(input),
            reason: input.flag().then(|| code(input)),
            smoothed_rtt_us: input.number(),
            rtt_variation_us: input.number(),
            received_bytes: input.number(),
            busy_us: input.number(),
        }),
        11 => ControlFrame::TokenRequest(TokenRequest { path, epoch: input.epoch() }),
        12 => {
            let (epoch, number) = (input.epoch(), input.number());
            ControlFrame::Orders(signed(&orders(path, epoch, number, input)))
        }
        13 => ControlFrame::DelegationStatus(DelegationStatus {
            path,
            delegation: input.delegation(),
            state: match input.below(5) {
                0 => DelegationState::Accepted,
                1 => DelegationState::Pending,
                2 => DelegationState::Sent,
                3 => DelegationState::Refused(reason(input)),
                _ => DelegationState::Failed(reason(input)),
            },
        }),
        14 => ControlFrame::Relay(Relay { path, ..relay(input) }),
        _ => ControlFrame::RelayCredit(RelayCredit { path, max_bytes: input.number() }),
    }
}

fn of_session(kind: u8, input: &mut Input<'_>) -> ControlFrame {
    match kind {
        16 => ControlFrame::Hello(hello(input)),
        17 => ControlFrame::Welcome(welcome(input)),
        18 => ControlFrame::Refuse(Refuse {
            code: code(input),
            reason: "x".into(),
            retry_after_ms: input.flag().then(|| input.number() as u32),
        }),
        19 => ControlFrame::MappingQuery(MappingQuery {
            query: input.number(),
            carriers: (0..input.below(8)).map(|_| input.byte().into()).collect(),
        }),
        20 | 21 => ControlFrame::MappingSnapshot(MappingSnapshot {
            query: input.below(8).into(),
            mappings: (0..input.below(4)).map(|_| mapping(input)).collect(),
        }),
        22 => ControlFrame::Ping(Ping { nonce: input.number() }),
        23 => ControlFrame::Pong(Pong { nonce: input.number() }),
        24 => ControlFrame::GoAway(GoAway { grace_ms: input.number() as u32 }),
        _ => ControlFrame::SessionClose(SessionClose {
            code: code(input),
            application_code: input.flag().then(|| input.number() >> 2),
            reason: "x".into(),
        }),
    }
}

pub(super) fn signed(orders: &Orders) -> SignedOrders {
    SignedOrders { body: orders.encode(), signature: [0; 64], key_id: String::new() }
}

/// Some orders that a decoder lets through, or one that does no harm.
pub(super) fn orders(
    path: kwik_proto::PathId,
    epoch: kwik_proto::Epoch,
    number: u64,
    input: &mut Input<'_>,
) -> Orders {
    let session = if input.byte() < 250 { SESSION } else { SessionId([9; 16]) };
    let list = (0..1 + input.below(4)).map(|_| order(input)).collect();
    let orders = Orders { session, path, epoch, number, orders: list };
    if orders.validate().is_ok() {
        return orders;
    }
    let stream = input.stream();
    let harmless = vec![Order::Revoke(Revoke { stream, delegation: Some(input.delegation()) })];
    Orders { session, path: kwik_proto::PathId::new(1), epoch, number: 1, orders: harmless }
}

fn order(input: &mut Input<'_>) -> Order {
    match input.below(6) {
        0 => Order::Grant(Grant {
            stream: input.stream(),
            start: input.offset(),
            end: input.flag().then(|| input.offset()),
            max_offset: input.offset(),
        }),
        1..=3 => Order::Delegation(Delegation {
            id: input.delegation(),
            stream: input.stream(),
            range: input.range(),
            resource: Bytes::from_static(b"x"),
            blake3: (input.byte() > 240).then(|| [input.byte(); 32]),
            rank: Rank::default(),
        }),
        4 => Order::Revoke(Revoke {
            stream: input.stream(),
            delegation: input.flag().then(|| input.delegation()),
        }),
        _ => Order::Relay(relay(input)),
    }
}

fn relay(input: &mut Input<'_>) -> Relay {
    let length = 1 + usize::from(input.byte()) * 17 % 4096;
    Relay {
        path: input.path(),
        message_id: input.below(6).into(),
        message_size: if input.flag() { length as u32 } else { input.number() as u32 },
        piece_offset: u32::from(input.below(4)) * 4096,
        piece: vec![0; length].into(),
    }
}

pub(super) fn header(input: &mut Input<'_>) -> StreamHeader {
    StreamHeader {
        stream: input.stream(),
        kind: if input.below(3) == 0 { CarrierKind::Public } else { CarrierKind::Contribution },
        delegation: input.flag().then(|| input.delegation()),
        promised: input.flag().then(|| input.range()),
    }
}

fn mapping(input: &mut Input<'_>) -> Mapping {
    let StreamHeader { stream, delegation, promised, .. } = header(input);
    Mapping { carrier: input.byte().into(), stream, delegation, promised }
}

pub(super) fn limits(input: &mut Input<'_>) -> Limits {
    match input.below(4) {
        0 => Limits {
            max_bidirectional_streams: input.number() as u32,
            max_unidirectional_streams: input.number() as u32,
            initial_window: input.number(),
        },
        _ => Limits {
            max_bidirectional_streams: STREAMS,
            max_unidirectional_streams: STREAMS,
            initial_window: 65_536,
        },
    }
}

/// Mostly one that is taken.
pub(super) fn hello(input: &mut Input<'_>) -> Hello {
    Hello {
        versions: vec![if input.byte() < 250 { 1 } else { 2 }],
        features: Vec::new(),
        limits: limits(input),
        confirmation_key: (input.byte() < 240).then_some([1; 32]),
        admission: None,
    }
}

pub(super) fn welcome(input: &mut Input<'_>) -> Welcome {
    Welcome {
        version: if input.byte() < 250 { 1 } else { 2 },
        features: Vec::new(),
        limits: limits(input),
        session: if input.byte() < 250 { SESSION } else { SessionId([9; 16]) },
    }
}

/// Each is another host; most may be dialled.
pub(super) fn address(byte: u8) -> std::net::SocketAddr {
    let host = if byte < 240 { [198, 51, 100, byte] } else { [127, 0, 0, byte] };
    (std::net::IpAddr::from(host), 4433).into()
}

pub(super) fn code(input: &mut Input<'_>) -> ErrorCode {
    const CODES: [ErrorCode; 10] = [
        ErrorCode::None,
        ErrorCode::ProtocolViolation,
        ErrorCode::FrameEncoding,
        ErrorCode::Unreachable,
        ErrorCode::IdentityMismatch,
        ErrorCode::Busy,
        ErrorCode::DataConflict,
        ErrorCode::HeaderMissing,
        ErrorCode::Mapping,
        ErrorCode::Checksum,
    ];
    CODES[usize::from(input.below(10))]
}

pub(super) fn reason(input: &mut Input<'_>) -> GapReason {
    const REASONS: [GapReason; 8] = [
        GapReason::Late,
        GapReason::Refused,
        GapReason::PathGone,
        GapReason::Conflict,
        GapReason::Unassigned,
        GapReason::Busy,
        GapReason::SourceFailed,
        GapReason::NotFound,
    ];
    REASONS[usize::from(input.below(8))]
}

fn state(input: &mut Input<'_>) -> PathState {
    const STATES: [PathState; 6] = [
        PathState::Live,
        PathState::Suspect,
        PathState::Gone,
        PathState::Dialing,
        PathState::Proving,
        PathState::Draining,
    ];
    STATES[usize::from(input.below(6))]
}
