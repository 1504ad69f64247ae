//! What `check` says of each server.

use std::fmt::Write as _;
use std::net::SocketAddr;

use kwik_client::{ErrorCode, Fault, PathMetrics, PathRole};
use serde::Serialize;

use crate::cause::Cause;
use crate::report::{Role, milliseconds};
use crate::size::ByteSize;

#[cfg(test)]
mod tests;

/// A file's servers. As JSON it is the object that `--json` promises, but for `status`.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Checked {
    /// Bytes of the file.
    pub(super) size: u64,
    /// Its BLAKE3 as the primary names it, in hex.
    pub(super) blake3: String,
    /// Bytes from its start that were compared.
    pub(super) compared: u64,
    /// The primary first.
    pub(super) servers: Vec<Server>,
}

/// One server.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) role: Role,
    /// As in `kwik get --json`: `live` if its key and, of a secondary, its token were accepted.
    pub(super) state: &'static str,
    /// Bytes that it was first to deliver.
    pub(super) bytes: u64,
    /// Whether they are those of the primary; null if there were none.
    pub(super) same_bytes: Option<bool>,
    pub(super) rtt_ms: Option<f64>,
    /// Bytes a second of the round in which it sent most, beside the others; null if it sent nothing.
    pub(super) rate: Option<u64>,
    /// Largest IP packet that this machine believes the way to carry; null if it does not say.
    pub(super) mtu: Option<u32>,
    /// Codes with which it was refused or refused us, each once.
    pub(super) faults: Vec<String>,
    /// What is wrong; null if nothing is.
    pub(super) cause: Option<Cause>,
    /// What to do about it.
    pub(super) advice: Option<&'static str>,
}

impl Server {
    /// Judges a path by what is known of it.
    pub(super) fn new(path: &PathMetrics, faults: &[Fault], doubted: &[SocketAddr]) -> Self {
        let own = faults.iter().filter(|fault| fault.address == path.address);
        let codes: Vec<ErrorCode> = own.map(|fault| fault.code).collect();
        let lied = codes.contains(&ErrorCode::DataConflict) || doubted.contains(&path.address);
        let role = match path.role {
            PathRole::Primary => Role::Primary,
            PathRole::Other => Role::Secondary,
        };
        let judged = match role {
            Role::Primary => None,
            Role::Secondary => judge(path, &codes, lied),
        };
        Self {
            address: path.address,
            role,
            state: path.state,
            bytes: path.bytes,
            same_bytes: if lied { Some(false) } else { (path.bytes > 0).then_some(true) },
            rtt_ms: path.rtt.map(milliseconds),
            rate: None,
            mtu: None,
            faults: codes.iter().map(|code| format!("{code:?}")).collect(),
            cause: judged.map(|(cause, _)| cause),
            advice: judged.map(|(_, advice)| advice),
        }
    }
}

/// What is wrong with a secondary, and what to do.
fn judge(path: &PathMetrics, codes: &[ErrorCode], lied: bool) -> Option<(Cause, &'static str)> {
    if lied {
        let advice = "its copy differs from the primary's: copy the file there again";
        return Some((Cause::Integrity, advice));
    }
    if path.bytes > 0 {
        return None;
    }
    codes.last().map(|code| of_code(*code)).or(match path.state {
        "live" | "suspect" => Some((
            Cause::Timeout,
            "it is reached and sends nothing: give it the same file under the same path, or wait until it has hashed it; its log says which",
        )),
        _ => Some(of_code(ErrorCode::Unreachable)),
    })
}

fn of_code(code: ErrorCode) -> (Cause, &'static str) {
    match code {
        ErrorCode::Unreachable | ErrorCode::HandshakeTimeout | ErrorCode::PathTimeout => (
            Cause::Unreachable,
            "it does not answer: start `kwik serve` there, and let UDP to that port through firewalls",
        ),
        ErrorCode::GoingAway => (Cause::Unreachable, "it is being shut down: start it again"),
        ErrorCode::IdentityMismatch => (
            Cause::Refused,
            "it has another key than the primary says: give the primary the pin that it prints, in --secondary",
        ),
        ErrorCode::TokenExpired => {
            (Cause::Refused, "its clock and the primary's differ: have both set")
        }
        ErrorCode::TokenMissing
        | ErrorCode::TokenInvalid
        | ErrorCode::TokenAudience
        | ErrorCode::TokenProof
        | ErrorCode::TokenReplayed
        | ErrorCode::RoleRefused => (
            Cause::Refused,
            "it takes no order of this primary: start it with --trust and the primary's primary.pub, and compare both clocks",
        ),
        ErrorCode::PathPolicy => (
            Cause::Refused,
            "a primary may not send its clients to that address: name one that is as public as the primary's own, above port 1023",
        ),
        ErrorCode::Busy => (Cause::Refused, "it has too many clients: try again later"),
        ErrorCode::DataConflict | ErrorCode::Checksum => {
            (Cause::Integrity, "it sends wrong bytes: copy the file there again")
        }
        _ => (Cause::Refused, "its log says more: set KWIK_LOG=debug there"),
    }
}

/// Which of several causes the process exits for: what is wrong for good before what may pass.
const ORDER: [Cause; 5] =
    [Cause::Integrity, Cause::Refused, Cause::Unreachable, Cause::Timeout, Cause::Failed];

impl Checked {
    /// What the process exits for; `None` if all is well.
    pub(super) fn cause(&self) -> Option<Cause> {
        let has = |cause: &Cause| self.servers.iter().any(|server| server.cause == Some(*cause));
        ORDER.into_iter().find(has)
    }

    /// The object on one line.
    pub(super) fn to_json(&self) -> String {
        #[derive(Serialize)]
        struct Object<'a> {
            #[serde(flatten)]
            checked: &'a Checked,
            status: u8,
        }
        let status = self.cause().map_or(0, Cause::status);
        serde_json::to_string(&Object { checked: self, status })
            .expect("numbers, strings and lists are JSON")
    }

    /// The table, and below a server what to do about it.
    pub(super) fn to_text(&self) -> String {
        let Self { size, blake3, compared, servers } = self;
        let mut text = format!(
            "{}, BLAKE3 {blake3}; the first {} were compared",
            ByteSize(*size),
            ByteSize(*compared)
        );
        for server in servers {
            let role = match server.role {
                Role::Primary => "primary",
                Role::Secondary => "secondary",
            };
            let same = match server.same_bytes {
                Some(true) => "same bytes",
                Some(false) => "WRONG BYTES",
                None => "no bytes",
            };
            let address = server.address.to_string();
            let rtt = server.rtt_ms.map_or("-".to_owned(), |rtt| format!("{rtt:.1} ms"));
            let rate = server
                .rate
                .map_or("-".to_owned(), |rate| format!("{:.0} Mbit/s", rate as f64 * 8.0 / 1e6));
            let mtu = server.mtu.map_or("-".to_owned(), |mtu| mtu.to_string());
            let _ = write!(
                text,
                "\n  {role:<9} {address:<21} {:<8} {same:<11} rtt {rtt:>9}  {rate:>11}  mtu {mtu}",
                server.state
            );
            if let Some(advice) = server.advice {
                let why = match server.faults.last() {
                    Some(code) => format!("{code}: "),
                    None => String::new(),
                };
                let _ = write!(text, "\n            -> {why}{advice}");
            }
        }
        if servers.len() == 1 {
            let why = if *compared <= crate::primary::SMALL {
                "a primary sends so small a file alone; check one of more than 1 MiB"
            } else {
                "the primary names no secondary"
            };
            let _ = write!(text, "\n  {why}");
        }
        text
    }
}
