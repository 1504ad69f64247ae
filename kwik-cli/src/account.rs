//! What the sessions of a download did, added up.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use kwik_client::connection::Handle;
use kwik_client::{ErrorCode, GapReason, PathMetrics, PathRole, SessionMetrics, Stall};
use tokio::task::JoinSet;

use crate::report::{PathReport, Report, Role, SessionReport, StallReport, milliseconds};
use crate::watch::final_metrics;

/// A pause that is worth a word, as in the library.
const PAUSE: Duration = Duration::from_millis(50);
/// Pauses between sessions that are told, at most: the latest.
const MAX_PAUSES: usize = 64;
/// Sessions that are over and stand in the books one by one; half of them become one beyond that.
const MAX_CLOSED: usize = 64;
/// How long the numbers of a session that is over may take.
const CLOSING: Duration = Duration::from_millis(200);
/// Round trip of a session that never measured one.
const UNKNOWN_RTT: Duration = Duration::from_millis(50);

/// The reason of a pause between two sessions.
pub(crate) const RECONNECT: &str = "reconnect";

/// The books of a download.
#[derive(Debug)]
pub(crate) struct Account {
    resumed_at: u64,
    sessions: u64,
    closed: Vec<SessionReport>,
    closing: JoinSet<SessionReport>,
    /// When the last byte came, and from whom; `None` before the first.
    last: Option<(Duration, u64)>,
    /// Who is read from, and who was before.
    address: String,
    before: Option<String>,
    pauses: VecDeque<StallReport>,
}

/// A session that is read from.
#[derive(Debug)]
pub(crate) struct Reading {
    session: Handle,
    /// Its stream, if others are read in the same session.
    stream: Option<u64>,
    address: Option<SocketAddr>,
    number: u64,
    reply: u64,
    offset: u64,
    began: Duration,
    read: u64,
}

impl Account {
    pub(crate) fn new(resumed_at: u64) -> Self {
        Self {
            resumed_at,
            sessions: 0,
            closed: Vec::new(),
            closing: JoinSet::new(),
            last: None,
            address: String::new(),
            before: None,
            pauses: VecDeque::new(),
        }
    }

    /// A session is read from, from `offset` on and behind `reply` bytes of its stream. It began at that time. `stream`: the only
    /// one that counts, if others are read in the same session.
    pub(crate) fn open(
        &mut self,
        session: Handle,
        stream: Option<u64>,
        reply: u64,
        offset: u64,
        began: Duration,
    ) -> Reading {
        let address = session.remote_addr().ok();
        self.sessions += 1;
        let number = self.sessions;
        let reading = Reading { session, stream, address, number, reply, offset, began, read: 0 };
        self.before = (self.sessions > 1).then(|| std::mem::take(&mut self.address));
        self.address = reading.address();
        reading
    }

    /// New bytes came at that offset. A pause that a change of the session is in the middle of is nobody else's to tell.
    pub(crate) fn progress(&mut self, offset: u64, length: u64, now: Duration) {
        let last = self.last.replace((now, self.sessions));
        let Some((then, session)) = last else { return };
        let pause = now.saturating_sub(then);
        if session == self.sessions || pause < PAUSE {
            return;
        }
        self.pauses.push_back(StallReport {
            at_ms: milliseconds(then),
            ms: milliseconds(pause),
            offset,
            length,
            path: self.before.clone(),
            ended_by: Some(self.address.clone()),
            reason: Some(RECONNECT.to_owned()),
        });
        if self.pauses.len() > MAX_PAUSES {
            self.pauses.pop_front();
        }
    }

    /// A session is not read from any more; it ends beside.
    pub(crate) fn leave(&mut self, reading: Reading) {
        while let Some(closed) = self.closing.try_join_next() {
            // A task that panicked has nothing to tell.
            closed.into_iter().for_each(|closed| self.book(closed));
        }
        self.closing.spawn(reading.close());
    }

    /// Those that began first are added up where there are too many.
    fn book(&mut self, closed: SessionReport) {
        self.closed.push(closed);
        if self.closed.len() > MAX_CLOSED {
            self.closed.sort_by_key(|session| session.number);
            let kept = self.closed.split_off(MAX_CLOSED / 2);
            let first = added_up(std::mem::take(&mut self.closed));
            self.closed = first.into_iter().chain(kept).collect();
        }
    }

    /// The same, and waits for its end.
    pub(crate) async fn close(&mut self, reading: Reading) {
        let report = reading.close().await;
        self.book(report);
    }

    /// Waits until every session has told its numbers.
    pub(crate) async fn settle(&mut self) {
        while let Some(closed) = self.closing.join_next().await {
            closed.into_iter().for_each(|closed| self.book(closed));
        }
    }

    /// Enters everything in the report.
    pub(crate) fn enter(mut self, report: &mut Report) {
        self.closed.sort_by_key(|session| session.number);
        report.resumed_at = self.resumed_at;
        report.reconnects = self.sessions.saturating_sub(1);
        if let Some(sum) = added_up(self.closed) {
            report.enter(sum);
        }
        self.pauses.into_iter().for_each(|pause| report.add_stall(pause));
    }
}

impl Reading {
    /// So many bytes of it were new.
    pub(crate) fn count(&mut self, bytes: u64) {
        self.read += bytes;
    }

    /// Where its primary is.
    pub(crate) fn address(&self) -> String {
        self.address.map_or_else(|| "the server".to_owned(), |address| address.to_string())
    }

    /// The longest round trip of its paths.
    pub(crate) async fn rtt(&self) -> Duration {
        let metrics = tokio::time::timeout(CLOSING, self.session.metrics()).await;
        let paths = metrics.ok().and_then(Result::ok).map(|metrics| metrics.paths);
        let live = paths.iter().flatten().filter(|path| path.state == "live");
        live.filter_map(|path| path.rtt).max().unwrap_or(UNKNOWN_RTT)
    }

    async fn close(self) -> SessionReport {
        let Self { session, stream, address, number, reply, offset, began, read } = self;
        let metrics = tokio::time::timeout(CLOSING, final_metrics(session)).await;
        let metrics = metrics.unwrap_or_default();
        let mut report = of_metrics(&metrics, number);
        if let Some(stream) = stream {
            count_only(&mut report, &metrics, stream);
        }
        if report.paths.is_empty()
            && let Some(address) = address
        {
            report.paths.push(unknown(address));
        }
        report.settle(reply, read);
        report.place(reply, offset, milliseconds(began));
        report
    }
}

/// What all of them did, each later than the one before; `None`: there is none.
fn added_up(sessions: Vec<SessionReport>) -> Option<SessionReport> {
    sessions.into_iter().reduce(|mut sum, later| {
        sum.add(later);
        sum
    })
}

/// Why a range was reported missing, as the report has it.
const fn word(reason: GapReason) -> &'static str {
    match reason {
        GapReason::Late => "late",
        GapReason::Refused => "refused",
        GapReason::Reset => "reset",
        GapReason::PathGone => "path_gone",
        GapReason::PathSuspect => "path_suspect",
        GapReason::Corrupt => "corrupt",
        GapReason::Stale => "stale",
        GapReason::NotFound => "not_found",
        GapReason::Busy => "busy",
        GapReason::Conflict => "conflict",
        GapReason::Revoked => "revoked",
        GapReason::Unassigned => "unassigned",
        GapReason::SourceFailed => "source_failed",
    }
}

/// A session's numbers, as the report has them.
fn of_metrics(metrics: &SessionMetrics, number: u64) -> SessionReport {
    let mut paths: Vec<_> = metrics.paths.iter().map(PathReport::from).collect();
    for fault in metrics.faults.iter().filter(|fault| fault.code == ErrorCode::DataConflict) {
        let address = fault.address.to_string();
        paths.iter_mut().for_each(|path| path.faulty |= path.address == address);
    }
    let name = |address: Option<SocketAddr>| address.map(|address| address.to_string());
    let stall = |stall: &Stall| StallReport {
        at_ms: milliseconds(stall.at),
        ms: milliseconds(stall.duration),
        offset: stall.offset,
        length: stall.length,
        path: name(stall.path),
        ended_by: name(stall.ended_by),
        reason: stall.reported.map(|reason| word(reason).to_owned()),
    };
    SessionReport {
        number,
        paths,
        redundant_bytes: metrics.redundant_bytes,
        repairs: metrics.repairs,
        longest_stall_ms: milliseconds(metrics.longest_stall),
        stalls: metrics.stalls.iter().map(stall).collect(),
        in_order_delay: metrics.in_order_delay.clone(),
        peak_buffer_bytes: metrics.peak_buffer_bytes,
    }
}

/// Of a session with several downloads: the bytes of one stream, and the paths that sent some of them. What is told of no stream
/// by itself (pauses, repairs, delays) stays that of the whole session.
fn count_only(report: &mut SessionReport, metrics: &SessionMetrics, stream: u64) {
    let stream = metrics.streams.iter().find(|known| known.id == stream);
    let Some(stream) = stream else { return };
    for path in &mut report.paths {
        let of_path = stream.bytes.iter().find(|(address, _)| address.to_string() == path.address);
        path.bytes = of_path.map_or(0, |(_, bytes)| *bytes);
    }
    report.paths.retain(|path| path.role == Role::Primary || path.bytes > 0);
}

impl From<&PathMetrics> for PathReport {
    fn from(path: &PathMetrics) -> Self {
        Self {
            address: path.address.to_string(),
            role: match path.role {
                PathRole::Primary => Role::Primary,
                PathRole::Other => Role::Secondary,
            },
            bytes: path.bytes,
            state: path.state.to_owned(),
            faulty: false,
            rtt_ms: path.rtt.map(milliseconds),
        }
    }
}

/// The primary of a session that took its numbers along.
fn unknown(address: SocketAddr) -> PathReport {
    PathReport {
        address: address.to_string(),
        role: Role::Primary,
        bytes: 0,
        state: "gone".to_owned(),
        faulty: false,
        rtt_ms: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_without_number_are_bounded_and_added_up_in_order() {
        let mut account = Account::new(0);
        for number in 0..10_000 {
            let mut closed = of_metrics(&SessionMetrics::default(), number);
            let address = SocketAddr::from(([127, 0, 0, 1], 1));
            closed.paths.push(PathReport {
                bytes: 1,
                state: number.to_string(),
                ..unknown(address)
            });
            account.book(closed);
            assert!(account.closed.len() <= MAX_CLOSED);
        }
        let sum = added_up(account.closed).expect("there are some");
        assert_eq!((sum.paths[0].bytes, sum.paths[0].state.as_str()), (10_000, "9999"));
    }
}
