//! `kwik-perf failover`: one of three links goes silent.

use crate::cli::Options;
use crate::report::Report;

pub(crate) fn run(_options: &Options) -> anyhow::Result<Report> {
    anyhow::bail!("not built yet")
}
