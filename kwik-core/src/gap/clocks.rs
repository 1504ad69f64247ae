//! How long a reader has waited at one offset for what does not come.

use std::time::Duration;

use crate::time::Instant;

/// How many gap timeouts those have in all who promise the byte after all others let the reader down.
const PROMISED_AGAIN: u32 = 2;

/// How many gap timeouts a reader waits in all, whoever promises, joins, or goes on. Fewer: a server that hashes 50 GB at
/// 1 GB/s before it joins comes too late; more: a reader waits for minutes for an application that hangs.
const IN_ALL: u32 = 6;

/// Who may bring the byte at which the reader waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prospects {
    /// Somebody promised it, late or not.
    pub(super) promised: bool,
    /// Somebody promised it and is not late.
    pub(super) owed: bool,
    /// Somebody has neither failed nor promised.
    pub(super) unfailed: bool,
}

/// The three clocks of one wait. Only progress at the head forgives what they counted: else one that accepts and never
/// sends, or says Pending for ever, would keep the reader for ever.
#[derive(Clone, Debug, Default)]
pub(super) struct Clocks {
    /// Time with nobody to wait for.
    alone: Stopwatch,
    /// Time since all who promised the byte were late, whoever promised it then. Stands still while somebody has neither
    /// failed nor promised.
    let_down: Option<Stopwatch>,
    /// All time since nobody owed the byte.
    all: Option<Stopwatch>,
    /// A process that overslept was forgiven what it had waited before.
    forgiven: bool,
}

impl Clocks {
    /// Runs and stops the clocks as things stand from now on; when the first of them ends the wait.
    pub(super) fn run(
        &mut self,
        who: Prospects,
        timeout: Duration,
        now: Instant,
    ) -> Option<Instant> {
        self.alone.set(!who.owed && !who.unfailed, now);
        if who.promised && !who.owed {
            self.let_down.get_or_insert_default();
        }
        if !who.owed {
            self.all.get_or_insert_default();
        }
        if let Some(let_down) = &mut self.let_down {
            let_down.set(!who.unfailed, now);
        }
        if let Some(all) = &mut self.all {
            all.set(true, now);
        }
        let end = |clock: Option<Stopwatch>, timeouts| {
            clock.and_then(|clock| clock.end(timeout.saturating_mul(timeouts)))
        };
        let ends =
            [end(Some(self.alone), 1), end(self.let_down, PROMISED_AGAIN), end(self.all, IN_ALL)];
        ends.into_iter().flatten().min()
    }

    /// The byte may take any time.
    pub(super) fn stop(&mut self, now: Instant) {
        self.each(|clock| clock.set(false, now));
    }

    /// The process slept for so long until now. The first time it gets its whole patience back, for what it waits for may
    /// have to be dialled again; then only the sleep is left out: one that is always late must not wait for ever.
    pub(super) fn slept(&mut self, time: Duration, now: Instant) {
        let first = !std::mem::replace(&mut self.forgiven, true);
        self.each(|clock| {
            clock.since = clock.since.map(|since| if first { now } else { since + time });
            if first {
                clock.before = Duration::ZERO;
            }
        });
    }

    fn each(&mut self, change: impl FnMut(&mut Stopwatch)) {
        let clocks = [Some(&mut self.alone), self.let_down.as_mut(), self.all.as_mut()];
        clocks.into_iter().flatten().for_each(change);
    }
}

/// A clock that stands still at times.
#[derive(Clone, Copy, Debug, Default)]
struct Stopwatch {
    since: Option<Instant>,
    before: Duration,
}

impl Stopwatch {
    fn set(&mut self, runs: bool, now: Instant) {
        if runs {
            self.since.get_or_insert(now);
        } else if let Some(since) = self.since.take() {
            self.before += now.since(since);
        }
    }

    /// When it will have run for `limit`, if it runs.
    fn end(&self, limit: Duration) -> Option<Instant> {
        self.since.map(|since| since + limit.saturating_sub(self.before))
    }
}
