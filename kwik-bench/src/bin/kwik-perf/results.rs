//! The page that `kwik-perf all` writes.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::cli::Options;
use crate::machine;
use crate::report::Report;

/// Writes `kwik-bench/RESULTS.md`: commit, machine, every report.
pub(crate) fn write(reports: &[Report], options: &Options) -> std::io::Result<()> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("RESULTS.md");
    let mut text = String::from("# Results of `kwik-perf all`\n\n");
    let _ = writeln!(
        text,
        "Written by `cargo run --release -p kwik-bench --bin kwik-perf -- all --runs {}`. What each figure means, and\n\
         what not, is in [README.md](README.md).\n",
        options.runs
    );
    for (what, value) in machine::description() {
        let _ = writeln!(text, "- {what}: {value}");
    }
    for report in reports {
        let _ = write!(text, "\n{}", report.table());
    }
    fs::write(page, text)
}
