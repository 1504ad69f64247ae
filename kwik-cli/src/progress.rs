//! What is shown while files arrive.

use std::io::{self, IsTerminal as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use tokio::task::AbortHandle;

use crate::get::print;

/// Time between two lines of JSON.
const INTERVAL: Duration = Duration::from_millis(500);

/// What is shown, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Show {
    /// A bar on standard error, if that is a terminal.
    #[value(name = "auto")]
    OnTerminal,
    /// A JSON object a line on standard error, twice a second.
    Json,
    /// Nothing.
    #[value(name = "none")]
    Never,
}

/// The progress of a command: all its files together. Shown until the last of its clones is dropped.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    shared: Arc<Shared>,
    /// Whether the sizes of files are known before they begin.
    sizes: Sizes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sizes {
    Told,
    Known,
}

#[derive(Debug)]
struct Shared {
    bar: ProgressBar,
    counts: Arc<Counts>,
    lines: Option<AbortHandle>,
}

/// What has come, and what is to come as far as is known.
#[derive(Debug)]
struct Counts {
    bytes: AtomicU64,
    total: AtomicU64,
    began: Instant,
}

/// A line of JSON.
#[derive(Debug, Serialize)]
struct Line {
    event: &'static str,
    bytes: u64,
    /// As far as it is known by now.
    total: u64,
    seconds: f64,
    bytes_per_second: f64,
    /// Seconds that are left at that rate; null before the first byte.
    eta: Option<f64>,
}

impl Progress {
    /// A progress of a command that began then, without files at first. Needs a tokio runtime.
    pub(crate) fn new(show: Show, began: Instant) -> Self {
        let (bytes, total) = (AtomicU64::new(0), AtomicU64::new(0));
        let counts = Arc::new(Counts { bytes, total, began });
        let bar = match show {
            Show::OnTerminal if io::stderr().is_terminal() => bar(),
            _ => ProgressBar::hidden(),
        };
        let lines = (show == Show::Json).then(|| {
            let counts = Arc::clone(&counts);
            tokio::spawn(async move { tell(&counts).await }).abort_handle()
        });
        Self { shared: Arc::new(Shared { bar, counts, lines }), sizes: Sizes::Told }
    }

    /// The same, for files whose sizes are known and were expected before.
    pub(crate) fn of_known(&self) -> Self {
        Self { sizes: Sizes::Known, ..self.clone() }
    }

    /// A file of so many bytes begins.
    pub(crate) fn begin(&self, bytes: u64) {
        if self.sizes == Sizes::Told {
            self.expect(bytes);
        }
    }

    /// So many bytes are to come.
    pub(crate) fn expect(&self, bytes: u64) {
        let total = self.shared.counts.total.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.shared.bar.set_length(total);
    }

    /// `bytes` more have arrived.
    pub(crate) fn advance(&self, bytes: u64) {
        self.shared.counts.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.shared.bar.inc(bytes);
    }

    /// Runs what writes to the terminal, without the bar in its way.
    pub(crate) fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        self.shared.bar.suspend(write)
    }
}

fn bar() -> ProgressBar {
    const FORM: &str = "{bar:30} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta}";
    let bar = ProgressBar::new(0);
    bar.set_style(ProgressStyle::with_template(FORM).expect("the template is well-formed"));
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}

async fn tell(counts: &Counts) {
    loop {
        tokio::time::sleep(INTERVAL).await;
        let line = serde_json::to_string(&counts.line()).expect("numbers and strings are JSON");
        // Nobody may be left to read it.
        let _ = print(io::stderr(), &line);
    }
}

impl Counts {
    fn line(&self) -> Line {
        let bytes = self.bytes.load(Ordering::Relaxed);
        let total = self.total.load(Ordering::Relaxed);
        let seconds = self.began.elapsed().as_secs_f64();
        let bytes_per_second = bytes as f64 / seconds.max(1e-6);
        let eta = (bytes > 0).then(|| total.saturating_sub(bytes) as f64 / bytes_per_second);
        Line { event: "progress", bytes, total, seconds, bytes_per_second, eta }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
        if let Some(lines) = &self.lines {
            lines.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_hidden_when_it_is_not_wanted() {
        let progress = Progress::new(Show::Never, Instant::now());
        progress.begin(10);
        progress.advance(3);
        assert!(progress.shared.bar.is_hidden());
    }

    #[test]
    fn the_bar_can_be_drawn() {
        let bar = bar();
        bar.set_length(10);
        bar.inc(10);
        bar.finish_and_clear();
    }

    #[test]
    fn sizes_that_are_known_before_count_once() {
        let progress = Progress::new(Show::Never, Instant::now());
        progress.expect(10);
        progress.of_known().begin(10);
        progress.begin(5);
        progress.advance(3);
        let line = progress.shared.counts.line();
        assert_eq!((line.bytes, line.total), (3, 15));
        assert!(line.eta.is_some());
    }
}
