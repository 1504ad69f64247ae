//! The receiver's side of a window.

use std::time::Duration;

use kwik_proto::Offset;

use super::Budget;
use crate::time::Instant;

/// A reader that took anything is heard of after that time, however little it took: a sender whose application has left
/// takes 30 s of silence for a reader that is gone.
const SLOW_READER: Duration = Duration::from_secs(10);

/// How far this end lets its peers send on one stream half.
///
/// The window moves only by named operations: [`consumed`](Self::consumed) when the reader took bytes, and
/// [`extended`](Self::extended), which decides whether the new limit is worth a frame (each W/8 of movement, and any after
/// 10 s, when [`due`](Self::due) has come), doubles W for a reader that is faster than the window allows, and books it in the session's [`Budget`]. What was promised is
/// never taken back: the limit never falls, and W never shrinks.
///
/// ```
/// use std::time::Duration;
/// use kwik_core::time::Instant;
/// use kwik_core::window::{Budget, ReceiveWindow};
/// use kwik_proto::Offset;
///
/// let mut budget = Budget::new(Budget::DEFAULT_TOTAL, 1);
/// let mut window = ReceiveWindow::new(65_536);
/// assert!(window.admit(&mut budget));
/// window.consumed(10_000);
/// let announced = window.extended(Instant::ZERO, Duration::ZERO, &mut budget);
/// assert_eq!(announced, Offset::new(75_536));
/// window.close(&mut budget);
/// assert_eq!(budget.promised(), 0);
/// ```
#[derive(Clone, Debug)]
pub struct ReceiveWindow {
    read_offset: Offset,
    max_offset: Offset,
    /// W: bytes that may be on their way or unread at a time.
    size: u64,
    /// W that somebody asked for, at least.
    demand: u64,
    /// Whether the budget knows of this window.
    admitted: bool,
    /// What the budget counts for it, in bytes of window.
    booked: u64,
    /// When the peers heard of the window last.
    told: Option<Instant>,
    /// [`due`](Self::due) was looked at since there is something to say.
    noted: bool,
    /// When and where the reader's present half window began.
    pace: Option<(Instant, Offset)>,
}

impl ReceiveWindow {
    /// A window of `initial` bytes from the start of the stream, which the peers were told before it opened.
    pub const fn new(initial: u64) -> Self {
        Self {
            read_offset: Offset::ZERO,
            max_offset: Offset::ZERO.saturating_add(initial),
            size: initial,
            demand: 0,
            admitted: false,
            booked: 0,
            told: None,
            noted: false,
            pace: None,
        }
    }

    /// Books the window in the session's account. `false` if as many streams are open as it allows. Once is enough. The
    /// initial window is at most the account's floor, or it was promised before it could be booked.
    pub fn admit(&mut self, budget: &mut Budget) -> bool {
        if !self.admitted && budget.admit() {
            self.admitted = true;
            self.booked = budget.grow(0, self.size);
        }
        self.admitted
    }

    /// First offset that the reader has not taken.
    pub const fn read_offset(&self) -> Offset {
        self.read_offset
    }

    /// First offset that may not be sent. Never falls.
    pub const fn max_offset(&self) -> Offset {
        self.max_offset
    }

    /// W, in bytes.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The reader took `bytes` more.
    pub fn consumed(&mut self, bytes: u64) {
        self.read_offset = self.read_offset.saturating_add(bytes);
    }

    /// Asks for a W of at least `bytes`, which the next [`extended`](Self::extended) takes from what is free: twice the
    /// sum of all paths' rates times the longest control loop, plus what is outstanding.
    pub fn demand(&mut self, bytes: u64) {
        self.demand = self.demand.max(bytes);
    }

    /// Whether the limit could move by at least W/8, or at all when it has not for long, or W should grow; or whether it
    /// begins to move, so that [`due`](Self::due) is to be heard of.
    pub fn wants_extension(&self, now: Instant) -> bool {
        let begins = !self.noted && self.movement() > 0;
        self.demand > self.size || begins || self.is_worth_a_frame(now)
    }

    /// When [`extended`](Self::extended) has something to say though the reader takes nothing more.
    pub fn due(&self) -> Option<Instant> {
        let unsaid = self.admitted && self.movement() > 0;
        self.told.filter(|_| unsaid).map(|told| told + SLOW_READER)
    }

    /// Moves the limit if it is worth a frame, and returns it then.
    ///
    /// `loop_time` is the longest control loop of the live paths. A reader that took W/2 in under twice that was
    /// held up by the window: W doubles, as far as the budget goes.
    pub fn extended(
        &mut self,
        now: Instant,
        loop_time: Duration,
        budget: &mut Budget,
    ) -> Option<Offset> {
        if !self.admit(budget) {
            return None;
        }
        let wanted = if self.is_too_small(now, loop_time) { self.size * 2 } else { self.size };
        let wanted = wanted.max(self.demand);
        if wanted > self.size {
            self.booked = budget.grow(self.booked, wanted);
            self.size = self.size.max(self.booked);
        }
        self.demand = 0;
        self.told.get_or_insert(now);
        self.noted = self.movement() > 0;
        if !self.is_worth_a_frame(now) {
            return None;
        }
        self.noted = false;
        self.told = Some(now);
        self.max_offset = self.read_offset.saturating_add(self.size);
        Some(self.max_offset)
    }

    /// The half is over: what it had is free for others. The limit stays, for late bytes.
    pub fn close(&mut self, budget: &mut Budget) {
        if std::mem::take(&mut self.admitted) {
            budget.release(self.booked);
        }
    }

    fn is_worth_a_frame(&self, now: Instant) -> bool {
        let silent = self.told.is_some_and(|told| now >= told + SLOW_READER);
        let least = if silent { 1 } else { (self.size / 8).max(1) };
        self.movement() >= least
    }

    /// Bytes that the limit could move.
    fn movement(&self) -> u64 {
        self.read_offset.saturating_add(self.size).since(self.max_offset)
    }

    /// Whether the reader took the last W/2 in under two control loops. Judged once per W/2.
    fn is_too_small(&mut self, now: Instant, loop_time: Duration) -> bool {
        let Some((since, from)) = self.pace else {
            self.pace = Some((now, self.read_offset));
            return false;
        };
        if self.read_offset.since(from) < self.size / 2 {
            return false;
        }
        self.pace = Some((now, self.read_offset));
        now.since(since) < loop_time.saturating_mul(2)
    }
}
