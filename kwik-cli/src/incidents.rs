//! What goes wrong in a session, for the operator: which ranges were lost, why, and what was done about it.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use kwik_server::{Event, Handle, PathId, RangeEvent};

use crate::live::board;
use crate::monitor::{self, Role};
use crate::roster::Roster;

/// Names of the secondaries of one session.
struct Names<'a> {
    handle: &'a Handle,
    /// Where it is kept what clients say of them.
    roster: &'a Roster,
    /// As many as the session has secondaries.
    known: BTreeMap<PathId, SocketAddr>,
}

impl Names<'_> {
    async fn of(&mut self, path: PathId) -> String {
        if path.is_primary() {
            return "this server".to_owned();
        }
        if !self.known.contains_key(&path) {
            for report in self.handle.paths().await {
                self.known.extend(report.addresses.first().map(|address| (report.path, *address)));
            }
        }
        self.known.get(&path).map_or_else(|| path.to_string(), SocketAddr::to_string)
    }

    /// The client reached a secondary, or lost it; its name.
    async fn heard(&mut self, path: PathId, lost: bool) -> String {
        let name = self.of(path).await;
        if let Some(address) = self.known.get(&path) {
            self.roster.heard(*address, lost);
        }
        name
    }
}

/// Logs and counts what happens to secondaries and ranges. Never returns: the session's end is somebody else's affair.
///
/// A secondary that is lost or excluded is a warning. What became of its ranges is information, since the session goes
/// on all the same.
pub(crate) async fn tell(handle: &Handle, roster: &Roster) {
    let mut names = Names { handle, roster, known: BTreeMap::new() };
    while let Some(event) = handle.next_event().await {
        tell_one(event, &mut names).await;
    }
    std::future::pending::<()>().await;
}

async fn tell_one(event: Event, names: &mut Names<'_>) {
    match event {
        Event::PathUp(path) => {
            let secondary = names.heard(path, false).await;
            board::incident("up", || format!("a client reached {secondary}"));
            tracing::info!(secondary, "the client reached a secondary");
        }
        Event::PathDown(path, reason, detail) => {
            monitor::path_lost(reason);
            let secondary = names.heard(path, true).await;
            board::incident("down", || {
                let why = reason.map_or_else(String::new, |reason| format!(": {reason:?}"));
                format!("a client lost {secondary}{why} {detail}").trim_end().to_owned()
            });
            tracing::warn!(secondary, ?reason, detail, "the client lost a secondary");
        }
        Event::Unavailable(stream, range, reason) => {
            board::incident("unavailable", || {
                format!("nobody can deliver {range} of stream {stream}: {reason:?}")
            });
            tracing::warn!(%stream, %range, ?reason, "nobody can deliver a range");
        }
        Event::Range(event) => tell_range(event, names).await,
        other => tracing::debug!(?other, "event"),
    }
}

async fn tell_range(event: RangeEvent, names: &mut Names<'_>) {
    match event {
        RangeEvent::Lost { stream, range, path, reason } => {
            monitor::range("lost");
            let source = if path.is_primary() { Role::Primary } else { Role::Secondary };
            monitor::range_lost(source, reason);
            let server = names.of(path).await;
            board::incident("lost", || {
                format!("{range} of stream {stream} from {server}: {reason:?}")
            });
            tracing::info!(server, %stream, %range, ?reason, "a range was lost");
        }
        RangeEvent::Repaired { stream, range, path } => {
            monitor::range("repaired");
            let server = names.of(path).await;
            board::incident("repaired", || format!("{range} of stream {stream} by {server}"));
            tracing::info!(server, %stream, %range, "a lost range was asked of another server");
        }
        RangeEvent::Hedged { stream, range, late, path } => {
            monitor::range("hedged");
            let (late, server) = (names.of(late).await, names.of(path).await);
            board::incident("hedged", || {
                format!("{range} of stream {stream}, late from {late}, also by {server}")
            });
            tracing::info!(late, server, %stream, %range, "a late range was asked of a second server");
        }
        RangeEvent::Excluded { stream, path, reason } => {
            let secondary = names.of(path).await;
            board::incident("excluded", || format!("{secondary} from stream {stream}: {reason:?}"));
            tracing::warn!(secondary, %stream, ?reason, "a secondary is not asked for the file again");
        }
        other => tracing::debug!(?other, "event"),
    }
}
