//! Time limits as people write them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A time limit: `10` or `10s` for seconds, `500ms` for milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeLimit(pub(crate) Duration);

/// The longest, a year: beyond it the arithmetic of clocks may overflow.
const MAX: Duration = Duration::from_secs(365 * 24 * 3600);

impl FromStr for TimeLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const FORM: &str = "want a time such as 10, 10s or 500ms";
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let number: u64 = number.parse().map_err(|_| FORM)?;
        let time = match unit {
            "" | "s" => Duration::from_secs(number),
            "ms" => Duration::from_millis(number),
            _ => return Err(FORM.to_owned()),
        };
        match time {
            Duration::ZERO => Err("the time must be more than 0".to_owned()),
            time if time > MAX => Err("the time is at most a year".to_owned()),
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
        ] {
            let limit = text.parse::<TimeLimit>();
            assert_eq!(limit, Ok(TimeLimit(Duration::from_millis(ms))), "{text}");
            assert_eq!(limit.map(|limit| limit.to_string()).as_deref(), Ok(shown));
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in
            ["", "0", "0ms", "s", "-1", "1.5", "10m", "1 s", "99999999999", "18446744073709551616"]
        {
            assert!(text.parse::<TimeLimit>().is_err(), "{text}");
        }
    }
}
