//! Orders, which are signed and travel as the body of a control frame.

use kwik_proto::frame::{Delegation, Grant, Order, Orders, Rank, Relay, Revoke};
use kwik_proto::{DelegationId, Epoch, PathId, SessionId};
use serde_json::json;

use super::{Golden, Vector, base64, offset, range, stream};

pub(crate) fn session() -> SessionId {
    SessionId(*b"session of bytes")
}

fn some(orders: Vec<Order>) -> Orders {
    Orders { session: session(), path: PathId::new(3), epoch: Epoch(2), number: 9, orders }
}

/// The orders in the vector `signed_orders`.
pub(crate) fn revocation() -> Orders {
    some(vec![Order::Revoke(Revoke { stream: stream(1), delegation: None })])
}

fn meaning(orders: &serde_json::Value) -> serde_json::Value {
    json!({
        "session_id": base64(b"session of bytes"),
        "path_id": 3,
        "epoch": 2,
        "number": "9",
        "orders": orders,
    })
}

pub(crate) fn vectors() -> Vec<Vector> {
    let grant =
        Grant { stream: stream(5), start: offset(100), end: None, max_offset: offset(65_536) };
    let bounded = Grant { end: Some(offset(200)), ..grant };
    let delegation = Delegation {
        id: DelegationId(12),
        stream: stream(5),
        range: range(1000, 2000),
        resource: b"file.bin".as_slice().into(),
        blake3: Some([0xb3; 32]),
        rank: Rank::default(),
    };
    let relay = Relay {
        path: PathId::new(3),
        message_id: 4,
        message_size: 5000,
        piece_offset: 4096,
        piece: b"rest".as_slice().into(),
    };
    vec![
        Vector {
            name: "orders_grants",
            golden: Golden::Orders(some(vec![Order::Grant(grant), Order::Grant(bounded)])),
            meaning: meaning(&json!([
                { "grant": { "stream_id": "5", "range": { "start": "100" }, "max_offset": "65536" } },
                { "grant": {
                    "stream_id": "5",
                    "range": { "start": "100", "end": "200" },
                    "max_offset": "65536",
                } },
            ])),
        },
        Vector {
            name: "orders_delegation",
            golden: Golden::Orders(some(vec![Order::Delegation(delegation)])),
            meaning: meaning(&json!([{ "delegation": {
                "delegation_id": "12",
                "stream_id": "5",
                "range": { "start": "1000", "length": "2000" },
                "resource": base64(b"file.bin"),
                "blake3": base64(&[0xb3; 32]),
            } }])),
        },
        Vector {
            name: "orders_revoke_all",
            golden: Golden::Orders(revocation()),
            meaning: meaning(&json!([{ "revoke": { "stream_id": "1" } }])),
        },
        Vector {
            name: "orders_revoke_one_and_relay",
            golden: Golden::Orders(some(vec![
                Order::Revoke(Revoke { stream: stream(1), delegation: Some(DelegationId(0)) }),
                Order::Relay(relay),
            ])),
            meaning: meaning(&json!([
                { "revoke": { "stream_id": "1", "delegation_id": "0" } },
                { "relay": {
                    "path_id": 3,
                    "message_id": "4",
                    "message_size": 5000,
                    "piece_offset": 4096,
                    "piece": base64(b"rest"),
                } },
            ])),
        },
    ]
}
