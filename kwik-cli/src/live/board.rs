//! Who is there, and what happened lately: where sessions enter themselves while somebody may look on.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use kwik_server::Handle;

use super::short;
use super::view::Incident;
use crate::monitor::Role;

/// Sessions that are remembered. Further ones are counted and not shown: a thousand are more than anybody looks at.
pub(super) const MOST_SESSIONS: usize = 1_024;
/// Streams of a session that are remembered by their files' names.
pub(super) const MOST_STREAMS: usize = 16;
/// Incidents that are remembered; the oldest goes.
pub(super) const MOST_INCIDENTS: usize = 64;
/// Bytes of a text that are shown.
const MOST_TEXT: usize = 160;

/// There is one where `--live` was given. Without it every call here does nothing.
static BOARD: OnceLock<Board> = OnceLock::new();

/// All sessions of a process.
#[derive(Debug)]
pub(super) struct Board {
    pub(super) began: Instant,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// Numbers of sessions; of incidents.
    next: u64,
    happened: u64,
    pub(super) open: usize,
    pub(super) sessions: BTreeMap<u64, Entry>,
    pub(super) incidents: VecDeque<Incident>,
}

/// A session.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) role: Role,
    pub(super) client: Option<SocketAddr>,
    pub(super) began: Instant,
    /// Of one in which this server is primary.
    pub(super) handle: Option<Handle>,
    pub(super) sent: u64,
    pub(super) orders: u64,
    pub(super) file: String,
    /// Name and size by the stream's id.
    pub(super) streams: BTreeMap<u64, (String, u64)>,
}

/// Begins to remember.
pub(crate) fn open() {
    let _ = BOARD.set(Board { began: Instant::now(), state: Mutex::default() });
}

pub(super) fn board() -> Option<&'static Board> {
    BOARD.get()
}

impl Board {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A session's place on the board, until it is dropped.
#[derive(Debug)]
pub(crate) struct Seat(Mark);

/// Which session it is that something is told of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark(Option<u64>);

/// Enters a session in which this server is primary. Needs a tokio runtime.
pub(crate) fn primary(client: Option<SocketAddr>, handle: &Handle) -> Seat {
    let seat = enter(Role::Primary, client, || Some(handle.clone()));
    if seat.0.0.is_some() {
        let handle = handle.clone();
        // Recorded from the start on. A session that is over needs no record.
        tokio::spawn(async move { handle.watch_streams(0).await.is_ok() });
    }
    seat
}

/// Enters a session in which this server is secondary.
pub(crate) fn secondary(client: Option<SocketAddr>) -> Seat {
    enter(Role::Secondary, client, || None)
}

fn enter(role: Role, client: Option<SocketAddr>, handle: impl FnOnce() -> Option<Handle>) -> Seat {
    let Some(board) = board() else { return Seat(Mark(None)) };
    let mut state = board.state();
    state.open += 1;
    state.next += 1;
    let number = state.next;
    if state.sessions.len() < MOST_SESSIONS {
        let entry = Entry {
            role,
            client,
            began: Instant::now(),
            handle: handle(),
            sent: 0,
            orders: 0,
            file: String::new(),
            streams: BTreeMap::new(),
        };
        state.sessions.insert(number, entry);
    }
    Seat(Mark(Some(number)))
}

impl Seat {
    /// For those who tell of it.
    pub(crate) fn mark(&self) -> Mark {
        self.0
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let (Some(board), Some(number)) = (board(), self.0.0) else { return };
        let mut state = board.state();
        state.open = state.open.saturating_sub(1);
        let gone = state.sessions.remove(&number);
        drop(state);
        // A handle does more when it is dropped than to be forgotten.
        drop(gone);
    }
}

impl Mark {
    /// A stream carries a file of that name, and will have so many bytes.
    pub(crate) fn stream(self, id: u64, name: &str, size: u64) {
        self.change(|entry| {
            if entry.streams.len() < MOST_STREAMS {
                entry.streams.insert(id, (short(name, MOST_TEXT), size));
            }
        });
    }

    /// It is over.
    pub(crate) fn stream_over(self, id: u64) {
        self.change(|entry| {
            entry.streams.remove(&id);
        });
    }

    /// An order for that file is worked on until the guard is dropped.
    pub(crate) fn order(self, name: &str) -> Order {
        self.change(|entry| {
            entry.orders += 1;
            entry.file = short(name, MOST_TEXT);
        });
        Order(self)
    }

    /// Bytes were handed to QUIC.
    pub(crate) fn sent(self, bytes: usize) {
        self.change(|entry| entry.sent = entry.sent.saturating_add(bytes as u64));
    }

    fn change(self, change: impl FnOnce(&mut Entry)) {
        let (Some(board), Some(number)) = (board(), self.0) else { return };
        board.state().sessions.get_mut(&number).map(change);
    }
}

/// An order that is being worked on.
#[derive(Debug)]
pub(crate) struct Order(Mark);

impl Drop for Order {
    fn drop(&mut self) {
        self.0.change(|entry| entry.orders = entry.orders.saturating_sub(1));
    }
}

/// Something happened. `kind` is one of a few fixed words; the text is made only where somebody may look on.
pub(crate) fn incident(kind: &'static str, text: impl FnOnce() -> String) {
    let Some(board) = board() else { return };
    let text = short(&text(), MOST_TEXT);
    let at_ms = board.began.elapsed().as_millis() as u64;
    let mut state = board.state();
    state.happened += 1;
    let number = state.happened;
    if state.incidents.len() == MOST_INCIDENTS {
        state.incidents.pop_front();
    }
    state.incidents.push_back(Incident { number, at_ms, kind: kind.to_owned(), text });
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_bounded_and_forgotten_with_its_session() {
        open();
        let seats: Vec<_> = (0..MOST_SESSIONS + 5).map(|_| secondary(None)).collect();
        let board = board().unwrap();
        assert_eq!(board.state().open, seats.len());
        assert_eq!(board.state().sessions.len(), MOST_SESSIONS);
        let mark = seats[0].mark();
        (0..100).for_each(|id| mark.stream(id, "f", 1));
        let order = mark.order(&"x".repeat(5_000));
        mark.sent(7);
        let entry = board.state().sessions.values().next().unwrap().clone();
        assert_eq!((entry.streams.len(), entry.orders, entry.sent), (MOST_STREAMS, 1, 7));
        assert!(entry.file.len() < MOST_TEXT + 4);
        drop(order);
        assert_eq!(board.state().sessions.values().next().unwrap().orders, 0);
        (0..200).for_each(|number| incident("lost", || number.to_string()));
        let state = board.state();
        assert_eq!(state.incidents.len(), MOST_INCIDENTS);
        assert_eq!(state.incidents.back().unwrap().text, "199");
        drop(state);
        drop(seats);
        let state = board.state();
        assert_eq!((state.open, state.sessions.len()), (0, 0));
    }
}
