//! Durations as people write them.

use std::time::Duration;

/// Units, and milliseconds in each.
const UNITS: [(&str, u64); 5] =
    [("", 1_000), ("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

/// The longest: a year. Beyond it the arithmetic of clocks may overflow.
const MAX_MILLIS: u64 = 365 * 24 * 3_600_000;

/// A duration of at most a year, written as `30s`, `500ms`, `5m` or, in seconds, `30`.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(unit_at);
    let number: u64 = digits.parse().map_err(|_| "want a time such as 30s, 500ms or 5m")?;
    let unit = UNITS.iter().find(|(name, _)| *name == unit);
    let (_, factor) = unit.ok_or("want a time such as 30s, 500ms or 5m")?;
    match number.checked_mul(*factor) {
        Some(millis) if millis <= MAX_MILLIS => Ok(Duration::from_millis(millis)),
        _ => Err("the time is at most a year".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read() {
        for (text, millis) in
            [("0", 0), ("30", 30_000), ("30s", 30_000), ("500ms", 500), ("5m", 300_000)]
        {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "s", "-1s", "1.5s", "1 s", "1d", "99999999999999999999", "8761h"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
