//! The life of a secondary path: one total function, and nothing else changes a path's state.

pub use kwik_proto::frame::PathState;

/// What can happen to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PathEvent {
    /// The QUIC handshake is done.
    Connected,
    /// The server sent Welcome.
    Admitted,
    /// The answer is no for good: Refuse without a time to retry, or a certificate that is not the named one.
    Refused,
    /// The answer is no for now: Refuse with a time to retry.
    Deferred,
    /// Handshake and admission took too long.
    DialTimeout,
    /// QUIC says that the connection is over, whatever the reason.
    Lost,
    /// The server broke the protocol on the control stream, or was isolated.
    Violated,
    /// It owes bytes and was silent for too long ([`Verdict::Suspect`](super::liveness::Verdict::Suspect)).
    Silent,
    /// A datagram, a Pong or a byte arrived.
    Heard,
    /// It was silent for so long that it is given up ([`Verdict::Gone`](super::liveness::Verdict::Gone)).
    TeardownTimeout,
    /// The server goes away ([`GoAway`](kwik_proto::frame::GoAway)): it takes no further orders.
    Leaving,
    /// The primary removes it.
    Remove,
    /// Everything that it had accepted has arrived.
    Drained,
    /// Draining took too long.
    DrainTimeout,
    /// The primary named the same path again with a higher epoch.
    Replaced,
}

impl PathEvent {
    /// Every event, for tables and tests.
    pub const ALL: [Self; 15] = [
        Self::Connected,
        Self::Admitted,
        Self::Refused,
        Self::Deferred,
        Self::DialTimeout,
        Self::Lost,
        Self::Violated,
        Self::Silent,
        Self::Heard,
        Self::TeardownTimeout,
        Self::Leaving,
        Self::Remove,
        Self::Drained,
        Self::DrainTimeout,
        Self::Replaced,
    ];
}

/// What the session has to do because of a transition, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PathEffect {
    /// Send Hello on the control stream, and behind it the orders that wait.
    Greet,
    /// Answer the AddPath with an AddPathResult: `None` if the path is Live, else the reason. Once per epoch.
    Answer,
    /// Send PathStatus; before one with Suspect or Gone send a current StreamProgress.
    Report,
    /// Start the clocks of the path.
    Watch,
    /// What the path owes goes to others.
    HandBack,
    /// Start the time that draining may take.
    Drain,
    /// Close the QUIC connection, or stop dialling.
    Close,
    /// Dial the target when its turn comes.
    Dial,
    /// Ask for a new token after a pause, if the path is still wanted.
    Redial,
}

/// What becomes of a path in `state` when `event` happens. Total: an event that means nothing in a state changes
/// nothing there, so events of a connection that is over may arrive in any order.
///
/// A path begins as [`PathState::Dialing`]. [`PathState::Gone`] is left by [`PathEvent::Replaced`] alone. A state
/// that changes is always reported, and every epoch is answered exactly once.
///
/// ```
/// use kwik_core::path::lifecycle::{PathEffect, PathEvent, PathState, transition};
///
/// let (state, effects) = transition(PathState::Suspect, PathEvent::Heard);
/// assert_eq!(state, PathState::Live);
/// assert_eq!(effects, [PathEffect::Report]);
/// ```
pub const fn transition(state: PathState, event: PathEvent) -> (PathState, &'static [PathEffect]) {
    match state {
        PathState::Dialing => dialing(event),
        PathState::Proving => proving(event),
        PathState::Live => live(event),
        PathState::Suspect => suspect(event),
        PathState::Draining => draining(event),
        PathState::Gone => gone(event),
    }
}

use PathEffect as E;
use PathEvent as V;
use PathState as S;

type Next = (PathState, &'static [PathEffect]);

/// A path that ends before it was Live and may be tried again.
const FAILED: Next = (S::Gone, &[E::Answer, E::Report, E::HandBack, E::Close, E::Redial]);
/// A path that ends before it was Live, for good.
const REFUSED: Next = (S::Gone, &[E::Answer, E::Report, E::HandBack, E::Close]);
/// A path that was Live and may be tried again.
const LOST: Next = (S::Gone, &[E::Report, E::HandBack, E::Close, E::Redial]);
/// A path that was Live, and is over for good with debts.
const ENDED: Next = (S::Gone, &[E::Report, E::HandBack, E::Close]);

const fn dialing(event: PathEvent) -> Next {
    match event {
        V::Connected => (S::Proving, &[E::Greet, E::Report]),
        // Nothing was accepted yet, so there is nothing to drain.
        V::Refused | V::Violated | V::Remove => REFUSED,
        V::Deferred | V::DialTimeout | V::Lost => FAILED,
        V::Replaced => (S::Dialing, &[E::Answer, E::HandBack, E::Close, E::Dial]),
        V::Admitted
        | V::Silent
        | V::Heard
        | V::TeardownTimeout
        | V::Leaving
        | V::Drained
        | V::DrainTimeout => (S::Dialing, &[]),
    }
}

const fn proving(event: PathEvent) -> Next {
    match event {
        V::Admitted => (S::Live, &[E::Answer, E::Report, E::Watch]),
        V::Refused | V::Violated | V::Remove => REFUSED,
        V::Deferred | V::DialTimeout | V::Lost => FAILED,
        V::Replaced => (S::Dialing, &[E::Answer, E::Report, E::HandBack, E::Close, E::Dial]),
        // Silence before Welcome is the dial time's business: the server owes nothing that was promised.
        V::Connected
        | V::Silent
        | V::Heard
        | V::TeardownTimeout
        // It refuses the Hello, or closes.
        | V::Leaving
        | V::Drained
        | V::DrainTimeout => (S::Proving, &[]),
    }
}

const fn live(event: PathEvent) -> Next {
    match event {
        V::Silent => (S::Suspect, &[E::Report, E::HandBack]),
        V::Remove | V::Leaving => (S::Draining, &[E::Report, E::Drain]),
        V::Lost => LOST,
        // A Refuse after Welcome breaks the protocol.
        V::Violated | V::Refused | V::Deferred => ENDED,
        V::Replaced => (S::Dialing, &[E::Report, E::HandBack, E::Close, E::Dial]),
        V::Connected
        | V::Admitted
        | V::DialTimeout
        | V::Heard
        | V::TeardownTimeout
        | V::Drained
        | V::DrainTimeout => (S::Live, &[]),
    }
}

const fn suspect(event: PathEvent) -> Next {
    match event {
        V::Heard => (S::Live, &[E::Report]),
        V::TeardownTimeout | V::Lost => LOST,
        // Its ranges went to others when it fell silent: there is nothing worth waiting for.
        V::Remove | V::Violated | V::Refused | V::Deferred => ENDED,
        V::Replaced => (S::Dialing, &[E::Report, E::HandBack, E::Close, E::Dial]),
        V::Connected
        | V::Admitted
        | V::DialTimeout
        | V::Silent
        // Its word heals it first.
        | V::Leaving
        | V::Drained
        | V::DrainTimeout => (S::Suspect, &[]),
    }
}

const fn draining(event: PathEvent) -> Next {
    match event {
        // Carriers that no delegation asked for may still be open: they end with it.
        V::Drained
        // A path that will be closed anyway gets no time to heal.
        | V::DrainTimeout
        | V::Silent
        | V::TeardownTimeout
        // A server that went away may come back: it is dialled again unless the primary removed it.
        | V::Lost => LOST,
        V::Violated | V::Refused | V::Deferred => ENDED,
        V::Replaced => (S::Dialing, &[E::Report, E::HandBack, E::Close, E::Dial]),
        V::Connected | V::Admitted | V::DialTimeout | V::Heard | V::Leaving | V::Remove => {
            (S::Draining, &[])
        }
    }
}

const fn gone(event: PathEvent) -> Next {
    match event {
        V::Replaced => (S::Dialing, &[E::Report, E::Dial]),
        V::Connected
        | V::Admitted
        | V::Refused
        | V::Deferred
        | V::DialTimeout
        | V::Lost
        | V::Violated
        | V::Silent
        | V::Heard
        | V::TeardownTimeout
        | V::Leaving
        | V::Remove
        | V::Drained
        | V::DrainTimeout => (S::Gone, &[]),
    }
}

#[cfg(test)]
mod tests;
