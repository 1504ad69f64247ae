//! Frames that arrive.

use kwik_core::throttle::RateExceeded;
use kwik_proto::DecodeError;
use kwik_proto::control::{Arrived, ControlDecoder};
use kwik_proto::frame::{ControlFrame, ErrorCode};
use s2n_quic::stream::{self, ReceiveStream};

use crate::channel::Sender;

/// Why a control stream is over before its end.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// The stream was reset, or its connection ended.
    #[error("the control stream failed: {0}")]
    Stream(#[from] stream::Error),
    /// The peer sent what the protocol does not allow.
    #[error("a bad control frame: {0}")]
    Frame(#[from] DecodeError),
    /// The peer ended the stream, which lasts as long as its path.
    #[error("the control stream ended before its path")]
    Ended,
    /// The peer sent more than it may, for too long.
    #[error(transparent)]
    TooFast(#[from] RateExceeded),
}

impl ControlError {
    /// The code with which the path is closed for it.
    ///
    /// ```
    /// use kwik_io::control::ControlError;
    /// use kwik_proto::DecodeError;
    /// use kwik_proto::frame::ErrorCode;
    ///
    /// let unknown = ControlError::Frame(DecodeError::UnknownCriticalFrame { number: 26, at: 0 });
    /// assert_eq!(unknown.code(), ErrorCode::UnknownCriticalFrame);
    /// assert_eq!(ControlError::Ended.code(), ErrorCode::ProtocolViolation);
    /// ```
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Frame(error) => error.code(),
            Self::TooFast(_) => ErrorCode::RateExceeded,
            Self::Stream(_) | Self::Ended => ErrorCode::ProtocolViolation,
        }
    }
}

/// Decodes the frames of a control stream, whatever pieces they come in.
///
/// It holds less than a frame and a chunk beyond what was asked for; what is not asked for stays in QUIC's window of
/// this stream. So it is to be drained by a task that never waits for an application.
#[derive(Debug)]
pub struct ControlReader {
    stream: ReceiveStream,
    decoder: ControlDecoder,
}

impl ControlReader {
    pub(super) fn new(stream: ReceiveStream) -> Self {
        Self { stream, decoder: ControlDecoder::new() }
    }

    /// The next frame; `None` when the peer finished the stream between two frames. Cancel safe: a frame that was
    /// partly there is not lost.
    ///
    /// # Errors
    /// [`ControlError`]; the path is then to be closed, and further calls fail too.
    pub async fn recv(&mut self) -> Result<Option<ControlFrame>, ControlError> {
        while let Some(arrived) = self.recv_arrived().await? {
            if arrived.frame.is_some() {
                return Ok(arrived.frame);
            }
        }
        Ok(None)
    }

    /// As [`recv`](Self::recv), with the size of each frame, and those that are passed over.
    ///
    /// # Errors
    /// As those of `recv`.
    pub async fn recv_arrived(&mut self) -> Result<Option<Arrived>, ControlError> {
        loop {
            if let Some(arrived) = self.decoder.poll_arrived()? {
                return Ok(Some(arrived));
            }
            match self.stream.receive().await? {
                Some(chunk) => self.decoder.push(chunk),
                None => {
                    self.decoder.finish()?;
                    return Ok(None);
                }
            }
        }
    }

    /// Hands every frame to `inbox`, then the end or the error, and ends; it ends early when the inbox is closed.
    ///
    /// `wrap` says which path it was. While the inbox is full the frames wait in QUIC, at this path's cost alone.
    pub async fn forward<T>(
        mut self,
        inbox: Sender<T>,
        wrap: impl Fn(Result<Option<ControlFrame>, ControlError>) -> T,
    ) {
        loop {
            let received = self.recv().await;
            let last = !matches!(received, Ok(Some(_)));
            if inbox.send(wrap(received)).await.is_err() || last {
                return;
            }
        }
    }

    /// Frames of unknown numbers that were passed over.
    pub fn skipped(&self) -> u64 {
        self.decoder.skipped()
    }
}
