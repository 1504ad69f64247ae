//! Generated messages into frames: the only place where what they hold becomes domain types.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;

use super::limits::MAX_TEXT;
use crate::error::{InvalidField, Problem};
use crate::frame::*;
use crate::id::{ByteRange, DelegationId, Epoch, MAX_VARINT, Offset, PathId, SessionId, StreamId};
use crate::text::sanitized;
use crate::wire;

type Result<T> = std::result::Result<T, InvalidField>;

fn invalid<T>(field: &'static str, problem: Problem) -> Result<T> {
    Err(InvalidField { field, problem })
}

pub(super) fn hello(message: wire::Hello) -> Result<ControlFrame> {
    let admission = match message.admission {
        Some(admission) => Some(Admission {
            token: admission.token.into(),
            proof: array("Admission.proof", &admission.proof)?,
        }),
        None => None,
    };
    Ok(ControlFrame::Hello(Hello {
        versions: message.versions,
        features: message.features,
        limits: limits("Hello.limits", message.limits)?,
        confirmation_key: optional_array("Hello.confirmation_key", &message.confirmation_key)?,
        admission,
    }))
}

pub(super) fn welcome(message: wire::Welcome) -> Result<ControlFrame> {
    Ok(ControlFrame::Welcome(Welcome {
        version: message.version,
        features: message.features,
        limits: limits("Welcome.limits", message.limits)?,
        session: SessionId(array("Welcome.session_id", &message.session_id)?),
    }))
}

pub(super) fn refuse(message: wire::Refuse) -> Result<ControlFrame> {
    Ok(ControlFrame::Refuse(Refuse {
        code: code("Refuse.code", message.code)?,
        reason: text("Refuse.reason", message.reason)?,
        retry_after_ms: message.retry_after_ms,
    }))
}

pub(super) fn add_path(message: wire::AddPath) -> Result<ControlFrame> {
    use wire::server_identity::Identity;
    let identity = match message.identity.and_then(|identity| identity.identity) {
        Some(Identity::Pin(pin)) => ServerIdentity::Pin(array("ServerIdentity.pin", &pin)?),
        Some(Identity::ServerName(name)) => ServerIdentity::Name(name),
        None => return invalid("AddPath.identity", Problem::Missing),
    };
    Ok(ControlFrame::AddPath(AddPath {
        path: path("AddPath.path_id", message.path_id)?,
        epoch: Epoch(message.epoch),
        addresses: message.addresses.iter().map(address).collect::<Result<_>>()?,
        identity,
        token: message.token.into(),
    }))
}

pub(super) fn add_path_result(message: wire::AddPathResult) -> Result<ControlFrame> {
    Ok(ControlFrame::AddPathResult(AddPathResult {
        path: path("AddPathResult.path_id", message.path_id)?,
        epoch: Epoch(message.epoch),
        code: code("AddPathResult.code", message.code)?,
        detail: text("AddPathResult.detail", message.detail)?,
    }))
}

pub(super) fn remove_path(message: wire::RemovePath) -> Result<ControlFrame> {
    Ok(ControlFrame::RemovePath(RemovePath {
        path: path("RemovePath.path_id", message.path_id)?,
        drain_ms: message.drain_ms,
    }))
}

pub(super) fn path_status(message: wire::PathStatus) -> Result<ControlFrame> {
    Ok(ControlFrame::PathStatus(PathStatus {
        path: path("PathStatus.path_id", message.path_id)?,
        epoch: Epoch(message.epoch),
        state: path_state(message.state)?,
        reason: match message.reason {
            0 => None,
            reason => Some(code("PathStatus.reason", reason)?),
        },
        smoothed_rtt_us: message.smoothed_rtt_us,
        rtt_variation_us: message.rtt_variation_us,
        received_bytes: message.received_bytes,
        busy_us: message.busy_us,
    }))
}

pub(super) fn token_request(message: wire::TokenRequest) -> Result<ControlFrame> {
    Ok(ControlFrame::TokenRequest(TokenRequest {
        path: path("TokenRequest.path_id", message.path_id)?,
        epoch: Epoch(message.epoch),
    }))
}

pub(super) fn signed_orders(message: wire::SignedOrders) -> Result<ControlFrame> {
    Ok(ControlFrame::Orders(SignedOrders {
        body: message.body,
        signature: array("SignedOrders.signature", &message.signature)?,
        key_id: message.key_id,
    }))
}

pub(super) fn delegation_status(message: wire::DelegationStatus) -> Result<ControlFrame> {
    let why = |field| gap_reason(field, message.reason);
    let field = "DelegationStatus.reason";
    let state = match wire::DelegationState::try_from(message.state) {
        Ok(wire::DelegationState::Accepted) => DelegationState::Accepted,
        Ok(wire::DelegationState::Pending) => DelegationState::Pending,
        Ok(wire::DelegationState::Refused) => DelegationState::Refused(why(field)?),
        Ok(wire::DelegationState::Sent) => DelegationState::Sent,
        Ok(wire::DelegationState::Failed) => DelegationState::Failed(why(field)?),
        Ok(wire::DelegationState::Unspecified) | Err(_) => {
            return unknown("DelegationStatus.state", message.state);
        }
    };
    Ok(ControlFrame::DelegationStatus(DelegationStatus {
        path: path("DelegationStatus.path_id", message.path_id)?,
        delegation: DelegationId(message.delegation_id),
        state,
    }))
}

pub(super) fn stream_reset(message: wire::StreamReset) -> Result<ControlFrame> {
    Ok(ControlFrame::StreamReset(StreamReset {
        stream: stream("StreamReset.stream_id", message.stream_id)?,
        error_code: message.error_code,
        final_size: offset("StreamReset.final_size", message.final_size)?,
    }))
}

pub(super) fn stream_stop(message: wire::StreamStop) -> Result<ControlFrame> {
    Ok(ControlFrame::StreamStop(StreamStop {
        stream: stream("StreamStop.stream_id", message.stream_id)?,
        error_code: message.error_code,
    }))
}

pub(super) fn stream_closed(message: wire::StreamClosed) -> Result<ControlFrame> {
    Ok(ControlFrame::StreamClosed(StreamClosed {
        stream: stream("StreamClosed.stream_id", message.stream_id)?,
        complete: message.complete,
    }))
}

pub(super) fn stream_window(message: wire::StreamWindow) -> Result<ControlFrame> {
    Ok(ControlFrame::StreamWindow(StreamWindow {
        stream: stream("StreamWindow.stream_id", message.stream_id)?,
        max_offset: offset("StreamWindow.max_offset", message.max_offset)?,
    }))
}

pub(super) fn stream_blocked(message: wire::StreamBlocked) -> Result<ControlFrame> {
    Ok(ControlFrame::StreamBlocked(StreamBlocked {
        stream: stream("StreamBlocked.stream_id", message.stream_id)?,
        max_offset: offset("StreamBlocked.max_offset", message.max_offset)?,
    }))
}

pub(super) fn stream_progress(message: wire::StreamProgress) -> Result<ControlFrame> {
    let held = |held: wire::HeldRange| {
        Ok(HeldRange {
            range: range("HeldRange.range", held.range)?,
            path: path("HeldRange.path_id", held.path_id)?,
        })
    };
    Ok(ControlFrame::StreamProgress(StreamProgress {
        stream: stream("StreamProgress.stream_id", message.stream_id)?,
        read_offset: offset("StreamProgress.read_offset", message.read_offset)?,
        contiguous_end: offset("StreamProgress.contiguous_end", message.contiguous_end)?,
        held: message.held.into_iter().map(held).collect::<Result<_>>()?,
        reader_waiting: message.reader_waiting,
    }))
}

pub(super) fn gap(message: wire::Gap) -> Result<ControlFrame> {
    Ok(ControlFrame::Gap(Gap {
        stream: stream("Gap.stream_id", message.stream_id)?,
        range: range("Gap.range", message.range)?,
        reason: gap_reason("Gap.reason", message.reason)?,
        path: message.path_id.map(|id| path("Gap.path_id", id)).transpose()?,
        delegation: message.delegation_id.map(DelegationId),
    }))
}

pub(super) fn relay(message: wire::Relay) -> Result<ControlFrame> {
    Ok(ControlFrame::Relay(relay_piece(message)?))
}

fn relay_piece(message: wire::Relay) -> Result<Relay> {
    Ok(Relay {
        path: path("Relay.path_id", message.path_id)?,
        message_id: message.message_id,
        message_size: message.message_size,
        piece_offset: message.piece_offset,
        piece: message.piece,
    })
}

pub(super) fn relay_credit(message: wire::RelayCredit) -> Result<ControlFrame> {
    Ok(ControlFrame::RelayCredit(RelayCredit {
        path: path("RelayCredit.path_id", message.path_id)?,
        max_bytes: message.max_bytes,
    }))
}

pub(super) fn mapping_query(message: wire::MappingQuery) -> Result<ControlFrame> {
    let (query, carriers) = (message.query_id, message.carriers);
    Ok(ControlFrame::MappingQuery(MappingQuery { query, carriers }))
}

pub(super) fn mapping_snapshot(message: wire::MappingSnapshot) -> Result<ControlFrame> {
    let mapping = |mapping: wire::Mapping| {
        Ok(Mapping {
            carrier: mapping.carrier,
            stream: stream("Mapping.stream_id", mapping.stream_id)?,
            delegation: mapping.delegation_id.map(DelegationId),
            promised: match mapping.promised {
                Some(promised) => Some(range("Mapping.promised", Some(promised))?),
                None => None,
            },
        })
    };
    Ok(ControlFrame::MappingSnapshot(MappingSnapshot {
        query: message.query_id,
        mappings: message.mappings.into_iter().map(mapping).collect::<Result<_>>()?,
    }))
}

pub(super) fn ping(message: wire::Ping) -> Result<ControlFrame> {
    Ok(ControlFrame::Ping(Ping { nonce: message.nonce }))
}

pub(super) fn pong(message: wire::Pong) -> Result<ControlFrame> {
    Ok(ControlFrame::Pong(Pong { nonce: message.nonce }))
}

pub(super) fn session_close(message: wire::SessionClose) -> Result<ControlFrame> {
    Ok(ControlFrame::SessionClose(SessionClose {
        code: code("SessionClose.code", message.code)?,
        application_code: message.application_code,
        reason: text("SessionClose.reason", message.reason)?,
    }))
}

pub(super) fn go_away(message: wire::GoAway) -> Result<ControlFrame> {
    Ok(ControlFrame::GoAway(GoAway { grace_ms: message.grace_ms }))
}

pub(super) fn orders(message: wire::Orders) -> Result<Orders> {
    Ok(Orders {
        session: SessionId(array("Orders.session_id", &message.session_id)?),
        path: path("Orders.path_id", message.path_id)?,
        epoch: Epoch(message.epoch),
        number: message.number,
        orders: message.orders.into_iter().map(order).collect::<Result<_>>()?,
    })
}

fn order(message: wire::Order) -> Result<Order> {
    use wire::order::Order as Wire;
    Ok(match message.order {
        None => return invalid("Order.order", Problem::Missing),
        Some(Wire::Grant(message)) => Order::Grant(grant(message)?),
        Some(Wire::Delegation(message)) => Order::Delegation(Delegation {
            id: DelegationId(message.delegation_id),
            stream: stream("Delegation.stream_id", message.stream_id)?,
            range: range("Delegation.range", message.range)?,
            resource: message.resource,
            blake3: optional_array("Delegation.blake3", &message.blake3)?,
            rank: Rank { priority: message.priority, urgent: message.urgent },
        }),
        Some(Wire::Revoke(message)) => Order::Revoke(Revoke {
            stream: stream("Revoke.stream_id", message.stream_id)?,
            delegation: message.delegation_id.map(DelegationId),
        }),
        Some(Wire::Relay(message)) => Order::Relay(relay_piece(message)?),
    })
}

fn grant(message: wire::Grant) -> Result<Grant> {
    let range = message.range.unwrap_or_default();
    Ok(Grant {
        stream: stream("Grant.stream_id", message.stream_id)?,
        start: offset("OpenRange.start", range.start)?,
        end: range.end.map(|end| offset("OpenRange.end", end)).transpose()?,
        max_offset: offset("Grant.max_offset", message.max_offset)?,
    })
}

fn limits(field: &'static str, message: Option<wire::Limits>) -> Result<Limits> {
    let Some(message) = message else { return invalid(field, Problem::Missing) };
    Ok(Limits {
        max_bidirectional_streams: message.max_bidirectional_streams,
        max_unidirectional_streams: message.max_unidirectional_streams,
        initial_window: message.initial_window,
    })
}

fn address(message: &wire::SocketAddress) -> Result<SocketAddr> {
    let ip = match message.ip.len() {
        4 => IpAddr::from(array::<4>("SocketAddress.ip", &message.ip)?),
        _ => IpAddr::from(array::<16>("SocketAddress.ip", &message.ip)?),
    };
    match u16::try_from(message.port) {
        Ok(port) => Ok(SocketAddr::new(ip, port)),
        Err(_) => {
            let value = u64::from(message.port);
            invalid("SocketAddress.port", Problem::OutOfRange { value, min: 1, max: 65535 })
        }
    }
}

fn stream(field: &'static str, value: u64) -> Result<StreamId> {
    StreamId::from_wire(value).ok_or(above_max(field, value))
}

fn offset(field: &'static str, value: u64) -> Result<Offset> {
    Offset::new(value).ok_or(above_max(field, value))
}

fn above_max(field: &'static str, value: u64) -> InvalidField {
    InvalidField { field, problem: Problem::OutOfRange { value, min: 0, max: MAX_VARINT } }
}

fn path(field: &'static str, value: u32) -> Result<PathId> {
    match u16::try_from(value) {
        Ok(value) => Ok(PathId::new(value)),
        Err(_) => {
            let (value, max) = (u64::from(value), u64::from(u16::MAX));
            invalid(field, Problem::OutOfRange { value, min: 0, max })
        }
    }
}

fn range(field: &'static str, message: Option<wire::ByteRange>) -> Result<ByteRange> {
    let Some(wire::ByteRange { start, length }) = message else {
        return invalid(field, Problem::Missing);
    };
    match Offset::new(start).and_then(|start| ByteRange::with_length(start, length)) {
        Some(range) => Ok(range),
        None => invalid(field, Problem::BadRange { start }),
    }
}

fn unknown<T>(field: &'static str, value: i32) -> Result<T> {
    invalid(field, if value == 0 { Problem::Missing } else { Problem::UnknownValue { value } })
}

/// A code that this version does not know says no more than that something went wrong.
fn code(field: &'static str, value: i32) -> Result<ErrorCode> {
    match u64::try_from(value) {
        Ok(0) => invalid(field, Problem::Missing),
        Ok(number) => Ok(ErrorCode::from_wire(number).unwrap_or(ErrorCode::Internal)),
        Err(_) => Ok(ErrorCode::Internal),
    }
}

fn path_state(value: i32) -> Result<PathState> {
    Ok(match wire::PathState::try_from(value) {
        Ok(wire::PathState::Dialing) => PathState::Dialing,
        Ok(wire::PathState::Proving) => PathState::Proving,
        Ok(wire::PathState::Live) => PathState::Live,
        Ok(wire::PathState::Suspect) => PathState::Suspect,
        Ok(wire::PathState::Draining) => PathState::Draining,
        Ok(wire::PathState::Gone) => PathState::Gone,
        Ok(wire::PathState::Unspecified) | Err(_) => return unknown("PathStatus.state", value),
    })
}

/// A reason that this version does not know counts as a failure of the source.
fn gap_reason(field: &'static str, value: i32) -> Result<GapReason> {
    Ok(match wire::GapReason::try_from(value) {
        Ok(wire::GapReason::Unspecified) => return invalid(field, Problem::Missing),
        Ok(wire::GapReason::Late) => GapReason::Late,
        Ok(wire::GapReason::Refused) => GapReason::Refused,
        Ok(wire::GapReason::Reset) => GapReason::Reset,
        Ok(wire::GapReason::PathGone) => GapReason::PathGone,
        Ok(wire::GapReason::PathSuspect) => GapReason::PathSuspect,
        Ok(wire::GapReason::Corrupt) => GapReason::Corrupt,
        Ok(wire::GapReason::Stale) => GapReason::Stale,
        Ok(wire::GapReason::NotFound) => GapReason::NotFound,
        Ok(wire::GapReason::Busy) => GapReason::Busy,
        Ok(wire::GapReason::Conflict) => GapReason::Conflict,
        Ok(wire::GapReason::Revoked) => GapReason::Revoked,
        Ok(wire::GapReason::Unassigned) => GapReason::Unassigned,
        Ok(wire::GapReason::SourceFailed) | Err(_) => GapReason::SourceFailed,
    })
}

fn array<const N: usize>(field: &'static str, bytes: &Bytes) -> Result<[u8; N]> {
    let (size, expected) = (bytes.len() as u64, N as u64);
    match <[u8; N]>::try_from(&bytes[..]) {
        Ok(array) => Ok(array),
        Err(_) if size == 0 => invalid(field, Problem::Missing),
        Err(_) => invalid(field, Problem::WrongSize { size, expected }),
    }
}

fn optional_array<const N: usize>(field: &'static str, bytes: &Bytes) -> Result<Option<[u8; N]>> {
    if bytes.is_empty() { Ok(None) } else { array(field, bytes).map(Some) }
}

/// A text for people. The one place where such a text comes in: whatever shows it or passes it on may do so as it is.
fn text(field: &'static str, text: String) -> Result<String> {
    if text.len() > MAX_TEXT {
        let (size, limit) = (text.len() as u64, MAX_TEXT as u64);
        return invalid(field, Problem::TooLong { size, limit });
    }
    let mut shown = sanitized(&text).to_string();
    shown.truncate(shown.floor_char_boundary(MAX_TEXT));
    Ok(shown)
}
