//! Why a run did not end well.

use std::fmt;
use std::time::Duration;

use crate::action::Action;
use crate::event::{Event, Report};

/// What software may return.
pub type SoftwareError = Box<dyn std::error::Error + Send + Sync>;

/// How many of the last actions and notes a failure shows.
const SHOWN: usize = 20;

/// A run that did not end well. Its text names the seed that repeats it; what an `unwrap` prints is the same text.
#[non_exhaustive]
pub struct Failure {
    /// What went wrong.
    pub cause: Cause,
    /// What happened until then.
    pub report: Box<Report>,
}

/// What went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// The client was not done by then.
    #[error("the client is not done after {} ms", .0.as_millis())]
    Bound(Duration),
    /// A host's software returned an error.
    #[error("{host} failed: {error}")]
    Software {
        /// The host.
        host: String,
        /// What its software returned.
        error: SoftwareError,
    },
    /// A host's software panicked.
    #[error("{host} panicked: {message}")]
    Panic {
        /// The host.
        host: String,
        /// With what.
        message: String,
    },
    /// An action that can't be done.
    #[error("{0:?} can't be done: no such host, or not to this one")]
    Action(Action),
    /// The machine gives no runtime.
    #[error("no runtime could be made: {0}")]
    Runtime(#[from] std::io::Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { seed, elapsed, events } = &*self.report;
        writeln!(f, "seed {seed}, after {} ms: {}", elapsed.as_millis(), self.cause)?;
        write!(
            f,
            "(Lab::new({seed}) repeats it; so does KWIK_SEED={seed} where the test takes its seed from there)"
        )?;
        let told = events
            .iter()
            .filter(|(_, event)| matches!(event, Event::Action(_) | Event::Note { .. }));
        let told: Vec<_> = told.collect();
        for (at, event) in &told[told.len().saturating_sub(SHOWN)..] {
            write!(f, "\n{:>8} ms: ", at.as_millis())?;
            match event {
                Event::Note { host, text } => write!(f, "{host}: {text}")?,
                event => write!(f, "{event:?}")?,
            }
        }
        Ok(())
    }
}

/// As [`Display`](fmt::Display): every datagram of the report would bury the seed.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}
