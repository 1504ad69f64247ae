//! `kwik-perf scale`: cost per byte and stream as streams, sessions and paths grow.

use crate::cli::Options;
use crate::report::Report;

pub(crate) fn run(_options: &Options) -> anyhow::Result<Report> {
    anyhow::bail!("not built yet")
}
