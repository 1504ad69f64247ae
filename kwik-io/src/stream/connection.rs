//! Why a session is over.

use std::io;
use std::time::Duration;

use kwik_proto::frame::ErrorCode;

use super::application;

/// What calls on sessions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// QUIC's transport code CONNECTION_REFUSED (RFC 9000, 20.1).
const CONNECTION_REFUSED: u64 = 0x2;

/// Which end caused something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Location {
    /// This end.
    Local,
    /// The peer.
    Remote,
}

impl std::fmt::Display for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Local => "this end",
            Self::Remote => "the peer",
        })
    }
}

/// Why a session, or an attempt at one, ended. Variants as in s2n-quic.
///
/// You meet one from `connect`, `accept_*` and, inside [`stream::Error::ConnectionError`](super::Error), from every
/// stream of a session that is over.
///
/// ```
/// use kwik_io::stream::connection::Error;
///
/// let kind = std::io::ErrorKind::from(Error::IdleTimerExpired);
/// assert_eq!(kind, std::io::ErrorKind::TimedOut);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Closed without an error.
    #[error("the connection was closed without an error by {initiator}")]
    #[non_exhaustive]
    Closed {
        /// Who closed it.
        initiator: Location,
    },
    /// QUIC itself failed.
    #[error("the connection failed with transport code {code:#x} ({reason}) at {initiator}")]
    #[non_exhaustive]
    Transport {
        /// QUIC's code (RFC 9000, 20.1).
        code: u64,
        /// Type of the frame that triggered it; 0 if unknown.
        frame_type: u64,
        /// For people; empty from the peer.
        reason: &'static str,
        /// Who noticed.
        initiator: Location,
    },
    /// An application closed it with a code.
    #[error("the connection was closed by {initiator} with {error}")]
    #[non_exhaustive]
    Application {
        /// The code.
        error: application::Error,
        /// Who closed it.
        initiator: Location,
    },
    /// The peer has lost all memory of the connection.
    #[error("the connection was ended by a stateless reset of the peer")]
    StatelessReset,
    /// Nothing was heard from the peer for the idle time.
    #[error("the connection was idle for too long")]
    IdleTimerExpired,
    /// No network path leads to the peer any more.
    #[error("no valid network path to the peer is left")]
    NoValidPath,
    /// All stream ids were used.
    #[error("all stream ids of the connection are used up")]
    StreamIdExhausted,
    /// The handshake took too long.
    #[error("the handshake was not complete after {max_handshake_duration:?}")]
    #[non_exhaustive]
    MaxHandshakeDurationExceeded {
        /// The limit.
        max_handshake_duration: Duration,
    },
    /// Ended at once, without a word to the peer.
    #[error("the connection ended at once: {reason}")]
    #[non_exhaustive]
    ImmediateClose {
        /// For people.
        reason: &'static str,
    },
    /// The endpoint is closing and takes no connections.
    #[error("the endpoint is closing")]
    EndpointClosing,
    /// The configuration cannot work.
    #[error("invalid configuration: {reason}")]
    #[non_exhaustive]
    InvalidConfiguration {
        /// For people.
        reason: &'static str,
    },
    /// No reason is known.
    #[error("the connection ended for an unknown reason")]
    Unspecified,
}

impl Error {
    /// Closed without an error.
    pub const fn closed(initiator: Location) -> Self {
        Self::Closed { initiator }
    }

    /// Closed by an application with a code.
    pub const fn application(error: application::Error, initiator: Location) -> Self {
        Self::Application { error, initiator }
    }

    /// Ended at once for a reason that KWIK gives.
    pub const fn immediate_close(reason: &'static str) -> Self {
        Self::ImmediateClose { reason }
    }

    /// A configuration that cannot work.
    pub const fn invalid_configuration(reason: &'static str) -> Self {
        Self::InvalidConfiguration { reason }
    }

    /// The code that an application closed with, if one did.
    pub const fn application_error(&self) -> Option<application::Error> {
        match self {
            Self::Application { error, .. } => Some(*error),
            _ => None,
        }
    }
}

impl From<s2n_quic::connection::Error> for Error {
    fn from(error: s2n_quic::connection::Error) -> Self {
        use s2n_quic::connection::Error as Quic;
        let end = |remote| if remote { Location::Remote } else { Location::Local };
        match error {
            Quic::Closed { initiator, .. } => Self::closed(end(initiator.is_remote())),
            Quic::Transport { code, frame_type, reason, initiator, .. } => Self::Transport {
                code: code.as_u64(),
                frame_type,
                reason,
                initiator: end(initiator.is_remote()),
            },
            Quic::Application { error, initiator, .. } => {
                let (error, end) = (application::Error::from(error), end(initiator.is_remote()));
                match error.kwik_code() {
                    // A close in good order, whose frame on the control stream was lost.
                    Some(ErrorCode::None) => Self::closed(end),
                    _ => Self::application(error, end),
                }
            }
            Quic::StatelessReset { .. } => Self::StatelessReset,
            Quic::IdleTimerExpired { .. } => Self::IdleTimerExpired,
            Quic::NoValidPath { .. } => Self::NoValidPath,
            Quic::StreamIdExhausted { .. } => Self::StreamIdExhausted,
            Quic::MaxHandshakeDurationExceeded { max_handshake_duration, .. } => {
                Self::MaxHandshakeDurationExceeded { max_handshake_duration }
            }
            Quic::ImmediateClose { reason, .. } => Self::immediate_close(reason),
            Quic::EndpointClosing { .. } => Self::EndpointClosing,
            Quic::InvalidConfiguration { reason, .. } => Self::invalid_configuration(reason),
            _ => Self::Unspecified,
        }
    }
}

impl From<Error> for io::ErrorKind {
    fn from(error: Error) -> Self {
        match error {
            Error::Closed { .. } => Self::ConnectionAborted,
            Error::Transport { code: CONNECTION_REFUSED, .. } => Self::ConnectionRefused,
            Error::Transport { .. } | Error::Application { .. } | Error::StatelessReset => {
                Self::ConnectionReset
            }
            Error::IdleTimerExpired | Error::MaxHandshakeDurationExceeded { .. } => Self::TimedOut,
            Error::NoValidPath
            | Error::StreamIdExhausted
            | Error::ImmediateClose { .. }
            | Error::EndpointClosing
            | Error::InvalidConfiguration { .. }
            | Error::Unspecified => Self::Other,
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        Self::new(error.into(), error)
    }
}
