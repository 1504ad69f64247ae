//! A beat that is there only while somebody needs it.

use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval};

/// Beats at an interval, while it is on: the first time at once. Off, it wakes nobody and takes no timer.
///
/// ```
/// use std::time::Duration;
/// use kwik_io::pulse::Pulse;
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let mut pulse = Pulse::new(Duration::from_millis(1));
/// pulse.set(true);
/// pulse.beat().await;
/// pulse.beat().await;
/// # });
/// ```
#[derive(Debug)]
pub struct Pulse {
    every: Duration,
    /// Boxed, since most sessions are idle.
    interval: Option<Box<Interval>>,
}

impl Pulse {
    /// A pulse that is off.
    pub fn new(every: Duration) -> Self {
        Self { every, interval: None }
    }

    /// Turns it on or off; nothing changes if it is that already. On a runtime with time.
    pub fn set(&mut self, on: bool) {
        if !on {
            self.interval = None;
        } else if self.interval.is_none() {
            let mut interval = Box::new(interval(self.every));
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            self.interval = Some(interval);
        }
    }

    /// Waits for the next beat; for ever while it is off. Cancel safe.
    pub async fn beat(&mut self) {
        match &mut self.interval {
            Some(interval) => drop(interval.tick().await),
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_pulse_that_is_off_takes_no_timer() {
        let mut pulse = Pulse::new(Duration::from_secs(3600));
        assert!(pulse.interval.is_none());
        pulse.set(true);
        pulse.beat().await;
        pulse.set(true);
        tokio::select! {
            biased;
            () = pulse.beat() => panic!("it goes on where it was"),
            () = std::future::ready(()) => {}
        }
        pulse.set(false);
        assert!(pulse.interval.is_none());
    }
}
