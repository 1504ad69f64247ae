//! How many carriers that bring nothing a peer may open.

use std::time::Duration;

use crate::time::Instant;

/// What a carrier that the peer opened was good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Yield {
    /// Bytes of a stream, or a stream's final size.
    Delivered,
    /// Neither: no header, a header that was refused, a reset before the first byte.
    Empty,
}

/// Whether a peer keeps within the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// It does.
    Within,
    /// It does not: its path is to be closed with
    /// [`LimitExceeded`](kwik_proto::frame::ErrorCode::LimitExceeded).
    Exceeded,
}

/// The budget of carriers that a peer may open and end without having delivered anything (the rapid reset of HTTP/2,
/// CVE-2023-44487). One for each connection.
///
/// QUIC gives the credit for a stream back when the stream ends, so that its limit on open streams bounds no rate. Each
/// empty carrier costs this end a task, a look at the session, and a STOP_SENDING.
///
/// A virtual schedule (ATM's GCRA): [`BURST`](Self::BURST) empty carriers at once, one per [`INTERVAL`](Self::INTERVAL) in
/// the long run, and one more for each carrier that delivers. An honest peer has few: hedges whose range arrived
/// elsewhere, and streams that an application resets at once.
///
/// ```
/// use kwik_core::mapping::empty::{EmptyCarriers, Verdict, Yield};
/// use kwik_core::time::Instant;
///
/// let mut empty = EmptyCarriers::default();
/// assert_eq!(empty.handle_ended(Yield::Empty, Instant::ZERO), Verdict::Within);
/// ```
#[derive(Clone, Debug)]
pub struct EmptyCarriers {
    /// When the empty carriers so far would have been spent at one per interval.
    spent_until: Instant,
}

impl Default for EmptyCarriers {
    fn default() -> Self {
        Self { spent_until: Instant::ZERO }
    }
}

impl EmptyCarriers {
    /// Empty carriers at once: 4,096. Lower: an application that opens a thousand streams and resets them ends its session.
    /// Higher: a peer has this end work longer before it is cut off; 4,096 take less than a second.
    pub const BURST: u32 = 4_096;
    /// Time per empty carrier in the long run: 10 ms.
    pub const INTERVAL: Duration = Duration::from_millis(10);

    /// A carrier that the peer opened is over.
    pub fn handle_ended(&mut self, brought: Yield, now: Instant) -> Verdict {
        let spent = self.spent_until.since(now);
        let spent = match brought {
            Yield::Delivered => spent.saturating_sub(Self::INTERVAL),
            Yield::Empty => spent.saturating_add(Self::INTERVAL),
        };
        if spent > Self::INTERVAL.saturating_mul(Self::BURST) {
            return Verdict::Exceeded;
        }
        self.spent_until = now + spent;
        Verdict::Within
    }
}

#[cfg(test)]
mod tests;
