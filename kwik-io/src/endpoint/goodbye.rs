//! Which peers have yet to hear that their connection is over.

use s2n_quic::connection::Error;
use s2n_quic::provider::event::Location;
use tokio::sync::watch;

/// Counts connections whose peers have yet to hear of their end.
///
/// s2n-quic keeps a closed connection for three probe timeouts (RFC 9000, 10.2), about 80 ms and more, to answer what still
/// comes. Who only waits for the peers to hear need not wait for that.
#[derive(Clone, Debug)]
pub(crate) struct Goodbyes(watch::Sender<usize>);

/// A goodbye that a connection owes its peer. Counted until it is dropped: when it is said, when there is none to say, or
/// with the connection.
#[derive(Debug)]
pub(crate) struct Owed(Goodbyes);

/// What a connection owes its peer.
#[derive(Debug, Default)]
pub(crate) enum Goodbye {
    /// Nothing: the peer was told, or told us, or was never met.
    #[default]
    None,
    /// The peer takes the connection for alive.
    Owed(Owed),
    /// The connection is closed; the next datagram tells.
    Due(Owed),
}

impl Goodbyes {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(0))
    }

    /// A connection has a peer.
    pub(crate) fn owe(&self) -> Goodbye {
        self.0.send_modify(|owed| *owed += 1);
        Goodbye::Owed(Owed(self.clone()))
    }

    /// Waits until none is owed.
    pub(super) async fn said(&self) {
        // The sender is `self`'s own, so there is no error to see.
        let _ = self.0.subscribe().wait_for(|owed| *owed == 0).await;
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        self.0.0.send_modify(|owed| *owed -= 1);
    }
}

impl Goodbye {
    /// The connection is over.
    pub(crate) fn handle_closed(&mut self, error: &Error) {
        use Error::{Application, Closed, Transport};
        let told = match error {
            Closed { initiator, .. }
            | Transport { initiator, .. }
            | Application { initiator, .. } => *initiator == Location::Local,
            // Nothing is sent: nobody is there, or knows the connection.
            _ => false,
        };
        *self = match std::mem::take(self) {
            Self::Owed(owed) if told => Self::Due(owed),
            _ => Self::None,
        };
    }

    /// A datagram was sent; returns the goodbye if that was it. A closed connection sends nothing else.
    pub(crate) fn handle_datagram_sent(&mut self) -> Option<Owed> {
        if !matches!(self, Self::Due(_)) {
            return None;
        }
        match std::mem::take(self) {
            Self::Due(owed) => Some(owed),
            _ => None,
        }
    }
}
