//! Counters for Prometheus.

mod port;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use kwik_server::{ErrorCode, GapReason, Party, ServerMetrics};
use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use crate::answered::Account;
use crate::health::Health;

use crate::live::feed::Feed;
use port::Served;

const SESSIONS: &str = "kwik_sessions";
const REQUESTS: &str = "kwik_requests_total";
const DELEGATIONS: &str = "kwik_delegations_total";
const RANGES: &str = "kwik_ranges_total";
const FIRST: &str = "kwik_first_byte_seconds";
const WHOLE: &str = "kwik_request_seconds";
const SERVED: &str = "kwik_served_bytes_total";
const FAILED: &str = "kwik_request_errors_total";
const LEFT_OUT: &str = "kwik_access_log_dropped_total";
const LOST: &str = "kwik_range_failures_total";
const PATHS: &str = "kwik_paths_lost_total";
const RELOADS: &str = "kwik_reloads_total";
const OPEN: &str = "kwik_open_files";
const SENT: &str = "kwik_sent_bytes_total";
const REFUSED: &str = "kwik_refused_total";
const HANDSHAKES: &str = "kwik_refused_handshakes_total";
const THROTTLED: &str = "kwik_throttled_total";
const ERRORS: &str = "kwik_session_errors_total";
const HELD: &str = "kwik_send_memory_bytes";
const TASKS: &str = "kwik_tasks";
const PROMISED: &str = "kwik_receive_memory_bytes";

/// Upper bounds of the histograms' buckets, in seconds: from a small file in a data centre to a large one from afar.
const SECONDS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0];
/// How often samples are sorted into buckets. Nobody may ask for them, and until then each of them takes memory.
const KEEP_UP: Duration = Duration::from_secs(5);

/// How often the server's own counters are taken over. Nothing tells when they are asked for.
const EXPORT: Duration = Duration::from_millis(250);

/// What this server is to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Primary,
    Secondary,
}

impl Role {
    fn label(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Secondary => "secondary",
        }
    }
}

/// Serves the counters over HTTP at `address`, under any path but those of the live page. Needs a tokio runtime. Returns the
/// real address.
///
/// Without it the counters count nothing and cost next to nothing.
pub(crate) fn listen(
    address: SocketAddr,
    health: Health,
    live: Option<Feed>,
) -> anyhow::Result<SocketAddr> {
    let problem = || format!("cannot serve metrics on {address}; choose another --metrics");
    let builder = PrometheusBuilder::new().set_buckets(&SECONDS)?;
    let counters = builder.install_recorder().with_context(problem)?;
    tokio::spawn(keep_up(counters.clone()));
    let served = Served { counters, health, live };
    let address = port::listen(address, served).with_context(problem)?;
    describe_gauge!(SESSIONS, "Open sessions, by this server's role in them.");
    describe_counter!(REQUESTS, "Requests for files, by outcome.");
    describe_counter!(DELEGATIONS, "Ranges delegated to this server, by outcome.");
    describe_counter!(RANGES, "Ranges that secondaries failed to send in time, by what happened.");
    describe_counter!(
        REFUSED,
        "What was refused or ended, by code, whose doing it was, and which rule."
    );
    describe_counter!(
        HANDSHAKES,
        "First packets that opened no connection, by what became of them."
    );
    describe_counter!(THROTTLED, "Clients that began to send too many control frames.");
    describe_counter!(ERRORS, "Sessions that ended for an error, by role and code.");
    describe_gauge!(HELD, "Bytes on their way to clients.");
    describe_gauge!(PROMISED, "Bytes that clients may send, or sent and nobody read.");
    describe_gauge!(TASKS, "Tasks that have not ended; a few more for each open session.");
    describe_histogram!(
        FIRST,
        Unit::Seconds,
        "From a request for a file until its reply was sent."
    );
    describe_histogram!(
        WHOLE,
        Unit::Seconds,
        "From a request until the client had it all, by result."
    );
    describe_counter!(SERVED, "Bytes of files that clients have, by who sent them.");
    describe_counter!(FAILED, "Requests that did not end well, by cause.");
    describe_counter!(LEFT_OUT, "Lines of the access log that were not written.");
    describe_counter!(LOST, "Ranges that a source failed to send, by source and cause.");
    describe_counter!(PATHS, "Paths to secondaries that clients lost or never had, by cause.");
    describe_counter!(RELOADS, "How often the settings were read again, by outcome.");
    describe_gauge!(OPEN, "Files that are open for sending.");
    describe_counter!(SENT, "Bytes of replies and files handed to QUIC, by role.");
    Ok(address)
}

async fn keep_up(counters: PrometheusHandle) {
    loop {
        tokio::time::sleep(KEEP_UP).await;
        counters.run_upkeep();
    }
}

/// An open session; counted until it is dropped.
#[derive(Debug)]
pub(crate) struct OpenSession(Role);

impl OpenSession {
    pub(crate) fn new(role: Role) -> Self {
        gauge!(SESSIONS, "role" => role.label()).increment(1);
        Self(role)
    }
}

impl Drop for OpenSession {
    fn drop(&mut self) {
        gauge!(SESSIONS, "role" => self.0.label()).decrement(1);
    }
}

/// A request was answered. `outcome` is one of a few fixed words.
pub(crate) fn request(outcome: &'static str) {
    counter!(REQUESTS, "outcome" => outcome).increment(1);
}

/// A request is over. `result` is one of a few words.
pub(crate) fn answered(account: &Account, result: &str) {
    let (own, others) = account.bytes();
    for (role, bytes) in [(Role::Primary, own), (Role::Secondary, others)] {
        if bytes > 0 {
            counter!(SERVED, "source" => role.label()).increment(bytes);
        }
    }
    if let Some(first) = account.first() {
        histogram!(FIRST).record(first);
    }
    let ended = if result == "Ok" { "ok" } else { "failed" };
    histogram!(WHOLE, "result" => ended).record(account.took());
    if result != "Ok" {
        counter!(FAILED, "cause" => result.to_owned()).increment(1);
    }
}

/// A line of the access log found no room, or could not be written.
pub(crate) fn log_line_dropped() {
    counter!(LEFT_OUT).increment(1);
}

/// A range will not come from whom it was asked of.
pub(crate) fn range_lost(source: Role, cause: GapReason) {
    counter!(LOST, "source" => source.label(), "cause" => format!("{cause:?}")).increment(1);
}

/// A client lost a secondary, or could not reach it.
pub(crate) fn path_lost(cause: Option<ErrorCode>) {
    let cause = cause.map_or_else(|| "Unknown".to_owned(), |cause| format!("{cause:?}"));
    counter!(PATHS, "cause" => cause).increment(1);
}

/// The settings were read again. `outcome` is one of a few fixed words.
pub(crate) fn reload(outcome: &'static str) {
    counter!(RELOADS, "outcome" => outcome).increment(1);
}

/// So many files are open for sending.
pub(crate) fn open_files(count: usize) {
    gauge!(OPEN).set(count as f64);
}

/// A delegation ended. `outcome` is one of a few fixed words.
pub(crate) fn delegation(outcome: &'static str) {
    counter!(DELEGATIONS, "outcome" => outcome).increment(1);
}

/// Something happened to a range that this server had delegated. `event` is one of a few fixed words.
pub(crate) fn range(event: &'static str) {
    counter!(RANGES, "event" => event).increment(1);
}

/// Exports what the server counts itself, for as long as it is polled.
pub(crate) async fn export(server: impl Fn() -> ServerMetrics) {
    loop {
        let counted = server();
        sent(Role::Primary, counted.primary_sent_bytes);
        sent(Role::Secondary, counted.secondary_sent_bytes);
        bounds(&counted);
        tokio::time::sleep(EXPORT).await;
    }
}

fn sent(role: Role, bytes: u64) {
    if bytes > 0 {
        counter!(SENT, "role" => role.label()).absolute(bytes);
    }
}

/// What was refused or ended, by code, party and reason: a few dozen of them.
fn refusals(code: &str, party: Party, reason: &'static str, count: u64) {
    if count > 0 {
        let party = format!("{party:?}").to_lowercase();
        counter!(REFUSED, "code" => code.to_owned(), "party" => party, "reason" => reason)
            .absolute(count);
    }
}

/// Who was refused, slowed or cut off. Codes are few and fixed.
fn bounds(counted: &ServerMetrics) {
    for (refused, count) in &counted.refusals {
        refusals(&format!("{:?}", refused.code), refused.party, refused.reason, *count);
    }
    refusals("PathTimeout", Party::Client, "reader_patience", counted.unread_streams);
    refusals("None", Party::Network, "no_handshake", counted.rejected_handshakes);
    refusals("None", Party::Network, "handshakes", counted.dropped_handshakes);
    let errors =
        [(Role::Primary, &counted.primary_errors), (Role::Secondary, &counted.secondary_errors)];
    for (role, errors) in errors {
        for (code, count) in errors {
            counter!(ERRORS, "role" => role.label(), "code" => format!("{code:?}"))
                .absolute(*count);
        }
    }
    let handshakes = [
        ("rejected", counted.rejected_handshakes),
        ("retried", counted.retried_handshakes),
        ("dropped", counted.dropped_handshakes),
    ];
    for (outcome, count) in handshakes {
        counter!(HANDSHAKES, "outcome" => outcome).absolute(count);
    }
    counter!(THROTTLED).absolute(counted.throttled);
    // The server's are on its workers, and what the program does for sessions is on its own runtime.
    let own = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    gauge!(TASKS).set(counted.tasks as f64 + own as f64);
    gauge!(HELD).set(counted.send_memory_bytes as f64);
    gauge!(PROMISED).set(counted.receive_memory_bytes as f64);
}
