//! `kwik-perf attach`: from `add_path` to the first byte of a contribution.

use crate::cli::Options;
use crate::report::Report;

pub(crate) fn run(_options: &Options) -> anyhow::Result<Report> {
    anyhow::bail!("not built yet")
}
