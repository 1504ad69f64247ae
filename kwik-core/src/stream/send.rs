//! The sending half.

use bytes::Bytes;
use kwik_proto::{ByteRange, Offset};
use thiserror::Error;

/// How a sending half starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendConfig {
    /// First offset that may not be sent, from the peer's Hello or Welcome. Bytes.
    pub initial_window: u64,
    /// Most bytes that are taken from the application and not yet handed out. Default 4 MiB; lower makes a writer wait
    /// more often, higher holds more memory for a receiver that does not read.
    pub queue: usize,
}

impl Default for SendConfig {
    fn default() -> Self {
        Self { initial_window: 64 << 10, queue: 4 << 20 }
    }
}

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
    /// The range ends beyond the window.
    #[error("{range} ends beyond the window at {max_offset}")]
    BeyondWindow {
        /// What was asked for.
        range: ByteRange,
        /// First offset that may not be sent.
        max_offset: Offset,
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

/// A frame that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutFrame {
    /// Offset of the first byte.
    pub offset: Offset,
    /// The bytes; empty only with `fin`.
    pub payload: Bytes,
    /// Whether `offset` plus the length of `payload` is the final size.
    pub fin: bool,
}

/// The sending half of one KWIK stream.
#[derive(Debug)]
pub struct SendHalf;

#[allow(missing_docs, unused_variables, clippy::todo)]
impl SendHalf {
    pub fn new(config: SendConfig) -> Self {
        todo!()
    }
    pub fn write(&mut self, data: Bytes) -> Result<usize, WriteError> {
        todo!()
    }
    pub fn capacity(&self) -> usize {
        todo!()
    }
    pub fn write_at(&mut self, offset: Offset, data: Bytes) -> Result<(), WriteError> {
        todo!()
    }
    pub fn position(&self) -> Offset {
        todo!()
    }
    pub fn max_offset(&self) -> Offset {
        todo!()
    }
    pub fn delegate(&mut self, range: ByteRange) -> Result<(), DelegateError> {
        todo!()
    }
    pub fn finish(&mut self) -> Result<Offset, FinishError> {
        todo!()
    }
    pub fn final_size(&self) -> Option<Offset> {
        todo!()
    }
    pub fn next_frame(&mut self, max_payload: usize) -> Option<OutFrame> {
        todo!()
    }
    pub fn extend_window(&mut self, max_offset: Offset) -> bool {
        todo!()
    }
    pub fn is_blocked(&self) -> Option<Offset> {
        todo!()
    }
    pub fn handle_progress(&mut self, read_offset: Offset, contiguous_end: Offset) {
        todo!()
    }
    pub fn handle_stop(&mut self, code: u64) {
        todo!()
    }
    pub fn reset(&mut self, code: u64) -> Offset {
        todo!()
    }
    pub fn handle_closed(&mut self, complete: bool) {
        todo!()
    }
    pub fn is_all_sent(&self) -> bool {
        todo!()
    }
    pub fn is_complete(&self) -> bool {
        todo!()
    }
    pub fn queued_bytes(&self) -> u64 {
        todo!()
    }
}
