//! The program's log, on standard error: what peers cause is bounded, and cannot forge a line.

mod limit;

use std::cell::Cell;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use kwik_client::sanitized;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::{Format, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, fmt::layer};

use limit::{LogLimit, Verdict};

#[cfg(test)]
mod tests;

thread_local! {
    /// Lines like the one that is about to be written that were not.
    static SUPPRESSED: Cell<u64> = const { Cell::new(0) };
}

/// Sends the log to standard error: what `KWIK_LOG` asks for (as `debug` or `kwik_server=trace`), else `default`.
pub(crate) fn to_stderr(default: &str) {
    let filter = EnvFilter::try_from_env("KWIK_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    subscriber(filter, std::io::stderr).init();
}

fn subscriber<W>(filter: EnvFilter, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    // A standard error that takes nothing is no reason to stop serving.
    let lines = layer().log_internal_errors(false);
    let lines = lines.event_format(Lines(Format::default())).with_writer(writer);
    tracing_subscriber::registry().with(filter).with(lines).with(Bounded::new())
}

/// Lets only so many lines of information, warnings and errors pass, by the place in the program that they come from
/// and the client whose session they are about. What is finer than that was asked for by name.
struct Bounded {
    limit: Mutex<LogLimit>,
    start: Instant,
}

/// The client that a span is about: the field `client` of the server's spans.
#[derive(Clone, Copy)]
struct Client(IpAddr);

impl Bounded {
    fn new() -> Self {
        Self { limit: Mutex::default(), start: Instant::now() }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Bounded {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        let mut found = FindClient(None);
        attributes.record(&mut found);
        if let (Some(client), Some(span)) = (found.0, ctx.span(id)) {
            span.extensions_mut().insert(client);
        }
    }

    fn event_enabled(&self, event: &Event<'_>, ctx: Context<'_, S>) -> bool {
        if *event.metadata().level() > Level::INFO {
            return true;
        }
        let client = ctx.event_scope(event).and_then(|mut scope| {
            scope.find_map(|span| span.extensions().get::<Client>().copied())
        });
        let key = (event.metadata().callsite(), client.map(|client| limit::network(client.0)));
        let mut limit = self.limit.lock().unwrap_or_else(PoisonError::into_inner);
        match limit.admit(key, self.start.elapsed()) {
            Verdict::Write { suppressed } => {
                SUPPRESSED.set(suppressed);
                true
            }
            Verdict::Suppress => false,
        }
    }
}

struct FindClient(Option<Client>);

impl Visit for FindClient {
    /// As the server has it: an `Option<SocketAddr>`.
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "client" {
            let text = format!("{value:?}");
            let address = text.trim_start_matches("Some(").trim_end_matches(')');
            let address = address.parse::<SocketAddr>().map(|address| address.ip());
            self.0 = address.ok().map(Client);
        }
    }
}

/// One line for each event, which tells how many were left out before it. Nothing in it can end it or move a cursor.
struct Lines<F>(F);

impl<S, N, F> FormatEvent<S, N> for Lines<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = String::new();
        self.0.format_event(ctx, Writer::new(&mut line), event)?;
        write!(writer, "{}", sanitized(line.trim_end_matches('\n')))?;
        match SUPPRESSED.take() {
            0 => writeln!(writer),
            more => writeln!(writer, " ({more} more like it were left out)"),
        }
    }
}
