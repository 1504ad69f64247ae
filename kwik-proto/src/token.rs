//! Admission tokens, as frames carry them.

use std::fmt;
use std::ops::Deref;

/// An admission token. Its `Debug` form does not show it, so that no log of a frame does.
///
/// A token admits nobody without the private half of the client's key that it is bound to. It is kept out of logs all the same:
/// logs are read by more people than packets, and for longer.
///
/// ```
/// use kwik_proto::frame::Token;
///
/// let token = Token::from("v4.public.abc");
/// assert_eq!(token.as_str(), "v4.public.abc");
/// assert_eq!(format!("{token:?}"), "Token(13 bytes)");
/// ```
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Token(String);

impl Token {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for Token {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl From<String> for Token {
    fn from(token: String) -> Self {
        Self(token)
    }
}

impl From<&str> for Token {
    fn from(token: &str) -> Self {
        Self(token.to_owned())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use crate::frame::{AddPath, Admission, ControlFrame, Hello, Limits, ServerIdentity};
    use crate::{Epoch, PathId};

    #[test]
    fn no_frame_shows_its_token() {
        let limits = Limits {
            max_bidirectional_streams: 1,
            max_unidirectional_streams: 1,
            initial_window: 1 << 16,
        };
        let hello = ControlFrame::Hello(Hello {
            versions: vec![1],
            features: Vec::new(),
            limits,
            confirmation_key: None,
            admission: Some(Admission { token: "v4.public.abc".into(), proof: [0; 64] }),
        });
        let add = ControlFrame::AddPath(AddPath {
            path: PathId::new(1),
            epoch: Epoch::FIRST,
            addresses: vec![SocketAddr::from(([192, 0, 2, 1], 4433))],
            identity: ServerIdentity::Pin([0; 32]),
            token: "v4.public.abc".into(),
        });
        for frame in [hello, add] {
            let shown = format!("{frame:?} {frame:#?}");
            assert!(!shown.contains("v4.public"), "{shown}");
            assert!(shown.contains("Token("), "{shown}");
        }
    }
}
