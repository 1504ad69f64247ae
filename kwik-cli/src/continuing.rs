//! Which server is to be tried when: a download that goes on while servers come and go.
//!
//! It decides, and touches nothing: no clock, no socket. Tell it what happens (`handle_*`), then carry out what
//! [`poll_action`](Continuing::poll_action) says until it says nothing more, and call
//! [`handle_time`](Continuing::handle_time) at [`deadline`](Continuing::deadline) at the latest.
//!
//! At first every server is tried once, 250 ms apart (RFC 8305) or as soon as the one before has failed; one that says that it
//! serves later, as while it is restarted, is tried again within the time for the first connection. Later, whenever the
//! server that is read from is not well, the others and then the same one are tried again and again, until one has answered
//! or the old one delivers again. A server that is lost again and again soon after it has answered is tried after pauses. An attempt that waits for its handshake is joined by another after a while: packets
//! that were swallowed are repeated by QUIC ever more rarely, and a server that returns is to be reached within a second.

use std::collections::VecDeque;
use std::time::Duration;

#[cfg(test)]
mod tests;

/// How long after one server the next is tried (RFC 8305, 5).
const STAGGER: Duration = Duration::from_millis(250);
/// How long an attempt may wait for its handshake before another joins it.
const JOIN: Duration = Duration::from_millis(750);
/// Attempts at one server that wait for their handshakes. The oldest makes room.
const MAX_DIALS: usize = 4;
/// The first pause after a failure; it doubles up to [`MAX_BACKOFF`].
const MIN_BACKOFF: Duration = Duration::from_millis(100);
/// The longest pause after a failure. With the handshake it is less than the second within which a server that has
/// returned is to be found.
const MAX_BACKOFF: Duration = Duration::from_millis(500);
/// A server that was read from for so long did well: when it is lost, the first attempt is made at once.
const STEADY: Duration = Duration::from_secs(2);
/// How long bytes may still come of a server that is not well, when no server is left to try.
const LAST_BYTES: Duration = Duration::from_secs(2);
/// The longest time between two looks. What is beyond it is not counted: the process was stopped, or the machine slept.
const LOOK: Duration = Duration::from_millis(250);

/// An attempt to have a server answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct AttemptId(pub(crate) u64);

/// How the server that is read from does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Live,
    /// Silent while it owes bytes.
    Suspect,
    /// It has said that it goes away.
    Leaving,
    Gone,
}

/// Whether a server that has failed may be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Yes, once a server has answered. At first it is as good as no server.
    Again,
    /// Yes, also at first: it is there, and has said that it serves later.
    Later,
    Never,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Try the server of that index.
    Start(AttemptId, usize),
    /// Drop an attempt.
    Abandon(AttemptId),
    /// Give up.
    GiveUp(Reason),
}

/// Why nothing is tried any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// No server may be tried again.
    NoneLeft,
    /// No connection within the time for the first.
    Unconnected,
    /// Connected for the first time, and no answer for so long.
    Unanswered,
    /// No new byte for so long.
    Silent,
    /// Fewer bytes than [`Patience::rate`] for so long.
    Slow,
}

/// How long what may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Patience {
    /// The first connection.
    pub(crate) connect: Duration,
    /// The wait for an answer, or for bytes.
    pub(crate) silence: Duration,
    /// Bytes a second below which what comes is as good as silence.
    pub(crate) rate: u64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Continuing {
    patience: Patience,
    servers: Vec<Server>,
    attempts: Vec<Attempt>,
    phase: Phase,
    actions: VecDeque<Action>,
    ids: u64,
    /// Waking time since enough bytes came, or since the beginning.
    silent: Duration,
    /// When the server that is read from, or was, answered.
    answered: Duration,
    /// Bytes that came in it.
    trickle: u64,
    looked: Duration,
    jitter: u64,
}

#[derive(Debug)]
struct Server {
    /// When it is tried next; `None`: not again.
    due: Option<Duration>,
    failures: u32,
    /// How often it was not well soon after it had answered, one time after the other.
    relapses: u32,
    excluded: bool,
    /// It has said that it serves later.
    returns: bool,
}

#[derive(Debug)]
struct Attempt {
    id: AttemptId,
    server: usize,
    connected: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No server has answered yet.
    First,
    /// This server is read from.
    Reading(usize, Standing),
    /// The one that was read from is gone.
    Lost,
    Over,
}

impl Continuing {
    /// `servers` of the same content, tried in that order. Times count from the same point as `now`. `seed`: for the
    /// spread of repeated attempts.
    pub(crate) fn new(servers: usize, patience: Patience, now: Duration, seed: u64) -> Self {
        let server = |i: u32| Server {
            due: Some(now + STAGGER * i),
            failures: 0,
            relapses: 0,
            excluded: false,
            returns: false,
        };
        Self {
            patience,
            servers: (0..servers as u32).map(server).collect(),
            attempts: Vec::new(),
            phase: Phase::First,
            actions: VecDeque::new(),
            ids: 0,
            silent: Duration::ZERO,
            answered: now,
            trickle: 0,
            looked: now,
            jitter: seed | 1,
        }
    }

    /// An attempt has a connection and has asked.
    pub(crate) fn handle_connected(&mut self, id: AttemptId) {
        let Some(attempt) = self.attempts.iter_mut().find(|attempt| attempt.id == id) else {
            return;
        };
        attempt.connected = true;
        let server = attempt.server;
        // Its answer may take long, as when the server hashes the file first. Others would have to wait for the same.
        self.abandon(|other| other.server == server && other.id != id);
        self.servers[server].due = None;
        let first = self.attempts.iter().filter(|it| it.connected).count() == 1;
        // One that only says that it serves later gets no more time by that.
        let promised = self.servers.iter().any(|server| server.returns);
        if self.phase == Phase::First && first && !promised {
            self.silent = Duration::ZERO;
        }
    }

    /// An attempt has failed.
    pub(crate) fn handle_failed(&mut self, id: AttemptId, verdict: Verdict, now: Duration) {
        let Some(index) = self.attempts.iter().position(|attempt| attempt.id == id) else { return };
        let server = self.attempts.remove(index).server;
        let backoff = self.backoff(self.servers[server].failures);
        let first = self.phase == Phase::First;
        let entry = &mut self.servers[server];
        entry.failures += 1;
        entry.returns |= verdict == Verdict::Later;
        entry.excluded |= verdict == Verdict::Never || (first && !entry.returns);
        if entry.excluded {
            entry.due = None;
        } else if !self.attempts.iter().any(|attempt| attempt.server == server) {
            entry.due = Some(now + backoff);
        }
        if first {
            // The next one need not wait for its turn.
            let untried = self.servers.iter_mut().filter(|server| server.failures == 0);
            if let Some(due) = untried.filter_map(|server| server.due.as_mut()).min() {
                *due = now;
            }
        }
    }

    /// An attempt has its answer. Returns whether to read from it: not if it was abandoned meanwhile.
    pub(crate) fn handle_ready(&mut self, id: AttemptId, now: Duration) -> bool {
        let Some(index) = self.attempts.iter().position(|attempt| attempt.id == id) else {
            return false;
        };
        let server = self.attempts.remove(index).server;
        self.abandon(|_| true);
        if self.phase == Phase::First {
            // Those that failed at first may be back when they are needed.
            self.servers.iter_mut().for_each(|server| server.excluded = false);
            // From now on it is bytes that are waited for: another answer is none.
            self.end_silence();
        }
        self.phase = Phase::Reading(server, Standing::Live);
        self.answered = now;
        self.settle();
        true
    }

    /// How the server that is read from does now.
    pub(crate) fn handle_standing(&mut self, standing: Standing, now: Duration) {
        if let Phase::Reading(server, before) = self.phase {
            self.phase = Phase::Reading(server, standing);
            match (before, standing) {
                // What was begun goes on until a byte has come.
                (_, Standing::Live) => self.servers.iter_mut().for_each(|server| server.due = None),
                (Standing::Live, _) => self.seek(server, now),
                _ => {}
            }
        }
    }

    /// Nothing more can be read from the server.
    pub(crate) fn handle_lost(&mut self, verdict: Verdict, now: Duration) {
        let Phase::Reading(server, standing) = self.phase else { return };
        self.servers[server].excluded |= verdict == Verdict::Never;
        self.phase = Phase::Lost;
        if self.servers[server].excluded {
            self.servers[server].due = None;
        }
        if standing == Standing::Live {
            self.seek(server, now);
        }
    }

    /// So many new bytes came.
    pub(crate) fn handle_progress(&mut self, bytes: u64, now: Duration) {
        self.silent += self.elapsed(now);
        self.looked = now;
        self.trickle = self.trickle.saturating_add(bytes);
        if self.trickle as f64 >= self.patience.rate as f64 * self.silent.as_secs_f64() {
            self.end_silence();
        }
        if let Phase::Reading(_, Standing::Live) = self.phase
            && !self.attempts.is_empty()
        {
            self.abandon(|_| true);
            self.settle();
        }
    }

    /// Time has passed.
    pub(crate) fn handle_time(&mut self, now: Duration) {
        self.silent += self.elapsed(now);
        self.looked = now;
        let connected = self.attempts.iter().any(|attempt| attempt.connected);
        let (reason, limit) = match self.phase {
            Phase::Over => return,
            Phase::First if connected => (Reason::Unanswered, self.patience.silence),
            Phase::First => (Reason::Unconnected, self.patience.connect),
            Phase::Reading(..) | Phase::Lost if self.trickle > 0 => {
                (Reason::Slow, self.patience.silence)
            }
            Phase::Reading(..) | Phase::Lost => (Reason::Silent, self.patience.silence),
        };
        if self.silent >= limit {
            return self.give_up(reason);
        }
        for server in 0..self.servers.len() {
            if self.servers[server].due.is_some_and(|due| due <= now) {
                self.start(server, now);
            }
        }
        let reading = match self.phase {
            Phase::Reading(_, Standing::Live) => true,
            // Its secondaries may go on for a while.
            Phase::Reading(..) => self.silent < LAST_BYTES,
            _ => false,
        };
        let nothing = self.attempts.is_empty() && self.servers.iter().all(|it| it.due.is_none());
        if nothing && !reading {
            self.give_up(Reason::NoneLeft);
        }
    }

    /// What is to be done next.
    pub(crate) fn poll_action(&mut self, now: Duration) -> Option<Action> {
        if self.actions.is_empty() {
            self.handle_time(now);
        }
        self.actions.pop_front()
    }

    /// When [`handle_time`](Self::handle_time) is to be called at the latest.
    pub(crate) fn deadline(&self) -> Duration {
        let due = self.servers.iter().filter_map(|server| server.due).min();
        due.map_or(self.looked + LOOK, |due| due.min(self.looked + LOOK))
    }

    /// Tries the other servers, then the one that fails.
    fn seek(&mut self, failing: usize, now: Duration) {
        let steady = now.saturating_sub(self.answered) >= STEADY;
        let relapses = if steady { 0 } else { self.servers[failing].relapses + 1 };
        self.servers[failing].relapses = relapses;
        // Each further one is as a failed attempt, wherever the next one goes.
        let pause = relapses.checked_sub(2).map_or(Duration::ZERO, |further| self.backoff(further));
        let mut due = now + pause;
        let others = (0..self.servers.len()).filter(|server| *server != failing);
        for server in others.chain([failing]) {
            let entry = &mut self.servers[server];
            entry.failures = 0;
            if !entry.excluded {
                entry.due = Some(due);
                due += STAGGER;
            }
        }
    }

    fn start(&mut self, server: usize, now: Duration) {
        let dials = self.attempts.iter().filter(|attempt| attempt.server == server);
        if dials.clone().count() >= MAX_DIALS
            && let Some(oldest) = dials.map(|attempt| attempt.id).min()
        {
            self.abandon(|attempt| attempt.id == oldest);
        }
        let id = AttemptId(self.ids);
        self.ids += 1;
        self.attempts.push(Attempt { id, server, connected: false });
        self.actions.push_back(Action::Start(id, server));
        let again = self.phase != Phase::First;
        self.servers[server].due = again.then_some(now + JOIN);
    }

    /// Waking time since the last look.
    fn elapsed(&self, now: Duration) -> Duration {
        now.saturating_sub(self.looked).min(2 * LOOK)
    }

    fn end_silence(&mut self) {
        (self.silent, self.trickle) = (Duration::ZERO, 0);
    }

    /// Nothing is tried while all is well.
    fn settle(&mut self) {
        for server in &mut self.servers {
            server.due = None;
            server.failures = 0;
        }
    }

    fn abandon(&mut self, which: impl Fn(&Attempt) -> bool) {
        let abandoned = self.attempts.extract_if(.., |attempt| which(attempt));
        self.actions.extend(abandoned.map(|attempt| Action::Abandon(attempt.id)));
    }

    fn give_up(&mut self, reason: Reason) {
        self.abandon(|_| true);
        self.phase = Phase::Over;
        self.actions.push_back(Action::GiveUp(reason));
    }

    /// Half of the pause is certain, half is left to chance: clients of a server that returns do not come all at once.
    fn backoff(&mut self, failures: u32) -> Duration {
        let doubled = MIN_BACKOFF * 2u32.pow(failures.min(8));
        let half = doubled.min(MAX_BACKOFF) / 2;
        // Xorshift, 64 bits (Marsaglia 2003).
        self.jitter ^= self.jitter << 13;
        self.jitter ^= self.jitter >> 7;
        self.jitter ^= self.jitter << 17;
        half + half.mul_f64((self.jitter % 1000) as f64 / 1000.0)
    }
}
