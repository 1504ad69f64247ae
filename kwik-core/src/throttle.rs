//! How fast a peer may send control frames.
//!
//! A control frame is small and may cost its receiver much: a token to sign, a signature to check, a range to hash. A peer
//! that sends more of a class than any honest one needs is slowed first: its frames stay unread, at its own cost alone. If
//! it keeps on it is cut off.
//!
//! A large frame costs more to receive and decode than a small one: it counts once for each [`UNIT`] of its bytes, so that the
//! rate of bytes has a bound too.

use std::sync::Arc;
use std::time::Duration;

use kwik_proto::frame::ControlFrame;

use crate::time::Instant;

/// What a peer may send at once, in time that its rate takes to pay for it.
const BURST: Duration = Duration::from_secs(1);

/// How long a peer that is too fast is left unread at a time. Shorter: a wake-up for every few frames; longer: what
/// it sent before waits longer than its rate asks for.
const PAUSE: Duration = Duration::from_millis(20);

/// How long a peer may be too fast before it is cut off: it never had half a second's frames to its credit in all that time.
/// Shorter: a peer that catches up after an outage is lost; longer: whoever means harm costs its share that much longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes of a frame, as it came, that count as one frame: 512, so that the usual 200,000 frames a second are at most 100 MB.
/// Lower: orders with long resources, and reports of streams with many holes, are slowed on fast paths; higher: a peer
/// has that many more bytes decoded.
pub const UNIT: usize = 512;

/// Whose frames are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A client, at a server. It passes on what up to 16 secondaries send.
    Client,
    /// The primary, at a client.
    Primary,
    /// A secondary, at a client.
    Secondary,
}

/// What a control frame asks of its receiver. Every frame counts in its class and among all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Class {
    /// Every frame.
    Any,
    /// TokenRequest: a token is signed and sent.
    Token,
    /// AddPath, RemovePath: a server is dialled, or left.
    Path,
    /// Orders: a signature is checked, or passed on.
    Orders,
    /// DelegationStatus, Gap: the scheduler decides anew, and a range may be hashed.
    Answer,
    /// PathStatus, AddPathResult: the scheduler's view of a path changes.
    Report,
    /// Ping, MappingQuery, MappingSnapshot: an answer is sent, or what is known compared.
    Probe,
    /// Relay, RelayCredit: a message is kept for an application.
    Message,
}

/// The peer was too fast for too long: its connection is to be closed with
/// [`RateExceeded`](kwik_proto::frame::ErrorCode::RateExceeded).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many control frames ({0:?}) for too long")]
pub struct RateExceeded(pub Class);

/// When a frame may be handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// At once.
    Now,
    /// Later; nothing more is read until then.
    Wait(Wait),
}

/// Why and how long a frame waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// When it may be handed on.
    pub until: Instant,
    /// What there are too many of.
    pub class: Class,
    /// Whether the peer had kept to its rate before.
    pub is_first: bool,
}

/// Frames a second that a peer may send, of each class and of all; as many of them at once.
///
/// Among all a frame counts once for each started [`UNIT`] of its bytes, and of [`Class::Message`] too: a piece of 4 KiB
/// is nine, so that a secondary may send 2 MB of messages a second.
///
/// Defaults, in frames a second (a frame of a class counts among all as well):
///
/// | class | of a primary, a secondary | of a client |
/// | --- | --- | --- |
/// | [`Any`](Class::Any) | 200,000 | 200,000 |
/// | [`Token`](Class::Token) | 200 | 200 |
/// | [`Path`](Class::Path) | 400 | 400 |
/// | [`Orders`](Class::Orders) | 20,000 | 20,000 |
/// | [`Answer`](Class::Answer) | 20,000 | 100,000 |
/// | [`Report`](Class::Report) | 20,000 | 20,000 |
/// | [`Probe`](Class::Probe) | 2,000 | 10,000 |
/// | [`Message`](Class::Message) | 5,000 | 85,000 |
///
/// What a client passes on for its secondaries fits in what its primary takes, whatever the secondaries send: of messages
/// what seventeen of them may; of answers four for each order of that primary's own, since the client keeps answers to
/// nothing and repeated ones to itself. A secondary that sends more is slowed, or closed, by the client.
///
/// ```
/// use kwik_core::throttle::{Class, Peer, Rates};
///
/// let rates = Rates::of(Peer::Client).with(Class::Token, 10);
/// assert_eq!((rates.rate(Class::Token), rates.rate(Class::Path)), (10, 400));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates([u32; CLASSES + 1]);

impl Rates {
    /// The defaults for such a peer.
    ///
    /// At least ten times what honest peers were seen to send, or could: a transfer of 20 Gbit/s in ranges of 64 KiB takes
    /// 38,000 orders a second, in batches, and two answers for each; a path is dialled anew after 250 ms at the earliest.
    pub const fn of(peer: Peer) -> Self {
        match peer {
            Peer::Client => Self([200_000, 200, 400, 20_000, 100_000, 20_000, 10_000, 85_000]),
            Peer::Primary | Peer::Secondary => {
                Self([200_000, 200, 400, 20_000, 20_000, 20_000, 2_000, 5_000])
            }
        }
    }

    /// The same with another rate for that class; at least 1.
    #[must_use]
    pub const fn with(mut self, class: Class, frames: u32) -> Self {
        self.0[class as usize] = if frames == 0 { 1 } else { frames };
        self
    }

    /// Frames of that class a second.
    pub const fn rate(&self, class: Class) -> u32 {
        self.0[class as usize]
    }
}

/// Counts the control frames that come on one connection.
///
/// ```
/// use std::sync::Arc;
///
/// use kwik_core::throttle::{Pace, Peer, Rates, Throttle};
/// use kwik_core::time::Instant;
/// use kwik_proto::frame::{ControlFrame, Ping};
///
/// let mut throttle = Throttle::new(Arc::new(Rates::of(Peer::Client)));
/// let ping = ControlFrame::Ping(Ping { nonce: 1 });
/// assert_eq!(throttle.charge(Some(&ping), 8, Instant::ZERO), Ok(Pace::Now));
/// ```
#[derive(Clone, Debug)]
pub struct Throttle {
    rates: Arc<Rates>,
    any: Bucket,
    /// Not there before the first frame of a class: an idle session has none.
    classes: Option<Box<[Bucket; CLASSES]>>,
}

/// Classes but for [`Class::Any`].
const CLASSES: usize = 7;

/// What was charged and is not paid for yet, as the moment at which it will be.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    paid: Instant,
    /// Since when the peer is too fast, without half a burst to its credit in between.
    pressed: Option<Instant>,
}

impl Throttle {
    /// No frame came so far.
    pub fn new(rates: Arc<Rates>) -> Self {
        Self { rates, any: Bucket::default(), classes: None }
    }

    /// A frame came, in so many bytes: when it may be handed on. `None` for one of an unknown number, which is passed over.
    ///
    /// # Errors
    /// [`RateExceeded`]: the peer is to be cut off.
    pub fn charge(
        &mut self,
        frame: Option<&ControlFrame>,
        size: usize,
        now: Instant,
    ) -> Result<Pace, RateExceeded> {
        let units = u32::try_from(size.div_ceil(UNIT).max(1)).unwrap_or(u32::MAX);
        let any = self.any.charge(Class::Any, units, &self.rates, now)?;
        let Some(class) = frame.and_then(class) else { return Ok(any) };
        // What a secondary's messages count at the client they count at the primary, and no more.
        let units = if class == Class::Message { units } else { 1 };
        let own = match self.classes.get_or_insert_default().get_mut(class as usize - 1) {
            Some(bucket) => bucket.charge(class, units, &self.rates, now)?,
            None => Pace::Now,
        };
        Ok(any.later(own))
    }
}

impl Pace {
    fn later(self, other: Self) -> Self {
        match (self, other) {
            (Self::Wait(wait), Self::Wait(longer)) if longer.until > wait.until => other,
            (Self::Now, _) => other,
            _ => self,
        }
    }
}

impl Bucket {
    fn charge(
        &mut self,
        class: Class,
        units: u32,
        rates: &Rates,
        now: Instant,
    ) -> Result<Pace, RateExceeded> {
        if self.paid.since(now) <= BURST / 2 {
            self.pressed = None;
        }
        self.paid =
            self.paid.max(now) + (Duration::from_secs(1) / rates.rate(class)).saturating_mul(units);
        let debt = self.paid.since(now);
        if debt <= BURST {
            return Ok(Pace::Now);
        }
        let is_first = self.pressed.is_none();
        let since = *self.pressed.get_or_insert(now);
        if now.since(since) >= PATIENCE {
            return Err(RateExceeded(class));
        }
        Ok(Pace::Wait(Wait { until: now + (debt - BURST) + PAUSE, class, is_first }))
    }
}

fn class(frame: &ControlFrame) -> Option<Class> {
    match frame {
        ControlFrame::TokenRequest(_) => Some(Class::Token),
        ControlFrame::AddPath(_) | ControlFrame::RemovePath(_) => Some(Class::Path),
        ControlFrame::Orders(_) => Some(Class::Orders),
        ControlFrame::DelegationStatus(_) | ControlFrame::Gap(_) => Some(Class::Answer),
        ControlFrame::PathStatus(_) | ControlFrame::AddPathResult(_) => Some(Class::Report),
        ControlFrame::Ping(_)
        | ControlFrame::MappingQuery(_)
        | ControlFrame::MappingSnapshot(_) => Some(Class::Probe),
        ControlFrame::Relay(_) | ControlFrame::RelayCredit(_) => Some(Class::Message),
        ControlFrame::Hello(_)
        | ControlFrame::Welcome(_)
        | ControlFrame::Refuse(_)
        | ControlFrame::StreamReset(_)
        | ControlFrame::StreamStop(_)
        | ControlFrame::StreamClosed(_)
        | ControlFrame::StreamWindow(_)
        | ControlFrame::StreamBlocked(_)
        | ControlFrame::StreamProgress(_)
        | ControlFrame::Pong(_)
        | ControlFrame::SessionClose(_)
        | ControlFrame::GoAway(_) => None,
    }
}

#[cfg(test)]
mod tests;
