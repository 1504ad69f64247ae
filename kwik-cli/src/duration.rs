//! Durations as people write them.

use std::time::Duration;

/// Units, and milliseconds in each.
const UNITS: [(&str, u64); 5] =
    [("", 1_000), ("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

/// A duration, written as `30s`, `500ms`, `5m` or, in seconds, `30`.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(unit_at);
    let number: u64 = digits.parse().map_err(|_| "want a whole number and a unit, such as 30s")?;
    let unit = UNITS.iter().find(|(name, _)| *name == unit);
    let (_, factor) = unit.ok_or("the unit is one of ms, s, m, h")?;
    number
        .checked_mul(*factor)
        .map(Duration::from_millis)
        .ok_or_else(|| "longer than any program runs".to_owned())
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
        for text in
            ["", "s", "-1s", "1.5s", "1 s", "1d", "99999999999999999999", "9999999999999999h"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
