//! Why a call on a stream failed.

use std::io;

use super::{application, connection};

/// Why a call on a stream failed. Variants as in s2n-quic, and two of KWIK's own: `Missing` and `DataConflict`.
///
/// ```
/// use kwik_io::stream::Error;
///
/// let error = Error::stream_reset(9u8.into());
/// assert!(matches!(error, Error::StreamReset { error, .. } if *error == 9));
/// assert_eq!(std::io::ErrorKind::from(error), std::io::ErrorKind::ConnectionReset);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The session does not know the stream any more.
    #[error("the stream is not known")]
    InvalidStream,
    /// The stream half was ended abruptly: reset by its sender or stopped by its receiver.
    #[error("the stream was reset: {error}")]
    #[non_exhaustive]
    StreamReset {
        /// The code that came with it.
        error: application::Error,
    },
    /// The stream was already finished when more was to be sent.
    #[error("the stream was already finished for sending")]
    SendAfterFinish,
    /// The stream would become longer than 2^62 - 1 bytes.
    #[error("the stream would become longer than 2^62 - 1 bytes")]
    MaxStreamDataSizeExceeded,
    /// The session is over.
    #[error(transparent)]
    #[non_exhaustive]
    ConnectionError {
        /// Why.
        error: connection::Error,
    },
    /// The stream has no receive half.
    #[error("the stream cannot be read")]
    NonReadable,
    /// The stream has no send half.
    #[error("the stream cannot be written")]
    NonWritable,
    /// Something was sent without waiting for the stream to be ready.
    #[error("the stream takes no more bytes now")]
    SendingBlocked,
    /// A place for a received chunk was not empty; what was in it would have been lost.
    #[error("a place for a received chunk was not empty")]
    NonEmptyOutput,
    /// Bytes at the head of the stream did not come in time from anybody.
    #[error("bytes are missing: stream {stream}, offset {offset}, length {len}")]
    #[non_exhaustive]
    Missing {
        /// Id of the stream.
        stream: u64,
        /// First byte that is missing, from the start of the stream.
        offset: u64,
        /// How many bytes are missing from there.
        len: u64,
    },
    /// Bytes that were already read turned out to be wrong.
    #[error("bytes already read were wrong: stream {stream}, offset {offset}, length {len}")]
    #[non_exhaustive]
    DataConflict {
        /// Id of the stream.
        stream: u64,
        /// First byte of the range in doubt, from the start of the stream.
        offset: u64,
        /// How many bytes are in doubt from there.
        len: u64,
    },
}

impl Error {
    /// Ended abruptly with that code.
    pub const fn stream_reset(error: application::Error) -> Self {
        Self::StreamReset { error }
    }

    /// Bytes that did not come; `offset` and `len` in bytes.
    pub const fn missing(stream: u64, offset: u64, len: u64) -> Self {
        Self::Missing { stream, offset, len }
    }

    /// Bytes already read that were wrong; `offset` and `len` in bytes.
    pub const fn data_conflict(stream: u64, offset: u64, len: u64) -> Self {
        Self::DataConflict { stream, offset, len }
    }

    /// The code that an application closed the session with, if that is why the stream failed.
    pub const fn application_error(&self) -> Option<application::Error> {
        match self {
            Self::ConnectionError { error } => error.application_error(),
            _ => None,
        }
    }
}

impl From<connection::Error> for Error {
    fn from(error: connection::Error) -> Self {
        Self::ConnectionError { error }
    }
}

impl From<Error> for io::ErrorKind {
    fn from(error: Error) -> Self {
        match error {
            Error::InvalidStream => Self::NotFound,
            Error::StreamReset { .. } => Self::ConnectionReset,
            Error::SendAfterFinish => Self::BrokenPipe,
            Error::ConnectionError { error } => error.into(),
            Error::SendingBlocked => Self::WouldBlock,
            Error::NonEmptyOutput => Self::InvalidInput,
            Error::Missing { .. } => Self::UnexpectedEof,
            Error::DataConflict { .. } => Self::InvalidData,
            Error::MaxStreamDataSizeExceeded | Error::NonReadable | Error::NonWritable => {
                Self::Other
            }
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        Self::new(error.into(), error)
    }
}
