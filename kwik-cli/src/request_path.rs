//! The name of a file below a root, as it travels.

use std::fmt;
use std::path::Path;

/// Longest path that is accepted, in bytes: with tag and shift it has to fit the 4 KiB of a delegation's resource.
const MAX_LENGTH: usize = 4000;

/// A relative path of plain names with forward slashes: no `..`, no `.`, no empty name, no NUL.
///
/// Both ends check it: the client so that a mistake is named before anything is sent, the server because a client
/// may send anything. That a symbolic link does not leave the root is [`Root`](crate::root::Root)'s to check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestPath(String);

/// Why a text is no [`RequestPath`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadPath {
    Empty,
    TooLong,
    Nul,
    Absolute,
    Traversal,
    EmptyName,
}

impl RequestPath {
    /// Checks `text`, which is percent-decoded already and has no leading slash.
    pub(crate) fn new(text: impl Into<String>) -> Result<Self, BadPath> {
        let text = text.into();
        if text.is_empty() {
            return Err(BadPath::Empty);
        }
        if text.len() > MAX_LENGTH {
            return Err(BadPath::TooLong);
        }
        if text.contains('\0') {
            return Err(BadPath::Nul);
        }
        if text.starts_with('/') {
            return Err(BadPath::Absolute);
        }
        for name in text.split('/') {
            match name {
                "" => return Err(BadPath::EmptyName),
                "." | ".." => return Err(BadPath::Traversal),
                _ => {}
            }
        }
        Ok(Self(text))
    }

    /// The path for the file system.
    pub(crate) fn as_path(&self) -> &Path {
        Path::new(&self.0)
    }

    /// The last name of the path.
    pub(crate) fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }
}

impl fmt::Display for RequestPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for BadPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the path names no file",
            Self::TooLong => "the path is longer than 4000 bytes",
            Self::Nul => "the path has a NUL byte",
            Self::Absolute => "the path is absolute; name a file below the server's root",
            Self::Traversal => "the path has '.' or '..'; name a file below the server's root",
            Self::EmptyName => "the path has an empty name; name a file, with single slashes",
        })
    }
}

impl std::error::Error for BadPath {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_below_the_root_are_taken() {
        for text in ["a", "a/b/c.bin", "..a", "a..", "...", "a b", "ü/%2e%2e", "a\\..\\b"] {
            assert!(RequestPath::new(text).is_ok(), "{text}");
        }
        assert_eq!(RequestPath::new("a/b").map(|path| path.file_name().to_owned()), Ok("b".into()));
    }

    #[test]
    fn what_could_leave_the_root_is_refused() {
        for (text, why) in [
            ("", BadPath::Empty),
            ("/etc/passwd", BadPath::Absolute),
            ("..", BadPath::Traversal),
            ("../x", BadPath::Traversal),
            ("a/../../x", BadPath::Traversal),
            ("a/..", BadPath::Traversal),
            ("./a", BadPath::Traversal),
            ("a//b", BadPath::EmptyName),
            ("a/", BadPath::EmptyName),
            ("a\0b", BadPath::Nul),
        ] {
            assert_eq!(RequestPath::new(text), Err(why), "{text:?}");
        }
        assert_eq!(RequestPath::new("x".repeat(4001)), Err(BadPath::TooLong));
    }
}
