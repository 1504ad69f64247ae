//! Time limits as people write them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::duration;

/// A time limit: a duration that is not zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeLimit(pub(crate) Duration);

impl FromStr for TimeLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match duration::parse(text)? {
            Duration::ZERO => Err("the time must be more than 0".to_owned()),
            time => Ok(Self(time)),
        }
    }
}

impl fmt::Display for TimeLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.subsec_millis() {
            0 => write!(f, "{} s", self.0.as_secs()),
            _ => write!(f, "{} ms", self.0.as_millis()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_and_without_units() {
        for (text, ms, shown) in [
            ("10", 10_000, "10 s"),
            ("10s", 10_000, "10 s"),
            ("500ms", 500, "500 ms"),
            ("2000ms", 2000, "2 s"),
            ("5m", 300_000, "300 s"),
        ] {
            let limit = text.parse::<TimeLimit>();
            assert_eq!(limit, Ok(TimeLimit(Duration::from_millis(ms))), "{text}");
            assert_eq!(limit.map(|limit| limit.to_string()).as_deref(), Ok(shown));
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in ["", "0", "0ms", "0h", "s", "1.5"] {
            assert!(text.parse::<TimeLimit>().is_err(), "{text}");
        }
    }
}
