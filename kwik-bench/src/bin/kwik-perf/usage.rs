//! What a process has used.

use std::fs;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// What this process has used since its start.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Usage {
    /// User and system time of all threads, in seconds.
    pub(crate) cpu_seconds: f64,
    /// Resident memory now, in bytes.
    pub(crate) rss: u64,
    /// The most that it ever was, in bytes.
    pub(crate) peak_rss: u64,
}

impl Usage {
    /// Of this process, now.
    pub(crate) fn now() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        Self {
            cpu_seconds: cpu_time().as_secs_f64(),
            rss: kibibytes(&status, "VmRSS:"),
            peak_rss: kibibytes(&status, "VmHWM:"),
        }
    }
}

/// What getrusage(2) calls user and system time, to the nanosecond.
pub(crate) fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

fn kibibytes(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|rest| rest.trim().split(' ').next());
    number.and_then(|number| number.parse::<u64>().ok()).unwrap_or_default() * 1024
}
