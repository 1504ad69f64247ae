//! What `get` and `demo` tell at the end.

use std::fmt::Write as _;
use std::time::Duration;

use kwik_client::{DelayHistogram, sanitized};
use serde::{Deserialize, Serialize, Serializer};

use crate::cause::{Cause, code_name};
use crate::kept::Left;
use crate::size::ByteSize;
use crate::tag::Tag;

/// Servers that a report tells apart: those beyond it are one line, [`OTHERS`].
pub(crate) const MAX_SERVERS: usize = 256;
/// The address of that line.
const OTHERS: &str = "others";
/// Pauses of all sessions of a download that are told, at most: the latest.
pub(crate) const MAX_STALLS: usize = 256;

#[cfg(test)]
mod tests;

/// A finished transfer. As JSON it is the object that `--json` promises, field for field.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    /// Bytes of content: `resumed_at` and the sum of `paths[].bytes`.
    pub(crate) bytes: u64,
    /// Bytes of it that were there already.
    pub(crate) resumed_at: u64,
    /// How often another session took over.
    pub(crate) reconnects: u64,
    /// From the start of the command to the last byte checked; of several files, from the start of this one.
    pub(crate) seconds: f64,
    /// From the last byte written to the whole file on disk under its name.
    pub(crate) commit_ms: f64,
    /// BLAKE3 of the content, or of the part that `range` says, in hex.
    pub(crate) blake3: String,
    /// Which part of which content it is, with --range.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) range: Option<RangeReport>,
    pub(crate) paths: Vec<PathReport>,
    /// Bytes that arrived more than once.
    pub(crate) redundant_bytes: u64,
    /// How often a range was reported missing to the primary, which then asked another server.
    pub(crate) repairs: u64,
    pub(crate) longest_stall_ms: f64,
    pub(crate) stalls: Vec<StallReport>,
    /// From the arrival of a byte until it could be delivered in order: median, 99th percentile and maximum, by bytes.
    #[serde(rename = "in_order_delay_ms", serialize_with = "in_milliseconds")]
    pub(crate) in_order_delay: DelayHistogram,
    /// Most bytes that were held for the reader at one time.
    pub(crate) peak_buffer_bytes: u64,
}

/// A part of a content.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RangeReport {
    /// Where it begins.
    pub(crate) offset: u64,
    /// Bytes of the whole content.
    pub(crate) size: u64,
    /// BLAKE3 of the whole content, as the server names it.
    pub(crate) blake3: String,
}

/// A transfer that failed, as `--json` has it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Failure {
    /// What the line on standard error says; there is none where the object goes there.
    error: String,
    cause: Cause,
    /// The exit status.
    status: u8,
    /// The code with which a server ended it, by its name; null if none did.
    code: Option<String>,
    /// Bytes of the content that are kept for the next run; null if that is not known.
    kept_bytes: Option<u64>,
}

impl Failure {
    pub(crate) fn of(error: &anyhow::Error, kept: Left) -> Self {
        let cause = Cause::of(error);
        Self {
            error: sanitized(&format!("{error:#}")).to_string(),
            cause,
            status: cause.status(),
            code: code_name(error),
            kept_bytes: match kept {
                Left::Bytes(bytes) => Some(bytes),
                Left::Whole => None,
            },
        }
    }

    /// The object on one line.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("numbers and strings are JSON")
    }
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
#[derive(Clone, Debug, Serialize, Deserialize)]
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
    /// Why they were reported missing to the primary meanwhile, or `reconnect` between two sessions; null if neither.
    #[serde(default)]
    pub(crate) reason: Option<String>,
}

/// What one session did, or several.
#[derive(Clone, Debug)]
pub(crate) struct SessionReport {
    /// Which of the download's sessions it was, the last one of several.
    pub(crate) number: u64,
    pub(crate) paths: Vec<PathReport>,
    pub(crate) redundant_bytes: u64,
    pub(crate) repairs: u64,
    pub(crate) longest_stall_ms: f64,
    pub(crate) stalls: Vec<StallReport>,
    pub(crate) in_order_delay: DelayHistogram,
    pub(crate) peak_buffer_bytes: u64,
}

impl SessionReport {
    /// Has the bytes of the paths add up to the `read` ones. `reply` bytes precede the content: the primary sent them.
    ///
    /// What arrived in a session that was left, and was not read from it, is fetched again: it is redundant, in the same
    /// parts as what was read.
    pub(crate) fn settle(&mut self, reply: u64, read: u64) {
        if let Some(primary) = self.paths.iter_mut().find(|path| path.role == Role::Primary) {
            primary.bytes = primary.bytes.saturating_sub(reply);
        }
        let arrived: u64 = self.paths.iter().map(|path| path.bytes).sum();
        self.redundant_bytes += arrived.saturating_sub(read);
        for path in &mut self.paths {
            let part = u128::from(path.bytes) * u128::from(read.min(arrived));
            path.bytes = (part / u128::from(arrived.max(1))) as u64;
        }
        let counted: u64 = self.paths.iter().map(|path| path.bytes).sum();
        if let Some(most) = self.paths.iter_mut().max_by_key(|path| path.bytes) {
            most.bytes += read - counted;
        }
    }

    /// Adds what a later session did. Of a server that was in several, the latest state counts.
    pub(crate) fn add(&mut self, later: Self) {
        self.number = later.number;
        for mut path in later.paths {
            if self.paths.iter().all(|known| known.address != path.address)
                && self.paths.len() >= MAX_SERVERS
            {
                path.address = OTHERS.to_owned();
            }
            match self.paths.iter_mut().find(|known| known.address == path.address) {
                Some(known) => known.add(path),
                None => self.paths.push(path),
            }
        }
        self.redundant_bytes += later.redundant_bytes;
        self.repairs += later.repairs;
        self.longest_stall_ms = self.longest_stall_ms.max(later.longest_stall_ms);
        self.stalls.extend(later.stalls);
        self.stalls.drain(..self.stalls.len().saturating_sub(MAX_STALLS));
        self.in_order_delay.add(&later.in_order_delay);
        self.peak_buffer_bytes = self.peak_buffer_bytes.max(later.peak_buffer_bytes);
    }

    /// Says of pauses where in the content and when in the download they were: the session began at that time, and the
    /// content at `offset` behind `reply` bytes of the stream.
    pub(crate) fn place(&mut self, reply: u64, offset: u64, began_ms: f64) {
        for stall in &mut self.stalls {
            stall.offset = stall.offset.saturating_sub(reply) + offset;
            stall.at_ms += began_ms;
        }
    }
}

impl PathReport {
    fn add(&mut self, later: Self) {
        let Self { address: _, role, bytes, state, faulty, rtt_ms } = later;
        self.bytes += bytes;
        self.state = state;
        self.faulty |= faulty;
        self.rtt_ms = rtt_ms.or(self.rtt_ms);
        if role == Role::Primary {
            self.role = role;
        }
    }
}

/// With the precision that clocks here have: microseconds.
pub(crate) fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// A histogram in the report.
#[derive(Serialize)]
struct Delays {
    p50: f64,
    p99: f64,
    max: f64,
}

fn in_milliseconds<S: Serializer>(
    delays: &DelayHistogram,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let summary = delays.summary();
    let [p50, p99, max] = [summary.p50, summary.p99, summary.max].map(milliseconds);
    Delays { p50, p99, max }.serialize(serializer)
}

impl Report {
    /// The report of a transfer of `bytes` bytes, before anything is known of the servers.
    pub(crate) fn new(bytes: u64, elapsed: Duration, tag: Tag) -> Self {
        Self {
            bytes,
            resumed_at: 0,
            reconnects: 0,
            seconds: elapsed.as_secs_f64(),
            commit_ms: 0.0,
            blake3: tag.to_string(),
            range: None,
            paths: Vec::new(),
            redundant_bytes: 0,
            repairs: 0,
            longest_stall_ms: 0.0,
            stalls: Vec::new(),
            in_order_delay: DelayHistogram::default(),
            peak_buffer_bytes: 0,
        }
    }

    /// Enters what all sessions did.
    pub(crate) fn enter(&mut self, sessions: SessionReport) {
        self.paths = sessions.paths;
        self.redundant_bytes = sessions.redundant_bytes;
        self.repairs = sessions.repairs;
        self.longest_stall_ms = sessions.longest_stall_ms;
        self.stalls = sessions.stalls;
        self.in_order_delay = sessions.in_order_delay;
        self.peak_buffer_bytes = sessions.peak_buffer_bytes;
    }

    /// Adds a pause between two sessions.
    pub(crate) fn add_stall(&mut self, stall: StallReport) {
        self.longest_stall_ms = self.longest_stall_ms.max(stall.ms);
        self.stalls.push(stall);
        self.stalls.sort_by(|a, b| a.at_ms.total_cmp(&b.at_ms));
    }

    /// The object on one line.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("numbers, strings and lists are JSON")
    }

    /// The report for people; several lines.
    pub(crate) fn to_text(&self, what: &str) -> String {
        let fetched = self.bytes - self.resumed_at.min(self.bytes);
        let rate = fetched as f64 * 8.0 / 1e6 / self.seconds.max(1e-6);
        let mut text = format!(
            "{what}: {} in {:.2} s ({rate:.0} Mbit/s), BLAKE3 {}",
            ByteSize(self.bytes),
            self.seconds,
            self.blake3
        );
        if self.resumed_at > 0 {
            let _ = write!(text, "\n  {} were there already", ByteSize(self.resumed_at));
        }
        if self.reconnects > 0 {
            let _ = write!(text, "\n  connected {} times again", self.reconnects);
        }
        for path in &self.paths {
            let PathReport { address, bytes, state, .. } = path;
            let faulty = if path.faulty { ", sent wrong bytes" } else { "" };
            let role = match path.role {
                Role::Primary => "primary",
                Role::Secondary => "secondary",
            };
            let share = *bytes as f64 * 100.0 / fetched.max(1) as f64;
            let size = ByteSize(*bytes).to_string();
            let _ = write!(
                text,
                "\n  {role:<9} {address:<21} {size:>10} {share:>3.0} % {state}{faulty}"
            );
        }
        text
    }
}
