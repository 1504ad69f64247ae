//! The clock, as far as it can be judged without another machine.

use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::finding::Finding;

const WHAT: &str = "clock";
/// How long the clock is looked at.
const LOOK: Duration = Duration::from_millis(300);
/// What it may differ from the monotonic time by then: a daemon that steers a clock changes it by 0.05 % at most.
const SLACK: Duration = Duration::from_millis(20);
/// A clock before 2026 was never set: this program is younger.
const YOUNGER: Duration = Duration::from_secs(1_767_225_600);

/// Whether the clock goes as the monotonic time does, and was set at all.
///
/// A secondary takes a token for a minute: a clock that is off, or leaps, has it refuse clients.
pub(super) fn steadiness() -> Finding {
    let (wall, steady) = (SystemTime::now(), Instant::now());
    thread::sleep(LOOK);
    judge(wall, SystemTime::now(), steady.elapsed())
}

fn judge(before: SystemTime, after: SystemTime, passed: Duration) -> Finding {
    let advice = "have the clock set by chrony or systemd-timesyncd: secondaries refuse tokens that are a minute off";
    if after.duration_since(UNIX_EPOCH).is_ok_and(|time| time < YOUNGER) {
        return Finding::warning(WHAT, "it stands before 2026, so it was never set", advice);
    }
    let Ok(moved) = after.duration_since(before) else {
        return Finding::warning(WHAT, "it went backwards while it was looked at", advice);
    };
    let off = moved.abs_diff(passed);
    if off > SLACK {
        let found = format!("it leapt by {} ms while it was looked at", off.as_millis());
        return Finding::warning(WHAT, found, advice);
    }
    let millis = passed.as_millis();
    Finding::good(WHAT, format!("no leap within {millis} ms; other machines' were not asked"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Grade;

    #[test]
    fn a_leap_in_either_direction_is_seen() {
        let start = UNIX_EPOCH + YOUNGER + Duration::from_secs(9);
        let after = |millis| start + Duration::from_millis(millis);
        let grade = |millis| judge(start, after(millis), Duration::from_millis(300)).grade;
        assert_eq!(grade(300), Grade::Good);
        assert_eq!(grade(310), Grade::Good);
        assert_eq!(grade(400), Grade::Warning);
        assert_eq!(grade(200), Grade::Warning);
        let backwards = judge(after(500), start, Duration::from_millis(300));
        assert_eq!(backwards.grade, Grade::Warning);
    }

    #[test]
    fn a_clock_that_was_never_set_is_seen() {
        let found = judge(UNIX_EPOCH, UNIX_EPOCH + LOOK, LOOK);
        assert_eq!(found.grade, Grade::Warning);
    }
}
