//! `kwik-perf aggregate`: several links at once, against the sum of what bare s2n-quic gets on each alone.

use crate::cli::{Aggregate, Options};
use crate::report::Report;

pub(crate) fn run(_links: Aggregate, _options: &Options) -> anyhow::Result<Report> {
    anyhow::bail!("not built yet")
}
