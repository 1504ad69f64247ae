//! Frames into generated messages.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;

use super::limits::MAX_TEXT;
use crate::frame::*;
use crate::id::{ByteRange, DelegationId, PathId};
use crate::wire;
use crate::wire::control_frame::Frame;
use crate::wire::server_identity::Identity;

pub(super) fn frame(frame: &ControlFrame) -> Frame {
    match frame {
        ControlFrame::Hello(frame) => Frame::Hello(hello(frame)),
        ControlFrame::Welcome(frame) => Frame::Welcome(welcome(frame)),
        ControlFrame::Refuse(frame) => Frame::Refuse(wire::Refuse {
            code: code(frame.code),
            reason: text(&frame.reason),
            retry_after_ms: frame.retry_after_ms,
        }),
        ControlFrame::AddPath(frame) => Frame::AddPath(add_path(frame)),
        ControlFrame::AddPathResult(frame) => Frame::AddPathResult(wire::AddPathResult {
            path_id: path(frame.path),
            epoch: frame.epoch.0,
            code: code(frame.code),
            detail: text(&frame.detail),
        }),
        ControlFrame::RemovePath(frame) => Frame::RemovePath(wire::RemovePath {
            path_id: path(frame.path),
            drain_ms: frame.drain_ms,
        }),
        ControlFrame::PathStatus(frame) => Frame::PathStatus(path_status(*frame)),
        ControlFrame::TokenRequest(frame) => Frame::TokenRequest(wire::TokenRequest {
            path_id: path(frame.path),
            epoch: frame.epoch.0,
        }),
        ControlFrame::Orders(frame) => Frame::Orders(wire::SignedOrders {
            body: frame.body.clone(),
            signature: copy(&frame.signature),
            key_id: frame.key_id.clone(),
        }),
        ControlFrame::DelegationStatus(frame) => Frame::DelegationStatus(delegation_status(*frame)),
        ControlFrame::StreamReset(frame) => Frame::StreamReset(wire::StreamReset {
            stream_id: frame.stream.value(),
            error_code: frame.error_code,
            final_size: frame.final_size.value(),
        }),
        ControlFrame::StreamStop(frame) => Frame::StreamStop(wire::StreamStop {
            stream_id: frame.stream.value(),
            error_code: frame.error_code,
        }),
        ControlFrame::StreamClosed(frame) => Frame::StreamClosed(wire::StreamClosed {
            stream_id: frame.stream.value(),
            complete: frame.complete,
        }),
        ControlFrame::StreamWindow(frame) => Frame::StreamWindow(wire::StreamWindow {
            stream_id: frame.stream.value(),
            max_offset: frame.max_offset.value(),
        }),
        ControlFrame::StreamBlocked(frame) => Frame::StreamBlocked(wire::StreamBlocked {
            stream_id: frame.stream.value(),
            max_offset: frame.max_offset.value(),
        }),
        ControlFrame::StreamProgress(frame) => Frame::StreamProgress(progress(frame)),
        ControlFrame::Gap(frame) => Frame::Gap(gap(*frame)),
        ControlFrame::Relay(frame) => Frame::Relay(relay(frame)),
        ControlFrame::RelayCredit(frame) => Frame::RelayCredit(wire::RelayCredit {
            path_id: path(frame.path),
            max_bytes: frame.max_bytes,
        }),
        ControlFrame::MappingQuery(frame) => Frame::MappingQuery(wire::MappingQuery {
            query_id: frame.query,
            carriers: frame.carriers.clone(),
        }),
        ControlFrame::MappingSnapshot(frame) => Frame::MappingSnapshot(wire::MappingSnapshot {
            query_id: frame.query,
            mappings: frame.mappings.iter().copied().map(mapping).collect(),
        }),
        ControlFrame::Ping(frame) => Frame::Ping(wire::Ping { nonce: frame.nonce }),
        ControlFrame::Pong(frame) => Frame::Pong(wire::Pong { nonce: frame.nonce }),
        ControlFrame::SessionClose(frame) => Frame::SessionClose(wire::SessionClose {
            code: code(frame.code),
            application_code: frame.application_code,
            reason: text(&frame.reason),
        }),
        ControlFrame::GoAway(frame) => Frame::GoAway(wire::GoAway { grace_ms: frame.grace_ms }),
    }
}

fn hello(frame: &Hello) -> wire::Hello {
    wire::Hello {
        versions: frame.versions.clone(),
        features: frame.features.clone(),
        limits: Some(limits(frame.limits)),
        confirmation_key: frame.confirmation_key.map_or_else(Bytes::new, |key| copy(&key)),
        admission: frame.admission.as_ref().map(|admission| wire::Admission {
            token: admission.token.as_str().to_owned(),
            proof: copy(&admission.proof),
        }),
    }
}

fn welcome(frame: &Welcome) -> wire::Welcome {
    wire::Welcome {
        version: frame.version,
        features: frame.features.clone(),
        limits: Some(limits(frame.limits)),
        session_id: copy(&frame.session.0),
    }
}

fn limits(limits: Limits) -> wire::Limits {
    wire::Limits {
        max_bidirectional_streams: limits.max_bidirectional_streams,
        max_unidirectional_streams: limits.max_unidirectional_streams,
        initial_window: limits.initial_window,
    }
}

fn add_path(frame: &AddPath) -> wire::AddPath {
    let identity = match &frame.identity {
        ServerIdentity::Pin(pin) => Identity::Pin(copy(pin)),
        ServerIdentity::Name(name) => Identity::ServerName(name.clone()),
    };
    wire::AddPath {
        path_id: path(frame.path),
        epoch: frame.epoch.0,
        addresses: frame.addresses.iter().copied().map(address).collect(),
        identity: Some(wire::ServerIdentity { identity: Some(identity) }),
        token: frame.token.as_str().to_owned(),
    }
}

fn address(address: SocketAddr) -> wire::SocketAddress {
    let ip = match address.ip() {
        IpAddr::V4(ip) => copy(&ip.octets()),
        IpAddr::V6(ip) => copy(&ip.octets()),
    };
    wire::SocketAddress { ip, port: u32::from(address.port()) }
}

fn path_status(frame: PathStatus) -> wire::PathStatus {
    let state = match frame.state {
        PathState::Dialing => wire::PathState::Dialing,
        PathState::Proving => wire::PathState::Proving,
        PathState::Live => wire::PathState::Live,
        PathState::Suspect => wire::PathState::Suspect,
        PathState::Draining => wire::PathState::Draining,
        PathState::Gone => wire::PathState::Gone,
    };
    wire::PathStatus {
        path_id: path(frame.path),
        epoch: frame.epoch.0,
        state: state.into(),
        reason: frame.reason.map_or(0, code),
        smoothed_rtt_us: frame.smoothed_rtt_us,
        rtt_variation_us: frame.rtt_variation_us,
        received_bytes: frame.received_bytes,
        busy_us: frame.busy_us,
    }
}

fn delegation_status(frame: DelegationStatus) -> wire::DelegationStatus {
    let (state, why) = match frame.state {
        DelegationState::Accepted => (wire::DelegationState::Accepted, None),
        DelegationState::Pending => (wire::DelegationState::Pending, None),
        DelegationState::Refused(why) => (wire::DelegationState::Refused, Some(why)),
        DelegationState::Sent => (wire::DelegationState::Sent, None),
        DelegationState::Failed(why) => (wire::DelegationState::Failed, Some(why)),
    };
    wire::DelegationStatus {
        path_id: path(frame.path),
        delegation_id: frame.delegation.0,
        state: state.into(),
        reason: why.map_or(0, gap_reason),
    }
}

fn progress(frame: &StreamProgress) -> wire::StreamProgress {
    let held = |held: &HeldRange| wire::HeldRange {
        range: Some(range(held.range)),
        path_id: path(held.path),
    };
    wire::StreamProgress {
        stream_id: frame.stream.value(),
        read_offset: frame.read_offset.value(),
        contiguous_end: frame.contiguous_end.value(),
        held: frame.held.iter().map(held).collect(),
        reader_waiting: frame.reader_waiting,
    }
}

fn gap(frame: Gap) -> wire::Gap {
    wire::Gap {
        stream_id: frame.stream.value(),
        range: Some(range(frame.range)),
        reason: gap_reason(frame.reason),
        path_id: frame.path.map(path),
        delegation_id: frame.delegation.map(|id| id.0),
    }
}

fn relay(frame: &Relay) -> wire::Relay {
    wire::Relay {
        path_id: path(frame.path),
        message_id: frame.message_id,
        message_size: frame.message_size,
        piece_offset: frame.piece_offset,
        piece: frame.piece.clone(),
    }
}

fn mapping(mapping: Mapping) -> wire::Mapping {
    wire::Mapping {
        carrier: mapping.carrier,
        stream_id: mapping.stream.value(),
        delegation_id: mapping.delegation.map(|DelegationId(id)| id),
        promised: mapping.promised.map(range),
    }
}

pub(super) fn orders(orders: &Orders) -> wire::Orders {
    wire::Orders {
        session_id: copy(&orders.session.0),
        path_id: path(orders.path),
        epoch: orders.epoch.0,
        number: orders.number,
        orders: orders.orders.iter().map(|order| wire::Order { order: Some(one(order)) }).collect(),
    }
}

fn one(order: &Order) -> wire::order::Order {
    use wire::order::Order as Wire;
    match order {
        Order::Grant(grant) => Wire::Grant(wire::Grant {
            stream_id: grant.stream.value(),
            range: Some(wire::OpenRange {
                start: grant.start.value(),
                end: grant.end.map(|end| end.value()),
            }),
            max_offset: grant.max_offset.value(),
        }),
        Order::Delegation(delegation) => Wire::Delegation(wire::Delegation {
            delegation_id: delegation.id.0,
            stream_id: delegation.stream.value(),
            range: Some(range(delegation.range)),
            resource: delegation.resource.clone(),
            blake3: delegation.blake3.map_or_else(Bytes::new, |hash| copy(&hash)),
            priority: delegation.rank.priority,
            urgent: delegation.rank.urgent,
        }),
        Order::Revoke(revoke) => Wire::Revoke(wire::Revoke {
            stream_id: revoke.stream.value(),
            delegation_id: revoke.delegation.map(|id| id.0),
        }),
        Order::Relay(piece) => Wire::Relay(relay(piece)),
    }
}

fn range(range: ByteRange) -> wire::ByteRange {
    wire::ByteRange { start: range.start().value(), length: range.len() }
}

fn path(path: PathId) -> u32 {
    u32::from(path.value())
}

fn code(code: ErrorCode) -> i32 {
    i32::try_from(code.wire()).expect("codes are small numbers")
}

fn gap_reason(reason: GapReason) -> i32 {
    let reason = match reason {
        GapReason::Late => wire::GapReason::Late,
        GapReason::Refused => wire::GapReason::Refused,
        GapReason::Reset => wire::GapReason::Reset,
        GapReason::PathGone => wire::GapReason::PathGone,
        GapReason::PathSuspect => wire::GapReason::PathSuspect,
        GapReason::Corrupt => wire::GapReason::Corrupt,
        GapReason::Stale => wire::GapReason::Stale,
        GapReason::NotFound => wire::GapReason::NotFound,
        GapReason::Busy => wire::GapReason::Busy,
        GapReason::Conflict => wire::GapReason::Conflict,
        GapReason::Revoked => wire::GapReason::Revoked,
        GapReason::Unassigned => wire::GapReason::Unassigned,
        GapReason::SourceFailed => wire::GapReason::SourceFailed,
    };
    reason.into()
}

/// A text for people, cut to its limit between two characters.
fn text(text: &str) -> String {
    text[..text.floor_char_boundary(MAX_TEXT)].to_owned()
}

fn copy(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(bytes)
}
