//! One server on this machine: `kwik get` beside curl, which both check certificates.

use super::site::{Place, Site};
use super::{Found, in_turn, ratios};
use crate::cli::Options;
use crate::report::Target;

const NOWHERE: &str = "/dev/null";
/// The small file.
const SMALL: u64 = 4 << 10;
/// Whole processes of some milliseconds each: a run takes so many of each, in turn.
const ROUNDS: usize = 10;

/// 1 GiB to /dev/null.
pub(super) fn gib(site: &Site, options: &Options, found: &mut Found) -> anyhow::Result<()> {
    let (ours, rival) = against_curl(site, options.amount(1 << 30, 1 << 20), options.runs)?;
    found.report.aim("loopback_over_curl", &ratios(&ours, &rival), Target::AtMost(1.0));
    found.report.measure("loopback_get_seconds", &ours);
    found.report.measure("loopback_curl_seconds", &rival);
    Ok(())
}

/// A file for which the start of the process is nearly all.
pub(super) fn small(site: &Site, options: &Options, found: &mut Found) -> anyhow::Result<()> {
    let (ours, rival) = against_curl(site, SMALL, options.runs * ROUNDS)?;
    let ms = |seconds: &[f64]| seconds.iter().map(|seconds| seconds * 1e3).collect::<Vec<_>>();
    found.report.aim("small_over_curl", &ratios(&ours, &rival), Target::AtMost(1.0));
    found.report.measure("small_get_ms", &ms(&ours));
    found.report.measure("small_curl_ms", &ms(&rival));
    Ok(())
}

/// Seconds of `get` and of curl, the same servers all the time.
fn against_curl(site: &Site, length: u64, runs: usize) -> anyhow::Result<(Vec<f64>, Vec<f64>)> {
    let file = site.file(length)?;
    let place = Place::loopback();
    let (_nginx, nginx) = site.nginx(&place)?;
    site.await_nginx(&place, nginx)?;
    let (_primary, kwik) = site.primary(&place, &[])?;
    let get = site.get(&place, kwik.address, &file, NOWHERE);
    let curl = site.curl(&place, nginx, &file, NOWHERE);
    // Both have the file in memory then, and `kwik serve` has hashed it.
    get.time()?;
    curl.time()?;
    let (mut ours, mut rival) = (Vec::new(), Vec::new());
    for run in 0..runs {
        let (get, curl) = in_turn(run, || get.time(), || curl.time())?;
        ours.push(get);
        rival.push(curl);
    }
    Ok((ours, rival))
}
