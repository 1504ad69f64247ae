//! Why the sending half refuses.

use kwik_proto::{ByteRange, Offset};
use thiserror::Error;

/// Why bytes were not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The half was finished.
    #[error("the stream was finished")]
    Finished,
    /// This end reset the half.
    #[error("the stream was reset")]
    Reset,
    /// The receiver asked to stop.
    #[error("the receiver stopped the stream with code {code}")]
    Stopped {
        /// The receiver's code.
        code: u64,
    },
    /// A positioned write ends beyond the window.
    #[error("bytes up to {end} are beyond the window at {max_offset}")]
    BeyondWindow {
        /// First offset after the bytes.
        end: Offset,
        /// First offset that may not be sent.
        max_offset: Offset,
    },
    /// Bytes of the range were written or delegated before.
    #[error("{range} was written or delegated before")]
    Overlap {
        /// The first such bytes.
        range: ByteRange,
    },
    /// A positioned write found the queue full: wait until bytes were handed out.
    #[error("the send queue is full")]
    QueueFull,
}

/// Why a range cannot be delegated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DelegateError {
    /// The half was finished, reset or stopped.
    #[error("the stream is closed for writing")]
    Closed,
    /// The range has no bytes.
    #[error("the range is empty")]
    Empty,
    /// The range starts before the position.
    #[error("{range} starts before the position {position}")]
    BehindPosition {
        /// What was asked for.
        range: ByteRange,
        /// Where the next sequential write goes.
        position: Offset,
    },
    /// Bytes of the range were written or delegated before.
    #[error("{range} was written or delegated before")]
    Overlap {
        /// The first such bytes.
        range: ByteRange,
    },
}

/// Why a half cannot be finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FinishError {
    /// Bytes before the end were neither written nor delegated.
    #[error("{range} was neither written nor delegated")]
    Hole {
        /// The first such bytes.
        range: ByteRange,
    },
    /// This end reset the half.
    #[error("the stream was reset")]
    Reset,
    /// The receiver asked to stop.
    #[error("the receiver stopped the stream with code {code}")]
    Stopped {
        /// The receiver's code.
        code: u64,
    },
}
