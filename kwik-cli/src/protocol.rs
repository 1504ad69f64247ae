//! The messages of the file service.
//!
//! One bidirectional stream for a request: the client sends a [`Request`] and ends its half; the server answers with one
//! [`Reply`] and, after [`Found`], the bytes. Every message is length-delimited.

use std::fmt;

use bytes::Bytes;
use kwik_client::sanitized;
use prost::Message as _;

use crate::directory::{List, Listed};
use crate::tag::Tag;
use crate::wire;

#[cfg(test)]
mod tests;

/// Largest message that is read, in bytes, without its length. The longest path fits.
pub(crate) const MAX_MESSAGE: usize = 8 << 10;
/// Largest answer that is read, in bytes, without its length: a page of a directory.
pub(crate) const MAX_REPLY: usize = 64 << 10;
/// Longest text for people in a message, in bytes.
const MAX_TEXT: usize = 256;

/// A request for bytes of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Get {
    /// Not checked yet: a server answers a bad path rather than dropping the request.
    pub(crate) path: String,
    pub(crate) offset: u64,
    /// Bytes wanted; `None`: up to the end.
    pub(crate) length: Option<u64>,
    pub(crate) if_tag: Option<Tag>,
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Get(Get),
    List(List),
}

impl Request {
    /// The file or the directory, not checked yet.
    pub(crate) fn path(&self) -> &str {
        match self {
            Self::Get(get) => &get.path,
            Self::List(list) => &list.path,
        }
    }
}

/// The answer to a [`Request`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Found(Found),
    Failed(Failed),
    Listed(Listed),
}

/// What follows on the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Size of the whole file in bytes.
    pub(crate) size: u64,
    pub(crate) tag: Tag,
    pub(crate) offset: u64,
    /// Bytes that follow.
    pub(crate) length: u64,
}

/// Why there are no bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failed {
    pub(crate) code: FailureCode,
    /// For people; sanitized.
    pub(crate) message: String,
}

/// Why a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailureCode {
    NotFound,
    BadPath,
    Unreadable,
    NotAFile,
    BadRange,
    TagMismatch,
    BadRequest,
    NotADirectory,
    NotListed,
    /// A code that this version does not know.
    Other(i32),
}

/// What a secondary is told about a range: which content, and where in the file the range is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resource {
    /// Not checked yet.
    pub(crate) path: String,
    pub(crate) tag: Tag,
    /// Stream offset minus file offset, in bytes.
    pub(crate) shift: i64,
}

/// Why a message was not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    Protobuf(String),
    Tag,
    Range,
    Empty,
    Listing,
}

/// A message that travels length-delimited.
pub(crate) trait Message: Sized {
    /// The largest one that is read, in bytes.
    const MOST: usize = MAX_MESSAGE;

    /// The message without its length.
    fn to_wire(&self) -> Vec<u8>;
    /// Reads the message without its length.
    fn from_wire(bytes: &[u8]) -> Result<Self, Malformed>;

    /// The message behind its length.
    fn encode(&self) -> Bytes {
        let message = self.to_wire();
        let mut bytes = Vec::with_capacity(message.len() + 10);
        prost::encode_length_delimiter(message.len(), &mut bytes)
            .expect("a vector grows as needed");
        bytes.extend_from_slice(&message);
        bytes.into()
    }
}

impl Message for Get {
    fn to_wire(&self) -> Vec<u8> {
        let Self { path, offset, length, if_tag } = self.clone();
        let if_tag = if_tag.map(|tag| tag.0.to_vec()).unwrap_or_default();
        wire::Get { path, offset, length, if_tag, list: None }.encode_to_vec()
    }

    fn from_wire(bytes: &[u8]) -> Result<Self, Malformed> {
        let wire::Get { path, offset, length, if_tag, list: _ } = wire::Get::decode(bytes)?;
        Ok(Self { path, offset, length, if_tag: known_tag(&if_tag)? })
    }
}

impl Message for Request {
    fn to_wire(&self) -> Vec<u8> {
        match self {
            Self::Get(get) => get.to_wire(),
            Self::List(list) => {
                wire::Get { list: Some(list.clone().into()), ..Default::default() }.encode_to_vec()
            }
        }
    }

    fn from_wire(bytes: &[u8]) -> Result<Self, Malformed> {
        match wire::Get::decode(bytes)?.list {
            Some(list) => Ok(Self::List(list.into())),
            None => Get::from_wire(bytes).map(Self::Get),
        }
    }
}

impl Message for Reply {
    const MOST: usize = MAX_REPLY;

    fn to_wire(&self) -> Vec<u8> {
        let reply = match self.clone() {
            Self::Found(Found { size, tag, offset, length }) => {
                wire::reply::Reply::Found(wire::Found { size, tag: tag.0.to_vec(), offset, length })
            }
            Self::Failed(Failed { code, message }) => wire::reply::Reply::Failed(wire::Failed {
                code: code.to_wire(),
                message: for_people(&message),
            }),
            Self::Listed(listed) => wire::reply::Reply::Listed(listed.into()),
        };
        wire::Reply { reply: Some(reply) }.encode_to_vec()
    }

    fn from_wire(bytes: &[u8]) -> Result<Self, Malformed> {
        match wire::Reply::decode(bytes)?.reply.ok_or(Malformed::Empty)? {
            wire::reply::Reply::Found(wire::Found { size, tag: hash, offset, length }) => {
                if offset.checked_add(length).is_none_or(|end| end > size) {
                    return Err(Malformed::Range);
                }
                Ok(Self::Found(Found { size, tag: tag(&hash)?, offset, length }))
            }
            wire::reply::Reply::Failed(wire::Failed { code, message }) => {
                Ok(Self::Failed(Failed {
                    code: FailureCode::from_wire(code),
                    message: for_people(&message),
                }))
            }
            wire::reply::Reply::Listed(listed) => Ok(Self::Listed(listed.try_into()?)),
        }
    }
}

impl Message for Resource {
    fn to_wire(&self) -> Vec<u8> {
        let Self { path, tag, shift } = self.clone();
        wire::Resource { path, tag: tag.0.to_vec(), shift }.encode_to_vec()
    }

    fn from_wire(bytes: &[u8]) -> Result<Self, Malformed> {
        let wire::Resource { path, tag: hash, shift } = wire::Resource::decode(bytes)?;
        Ok(Self { path, tag: tag(&hash)?, shift })
    }
}

impl FailureCode {
    fn to_wire(self) -> i32 {
        match self {
            Self::NotFound => wire::FailureCode::NotFound as i32,
            Self::BadPath => wire::FailureCode::BadPath as i32,
            Self::Unreadable => wire::FailureCode::Unreadable as i32,
            Self::NotAFile => wire::FailureCode::NotAFile as i32,
            Self::BadRange => wire::FailureCode::BadRange as i32,
            Self::TagMismatch => wire::FailureCode::TagMismatch as i32,
            Self::BadRequest => wire::FailureCode::BadRequest as i32,
            Self::NotADirectory => wire::FailureCode::NotADirectory as i32,
            Self::NotListed => wire::FailureCode::NotListed as i32,
            Self::Other(code) => code,
        }
    }

    fn from_wire(code: i32) -> Self {
        match wire::FailureCode::try_from(code) {
            Ok(wire::FailureCode::NotFound) => Self::NotFound,
            Ok(wire::FailureCode::BadPath) => Self::BadPath,
            Ok(wire::FailureCode::Unreadable) => Self::Unreadable,
            Ok(wire::FailureCode::NotAFile) => Self::NotAFile,
            Ok(wire::FailureCode::BadRange) => Self::BadRange,
            Ok(wire::FailureCode::TagMismatch) => Self::TagMismatch,
            Ok(wire::FailureCode::BadRequest) => Self::BadRequest,
            Ok(wire::FailureCode::NotADirectory) => Self::NotADirectory,
            Ok(wire::FailureCode::NotListed) => Self::NotListed,
            Ok(wire::FailureCode::Unspecified) | Err(_) => Self::Other(code),
        }
    }
}

fn tag(bytes: &[u8]) -> Result<Tag, Malformed> {
    bytes.try_into().map(Tag).map_err(|_| Malformed::Tag)
}

/// A tag that may be absent.
pub(crate) fn known_tag(bytes: &[u8]) -> Result<Option<Tag>, Malformed> {
    if bytes.is_empty() { Ok(None) } else { tag(bytes).map(Some) }
}

/// One line of at most [`MAX_TEXT`] bytes that does nothing to a terminal.
fn for_people(text: &str) -> String {
    let mut line = String::new();
    // Not all of it: a text that is cut anyway need not be sanitized to its end.
    let end = text.floor_char_boundary(MAX_TEXT);
    for c in sanitized(&text[..end]).to_string().chars() {
        if line.len() + c.len_utf8() > MAX_TEXT {
            break;
        }
        line.push(c);
    }
    line
}

impl From<prost::DecodeError> for Malformed {
    fn from(error: prost::DecodeError) -> Self {
        Self::Protobuf(error.to_string())
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protobuf(error) => f.write_str(error),
            Self::Tag => f.write_str("a tag has 32 bytes"),
            Self::Range => f.write_str("the range passes the end of the file"),
            Self::Empty => f.write_str("the message is empty"),
            Self::Listing => f.write_str("the page of the directory is malformed"),
        }
    }
}

impl std::error::Error for Malformed {}
