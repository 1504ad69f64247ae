//! `kwik-perf memory`: a thousand contributions at once, a thousand idle sessions.

use crate::cli::Options;
use crate::report::Report;

pub(crate) fn run(_options: &Options) -> anyhow::Result<Report> {
    anyhow::bail!("not built yet")
}
