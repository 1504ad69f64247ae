//! Part of a content, as `--range` names it.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use crate::cause::{Cause, Known};

/// Bytes of a content, the last one included, as in HTTP (RFC 9110, 14.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ByteRange {
    /// `A-B`; a B behind the end means the end.
    Between(u64, u64),
    /// `A-`: up to the end.
    From(u64),
    /// `-N`: the last N; a content that has fewer is meant as a whole.
    Last(u64),
}

impl ByteRange {
    /// The offsets in a content of `size` bytes, the end excluded. An error where the content has none of these bytes.
    pub(crate) fn within(self, size: u64) -> anyhow::Result<Range<u64>> {
        let range = match self {
            Self::Between(first, last) => first..size.min(last.saturating_add(1)),
            Self::From(first) => first..size,
            Self::Last(count) => size.saturating_sub(count)..size,
        };
        if range.start < range.end {
            return Ok(range);
        }
        let text = format!("the content has {size} bytes; none of them is in --range {self}");
        Err(Known::error(Cause::Refused, text))
    }
}

impl FromStr for ByteRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const FORM: &str =
            "want A-B, A- or -N: offsets of the first and last byte, or a number of last bytes";
        let number = |digits: &str| {
            // A plus sign is a number to Rust, and none here.
            let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
            digits.parse::<u64>().ok().filter(|_| plain).ok_or(FORM)
        };
        match text.split_once('-').ok_or(FORM)? {
            ("", "") => Err(FORM.to_owned()),
            ("", count) => match number(count)? {
                0 => Err("the last 0 bytes are none".to_owned()),
                count => Ok(Self::Last(count)),
            },
            (first, "") => Ok(Self::From(number(first)?)),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                if first > last {
                    return Err(format!("the last byte, {last}, is before the first, {first}"));
                }
                Ok(Self::Between(first, last))
            }
        }
    }
}

impl fmt::Display for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Between(first, last) => write!(f, "{first}-{last}"),
            Self::From(first) => write!(f, "{first}-"),
            Self::Last(count) => write!(f, "-{count}"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_http() {
        for (text, size, range) in [
            ("0-0", 10, 0..1),
            ("2-5", 10, 2..6),
            ("2-99", 10, 2..10),
            ("9-", 10, 9..10),
            ("0-", 10, 0..10),
            ("-3", 10, 7..10),
            ("-99", 10, 0..10),
            ("0-18446744073709551615", 10, 0..10),
        ] {
            let parsed: ByteRange = text.parse().unwrap();
            assert_eq!(parsed.to_string(), text);
            assert_eq!(parsed.within(size).unwrap(), range, "{text}");
        }
    }

    #[test]
    fn a_content_without_such_bytes_is_an_error() {
        for (text, size) in [("10-", 10), ("10-12", 10), ("0-", 0), ("-1", 0)] {
            let error = text.parse::<ByteRange>().unwrap().within(size).unwrap_err();
            assert!(error.to_string().contains(&format!("{size} bytes")), "{error}");
            assert!(error.to_string().contains(text), "{error}");
        }
    }

    #[test]
    fn what_is_no_range_is_refused() {
        let huge = "18446744073709551616-";
        for text in
            ["", "-", "5", "5-3", "-0", "a-b", "1-2-3", "+1-2", "1-+2", " 1-2", huge, "bytes=1-2"]
        {
            assert!(text.parse::<ByteRange>().is_err(), "{text}");
        }
    }
}
