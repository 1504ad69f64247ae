//! Error codes on the wire.

use crate::frame::ErrorCode;

impl ErrorCode {
    /// The number that stands for the code on the wire, as in `types.proto`.
    ///
    /// ```
    /// use kwik_proto::frame::ErrorCode;
    /// assert_eq!(ErrorCode::HeaderMissing.wire(), 32);
    /// ```
    pub fn wire(self) -> u64 {
        match self {
            Self::None => 1,
            Self::Internal => 2,
            Self::ProtocolViolation => 3,
            Self::FrameEncoding => 4,
            Self::UnknownCriticalFrame => 5,
            Self::VersionNegotiation => 6,
            Self::HandshakeTimeout => 7,
            Self::LimitExceeded => 8,
            Self::FlowControl => 9,
            Self::FinalSize => 10,
            Self::StreamState => 11,
            Self::NotGranted => 12,
            Self::Mapping => 13,
            Self::Checksum => 14,
            Self::DataConflict => 15,
            Self::RoleRefused => 16,
            Self::TokenMissing => 17,
            Self::TokenInvalid => 18,
            Self::TokenExpired => 19,
            Self::TokenAudience => 20,
            Self::TokenProof => 21,
            Self::TokenReplayed => 22,
            Self::PathPolicy => 23,
            Self::Unreachable => 24,
            Self::IdentityMismatch => 25,
            Self::PathTimeout => 26,
            Self::PathRemoved => 27,
            Self::SessionClosed => 28,
            Self::Busy => 29,
            Self::OrderInvalid => 30,
            Self::StreamClosed => 31,
            Self::HeaderMissing => 32,
            Self::GoingAway => 33,
            Self::RateExceeded => 34,
        }
    }

    /// The code with that number; `None` for 0 and for numbers of later versions.
    ///
    /// ```
    /// use kwik_proto::frame::ErrorCode;
    /// assert_eq!(ErrorCode::from_wire(29), Some(ErrorCode::Busy));
    /// assert_eq!(ErrorCode::from_wire(0), None);
    /// ```
    pub fn from_wire(number: u64) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.wire() == number)
    }

    /// Every code, in the order of the numbers.
    pub const ALL: [Self; 34] = [
        Self::None,
        Self::Internal,
        Self::ProtocolViolation,
        Self::FrameEncoding,
        Self::UnknownCriticalFrame,
        Self::VersionNegotiation,
        Self::HandshakeTimeout,
        Self::LimitExceeded,
        Self::FlowControl,
        Self::FinalSize,
        Self::StreamState,
        Self::NotGranted,
        Self::Mapping,
        Self::Checksum,
        Self::DataConflict,
        Self::RoleRefused,
        Self::TokenMissing,
        Self::TokenInvalid,
        Self::TokenExpired,
        Self::TokenAudience,
        Self::TokenProof,
        Self::TokenReplayed,
        Self::PathPolicy,
        Self::Unreachable,
        Self::IdentityMismatch,
        Self::PathTimeout,
        Self::PathRemoved,
        Self::SessionClosed,
        Self::Busy,
        Self::OrderInvalid,
        Self::StreamClosed,
        Self::HeaderMissing,
        Self::GoingAway,
        Self::RateExceeded,
    ];
}

/// First of the QUIC application error codes that are KWIK's own: the top 2^16 of those that QUIC can carry.
///
/// Applications use the codes below it, which pass from end to end as they are.
pub const FIRST_RESERVED_CODE: u64 = (1 << 62) - (1 << 16);

impl ErrorCode {
    /// The QUIC application error code with which a connection or carrier is closed for this reason.
    ///
    /// ```
    /// use kwik_proto::{FIRST_RESERVED_CODE, frame::ErrorCode};
    /// assert_eq!(ErrorCode::Busy.quic_code(), FIRST_RESERVED_CODE + 29);
    /// ```
    pub fn quic_code(self) -> u64 {
        FIRST_RESERVED_CODE + self.wire()
    }

    /// The reason behind a QUIC application error code; `None` for an application's own code. A reserved code of a later
    /// version is [`ErrorCode::Internal`].
    ///
    /// ```
    /// use kwik_proto::{FIRST_RESERVED_CODE, frame::ErrorCode};
    /// assert_eq!(ErrorCode::from_quic_code(ErrorCode::Busy.quic_code()), Some(ErrorCode::Busy));
    /// assert_eq!(ErrorCode::from_quic_code(7), None);
    /// assert_eq!(ErrorCode::from_quic_code(FIRST_RESERVED_CODE + 9999), Some(ErrorCode::Internal));
    /// ```
    pub fn from_quic_code(code: u64) -> Option<Self> {
        let number = code.checked_sub(FIRST_RESERVED_CODE)?;
        Some(Self::from_wire(number).unwrap_or(Self::Internal))
    }
}
