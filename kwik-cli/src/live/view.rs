//! What the event stream of the page carries: one [`Snapshot`] an event, as JSON.

use serde::{Deserialize, Serialize};

/// What a server does just now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Snapshot {
    /// Since the server began.
    pub(crate) at_ms: u64,
    /// Where the server listens.
    pub(crate) address: String,
    /// Sessions that are open, those that are not shown included.
    pub(crate) open: usize,
    /// The newest ones.
    pub(crate) sessions: Vec<Session>,
    /// Bytes handed to QUIC since the start, by the server's role.
    pub(crate) primary_sent: u64,
    pub(crate) secondary_sent: u64,
    /// Bytes on their way to clients.
    pub(crate) held: u64,
    /// Clients that were refused.
    pub(crate) refused: u64,
    /// The latest ones, the newest last.
    pub(crate) incidents: Vec<Incident>,
}

/// One client's session.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Session {
    pub(crate) number: u64,
    /// What the server is to it: `primary` or `secondary`.
    pub(crate) role: String,
    pub(crate) client: String,
    pub(crate) age_ms: u64,
    /// Bytes that this server handed to QUIC for it.
    pub(crate) sent: u64,
    /// Of a secondary: orders that are being worked on, and the file of the last one.
    pub(crate) orders: u64,
    pub(crate) file: String,
    /// Of a primary: this server itself, and the secondaries.
    pub(crate) paths: Vec<Path>,
    /// Ranges that were asked of another server after they were lost; of a second one because they were late.
    pub(crate) repairs: u64,
    pub(crate) hedges: u64,
    pub(crate) streams: Vec<Stream>,
}

/// A server that a client has a path to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Path {
    /// 0 is the primary.
    pub(crate) id: u16,
    pub(crate) address: String,
    pub(crate) state: String,
    pub(crate) rtt_ms: Option<f64>,
    /// Bytes that it delivered; those of the primary are those that it sent.
    pub(crate) delivered: u64,
    /// Bytes that were asked of it and have not arrived.
    pub(crate) outstanding: u64,
}

/// A stream to a client.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Stream {
    pub(crate) id: u64,
    pub(crate) file: String,
    /// Bytes that it will have; 0 if that is not known.
    pub(crate) size: u64,
    /// Bytes that the client's application has read.
    pub(crate) read: u64,
    /// Bytes that the client has from the first on without a hole.
    pub(crate) contiguous: u64,
    /// Bytes of a cell.
    pub(crate) cell: u64,
    /// The path that sent most of each cell, by its id; -1 if that is not known.
    pub(crate) cells: Vec<i32>,
    /// How much of each cell has arrived, in percent.
    pub(crate) fill: Vec<u8>,
    /// What was asked for and has not arrived: path, first byte, end.
    pub(crate) due: Vec<(u16, u64, u64)>,
}

/// Something that happened.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Incident {
    pub(crate) number: u64,
    pub(crate) at_ms: u64,
    /// A word for it: `lost`, `repaired`, `hedged`, `excluded`, `up`, `down`, `unavailable`, `failed` or `done`.
    pub(crate) kind: String,
    pub(crate) text: String,
}
