//! Which scenarios there are, and how they are run one after the other.

use std::process::ExitCode;

use crate::bounds::Bounds;
use crate::cli::{Aggregate, All, Command, Congestion, Format, Options, Peers, Smooth};
use crate::report::Report;
use crate::{
    aggregate, attach, congestion, failover, isolation, latency, memory, objects, peers, results,
    scale, smooth, throughput,
};

type Run = Box<dyn Fn(&Options) -> anyhow::Result<Report>>;

/// A scenario, ready to run.
pub(crate) struct Scenario {
    name: &'static str,
    run: Run,
}

impl Scenario {
    fn new(name: &'static str, run: impl Fn(&Options) -> anyhow::Result<Report> + 'static) -> Self {
        Self { name, run: Box::new(run) }
    }

    fn aggregate(links: Aggregate) -> Self {
        Self::new("aggregate", move |options| aggregate::run(links, options))
    }
}

/// The scenarios that a command asks for.
pub(crate) fn of(command: &Command) -> Vec<Scenario> {
    match command {
        Command::Throughput => vec![Scenario::new("throughput", throughput::run)],
        Command::Latency => vec![Scenario::new("latency", latency::run)],
        Command::Aggregate(links) => vec![Scenario::aggregate(*links)],
        Command::Failover => vec![Scenario::new("failover", failover::run)],
        Command::Smooth(cases) => {
            let cases = cases.clone();
            vec![Scenario::new("smooth", move |options| smooth::run(&cases, options))]
        }
        Command::Isolation => vec![Scenario::new("isolation", isolation::run)],
        Command::Memory => vec![Scenario::new("memory", memory::run)],
        Command::Scale => vec![Scenario::new("scale", scale::run)],
        Command::Attach => vec![Scenario::new("attach", attach::run)],
        Command::Congestion(cells) => {
            let cells = cells.clone();
            vec![Scenario::new("congestion", move |options| congestion::run(&cells, options))]
        }
        Command::Objects => vec![Scenario::new("objects", objects::run)],
        Command::Peers(peers) => {
            let peers = peers.clone();
            vec![Scenario::new("peers", move |options| peers::run(&peers, options))]
        }
        Command::All(_) => all(),
        Command::Role { .. } => Vec::new(),
    }
}

fn all() -> Vec<Scenario> {
    let links = |mix, far, sources| Aggregate { mix, far, sources };
    let mut scenarios = of(&Command::Throughput);
    scenarios.extend(of(&Command::Latency));
    scenarios.push(Scenario::aggregate(Aggregate::default()));
    scenarios.push(Scenario::aggregate(links(true, false, false)));
    scenarios.push(Scenario::aggregate(links(false, true, false)));
    scenarios.push(Scenario::aggregate(links(false, false, true)));
    for command in
        [Command::Failover, Command::Isolation, Command::Memory, Command::Scale, Command::Objects]
    {
        scenarios.extend(of(&command));
    }
    scenarios.extend(of(&Command::Smooth(Smooth::default())));
    scenarios.extend(of(&Command::Attach));
    scenarios.extend(of(&Command::Peers(Peers::default())));
    scenarios.extend(of(&Command::Congestion(Congestion::default())));
    scenarios
}

/// Runs them in turn. One that fails is reported as such, the others go on, and the exit code is 1. A target that is
/// missed is no failure: the report says so. A bound that is missed is one.
pub(crate) fn run(scenarios: &[Scenario], all: Option<&All>, options: &Options) -> ExitCode {
    let mut reports = Vec::new();
    // A file that can't be read is not found out after an hour.
    let bounds = match all.and_then(|all| all.check.as_deref()).map(Bounds::read).transpose() {
        Ok(bounds) => bounds,
        Err(error) => {
            eprintln!("{error:#}");
            return ExitCode::FAILURE;
        }
    };
    for scenario in scenarios {
        let report = (scenario.run)(options)
            .unwrap_or_else(|error| Report::failed(scenario.name, &format!("{error:#}")));
        match options.format {
            Format::Json => println!("{}", report.json()),
            Format::Table => println!("{}", report.table()),
        }
        reports.push(report);
    }
    if all.is_some()
        && bounds.is_none()
        && options.is_full()
        && let Err(error) = results::write(&reports, options)
    {
        eprintln!("kwik-bench/RESULTS.md was not written: {error}");
        return ExitCode::FAILURE;
    }
    let failures = bounds.map(|bounds| bounds.failures(&reports)).unwrap_or_default();
    for failure in &failures {
        eprintln!("{failure}");
    }
    match failures.is_empty() && reports.iter().all(Report::is_measured) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
