//! Looks at the sessions while somebody looks on, and tells all viewers the same.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use kwik_server::{Handle, PathId, PathReport, PrimaryMetrics, ServerHandle, StreamView};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::board::{Board, Entry, board};
use super::feed::Feed;
use super::view::{Path, Session, Snapshot, Stream};
use crate::monitor::Role;

/// Time between two snapshots: four events a second.
pub(super) const TICK: Duration = Duration::from_millis(250);
/// Sessions in a snapshot, the newest.
const SHOWN_SESSIONS: usize = 16;
/// Streams of each.
const SHOWN_STREAMS: usize = 8;
/// Paths of each.
const SHOWN_PATHS: usize = 17;
/// How long a session may take to answer; one that does not is shown without its numbers.
const ANSWER: Duration = Duration::from_millis(200);

/// Feeds viewers for as long as it is polled. While there are none no session is asked anything.
pub(crate) async fn run(server: ServerHandle, feed: Feed) {
    let Some(board) = board() else { return };
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        feed.watched().await;
        ticks.tick().await;
        let snapshot = snapshot(&server, board).await;
        feed.tell(&snapshot);
    }
}

async fn snapshot(server: &ServerHandle, board: &Board) -> Snapshot {
    let counted = server.metrics();
    let (open, entries, incidents) = {
        let state = board.state();
        let newest = state.sessions.iter().rev().take(SHOWN_SESSIONS);
        let entries: Vec<_> = newest.map(|(number, entry)| (*number, entry.clone())).collect();
        (state.open, entries, state.incidents.iter().cloned().collect())
    };
    let now = Instant::now();
    let sessions = join_all(entries.into_iter().map(|entry| session(entry, now))).await;
    Snapshot {
        at_ms: board.began.elapsed().as_millis() as u64,
        address: server.local_addr().to_string(),
        open,
        sessions,
        primary_sent: counted.primary_sent_bytes,
        secondary_sent: counted.secondary_sent_bytes,
        held: counted.send_memory_bytes,
        refused: counted.refused.values().sum(),
        incidents,
    }
}

async fn session((number, entry): (u64, Entry), now: Instant) -> Session {
    let told = match &entry.handle {
        Some(handle) => timeout(ANSWER, ask(handle)).await.ok().flatten(),
        None => None,
    };
    let mut session = Session {
        number,
        role: match entry.role {
            Role::Primary => "primary".to_owned(),
            Role::Secondary => "secondary".to_owned(),
        },
        client: entry.client.map_or_else(|| "unknown".to_owned(), |client| client.to_string()),
        age_ms: now.saturating_duration_since(entry.began).as_millis() as u64,
        sent: entry.sent,
        orders: entry.orders,
        file: entry.file.clone(),
        ..Session::default()
    };
    if let Some((metrics, views)) = told {
        session.sent = metrics.sent_bytes;
        session.repairs = metrics.delegation.repairs;
        session.hedges = metrics.delegation.hedges;
        session.paths = paths(&metrics);
        session.streams = streams(&entry, views);
    }
    session
}

async fn ask(handle: &Handle) -> Option<(PrimaryMetrics, Vec<StreamView>)> {
    let metrics = handle.metrics().await.ok()?;
    Some((metrics, handle.watch_streams(SHOWN_STREAMS).await.ok()?))
}

/// This server first.
fn paths(metrics: &PrimaryMetrics) -> Vec<Path> {
    let share = |id: PathId| {
        let known = metrics.shares.iter().find(|(path, _)| *path == id);
        known.map(|(_, share)| *share).unwrap_or_default()
    };
    let own = Path {
        id: PathId::PRIMARY.value(),
        address: "this server".to_owned(),
        state: "live".to_owned(),
        rtt_ms: None,
        delivered: metrics.sent_bytes,
        outstanding: share(PathId::PRIMARY).outstanding_bytes,
    };
    let others = metrics.paths.iter().map(|report: &PathReport| Path {
        id: report.path.value(),
        address: report.addresses.first().map(ToString::to_string).unwrap_or_default(),
        state: format!("{:?}", report.state).to_lowercase(),
        rtt_ms: report.smoothed_rtt.map(crate::report::milliseconds),
        delivered: share(report.path).delivered_bytes,
        outstanding: share(report.path).outstanding_bytes,
    });
    std::iter::once(own).chain(others).take(SHOWN_PATHS).collect()
}

fn streams(entry: &Entry, views: Vec<StreamView>) -> Vec<Stream> {
    let stream = |view: StreamView| {
        let id = view.stream.value();
        let (file, size) = entry.streams.get(&id).cloned().unwrap_or_default();
        let cell = view.strip.cell;
        let percent = |held: u64| (held.min(cell) * 100 / cell.max(1)) as u8;
        Stream {
            id,
            file,
            size,
            read: view.read,
            contiguous: view.contiguous,
            cell,
            cells: view
                .strip
                .cells
                .iter()
                .map(|cell| cell.path.map_or(-1, |path| path.value().into()))
                .collect(),
            fill: view.strip.cells.iter().map(|cell| percent(cell.held)).collect(),
            due: view
                .outstanding
                .iter()
                .map(|(path, range)| (path.value(), range.start().value(), range.end().value()))
                .collect(),
        }
    };
    views.into_iter().map(stream).collect()
}
