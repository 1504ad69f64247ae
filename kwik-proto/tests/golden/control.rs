//! One vector for each control frame, more where a frame has two faces.

use kwik_proto::frame::*;
use kwik_proto::{DelegationId, Epoch, PathId};
use serde_json::{Value, json};

use super::{Golden, Vector, base64, offset, orders, range, stream};

fn vector(name: &'static str, frame: ControlFrame, meaning: Value) -> Vector {
    Vector { name, golden: Golden::Control(frame), meaning }
}

const LIMITS: Limits = Limits {
    max_bidirectional_streams: 100,
    max_unidirectional_streams: 50,
    initial_window: 4_194_304,
};

fn limits() -> Value {
    json!({
        "max_bidirectional_streams": 100,
        "max_unidirectional_streams": 50,
        "initial_window": "4194304",
    })
}

pub(crate) fn vectors() -> Vec<Vector> {
    let mut all = set_up();
    all.extend(paths());
    all.extend(delegations());
    all.extend(streams());
    all.extend(relays_and_mappings());
    all.extend(life());
    all
}

fn set_up() -> Vec<Vector> {
    let to_primary = Hello {
        versions: vec![2, 1],
        features: vec![],
        limits: LIMITS,
        confirmation_key: Some([0xc0; 32]),
        admission: None,
    };
    let to_secondary = Hello {
        versions: vec![1],
        features: vec![7, 300],
        limits: LIMITS,
        confirmation_key: None,
        admission: Some(Admission { token: "v4.public.abc".into(), proof: [0x55; 64] }),
    };
    vec![
        vector(
            "hello_to_primary",
            ControlFrame::Hello(to_primary),
            json!({ "critical": true, "hello": {
                "versions": [2, 1],
                "limits": limits(),
                "confirmation_key": base64(&[0xc0; 32]),
            } }),
        ),
        vector(
            "hello_to_secondary",
            ControlFrame::Hello(to_secondary),
            json!({ "critical": true, "hello": {
                "versions": [1],
                "features": [7, 300],
                "limits": limits(),
                "admission": { "token": "v4.public.abc", "proof": base64(&[0x55; 64]) },
            } }),
        ),
        vector(
            "welcome",
            ControlFrame::Welcome(Welcome {
                version: 1,
                features: vec![7],
                limits: LIMITS,
                session: orders::session(),
            }),
            json!({ "critical": true, "welcome": {
                "version": 1,
                "features": [7],
                "limits": limits(),
                "session_id": base64(b"session of bytes"),
            } }),
        ),
        vector(
            "refuse",
            ControlFrame::Refuse(Refuse {
                code: ErrorCode::TokenExpired,
                reason: "abgelaufen \u{231b}".into(),
                retry_after_ms: Some(0),
            }),
            json!({ "critical": true, "refuse": {
                "code": "ERROR_CODE_TOKEN_EXPIRED",
                "reason": "abgelaufen \u{231b}",
                "retry_after_ms": 0,
            } }),
        ),
    ]
}

fn paths() -> Vec<Vector> {
    let (path, epoch) = (PathId::new(300), Epoch(2));
    let by_pin = AddPath {
        path,
        epoch,
        addresses: vec!["192.0.2.1:4433".parse().unwrap(), "[2001:db8::1]:443".parse().unwrap()],
        identity: ServerIdentity::Pin([0xa1; 32]),
        token: "v4.public.abc".into(),
    };
    let name = ServerIdentity::Name("edge.example".into());
    let by_name =
        AddPath { addresses: by_pin.addresses[..1].to_vec(), identity: name, ..by_pin.clone() };
    let status = PathStatus {
        path,
        epoch,
        state: PathState::Suspect,
        reason: Some(ErrorCode::PathTimeout),
        smoothed_rtt_us: 20_000,
        rtt_variation_us: 3_000,
        received_bytes: 1 << 33,
        busy_us: 8_000_000,
    };
    let ipv6 = [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    vec![
        vector(
            "add_path_by_pin",
            ControlFrame::AddPath(by_pin),
            json!({ "critical": true, "add_path": {
                "path_id": 300,
                "epoch": 2,
                "addresses": [
                    { "ip": base64(&[192, 0, 2, 1]), "port": 4433 },
                    { "ip": base64(&ipv6), "port": 443 },
                ],
                "identity": { "pin": base64(&[0xa1; 32]) },
                "token": "v4.public.abc",
            } }),
        ),
        vector(
            "add_path_by_name",
            ControlFrame::AddPath(by_name),
            json!({ "critical": true, "add_path": {
                "path_id": 300,
                "epoch": 2,
                "addresses": [{ "ip": base64(&[192, 0, 2, 1]), "port": 4433 }],
                "identity": { "server_name": "edge.example" },
                "token": "v4.public.abc",
            } }),
        ),
        vector(
            "add_path_result",
            ControlFrame::AddPathResult(AddPathResult {
                path,
                epoch,
                code: ErrorCode::PathPolicy,
                detail: "loopback".into(),
            }),
            json!({ "add_path_result": {
                "path_id": 300,
                "epoch": 2,
                "code": "ERROR_CODE_PATH_POLICY",
                "detail": "loopback",
            } }),
        ),
        vector(
            "remove_path",
            ControlFrame::RemovePath(RemovePath { path, drain_ms: 5000 }),
            json!({ "critical": true, "remove_path": { "path_id": 300, "drain_ms": 5000 } }),
        ),
        vector(
            "path_status",
            ControlFrame::PathStatus(status),
            json!({ "path_status": {
                "path_id": 300,
                "epoch": 2,
                "state": "PATH_STATE_SUSPECT",
                "reason": "ERROR_CODE_PATH_TIMEOUT",
                "smoothed_rtt_us": "20000",
                "rtt_variation_us": "3000",
                "received_bytes": "8589934592",
                "busy_us": "8000000",
            } }),
        ),
        vector(
            "token_request",
            ControlFrame::TokenRequest(TokenRequest { path, epoch }),
            json!({ "token_request": { "path_id": 300, "epoch": 2 } }),
        ),
    ]
}

fn delegations() -> Vec<Vector> {
    let status = |state| {
        let (path, delegation) = (PathId::PRIMARY, DelegationId(12));
        ControlFrame::DelegationStatus(DelegationStatus { path, delegation, state })
    };
    let body = orders::revocation().encode();
    vec![
        vector(
            "signed_orders",
            ControlFrame::Orders(SignedOrders {
                body: body.clone(),
                signature: [0x5a; 64],
                key_id: "k4.pid.abc".into(),
            }),
            json!({ "critical": true, "orders": {
                "body": base64(&body),
                "signature": base64(&[0x5a; 64]),
                "key_id": "k4.pid.abc",
            } }),
        ),
        vector(
            "delegation_status_accepted",
            status(DelegationState::Accepted),
            json!({ "delegation_status": {
                "delegation_id": "12",
                "state": "DELEGATION_STATE_ACCEPTED",
            } }),
        ),
        vector(
            "delegation_status_refused",
            status(DelegationState::Refused(GapReason::Stale)),
            json!({ "delegation_status": {
                "delegation_id": "12",
                "state": "DELEGATION_STATE_REFUSED",
                "reason": "GAP_REASON_STALE",
            } }),
        ),
        vector(
            "gap",
            ControlFrame::Gap(Gap {
                stream: stream(1),
                range: range(4096, 100),
                reason: GapReason::Late,
                path: Some(PathId::PRIMARY),
                delegation: Some(DelegationId(12)),
            }),
            json!({ "gap": {
                "stream_id": "1",
                "range": { "start": "4096", "length": "100" },
                "reason": "GAP_REASON_LATE",
                "path_id": 0,
                "delegation_id": "12",
            } }),
        ),
    ]
}

fn streams() -> Vec<Vector> {
    let stream = stream(9);
    let held =
        |start, length, path| HeldRange { range: range(start, length), path: PathId::new(path) };
    let progress = StreamProgress {
        stream,
        read_offset: offset(1000),
        contiguous_end: offset(2000),
        held: vec![held(3000, 500, 0), held(4000, 16, 2)],
        reader_waiting: true,
    };
    vec![
        vector(
            "stream_reset",
            ControlFrame::StreamReset(StreamReset {
                stream,
                error_code: 77,
                final_size: offset(5000),
            }),
            json!({ "critical": true, "stream_reset": {
                "stream_id": "9",
                "error_code": "77",
                "final_size": "5000",
            } }),
        ),
        vector(
            "stream_stop",
            ControlFrame::StreamStop(StreamStop { stream, error_code: (1 << 62) - 1 }),
            json!({ "critical": true, "stream_stop": {
                "stream_id": "9",
                "error_code": "4611686018427387903",
            } }),
        ),
        vector(
            "stream_closed",
            ControlFrame::StreamClosed(StreamClosed { stream, complete: true }),
            json!({ "critical": true, "stream_closed": { "stream_id": "9", "complete": true } }),
        ),
        vector(
            "stream_window",
            ControlFrame::StreamWindow(StreamWindow { stream, max_offset: offset(70_000) }),
            json!({ "stream_window": { "stream_id": "9", "max_offset": "70000" } }),
        ),
        vector(
            "stream_blocked",
            ControlFrame::StreamBlocked(StreamBlocked { stream, max_offset: offset(70_000) }),
            json!({ "stream_blocked": { "stream_id": "9", "max_offset": "70000" } }),
        ),
        vector(
            "stream_progress",
            ControlFrame::StreamProgress(progress),
            json!({ "stream_progress": {
                "stream_id": "9",
                "read_offset": "1000",
                "contiguous_end": "2000",
                "held": [
                    { "range": { "start": "3000", "length": "500" } },
                    { "range": { "start": "4000", "length": "16" }, "path_id": 2 },
                ],
                "reader_waiting": true,
            } }),
        ),
    ]
}

fn relays_and_mappings() -> Vec<Vector> {
    let path = PathId::new(2);
    let bare = Mapping { carrier: 7, stream: stream(1), delegation: None, promised: None };
    let full = Mapping {
        carrier: 11,
        stream: stream(5),
        delegation: Some(DelegationId(0)),
        promised: Some(range(0, 10)),
    };
    vec![
        vector(
            "relay",
            ControlFrame::Relay(Relay {
                path,
                message_id: 3,
                message_size: 6,
                piece_offset: 2,
                piece: b"llo!".as_slice().into(),
            }),
            json!({ "relay": {
                "path_id": 2,
                "message_id": "3",
                "message_size": 6,
                "piece_offset": 2,
                "piece": base64(b"llo!"),
            } }),
        ),
        vector(
            "relay_credit",
            ControlFrame::RelayCredit(RelayCredit { path, max_bytes: 65_536 }),
            json!({ "relay_credit": { "path_id": 2, "max_bytes": "65536" } }),
        ),
        vector(
            "mapping_query",
            ControlFrame::MappingQuery(MappingQuery { query: 1, carriers: vec![7, 11, 300] }),
            json!({ "mapping_query": { "query_id": "1", "carriers": ["7", "11", "300"] } }),
        ),
        vector(
            "mapping_snapshot",
            ControlFrame::MappingSnapshot(MappingSnapshot { query: 1, mappings: vec![bare, full] }),
            json!({ "mapping_snapshot": { "query_id": "1", "mappings": [
                { "carrier": "7", "stream_id": "1" },
                {
                    "carrier": "11",
                    "stream_id": "5",
                    "delegation_id": "0",
                    "promised": { "length": "10" },
                },
            ] } }),
        ),
    ]
}

fn life() -> Vec<Vector> {
    vec![
        vector(
            "ping",
            ControlFrame::Ping(Ping { nonce: u64::MAX }),
            json!({ "ping": { "nonce": "18446744073709551615" } }),
        ),
        vector("pong", ControlFrame::Pong(Pong { nonce: 0 }), json!({ "pong": {} })),
        vector(
            "session_close",
            ControlFrame::SessionClose(SessionClose {
                code: ErrorCode::None,
                application_code: Some(0),
                reason: String::new(),
            }),
            json!({ "critical": true, "session_close": {
                "code": "ERROR_CODE_NONE",
                "application_code": "0",
            } }),
        ),
        vector(
            "go_away",
            ControlFrame::GoAway(GoAway { grace_ms: 30_000 }),
            json!({ "go_away": { "grace_ms": 30_000 } }),
        ),
    ]
}
