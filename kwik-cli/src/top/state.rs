//! What `kwik top` remembers between two snapshots.

use std::collections::{BTreeMap, VecDeque};

use crate::live::view::{Session, Snapshot};

/// Rates that are remembered: two minutes.
const HISTORY: usize = 480;
/// Servers that get a colour of their own and a rate.
const MOST_SOURCES: usize = 64;

/// The last snapshot and what was computed from those before.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) snapshot: Snapshot,
    /// Why there is no newer one.
    pub(super) trouble: Option<String>,
    /// Servers in the order in which they were seen first.
    pub(super) sources: Vec<String>,
    /// Bytes a second of each, over all sessions.
    pub(super) rates: BTreeMap<String, f64>,
    /// The sum of them over time.
    pub(super) history: VecDeque<u64>,
    /// Lines that are scrolled away.
    pub(super) scroll: u16,
    /// Bytes by session and path.
    counts: BTreeMap<(u64, u16), (String, u64)>,
}

impl State {
    pub(super) fn scroll_by(&mut self, lines: i16) {
        self.scroll = self.scroll.saturating_add_signed(lines);
    }

    /// Takes the next snapshot, or why there is none.
    pub(super) fn take(&mut self, next: Result<Snapshot, String>) {
        let next = match next {
            Ok(next) => next,
            Err(trouble) => return self.trouble = Some(trouble),
        };
        self.trouble = None;
        let counts: BTreeMap<_, _> = next.sessions.iter().flat_map(counts).collect();
        let millis = next.at_ms.saturating_sub(self.snapshot.at_ms);
        if millis > 0 && self.snapshot.at_ms > 0 {
            self.rates.clear();
            for (key, (address, count)) in &counts {
                let before = self.counts.get(key).map_or(0, |(_, count)| *count);
                let rate = count.saturating_sub(before) as f64 * 1e3 / millis as f64;
                if self.sources.len() < MOST_SOURCES || self.sources.contains(address) {
                    *self.rates.entry(address.clone()).or_default() += rate;
                }
            }
            self.history.push_back(self.rates.values().sum::<f64>() as u64);
            if self.history.len() > HISTORY {
                self.history.pop_front();
            }
        }
        for (address, _) in counts.values() {
            if self.sources.len() < MOST_SOURCES && !self.sources.contains(address) {
                self.sources.push(address.clone());
            }
        }
        (self.counts, self.snapshot) = (counts, next);
    }
}

/// What each server has delivered in a session.
fn counts(session: &Session) -> impl Iterator<Item = ((u64, u16), (String, u64))> {
    let own = (session.role == "secondary")
        .then(|| ((session.number, 0), ("this server".to_owned(), session.sent)));
    let paths = session
        .paths
        .iter()
        .map(|path| ((session.number, path.id), (path.address.clone(), path.delivered)));
    own.into_iter().chain(paths)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::live::view::Path;

    fn snapshot(at_ms: u64, delivered: u64) -> Result<Snapshot, String> {
        let path = Path { id: 1, address: "a".to_owned(), delivered, ..Path::default() };
        let role = "primary".to_owned();
        let session = Session { number: 1, role, paths: vec![path], ..Session::default() };
        Ok(Snapshot { at_ms, sessions: vec![session], ..Snapshot::default() })
    }

    #[test]
    fn rates_are_what_came_between_two_snapshots() {
        let mut state = State::default();
        state.take(snapshot(1_000, 500));
        assert!(state.history.is_empty());
        state.take(snapshot(1_500, 1_500));
        assert_eq!(state.rates["a"], 2_000.0);
        // A server that began anew counts from 0, and its time too.
        state.take(snapshot(100, 0));
        state.take(Err("gone".to_owned()));
        assert_eq!(state.trouble.as_deref(), Some("gone"));
        (0..600).for_each(|at| state.take(snapshot(200 + at, at)));
        assert_eq!((state.history.len(), state.trouble), (HISTORY, None));
    }
}
