//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Measures KWIK beside a bare s2n-quic connection.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Runs of each measurement; medians are reported.
    #[arg(long, global = true, default_value_t = 11, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// One JSON object per scenario, each on one line, instead of tables.
    #[arg(long, global = true)]
    json: bool,
    /// Tiny amounts: shows that a scenario works; its figures mean nothing.
    #[arg(long, global = true)]
    tiny: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// 1 GiB over one public stream.
    Throughput,
    /// 1 KiB there and back on an open stream.
    Latency,
    /// Several links at once, against the sum of what each gives alone.
    Aggregate(Aggregate),
    /// One of three links goes silent.
    Failover,
    /// How often a reader has to wait, while links fail too; round trips beside a flood.
    Smooth(Smooth),
    /// What secondaries cost the primary's streams.
    Isolation,
    /// A thousand contributions at once; a thousand idle sessions.
    Memory,
    /// Cost per byte and stream as streams, sessions and paths grow.
    Scale,
    /// From `add_path` to the first byte of a contribution.
    Attach,
    /// Congestion controls on links that lose, reorder, queue and are shared.
    Congestion(Congestion),
    /// Many small streams over one session, requests a second.
    Objects,
    /// The program `kwik` beside curl and aria2c with nginx.
    Peers(Peers),
    /// All of them; writes kwik-bench/RESULTS.md.
    All(All),
    /// A process of a measurement.
    #[command(hide = true)]
    Role {
        /// What it is, as JSON.
        role: String,
    },
}

/// Which links; without a flag 4 of 100 Mbit/s with an RTT of 20 ms.
#[derive(Clone, Copy, Debug, Default, Args)]
#[group(multiple = false)]
pub(crate) struct Aggregate {
    /// Links of 100, 50 and 20 Mbit/s with RTTs of 10, 40 and 80 ms.
    #[arg(long)]
    pub(crate) mix: bool,
    /// A primary at 150 ms, three edges of 100 Mbit/s at 5 ms.
    #[arg(long)]
    pub(crate) far: bool,
    /// 1 to 8 sources: the curve.
    #[arg(long)]
    pub(crate) sources: bool,
}

/// Which cases; without an option all.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Smooth {
    /// Only cases whose name contains this: equal, unequal, steady_8, steady_16, steady_25, flood.
    #[arg(long, value_name = "TEXT")]
    pub(crate) only: Option<String>,
}

/// Which conditions; without an option all.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Congestion {
    /// Only conditions whose name contains this; `sources`, `beside` and `loopback` are the last three.
    #[arg(long, value_name = "TEXT")]
    pub(crate) only: Option<String>,
    /// Seconds of each measurement, instead of 4.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) seconds: Option<f64>,
}

/// Which cases, and which program.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Peers {
    /// Only cases whose name contains this: loopback, small, equal, mixed, silent, lossy, second.
    #[arg(long, value_name = "TEXT")]
    pub(crate) only: Option<String>,
    /// The program `kwik`; without it KWIK_BIN, or else the one beside this program.
    #[arg(long, value_name = "PATH")]
    pub(crate) kwik: Option<PathBuf>,
}

/// What is done with all reports.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct All {
    /// Compares ratios with the bounds in this file instead of writing RESULTS.md; one that is worse is a failure.
    #[arg(long, value_name = "FILE")]
    pub(crate) check: Option<PathBuf>,
}

/// What holds for every scenario.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// Runs of each measurement.
    pub(crate) runs: usize,
    /// How reports are printed.
    pub(crate) format: Format,
    amounts: Amounts,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Table,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Amounts {
    Full,
    Tiny,
}

impl Options {
    /// How much to measure with: `full`, or `tiny` where it only has to work.
    pub(crate) fn amount(&self, full: u64, tiny: u64) -> u64 {
        match self.amounts {
            Amounts::Full => full,
            Amounts::Tiny => tiny,
        }
    }

    /// The same with another number of runs.
    pub(crate) fn with_runs(self, runs: usize) -> Self {
        Self { runs, ..self }
    }

    /// Whether the figures are to mean anything.
    pub(crate) fn is_full(&self) -> bool {
        self.amounts == Amounts::Full
    }
}

impl Cli {
    pub(crate) fn options(&self) -> Options {
        Options {
            runs: self.runs as usize,
            format: if self.json { Format::Json } else { Format::Table },
            amounts: if self.tiny { Amounts::Tiny } else { Amounts::Full },
        }
    }

    /// What is done with the reports, where that is more than to print them.
    pub(crate) fn all(&self) -> Option<&All> {
        match &self.command {
            Command::All(all) => Some(all),
            _ => None,
        }
    }
}
