//! `kwik get` from three servers behind links that lose or reorder, beside its own time behind clean ones: what TCP's
//! programs do there can't be measured, for the emulated links carry datagrams alone.

use super::site::{Place, Site};
use super::{Found, ratios};
use crate::child::Child;
use crate::cli::Options;
use crate::link::{Link, Shape};
use crate::report::Target;
use crate::role::Listening;
use crate::spread::Void;

const SERVERS: usize = 3;
const LENGTH: u64 = 20_000_000;

fn clean() -> Shape {
    Shape::new(48, 20)
}

pub(super) fn run(site: &Site, options: &Options, found: &mut Found) -> anyhow::Result<()> {
    let file = site.file(options.amount(LENGTH, 1_000_000))?;
    let lossy = Shape { lost_per_million: 10_000, ..clean() };
    let reordering = Shape { reordering_us: 1_000, ..clean() };
    let shapes = [clean(), lossy, reordering];
    let Found { report, void } = found;
    // KWIK's servers have hashed the file after that.
    once(site, clean(), &file, void)?;
    let mut seconds: [Vec<f64>; 3] = Default::default();
    for run in 0..options.runs {
        for index in 0..shapes.len() {
            let index = if run % 2 == 0 { index } else { shapes.len() - 1 - index };
            seconds[index].push(once(site, shapes[index], &file, void)?);
        }
    }
    let [clean, lossy, reordering] = seconds;
    report.aim("loss_over_clean", &ratios(&lossy, &clean), Target::AtMost(1.3));
    report.aim("reordering_over_clean", &ratios(&reordering, &clean), Target::AtMost(1.3));
    report.measure("clean_seconds", &clean);
    report.measure("loss_seconds", &lossy);
    report.measure("reordering_seconds", &reordering);
    Ok(())
}

fn once(site: &Site, shape: Shape, file: &str, void: &mut Void) -> anyhow::Result<f64> {
    let place = Place::loopback();
    let (mut links, mut servers, mut secondaries) = (Vec::new(), Vec::new(), Vec::new());
    for index in 1..SERVERS {
        let (server, listening) = behind(site.secondary(&place, index)?, shape, &mut links)?;
        servers.push(server);
        secondaries.push(listening);
    }
    let (_primary, primary) = behind(site.primary(&place, &secondaries)?, shape, &mut links)?;
    let output = site.output("copy")?;
    let seconds = site.get(&place, primary.address, file, &output).time()?;
    site.check_output("copy", file.parse()?)?;
    for link in &mut links {
        void.see(&link.report()?);
    }
    Ok(seconds)
}

/// Puts a server behind a link.
fn behind(
    (server, listening): (Child, Listening),
    shape: Shape,
    links: &mut Vec<Link>,
) -> anyhow::Result<(Child, Listening)> {
    let link = Link::start(listening.address, shape)?;
    let address = link.address();
    links.push(link);
    Ok((server, Listening { address, ..listening }))
}
