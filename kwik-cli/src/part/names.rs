//! Names of what lies beside a target while it is fetched.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

/// Longest name that file systems take, in bytes.
const MAX_NAME: usize = 255;
/// Hex digits of a hash that stand for the rest of a name that was shortened.
const HASH: usize = 16;

/// A target, and the names that follow from it.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    pub(crate) target: PathBuf,
    name: OsString,
}

impl Names {
    pub(crate) fn of(target: PathBuf) -> io::Result<Self> {
        let name = target.file_name().ok_or_else(|| io::Error::other("it has no file name"))?;
        Ok(Self { name: name.to_owned(), target })
    }

    /// The directory of them all.
    pub(crate) fn dir(&self) -> &Path {
        match self.target.parent() {
            Some(dir) if dir != Path::new("") => dir,
            _ => Path::new("."),
        }
    }

    /// The record.
    pub(crate) fn record(&self) -> PathBuf {
        self.beside(".part.kwik")
    }

    /// A part file. There are several because the first may be the user's own.
    pub(crate) fn part(&self, number: u8) -> PathBuf {
        match number {
            0 => self.beside(".part"),
            number => self.beside(&format!(".{number}.part")),
        }
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        self.target.with_file_name(derived(&self.name, suffix))
    }
}

/// The name with a suffix; of a long one the start, and a hash in place of the rest.
fn derived(name: &OsStr, suffix: &str) -> OsString {
    let bytes = name.as_bytes();
    if bytes.len() + suffix.len() <= MAX_NAME {
        return OsString::from_vec([bytes, suffix.as_bytes()].concat());
    }
    let mut end = MAX_NAME - suffix.len() - HASH - 1;
    // Not in the middle of a UTF-8 character: some file systems refuse such names.
    while end > 0 && bytes[end] & 0xc0 == 0x80 {
        end -= 1;
    }
    let hash = blake3::hash(bytes).to_hex();
    OsString::from_vec([&bytes[..end], b"-", &hash.as_bytes()[..HASH], suffix.as_bytes()].concat())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn names(name: &str) -> Names {
        Names::of(Path::new("/dir").join(name)).unwrap()
    }

    #[test]
    fn names_follow_from_the_targets() {
        let names = names("f");
        assert_eq!(names.record(), Path::new("/dir/f.part.kwik"));
        assert_eq!(names.part(0), Path::new("/dir/f.part"));
        assert_eq!(names.part(7), Path::new("/dir/f.7.part"));
        assert_eq!(names.dir(), Path::new("/dir"));
        assert_eq!(Names::of("f".into()).unwrap().dir(), Path::new("."));
        assert!(Names::of("/".into()).is_err());
    }

    #[test]
    fn long_names_are_shortened_and_stay_apart() {
        for long in ["x".repeat(255), "ü".repeat(127), format!("x{}", "ü".repeat(127))] {
            let other =
                format!("{}y", &long[..long.len() - long.chars().last().unwrap().len_utf8()]);
            let paths =
                |name: &str| [names(name).record(), names(name).part(0), names(name).part(9)];
            for (path, other) in paths(&long).into_iter().zip(paths(&other)) {
                let name = path.file_name().unwrap();
                assert!(name.len() <= MAX_NAME, "{name:?}");
                assert!(name.to_str().is_some(), "{name:?}");
                assert_ne!(path, other);
            }
        }
        let exact = "x".repeat(250);
        assert_eq!(names(&exact).part(0).file_name().unwrap().len(), 255);
    }
}
