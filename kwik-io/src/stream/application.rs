//! Error codes of the application.

use std::fmt;
use std::ops::Deref;

use kwik_proto::FIRST_RESERVED_CODE;
use kwik_proto::frame::ErrorCode;
use kwik_proto::id::MAX_VARINT;

/// A code that the application gives when it resets or stops a stream or closes its session.
///
/// Range: 0 to 2^62 - 1 (RFC 9000, 20.2). On streams every code passes verbatim; for closing a session the top 2^16
/// are KWIK's own, see [`Error::is_reserved`].
///
/// ```
/// use kwik_io::stream::application::Error;
///
/// let error = Error::from(7u8);
/// assert_eq!(*error, 7);
/// assert!(Error::new(1 << 62).is_err());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Error(u64);

impl Error {
    /// What is sent when there is nothing better to say: 0.
    pub const UNKNOWN: Self = Self(0);

    /// The code with that value.
    ///
    /// # Errors
    ///
    /// [`OutOfRange`] above 2^62 - 1.
    pub const fn new(value: u64) -> Result<Self, OutOfRange> {
        if value <= MAX_VARINT { Ok(Self(value)) } else { Err(OutOfRange) }
    }

    /// Whether KWIK uses the code itself to close connections, so that an application cannot.
    pub const fn is_reserved(self) -> bool {
        self.0 >= FIRST_RESERVED_CODE
    }

    // Hidden: for this crate and the drivers. What applications get re-exports this type.
    /// The code that stands for one of KWIK's own on QUIC streams and connections, out of an application's reach.
    #[doc(hidden)]
    pub fn of_kwik(code: ErrorCode) -> Self {
        Self(code.quic_code())
    }

    /// Which of KWIK's own codes this stands for, if it does.
    ///
    /// ```
    /// use kwik_io::stream::application::Error;
    /// use kwik_proto::frame::ErrorCode;
    ///
    /// assert_eq!(Error::of_kwik(ErrorCode::Busy).kwik_code(), Some(ErrorCode::Busy));
    /// assert_eq!(Error::from(29u8).kwik_code(), None);
    /// ```
    #[doc(hidden)]
    pub fn kwik_code(self) -> Option<ErrorCode> {
        ErrorCode::from_quic_code(self.0)
    }

    /// The code for a value that already was on the wire, where nothing above 2^62 - 1 exists; 0 if it is above.
    pub(crate) const fn from_wire(value: u64) -> Self {
        if value <= MAX_VARINT { Self(value) } else { Self::UNKNOWN }
    }

    /// The same code as QUIC's.
    pub(crate) fn to_quic(self) -> s2n_quic::application::Error {
        s2n_quic::application::Error::new(self.0).expect("never above 2^62 - 1")
    }
}

/// A number that is too large for an error code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an application error code is at most 2^62 - 1")]
pub struct OutOfRange;

impl std::error::Error for Error {}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "application::Error({})", self.0)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kwik_code() {
            Some(code) => write!(f, "KWIK's error code {code:?}"),
            None => write!(f, "application error code {}", self.0),
        }
    }
}

impl Deref for Error {
    type Target = u64;

    fn deref(&self) -> &u64 {
        &self.0
    }
}

impl From<Error> for u64 {
    fn from(error: Error) -> Self {
        error.0
    }
}

impl From<u8> for Error {
    fn from(value: u8) -> Self {
        Self(value.into())
    }
}

impl From<u16> for Error {
    fn from(value: u16) -> Self {
        Self(value.into())
    }
}

impl From<u32> for Error {
    fn from(value: u32) -> Self {
        Self(value.into())
    }
}

impl TryFrom<u64> for Error {
    type Error = OutOfRange;

    fn try_from(value: u64) -> Result<Self, OutOfRange> {
        Self::new(value)
    }
}

impl From<s2n_quic::application::Error> for Error {
    fn from(error: s2n_quic::application::Error) -> Self {
        Self(error.into())
    }
}
