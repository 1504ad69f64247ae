//! The control plane: frames of the first bidirectional stream of each path.
//!
//! ```
//! use bytes::BytesMut;
//! use kwik_proto::control::ControlDecoder;
//! use kwik_proto::frame::{ControlFrame, Ping};
//!
//! let mut out = BytesMut::new();
//! ControlFrame::Ping(Ping { nonce: 7 }).encode(&mut out);
//!
//! let mut decoder = ControlDecoder::new();
//! decoder.push(out.freeze());
//! assert_eq!(decoder.poll()?, Some(ControlFrame::Ping(Ping { nonce: 7 })));
//! assert_eq!(decoder.poll()?, None);
//! # Ok::<(), kwik_proto::DecodeError>(())
//! ```

mod decoder;
mod from_wire;
pub mod limits;
mod orders;
mod to_wire;
mod validate;

use bytes::BytesMut;
use prost::Message;

pub use decoder::{Arrived, ControlDecoder};

use crate::frame::ControlFrame;
use crate::{varint, wire};

/// Most bytes of a control frame, without its length prefix.
pub const MAX_CONTROL_FRAME: usize = 64 * 1024;

impl ControlFrame {
    /// Writes the frame with its length prefix.
    ///
    /// Texts for people (`reason`, `detail`) are cut at a character boundary to
    /// [`MAX_TEXT`](limits::MAX_TEXT) bytes; decoded, they are [`sanitized`](crate::sanitized). All other limits are the caller's to keep: a frame that breaks one is
    /// refused by its receiver, so a debug build asserts [`validate`](Self::validate).
    ///
    /// ```
    /// # use bytes::BytesMut;
    /// # use kwik_proto::frame::{ControlFrame, Ping};
    /// let mut out = BytesMut::new();
    /// ControlFrame::Ping(Ping { nonce: 1 }).encode(&mut out);
    /// // Length, tag of frame 23, its length, tag of the nonce, the nonce.
    /// assert_eq!(&out[..], [5, 0xba, 1, 2, 8, 1]);
    /// ```
    pub fn encode(&self, out: &mut BytesMut) {
        debug_assert_eq!(self.validate(), Ok(()), "a frame that no receiver takes");
        let frame = to_wire::frame(self);
        let message = wire::ControlFrame { critical: self.is_critical(), frame: Some(frame) };
        let size = message.encoded_len();
        out.reserve(size + varint::MAX_LEN);
        varint::put(size as u64, out);
        message.encode(out).expect("room for the message was reserved");
    }

    /// Whether a receiver that does not know the frame must close the path rather than skip the frame.
    ///
    /// ```
    /// # use kwik_proto::frame::{ControlFrame, Ping};
    /// assert!(!ControlFrame::Ping(Ping { nonce: 1 }).is_critical());
    /// ```
    pub fn is_critical(&self) -> bool {
        match self {
            Self::Hello(_)
            | Self::Welcome(_)
            | Self::Refuse(_)
            | Self::AddPath(_)
            | Self::RemovePath(_)
            | Self::Orders(_)
            | Self::StreamReset(_)
            | Self::StreamStop(_)
            | Self::StreamClosed(_)
            | Self::SessionClose(_) => true,
            Self::AddPathResult(_)
            | Self::PathStatus(_)
            | Self::TokenRequest(_)
            | Self::DelegationStatus(_)
            | Self::StreamWindow(_)
            | Self::StreamBlocked(_)
            | Self::StreamProgress(_)
            | Self::Gap(_)
            | Self::Relay(_)
            | Self::RelayCredit(_)
            | Self::MappingQuery(_)
            | Self::MappingSnapshot(_)
            | Self::Ping(_)
            | Self::Pong(_)
            | Self::GoAway(_) => false,
        }
    }
}
