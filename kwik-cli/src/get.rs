//! `kwik get`.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use kwik_client::{ErrorCode, PathMetrics, PathRole, Session, SessionMetrics, stream};

use crate::cli::GetArgs;
use crate::connect::{self, Connected};
use crate::fetch::{StoppedAt, fetch};
use crate::output::Output;
use crate::progress::Show;
use crate::protocol::{Get, Message as _};
use crate::report::{PathReport, Report, Role, StallReport};
use crate::request_path::RequestPath;
use crate::signals::Stop;
use crate::source::Trouble;
use crate::writer::{Writer, Written};

/// Fetches a file, checks it and tells about it.
pub(crate) async fn run(args: &GetArgs) -> anyhow::Result<()> {
    let mut stop = Stop::listen()?;
    let report = tokio::select! {
        biased;
        () = stop.wanted() => bail!("{}: interrupted; nothing was kept", args.url),
        report = download(args) => report.with_context(|| args.url.to_string())?,
    };
    let text = match (args.json, args.quiet) {
        (true, _) => report.to_json(),
        (false, true) => return Ok(()),
        (false, false) => report.to_text(&args.url.path()?.to_string()),
    };
    if is_stdout(args) { print(io::stderr(), &text) } else { print(io::stdout(), &text) }
}

async fn download(args: &GetArgs) -> anyhow::Result<Report> {
    let path = args.url.path()?;
    let trust = connect::trust(args)?;
    let output = open_output(args, &path).await?;
    let start = Instant::now();
    let mut connected = Connected::to(&args.url, trust).await?;
    let show = if args.json || args.quiet { Show::Never } else { Show::OnTerminal };
    let report = transfer(&mut connected.session, &path, output, show, start).await;
    connected.close().await;
    report
}

/// Fetches one file over an open session. Its time counts from `start`.
pub(crate) async fn transfer(
    session: &mut Session,
    path: &RequestPath,
    output: Output,
    show: Show,
    start: Instant,
) -> anyhow::Result<Report> {
    let (receive, mut send) = session.open_bidirectional_stream().await?.split();
    let stream = receive.id();
    let get = Get { path: path.to_string(), offset: 0, length: None, if_tag: None };
    send.send(get.encode()).await?;
    send.finish()?;
    let fetched = fetch(receive, Writer::start(output), show).await;
    let elapsed = start.elapsed();
    let metrics = session.metrics().await.unwrap_or_default();
    let primary = session.remote_addr()?;
    let fetched = fetched.map_err(|error| explain(&error, stream, primary, &metrics))?;
    let Written { output, tag } = fetched.written;
    tokio::task::spawn_blocking(move || output.commit()).await??;
    let mut report = Report::new(fetched.found.length, elapsed, tag);
    add_metrics(&mut report, &metrics);
    report.exclude_reply(fetched.reply);
    Ok(report)
}

async fn open_output(args: &GetArgs, path: &RequestPath) -> anyhow::Result<Output> {
    if is_stdout(args) {
        return Output::stdout();
    }
    let path = args.output.clone().unwrap_or_else(|| path.file_name().into());
    // Opening a named pipe waits for its reader.
    tokio::task::spawn_blocking(move || Output::file(&path)).await?
}

fn is_stdout(args: &GetArgs) -> bool {
    args.output.as_deref() == Some(Path::new("-"))
}

/// Writes text and a line end.
pub(crate) fn print(mut to: impl io::Write, text: &str) -> anyhow::Result<()> {
    writeln!(to, "{text}").and_then(|()| to.flush()).context("cannot write the report")
}

/// A failed transfer's error: what happened to which stream, where in it, and the servers that went away.
fn explain(
    error: &anyhow::Error,
    id: u64,
    primary: SocketAddr,
    metrics: &SessionMetrics,
) -> anyhow::Error {
    let what = match error.downcast_ref::<stream::Error>() {
        Some(stream::Error::ConnectionError { error: lost, .. }) => {
            let at = error.downcast_ref::<StoppedAt>();
            let at = at.map(|at| format!("; stream {id} {at}")).unwrap_or_default();
            format!("the connection to {primary} is lost: {lost}{at}")
        }
        Some(stream::Error::StreamReset { error, .. })
            if let Some(trouble) = Trouble::of_code(**error) =>
        {
            let advice = match trouble {
                Trouble::Changed => "try again",
                Trouble::Unreadable => "ask the server's operator",
            };
            return anyhow!("{primary} gave up: {trouble}; {advice}");
        }
        Some(other) => other.to_string(),
        None => format!("{error:#}"),
    };
    let lost = |path: &&PathMetrics| matches!(path.state, "gone" | "suspect" | "dialing");
    let names: Vec<_> = metrics
        .paths
        .iter()
        .filter(lost)
        .map(|path| format!("; {} is {}", path.address, path.state))
        .collect();
    let advice = if error.is::<stream::Error>() { "; try again" } else { "" };
    anyhow!("{what}{}{advice}", names.concat())
}

fn add_metrics(report: &mut Report, metrics: &SessionMetrics) {
    report.paths = metrics.paths.iter().map(PathReport::from).collect();
    for fault in metrics.faults.iter().filter(|fault| fault.code == ErrorCode::DataConflict) {
        let address = fault.address.to_string();
        report.paths.iter_mut().for_each(|path| path.faulty |= path.address == address);
    }
    report.redundant_bytes = metrics.redundant_bytes;
    report.repairs = metrics.repairs;
    report.longest_stall_ms = milliseconds(metrics.longest_stall);
    report.stalls = metrics
        .stalls
        .iter()
        .map(|stall| StallReport {
            at_ms: milliseconds(stall.at),
            ms: milliseconds(stall.duration),
            offset: stall.offset,
            length: stall.length,
            path: stall.path.map(|address| address.to_string()),
            ended_by: stall.ended_by.map(|address| address.to_string()),
        })
        .collect();
    report.peak_buffer_bytes = metrics.peak_buffer_bytes;
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

fn milliseconds(duration: Duration) -> f64 {
    // Microseconds are what clocks here can tell.
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
