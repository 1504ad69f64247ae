//! What `get` and `demo` tell at the end.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use crate::size::ByteSize;
use crate::tag::Tag;

#[cfg(test)]
mod tests;

/// A finished transfer. As JSON it is the object that `--json` promises, field for field.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    /// Bytes of content. The sum of `paths[].bytes`.
    pub(crate) bytes: u64,
    /// From the start of the connection to the last byte checked.
    pub(crate) seconds: f64,
    /// BLAKE3 of the content, in hex.
    pub(crate) blake3: String,
    pub(crate) paths: Vec<PathReport>,
    /// Bytes that arrived more than once.
    pub(crate) redundant_bytes: u64,
    /// How often a range was reported missing to the primary, which then asked another server.
    pub(crate) repairs: u64,
    pub(crate) longest_stall_ms: f64,
    pub(crate) stalls: Vec<StallReport>,
    /// Most bytes that were held for the reader at one time.
    pub(crate) peak_buffer_bytes: u64,
}

/// One server's part.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PathReport {
    pub(crate) address: String,
    pub(crate) role: Role,
    /// Bytes of content that this server was first to deliver.
    pub(crate) bytes: u64,
    pub(crate) state: String,
    /// Whether it sent bytes that the primary's hash or bytes proved wrong; absent if not.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) faulty: bool,
    /// Smoothed round-trip time; null if never measured.
    pub(crate) rtt_ms: Option<f64>,
}

/// What a server is to the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    Primary,
    Secondary,
}

/// A time in which the reader waited.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct StallReport {
    /// When it began, from the start of the connection.
    pub(crate) at_ms: f64,
    pub(crate) ms: f64,
    /// The offset in the file that the reader waited for.
    pub(crate) offset: u64,
    /// Bytes missing from there on.
    pub(crate) length: u64,
    /// The server that owed them; null if nobody did.
    pub(crate) path: Option<String>,
    /// The server that delivered them in the end; null if the stream ended.
    pub(crate) ended_by: Option<String>,
}

impl Report {
    /// The report of a transfer of `bytes` bytes, before anything is known of the servers.
    pub(crate) fn new(bytes: u64, elapsed: Duration, tag: Tag) -> Self {
        Self {
            bytes,
            seconds: elapsed.as_secs_f64(),
            blake3: tag.to_string(),
            paths: Vec::new(),
            redundant_bytes: 0,
            repairs: 0,
            longest_stall_ms: 0.0,
            stalls: Vec::new(),
            peak_buffer_bytes: 0,
        }
    }

    /// Takes what precedes the content on the stream out of the account: the primary sent it.
    pub(crate) fn exclude_reply(&mut self, reply: u64) {
        if let Some(primary) = self.paths.iter_mut().find(|path| path.role == Role::Primary) {
            primary.bytes = primary.bytes.saturating_sub(reply);
        }
        for stall in &mut self.stalls {
            stall.offset = stall.offset.saturating_sub(reply);
        }
    }

    /// The object on one line.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("numbers, strings and lists are JSON")
    }

    /// The report for people; several lines.
    pub(crate) fn to_text(&self, what: &str) -> String {
        let rate = self.bytes as f64 * 8.0 / 1e6 / self.seconds.max(1e-6);
        let mut text = format!(
            "{what}: {} in {:.2} s ({rate:.0} Mbit/s), BLAKE3 {}",
            ByteSize(self.bytes),
            self.seconds,
            self.blake3
        );
        for path in &self.paths {
            let PathReport { address, bytes, state, .. } = path;
            let faulty = if path.faulty { ", sent wrong bytes" } else { "" };
            let role = match path.role {
                Role::Primary => "primary",
                Role::Secondary => "secondary",
            };
            let share = *bytes as f64 * 100.0 / self.bytes.max(1) as f64;
            let size = ByteSize(*bytes).to_string();
            let _ = write!(
                text,
                "\n  {role:<9} {address:<21} {size:>10} {share:>3.0} % {state}{faulty}"
            );
        }
        text
    }
}
