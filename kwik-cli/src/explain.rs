//! `kwik explain`: the pauses of a download in words.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use kwik_client::sanitized;
use serde::Deserialize;

use crate::account::RECONNECT;
use crate::cli::ExplainArgs;
use crate::report::StallReport;

#[cfg(test)]
mod tests;

/// The largest file that is read: what `get` prints is far below it, with progress every second for a week.
const LARGEST: u64 = 256 << 20;

/// What is needed of the object that `get --json` ends with.
#[derive(Debug, Deserialize)]
struct Told {
    bytes: u64,
    seconds: f64,
    stalls: Vec<StallReport>,
    in_order_delay_ms: Option<Delays>,
}

#[derive(Debug, Deserialize)]
struct Delays {
    p50: f64,
    p99: f64,
    max: f64,
}

pub(crate) fn run(args: &ExplainArgs) -> anyhow::Result<()> {
    let name = args.file.display();
    let text = read(&args.file).with_context(|| format!("{name} can't be read"))?;
    let told = told(&text).with_context(|| {
        format!("{name} is not what `kwik get --json` prints; keep that with `kwik get --json ... > FILE`")
    })?;
    writeln!(io::stdout(), "{}", explain(&told)).context("standard output takes nothing")
}

fn read(file: &Path) -> anyhow::Result<String> {
    let source: Box<dyn io::Read> = match file == Path::new("-") {
        true => Box::new(io::stdin()),
        false => Box::new(File::open(file)?),
    };
    let mut bytes = Vec::new();
    source.take(LARGEST + 1).read_to_end(&mut bytes)?;
    ensure!(bytes.len() as u64 <= LARGEST, "it has more than {LARGEST} bytes");
    String::from_utf8(bytes).context("it is not text")
}

/// The last object: before it there may be one for each second.
fn told(text: &str) -> anyhow::Result<Told> {
    let last = text.lines().rev().find(|line| !line.trim().is_empty());
    let Some(last) = last else { bail!("there is nothing in it") };
    // One that somebody laid out is on many lines.
    let parsed = serde_json::from_str::<Told>(last).or_else(|error| {
        let whole = serde_json::from_str::<Told>(text);
        whole.map_err(|other| if error.is_data() { error } else { other })
    });
    Ok(parsed?)
}

fn explain(told: &Told) -> String {
    let sum: f64 = told.stalls.iter().map(|stall| stall.ms).sum();
    let longest = told.stalls.iter().map(|stall| stall.ms).fold(0.0, f64::max);
    let (bytes, seconds, count) = (told.bytes, told.seconds, told.stalls.len());
    let mut text = match count {
        0 => format!("{bytes} bytes in {seconds:.2} s without a pause of more than 50 ms"),
        _ => format!(
            "{bytes} bytes in {seconds:.2} s, {count} {} of more than 50 ms, {sum:.0} ms in all, the longest {longest:.0} ms",
            if count == 1 { "pause" } else { "pauses" }
        ),
    };
    if let Some(Delays { p50, p99, max }) = &told.in_order_delay_ms {
        let _ = write!(
            text,
            "\nin-order delay: median {p50:.1} ms, 99th percentile {p99:.1} ms, maximum {max:.1} ms"
        );
    }
    for stall in &told.stalls {
        let _ = write!(text, "\n{}", sentence(stall));
    }
    text
}

/// Which source, which range, why, what was done.
fn sentence(stall: &StallReport) -> String {
    let StallReport { at_ms, ms, offset, length, path, ended_by, reason } = stall;
    let end = offset.saturating_add(*length);
    let owner = path.as_deref().unwrap_or("no server");
    let waited = format!("at {:.3} s for {ms:.0} ms: bytes {offset} to {end}", at_ms / 1e3);
    let by = ended_by.as_deref();
    let text = match reason.as_deref() {
        Some(RECONNECT) => {
            format!(
                "{waited} were to come from {owner}, whose session ended; {} went on",
                by.unwrap_or("no server")
            )
        }
        Some(reason) => {
            let done = match by {
                Some(by) if Some(by) == path.as_deref() => {
                    format!("{by} was faster than whom the primary asked then")
                }
                Some(by) => format!("{by} sent them"),
                None => "the stream ended before they came".to_owned(),
            };
            format!(
                "{waited} were owed by {owner} and {}: they were reported to the primary, and {done}",
                why(reason)
            )
        }
        None => {
            let done = match (path.as_deref(), by) {
                (None, Some(by)) => {
                    format!("were owed by no server, or this program was stopped; {by} sent them")
                }
                (Some(owner), Some(by)) if owner == by => {
                    format!("were owed by {owner}, which was slow and sent them; nothing was done")
                }
                (Some(owner), Some(by)) => {
                    format!(
                        "were owed by {owner}, which was slow; {by} had been asked too and sent them"
                    )
                }
                (_, None) => format!("were owed by {owner}; the stream ended before they came"),
            };
            format!("{waited} {done}")
        }
    };
    // The file may be anybody's.
    sanitized(&text).to_string()
}

/// A reason of the report in words.
fn why(reason: &str) -> String {
    match reason {
        "late" => "late".to_owned(),
        "refused" => "refused".to_owned(),
        "reset" => "broken off".to_owned(),
        "path_gone" => "lost with its connection".to_owned(),
        "path_suspect" => "not coming, as its connection was silent".to_owned(),
        "corrupt" => "damaged".to_owned(),
        "stale" => "those of another version there".to_owned(),
        "not_found" => "not there".to_owned(),
        "busy" => "refused, as it was busy".to_owned(),
        "conflict" => "others than another server had sent".to_owned(),
        "revoked" => "taken back".to_owned(),
        "unassigned" => "asked of nobody".to_owned(),
        "source_failed" => "not readable there".to_owned(),
        other => format!("missing ({other})"),
    }
}
