//! A line of the access log.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use kwik_client::sanitized;
use serde_json::json;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};

use super::Format;

/// The longest path in a line, in bytes, escaped; an honest one has no more.
const MAX_PATH: usize = 4096;

/// A request that was answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) client: Option<SocketAddr>,
    /// As the client wrote it; empty if it said none.
    pub(crate) path: &'a str,
    /// Bytes of the file by who sent them, this server first.
    pub(crate) sources: &'a [(String, u64)],
    pub(crate) took: Duration,
    /// `Ok`, or a code by its name.
    pub(crate) result: &'a str,
}

impl Request<'_> {
    /// The line, with the time of now and its end.
    pub(super) fn line(&self, format: Format) -> String {
        let mut time = String::new();
        // A text takes everything.
        let _ = SystemTime.format_time(&mut Writer::new(&mut time));
        let seconds = (self.took.as_secs_f64() * 1e6).round() / 1e6;
        match format {
            Format::Text => self.text(&time, seconds),
            Format::Json => self.object(&time, seconds),
        }
    }

    fn bytes(&self) -> u64 {
        self.sources.iter().map(|(_, bytes)| bytes).sum()
    }

    fn text(&self, time: &str, seconds: f64) -> String {
        let client = self.client.map_or_else(|| "-".to_owned(), |client| client.to_string());
        let (path, result, bytes) = (quoted(self.path), self.result, self.bytes());
        let mut line = format!("{time} {client} {path} {result} {bytes} {seconds:.3}");
        for (source, bytes) in self.sources {
            let _ = write!(line, " {source}={bytes}");
        }
        line.push('\n');
        line
    }

    fn object(&self, time: &str, seconds: f64) -> String {
        let sources = self.sources.iter().map(|(source, bytes)| (source.clone(), (*bytes).into()));
        let mut line = json!({
            "time": time,
            "client": self.client,
            "path": cut(sanitized(self.path).to_string()),
            "result": self.result,
            "bytes": self.bytes(),
            "seconds": seconds,
            "sources": serde_json::Value::Object(sources.collect()),
        })
        .to_string();
        line.push('\n');
        line
    }
}

/// Between quotes, so that a line can be taken apart again.
fn quoted(path: &str) -> String {
    let mut quoted = String::with_capacity(path.len() + 2);
    for c in path.chars() {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        let mut text = [0; 4];
        let _ = write!(quoted, "{}", sanitized(c.encode_utf8(&mut text)));
    }
    format!("\"{}\"", cut(quoted))
}

fn cut(mut text: String) -> String {
    if text.len() > MAX_PATH {
        text.truncate(text.floor_char_boundary(MAX_PATH));
        text.push('…');
    }
    text
}
