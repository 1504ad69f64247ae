//! What a control frame may hold. Both ends keep to these: `validate` before sending, the decoder on arrival.

/// Most bytes of a text for people.
pub const MAX_TEXT: usize = 256;
/// Most bytes of a token.
pub const MAX_TOKEN: usize = 4 * 1024;
/// Most bytes of a server's name: the longest DNS name.
pub const MAX_SERVER_NAME: usize = 253;
/// Most bytes of a key's id: `k4.pid.` and 44 characters, with room for later kinds.
pub const MAX_KEY_ID: usize = 128;
/// Most versions in a Hello.
pub const MAX_VERSIONS: usize = 16;
/// Most features in a Hello or Welcome.
pub const MAX_FEATURES: usize = 64;
/// Most streams of a kind that an endpoint may allow its peer.
pub const MAX_STREAMS: u32 = 1 << 20;
/// Least first window of a stream half, in bytes: what may be sent before the peer's limits are known.
pub const MIN_INITIAL_WINDOW: u64 = 64 * 1024;
/// Most addresses of an AddPath.
pub const MAX_ADDRESSES: usize = 8;
/// Longest draining, in milliseconds.
pub const MAX_DRAIN_MS: u32 = 5000;
/// Most bytes of serialised orders.
pub const MAX_ORDERS_BODY: usize = 48 * 1024;
/// Most orders under one signature.
pub const MAX_ORDERS: usize = 256;
/// Most bytes of a delegation's resource.
pub const MAX_RESOURCE: usize = 4 * 1024;
/// Most held ranges in a StreamProgress.
pub const MAX_HELD: usize = 32;
/// Most bytes of a relay message.
pub const MAX_RELAY_MESSAGE: u32 = 64 * 1024;
/// Most bytes of one piece of a relay message.
pub const MAX_RELAY_PIECE: usize = 4 * 1024;
/// Most carriers in a MappingQuery.
pub const MAX_QUERIED: usize = 64;
/// Most mappings in a MappingSnapshot.
pub const MAX_MAPPINGS: usize = 1024;
