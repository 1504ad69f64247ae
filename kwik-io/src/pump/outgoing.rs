//! The direction of a carrier that this end sends on.

use std::ops::{Deref, DerefMut};
use std::task::{Context, Poll};

use kwik_proto::frame::ErrorCode;
use s2n_quic::stream::SendStream;

use crate::endpoint::SEND_BUFFER;
use crate::stream::application;

/// A QUIC stream to send on, which is reset when it is dropped before everything on it arrived. s2n-quic would finish
/// it: to the peer, a stream without a final size, broken before the session's end says why.
#[derive(Debug)]
pub struct Outgoing(SendStream);

impl Outgoing {
    /// Resets the carrier because this end refuses its other direction: the peer, whose carrier it is, hears why.
    pub fn refuse(mut self, code: ErrorCode) {
        // Fails only if the carrier is over already. The reset that the drop asks for then changes nothing.
        let _ = self.0.reset(application::Error::of_kwik(code).to_quic());
    }
}

impl From<SendStream> for Outgoing {
    fn from(carrier: SendStream) -> Self {
        Self(carrier)
    }
}

impl Deref for Outgoing {
    type Target = SendStream;

    fn deref(&self) -> &SendStream {
        &self.0
    }
}

impl DerefMut for Outgoing {
    fn deref_mut(&mut self) -> &mut SendStream {
        &mut self.0
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        // Fails only if the carrier is over already.
        let _ = self.0.reset(application::Error::of_kwik(ErrorCode::SessionClosed).to_quic());
    }
}

/// Bytes that QUIC took for the carrier and the peer's QUIC has not acknowledged, as far as its buffer tells.
pub(super) fn unacknowledged(carrier: &mut SendStream, cx: &mut Context<'_>) -> u64 {
    let free = match carrier.poll_send_ready(cx) {
        Poll::Ready(Ok(free)) => free as u64,
        // Full, or over.
        _ => 0,
    };
    u64::from(SEND_BUFFER).saturating_sub(free)
}
