//! Who was turned away, and why.

use kwik_core::admission::AdmissionError;
use kwik_proto::frame::{ErrorCode, Refuse};

/// At whose door the cause of a refusal lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Party {
    /// A client: it asked for too much, or wrongly, or too late.
    Client,
    /// A primary: its tokens are not those of a trusted one, or meant for another server.
    Primary,
    /// A secondary: what it was ordered did not come from it.
    Secondary,
    /// What lies between: packets that are no handshake, or too many at once.
    Network,
}

/// What a server refused: one kind of it. There are some dozens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct Refused {
    /// The code that was told.
    pub code: ErrorCode,
    /// Whose doing it was.
    pub party: Party,
    /// Which rule it was, in a word of `[a-z_]`, one of a fixed set: `sessions`, `hello_time`, `token`, ...
    pub reason: &'static str,
}

/// A refusal that is to be told and counted.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) refuse: Refuse,
    party: Party,
    reason: &'static str,
}

impl Refusal {
    /// Of a client.
    pub(crate) fn new(code: ErrorCode, reason: &'static str, text: &str) -> Self {
        let refuse = Refuse { code, reason: text.into(), retry_after_ms: None };
        Self { refuse, party: Party::Client, reason }
    }

    /// The client may come back after that time.
    pub(crate) fn retry_after(mut self, ms: u32) -> Self {
        self.refuse.retry_after_ms = Some(ms);
        self
    }

    pub(crate) fn counted(&self) -> Refused {
        Refused { code: self.refuse.code, party: self.party, reason: self.reason }
    }
}

/// A Hello that offers nothing that this server speaks.
impl From<Refuse> for Refusal {
    fn from(refuse: Refuse) -> Self {
        Self { refuse, party: Party::Client, reason: "hello" }
    }
}

impl From<AdmissionError> for Refusal {
    fn from(error: AdmissionError) -> Self {
        let (party, reason) = match error {
            AdmissionError::Missing => (Party::Client, "token_missing"),
            AdmissionError::Invalid => (Party::Primary, "token_invalid"),
            AdmissionError::Expired { .. } => (Party::Client, "token_expired"),
            AdmissionError::NotYet { .. } => (Party::Primary, "token_early"),
            AdmissionError::Audience => (Party::Primary, "token_audience"),
            AdmissionError::Proof => (Party::Client, "token_proof"),
            AdmissionError::Replayed => (Party::Client, "token_replayed"),
            AdmissionError::Busy => (Party::Client, "token_memory"),
            _ => (Party::Client, "token"),
        };
        let after = error.retry_after().map(|it| u32::try_from(it.as_millis()).unwrap_or(u32::MAX));
        let refuse =
            Refuse { code: error.code(), reason: error.to_string(), retry_after_ms: after };
        Self { refuse, party, reason }
    }
}
