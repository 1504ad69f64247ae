// @generated from proto/kwik/v1 by tests/generated.rs. Do not edit: change the schema.

pub(crate) static BYTE_RANGE: Shape = Shape {
    name: "ByteRange",
    fields: &[
        Field { number: 1, name: "ByteRange.start", wire_type: VARINT, holds: Holds::Plain },
        Field { number: 2, name: "ByteRange.length", wire_type: VARINT, holds: Holds::Plain },
    ],
};
pub(crate) static OPEN_RANGE: Shape = Shape {
    name: "OpenRange",
    fields: &[
        Field { number: 1, name: "OpenRange.start", wire_type: VARINT, holds: Holds::Plain },
        Field { number: 2, name: "OpenRange.end", wire_type: VARINT, holds: Holds::Plain },
    ],
};
pub(crate) static SOCKET_ADDRESS: Shape = Shape {
    name: "SocketAddress",
    fields: &[
        Field { number: 1, name: "SocketAddress.ip", wire_type: LENGTH_DELIMITED, holds: Holds::Plain },
        Field { number: 2, name: "SocketAddress.port", wire_type: VARINT, holds: Holds::Plain },
    ],
};
pub(crate) static SERVER_IDENTITY: Shape = Shape {
    name: "ServerIdentity",
    fields: &[
        Field { number: 1, name: "ServerIdentity.pin", wire_type: LENGTH_DELIMITED, holds: Holds::Plain },
        Field { number: 2, name: "ServerIdentity.server_name", wire_type: LENGTH_DELIMITED, holds: Holds::Text },
    ],
};
pub(crate) static LIMITS: Shape = Shape {
    name: "Limits",
    fields: &[
        Field { number: 1, name: "Limits.max_bidirectional_streams", wire_type: VARINT, holds: Holds::Plain },
        Field { number: 2, name: "Limits.max_unidirectional_streams", wire_type: VARINT, holds: Holds::Plain },
        Field { number: 3, name: "Limits.initial_window", wire_type: VARINT, holds: Holds::Plain },
    ],
};
pub(crate) static CONTROL_FRAME: Shape = Shape {
    name: "ControlFrame",
    fields: &[
        Field { number: 1, name: "ControlFrame.critical", wire_type: VARINT, holds: Holds::Plain },
        Field { number: 2, name: "ControlFrame.hello", wire_type: LENGTH_DELIMITED, holds: Holds::Message(&HELLO) },
        Field { number: 3, name: "ControlFrame.welcome", wire_type: LENGTH_DELIMITED, holds: Holds::Message(&WELCOME) },
        Field { number: 4, name: "ControlFrame.refuse", wire_type: LENGTH_DELIMITED, holds: Holds::Message(&REFUSE) },
        Field { number: 5, name: "ControlFrame.add_path", wire_type: LENGTH_DELIMITED, holds: Holds::Message(&ADD_PATH) },
        Field { number: 6, name: "ControlFrame.add_path_result", wire_type: LENGTH_DELIMITED, holds: Holds::Message(&ADD_PATH_RESULT) },
        Field { number: 7, name: "ControlFrame.remove_path", wire_type: LENGTH_DELIMITED, holds: Holds::Message(&REMOVE_PATH) },
        Field { number: 8, name: "ControlFrame.path_status", wire_type: LENGTH_DELIMITED, holds: Holds::Message(&PATH_STATUS) },
        Field { number: 9, name: "ControlFrame.token_request", wire_type: LENGTH_DELIMITED, holds: Holds::Message(&TOKEN_REQUEST) },
        Field { number: 10, name: "ControlFrame.orders", wire_type: LENGTH_DELIMITED, holds: Holds::Message(&SIGNED_ORDERS) },
        Field { number: 11, name: "ControlFrame.delegation_status", wire_type: LENGTH_DELIMITED, holds: Holds::Message(&DELEGATION_STATUS) },
        Field { number: 12, name: "ControlFrame.stream_reset", wire_type: LENGTH_DELIMITED, holds: Holds::Message(&STREAM_RESET) },
        Field { number: 13, name: "ControlFrame.stream_stop", wire_type: LENGTH_DELIMITED, holds: Holds::Message(&STREAM_STOP) },
        Field { number: 14, name: "ControlFrame.stream_closed", wire_type: LENGTH_DELIMITED, holds: Holds::Message(&STREAM_CLOSED) },
        Field { number: 15, name: "ControlFrame.stream_window", wire_type: LENGTH_DELIMITED, holds: Holds::Message(&STREAM_WINDOW) },
        Field { number: 16, name: "ControlFrame.stream_blocked", wire_type: LENGTH_DELIMITED, holds: Holds::Message(&STREAM_BLOCKED) },
        Field { number: 17, name: "ControlFrame.stream_progress", wire_type: LENGTH_DELIMITED, holds: Holds::Message(&STREAM_PROGRESS) },
        Field { number: 18, name: "ControlFrame.gap", wire_type: LENGTH_DELIMITED, holds: Holds::Message(&GAP) },
        Field { number: 19, name: "ControlFrame.relay", wire_type: LENGTH_DELIMITED, holds: Holds::Message(&RELAY) },
        Field { number: 20, name: "ControlFrame.relay_credit", wire_type: LENGTH_DELIMITED, holds: Holds::Message(&RELAY_CREDIT) },
        Field { number: 21, name: "ControlFrame.mapping_query", wire_type: LENGTH_DELIMITED, holds: Holds::Message(&MAPPING_QUERY) },
        Field { number: 22, name: "ControlFrame.mapping_snapshot", wire_type: LENGTH_DELIMITED, holds: Holds::Message(&MAPPING_SNAPSHOT) },
        Field { number: 23, name: "ControlFrame.ping", wire_type: LENGTH_DELIMITED, holds: Holds::Message(&PING) },
        Field { number: 24, name: "ControlFrame.pong", wire_type: LENGTH_DELIMITED, holds: Holds::Message(&PONG) },
        Field { number: 25, name: "ControlFrame.session_close", wire_type: LENGTH_DELIMITED, holds: Holds::Message(&SESSION_CLOSE) },
        Field { number: 26, name: "ControlFrame.go_away", wire_type: LENGTH_DELIMITED, holds: Holds::Message(&GO_AWAY) },
    ],
};
pub(crate) static HELLO: Shape = Shape {
    name: "Hello",
    fields: &[
        Field { number: 1, name: "Hello.versions", wire_type: VARINT, holds: Holds::Numbers },
        Field { number: 2, name: "Hello.features", wire_type: VARINT, holds: Holds::Numbers },
        Field { number: 3, name: "Hello.limits", wire_type: LENGTH_DELIMITED, holds: Holds::Message(&LIMITS) },
        Field { number: 4, name: "Hello.confirmation_key", wire_type: LENGTH_DELIMITED, holds: Holds::Plain },
        Field { number: 5, name: "Hello.admission", wire_type: LENGTH_DELIMITED, holds: Holds::Message(&ADMISSION) },
    ],
};
pub(crate) static ADMISSION: Shape = Shape {
    name: "Admission",
    fields: &[
        Field { number: 1, name: "Admission.token", wire_type: LENGTH_DELIMITED, holds: Holds::Text },
        Field { number: 2, name: "Admission.proof", wire_type: LENGTH_DELIMITED, holds: Holds::Plain },
    ],
};
pub(crate) static WELCOME: Shape = Shape {
    name: "Welcome",
    fields: &[
        Field { number: 1, name: "Welcome.version", wire_type: VARINT, holds: Holds::Plain },
        Field { number: 2, name: "Welcome.features", wire_type: VARINT, holds: Holds::Numbers },
        Field { number: 3, name: "Welcome.limits", wire_type: LENGTH_DELIMITED, holds: Holds::Message(&LIMITS) },
        Field { number: 4, name: "Welcome.session_id", wire_type: LENGTH_DELIMITED, holds: Holds::Plain },
    ],
};
pub(crate) static REFUSE: Shape = Shape {
    name: "Refuse",
    fields: &[
        Field { number: 1, name: "Refuse.code", wire_type: VARINT, holds: Holds::Plain },
        Field { number: 2, name: "Refuse.reason", wire_type: LENGTH_DELIMITED, holds: Holds::Text },
        Field { number: 3, name: "Refuse.retry_after_ms", wire_type: VARINT, holds: Holds::Plain },
    ],
};
pub(crate) static ADD_PATH: Shape = Shape {
    name: "AddPath",
    fields: &[
        Field { number: 1, name: "AddPath.path_id", wire_type: VARINT, holds: Holds::Plain },
        Field { number: 2, name: "AddPath.epoch", wire_type: VARINT, holds: Holds::Plain },
        Field { number: 3, name: "AddPath.addresses", wire_type: LENGTH_DELIMITED, holds: Holds::Message(&SOCKET_ADDRESS) },
        Field { number: 4, name: "AddPath.identity", wire_type: LENGTH_DELIMITED, holds: Holds::Message(&SERVER_IDENTITY) },
        Field { number: 5, name: "AddPath.token", wire_type: LENGTH_DELIMITED, holds: Holds::Text },
    ],
};
pub(crate) static ADD_PATH_RESULT: Shape = Shape {
    name: "AddPathResult",
    fields: &[
        Field { number: 1, name: "AddPathResult.path_id", wire_type: VARINT, holds: Holds::Plain },
        Field { number: 2, name: "AddPathResult.epoch", wire_type: VARINT, holds: Holds::Plain },
        Field { number: 3, name: "AddPathResult.code", wire_type: VARINT, holds: Holds::Plain },
        Field { number: 4, name: "AddPathResult.detail", wire_type: LENGTH_DELIMITED, holds: Holds::Text },
    ],
};
pub(crate) static REMOVE_PATH: Shape = Shape {
    name: "RemovePath",
    fields: &[
        Field { number: 1, name: "RemovePath.path_id", wire_type: VARINT, holds: Holds::Plain },
        Field { number: 2, name: "RemovePath.drain_ms", wire_type: VARINT, holds: Holds::Plain },
    ],
};
pub(crate) static PATH_STATUS: Shape = Shape {
    name: "PathStatus",
    fields: &[
        Field { number: 1, name: "PathStatus.path_id", wire_type: VARINT, holds: Holds::Plain },
        Field { number: 2, name: "PathStatus.epoch", wire_type: VARINT, holds: Holds::Plain },
        Field { number: 3, name: "PathStatus.state", wire_type: VARINT, holds: Holds::Plain },
        Field { number: 4, name: "PathStatus.reason", wire_type: VARINT, holds: Holds::Plain },
        Field { number: 5, name: "PathStatus.smoothed_rtt_us", wire_type: VARINT, holds: Holds::Plain },
        Field { number: 6, name: "PathStatus.rtt_variation_us", wire_type: VARINT, holds: Holds::Plain },
        Field { number: 7, name: "PathStatus.received_bytes", wire_type: VARINT, holds: Holds::Plain },
        Field { number: 8, name: "PathStatus.busy_us", wire_type: VARINT, holds: Holds::Plain },
    ],
};
pub(crate) static TOKEN_REQUEST: Shape = Shape {
    name: "TokenRequest",
    fields: &[
        Field { number: 1, name: "TokenRequest.path_id", wire_type: VARINT, holds: Holds::Plain },
        Field { number: 2, name: "TokenRequest.epoch", wire_type: VARINT, holds: Holds::Plain },
    ],
};
pub(crate) static SIGNED_ORDERS: Shape = Shape {
    name: "SignedOrders",
    fields: &[
        Field { number: 1, name: "SignedOrders.body", wire_type: LENGTH_DELIMITED, holds: Holds::Plain },
        Field { number: 2, name: "SignedOrders.signature", wire_type: LENGTH_DELIMITED, holds: Holds::Plain },
        Field { number: 3, name: "SignedOrders.key_id", wire_type: LENGTH_DELIMITED, holds: Holds::Text },
    ],
};
pub(crate) static ORDERS: Shape = Shape {
    name: "Orders",
    fields: &[
        Field { number: 1, name: "Orders.session_id", wire_type: LENGTH_DELIMITED, holds: Holds::Plain },
        Field { number: 2, name: "Orders.path_id", wire_type: VARINT, holds: Holds::Plain },
        Field { number: 3, name: "Orders.epoch", wire_type: VARINT, holds: Holds::Plain },
        Field { number: 4, name: "Orders.number", wire_type: VARINT, holds: Holds::Plain },
        Field { number: 5, name: "Orders.orders", wire_type: LENGTH_DELIMITED, holds: Holds::Message(&ORDER) },
    ],
};
pub(crate) static ORDER: Shape = Shape {
    name: "Order",
    fields: &[
        Field { number: 1, name: "Order.grant", wire_type: LENGTH_DELIMITED, holds: Holds::Message(&GRANT) },
        Field { number: 2, name: "Order.delegation", wire_type: LENGTH_DELIMITED, holds: Holds::Message(&DELEGATION) },
        Field { number: 3, name: "Order.revoke", wire_type: LENGTH_DELIMITED, holds: Holds::Message(&REVOKE) },
        Field { number: 4, name: "Order.relay", wire_type: LENGTH_DELIMITED, holds: Holds::Message(&RELAY) },
    ],
};
pub(crate) static GRANT: Shape = Shape {
    name: "Grant",
    fields: &[
        Field { number: 1, name: "Grant.stream_id", wire_type: VARINT, holds: Holds::Plain },
        Field { number: 2, name: "Grant.range", wire_type: LENGTH_DELIMITED, holds: Holds::Message(&OPEN_RANGE) },
        Field { number: 3, name: "Grant.max_offset", wire_type: VARINT, holds: Holds::Plain },
    ],
};
pub(crate) static DELEGATION: Shape = Shape {
    name: "Delegation",
    fields: &[
        Field { number: 1, name: "Delegation.delegation_id", wire_type: VARINT, holds: Holds::Plain },
        Field { number: 2, name: "Delegation.stream_id", wire_type: VARINT, holds: Holds::Plain },
        Field { number: 3, name: "Delegation.range", wire_type: LENGTH_DELIMITED, holds: Holds::Message(&BYTE_RANGE) },
        Field { number: 4, name: "Delegation.resource", wire_type: LENGTH_DELIMITED, holds: Holds::Plain },
        Field { number: 5, name: "Delegation.blake3", wire_type: LENGTH_DELIMITED, holds: Holds::Plain },
        Field { number: 6, name: "Delegation.priority", wire_type: VARINT, holds: Holds::Plain },
        Field { number: 7, name: "Delegation.urgent", wire_type: VARINT, holds: Holds::Plain },
    ],
};
pub(crate) static REVOKE: Shape = Shape {
    name: "Revoke",
    fields: &[
        Field { number: 1, name: "Revoke.stream_id", wire_type: VARINT, holds: Holds::Plain },
        Field { number: 2, name: "Revoke.delegation_id", wire_type: VARINT, holds: Holds::Plain },
    ],
};
pub(crate) static DELEGATION_STATUS: Shape = Shape {
    name: "DelegationStatus",
    fields: &[
        Field { number: 1, name: "DelegationStatus.path_id", wire_type: VARINT, holds: Holds::Plain },
        Field { number: 2, name: "DelegationStatus.delegation_id", wire_type: VARINT, holds: Holds::Plain },
        Field { number: 3, name: "DelegationStatus.state", wire_type: VARINT, holds: Holds::Plain },
        Field { number: 4, name: "DelegationStatus.reason", wire_type: VARINT, holds: Holds::Plain },
    ],
};
pub(crate) static STREAM_RESET: Shape = Shape {
    name: "StreamReset",
    fields: &[
        Field { number: 1, name: "StreamReset.stream_id", wire_type: VARINT, holds: Holds::Plain },
        Field { number: 2, name: "StreamReset.error_code", wire_type: VARINT, holds: Holds::Plain },
        Field { number: 3, name: "StreamReset.final_size", wire_type: VARINT, holds: Holds::Plain },
    ],
};
pub(crate) static STREAM_STOP: Shape = Shape {
    name: "StreamStop",
    fields: &[
        Field { number: 1, name: "StreamStop.stream_id", wire_type: VARINT, holds: Holds::Plain },
        Field { number: 2, name: "StreamStop.error_code", wire_type: VARINT, holds: Holds::Plain },
    ],
};
pub(crate) static STREAM_CLOSED: Shape = Shape {
    name: "StreamClosed",
    fields: &[
        Field { number: 1, name: "StreamClosed.stream_id", wire_type: VARINT, holds: Holds::Plain },
        Field { number: 2, name: "StreamClosed.complete", wire_type: VARINT, holds: Holds::Plain },
    ],
};
pub(crate) static STREAM_WINDOW: Shape = Shape {
    name: "StreamWindow",
    fields: &[
        Field { number: 1, name: "StreamWindow.stream_id", wire_type: VARINT, holds: Holds::Plain },
        Field { number: 2, name: "StreamWindow.max_offset", wire_type: VARINT, holds: Holds::Plain },
    ],
};
pub(crate) static STREAM_BLOCKED: Shape = Shape {
    name: "StreamBlocked",
    fields: &[
        Field { number: 1, name: "StreamBlocked.stream_id", wire_type: VARINT, holds: Holds::Plain },
        Field { number: 2, name: "StreamBlocked.max_offset", wire_type: VARINT, holds: Holds::Plain },
    ],
};
pub(crate) static STREAM_PROGRESS: Shape = Shape {
    name: "StreamProgress",
    fields: &[
        Field { number: 1, name: "StreamProgress.stream_id", wire_type: VARINT, holds: Holds::Plain },
        Field { number: 2, name: "StreamProgress.read_offset", wire_type: VARINT, holds: Holds::Plain },
        Field { number: 3, name: "StreamProgress.contiguous_end", wire_type: VARINT, holds: Holds::Plain },
        Field { number: 4, name: "StreamProgress.held", wire_type: LENGTH_DELIMITED, holds: Holds::Message(&HELD_RANGE) },
        Field { number: 5, name: "StreamProgress.reader_waiting", wire_type: VARINT, holds: Holds::Plain },
    ],
};
pub(crate) static HELD_RANGE: Shape = Shape {
    name: "HeldRange",
    fields: &[
        Field { number: 1, name: "HeldRange.range", wire_type: LENGTH_DELIMITED, holds: Holds::Message(&BYTE_RANGE) },
        Field { number: 2, name: "HeldRange.path_id", wire_type: VARINT, holds: Holds::Plain },
    ],
};
pub(crate) static GAP: Shape = Shape {
    name: "Gap",
    fields: &[
        Field { number: 1, name: "Gap.stream_id", wire_type: VARINT, holds: Holds::Plain },
        Field { number: 2, name: "Gap.range", wire_type: LENGTH_DELIMITED, holds: Holds::Message(&BYTE_RANGE) },
        Field { number: 3, name: "Gap.reason", wire_type: VARINT, holds: Holds::Plain },
        Field { number: 4, name: "Gap.path_id", wire_type: VARINT, holds: Holds::Plain },
        Field { number: 5, name: "Gap.delegation_id", wire_type: VARINT, holds: Holds::Plain },
    ],
};
pub(crate) static RELAY: Shape = Shape {
    name: "Relay",
    fields: &[
        Field { number: 1, name: "Relay.path_id", wire_type: VARINT, holds: Holds::Plain },
        Field { number: 2, name: "Relay.message_id", wire_type: VARINT, holds: Holds::Plain },
        Field { number: 3, name: "Relay.message_size", wire_type: VARINT, holds: Holds::Plain },
        Field { number: 4, name: "Relay.piece_offset", wire_type: VARINT, holds: Holds::Plain },
        Field { number: 5, name: "Relay.piece", wire_type: LENGTH_DELIMITED, holds: Holds::Plain },
    ],
};
pub(crate) static RELAY_CREDIT: Shape = Shape {
    name: "RelayCredit",
    fields: &[
        Field { number: 1, name: "RelayCredit.path_id", wire_type: VARINT, holds: Holds::Plain },
        Field { number: 2, name: "RelayCredit.max_bytes", wire_type: VARINT, holds: Holds::Plain },
    ],
};
pub(crate) static MAPPING_QUERY: Shape = Shape {
    name: "MappingQuery",
    fields: &[
        Field { number: 1, name: "MappingQuery.query_id", wire_type: VARINT, holds: Holds::Plain },
        Field { number: 2, name: "MappingQuery.carriers", wire_type: VARINT, holds: Holds::Numbers },
    ],
};
pub(crate) static MAPPING_SNAPSHOT: Shape = Shape {
    name: "MappingSnapshot",
    fields: &[
        Field { number: 1, name: "MappingSnapshot.query_id", wire_type: VARINT, holds: Holds::Plain },
        Field { number: 2, name: "MappingSnapshot.mappings", wire_type: LENGTH_DELIMITED, holds: Holds::Message(&MAPPING) },
    ],
};
pub(crate) static MAPPING: Shape = Shape {
    name: "Mapping",
    fields: &[
        Field { number: 1, name: "Mapping.carrier", wire_type: VARINT, holds: Holds::Plain },
        Field { number: 2, name: "Mapping.stream_id", wire_type: VARINT, holds: Holds::Plain },
        Field { number: 3, name: "Mapping.delegation_id", wire_type: VARINT, holds: Holds::Plain },
        Field { number: 4, name: "Mapping.promised", wire_type: LENGTH_DELIMITED, holds: Holds::Message(&BYTE_RANGE) },
    ],
};
pub(crate) static PING: Shape = Shape {
    name: "Ping",
    fields: &[
        Field { number: 1, name: "Ping.nonce", wire_type: VARINT, holds: Holds::Plain },
    ],
};
pub(crate) static PONG: Shape = Shape {
    name: "Pong",
    fields: &[
        Field { number: 1, name: "Pong.nonce", wire_type: VARINT, holds: Holds::Plain },
    ],
};
pub(crate) static SESSION_CLOSE: Shape = Shape {
    name: "SessionClose",
    fields: &[
        Field { number: 1, name: "SessionClose.code", wire_type: VARINT, holds: Holds::Plain },
        Field { number: 2, name: "SessionClose.application_code", wire_type: VARINT, holds: Holds::Plain },
        Field { number: 3, name: "SessionClose.reason", wire_type: LENGTH_DELIMITED, holds: Holds::Text },
    ],
};
pub(crate) static GO_AWAY: Shape = Shape {
    name: "GoAway",
    fields: &[
        Field { number: 1, name: "GoAway.grace_ms", wire_type: VARINT, holds: Holds::Plain },
    ],
};
