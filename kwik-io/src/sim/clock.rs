//! The time of an [`Env`] as s2n-quic takes it.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use kwik_core::time::Instant;
use s2n_quic_core::time::clock::{ClockWithTimer, NoopClock, Timer};
use s2n_quic_core::time::{Clock, Timestamp};
use tokio::time::Sleep;

use crate::env::Env;

/// Reads the environment's clock.
#[derive(Clone, Debug)]
pub(crate) struct EnvClock(pub(crate) Env);

/// What this clock calls its start: the least timestamp that can be made without `unsafe`.
fn start() -> Timestamp {
    NoopClock.get_time()
}

impl Clock for EnvClock {
    fn get_time(&self) -> Timestamp {
        start() + self.0.now().elapsed()
    }
}

impl ClockWithTimer for EnvClock {
    type Timer = EnvTimer;

    fn timer(&self) -> EnvTimer {
        let env = self.0.clone();
        let sleep = Box::pin(tokio::time::sleep_until(env.deadline(env.now())));
        EnvTimer { env, sleep, armed: Armed::No }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Armed {
    No,
    At(tokio::time::Instant),
}

/// One timer of an endpoint.
#[derive(Debug)]
pub(crate) struct EnvTimer {
    env: Env,
    sleep: Pin<Box<Sleep>>,
    armed: Armed,
}

impl Timer for EnvTimer {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.armed == Armed::No {
            return Poll::Pending;
        }
        let fired = self.sleep.as_mut().poll(cx);
        if fired.is_ready() {
            self.armed = Armed::No;
        }
        fired
    }

    /// Rounds down to a millisecond, the step of tokio's timers: s2n-quic takes a timer for due up to a millisecond
    /// early, and would else be woken a millisecond late.
    fn update(&mut self, timestamp: Timestamp) {
        let delay = timestamp.saturating_duration_since(start());
        let delay = Duration::from_millis(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX));
        let at = self.env.deadline(Instant::from_start(delay));
        if self.armed != Armed::At(at) {
            self.sleep.as_mut().reset(at);
            self.armed = Armed::At(at);
        }
    }
}
