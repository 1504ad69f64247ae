//! Counters for Prometheus.

mod port;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use kwik_server::ServerMetrics;
use metrics::{counter, describe_counter, describe_gauge, gauge};
use metrics_exporter_prometheus::PrometheusBuilder;

use crate::live::feed::Feed;
use port::Served;

const SESSIONS: &str = "kwik_sessions";
const REQUESTS: &str = "kwik_requests_total";
const DELEGATIONS: &str = "kwik_delegations_total";
const RANGES: &str = "kwik_ranges_total";
const OPEN: &str = "kwik_open_files";
const SENT: &str = "kwik_sent_bytes_total";
const REFUSED: &str = "kwik_refused_total";
const HANDSHAKES: &str = "kwik_refused_handshakes_total";
const THROTTLED: &str = "kwik_throttled_total";
const ERRORS: &str = "kwik_session_errors_total";
const HELD: &str = "kwik_send_memory_bytes";
const TASKS: &str = "kwik_tasks";
const PROMISED: &str = "kwik_receive_memory_bytes";

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
pub(crate) fn listen(address: SocketAddr, live: Option<Feed>) -> anyhow::Result<SocketAddr> {
    let problem = || format!("cannot serve metrics on {address}; choose another --metrics");
    let counters = PrometheusBuilder::new().install_recorder().with_context(problem)?;
    let address = port::listen(address, Served { counters, live }).with_context(problem)?;
    describe_gauge!(SESSIONS, "Open sessions, by this server's role in them.");
    describe_counter!(REQUESTS, "Requests for files, by outcome.");
    describe_counter!(DELEGATIONS, "Ranges delegated to this server, by outcome.");
    describe_counter!(RANGES, "Ranges that secondaries failed to send in time, by what happened.");
    describe_counter!(REFUSED, "Clients refused after their handshake, by code.");
    describe_counter!(
        HANDSHAKES,
        "First packets that opened no connection, by what became of them."
    );
    describe_counter!(THROTTLED, "Clients that began to send too many control frames.");
    describe_counter!(ERRORS, "Sessions that ended for an error, by role and code.");
    describe_gauge!(HELD, "Bytes on their way to clients.");
    describe_gauge!(PROMISED, "Bytes that clients may send, or sent and nobody read.");
    describe_gauge!(TASKS, "Tasks that have not ended; a few more for each open session.");
    describe_gauge!(OPEN, "Files that are open for sending.");
    describe_counter!(SENT, "Bytes of replies and files handed to QUIC, by role.");
    Ok(address)
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

/// Who was refused, slowed or cut off. Codes are few and fixed.
fn bounds(counted: &ServerMetrics) {
    for (code, count) in &counted.refused {
        counter!(REFUSED, "code" => format!("{code:?}")).absolute(*count);
    }
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
