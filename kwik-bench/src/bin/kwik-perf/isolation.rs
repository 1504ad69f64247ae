//! `kwik-perf isolation`: what secondaries cost the primary's streams.

use crate::cli::Options;
use crate::report::Report;

pub(crate) fn run(_options: &Options) -> anyhow::Result<Report> {
    anyhow::bail!("not built yet")
}
