//! `kwik-perf peers`: the program `kwik` beside what people use today, curl and aria2c with nginx, in one run.
//!
//! Whole processes are timed, from their start to their end, disk included. A case whose rival is not installed, or that
//! this machine does not allow, is left out and says why; the others go on.

mod emulated;
mod hosts;
mod links;
mod loopback;
mod program;
mod site;
mod warm;

pub(crate) use program::{Program, keep};
pub(crate) use warm::read;

use program::Missing;
use site::Site;

use crate::cli::{Options, Peers};
use crate::report::Report;
use crate::spread::Void;

/// A case adds what it found.
type Case = fn(&Site, &Options, &mut Found) -> anyhow::Result<()>;

/// What all cases found.
struct Found {
    report: Report,
    /// Of emulated links.
    void: Void,
}

/// By name, for `--only`.
const CASES: [(&str, Case); 7] = [
    ("loopback", loopback::gib),
    ("small", loopback::small),
    ("equal", links::equal),
    ("mixed", links::mixed),
    ("silent", links::silent),
    ("lossy", emulated::run),
    ("second", warm::run),
];

pub(crate) fn run(peers: &Peers, options: &Options) -> anyhow::Result<Report> {
    let mut found = Found { report: Report::new("peers"), void: Void::default() };
    let site = Site::new(peers.kwik.as_deref())?;
    for (name, case) in CASES {
        if peers.only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
            continue;
        }
        if let Err(error) = case(&site, options, &mut found) {
            match error.downcast_ref::<Missing>() {
                Some(missing) => found.report.skip(format!("{name}: {missing}")),
                None => found.report.invalidate(format!("{name}: {error:#}")),
            }
        }
    }
    found.void.tell(&mut found.report);
    Ok(found.report)
}

/// Both in turn, every other run in the opposite order: what each found.
fn in_turn<A, B>(
    run: usize,
    ours: impl FnOnce() -> anyhow::Result<A>,
    rival: impl FnOnce() -> anyhow::Result<B>,
) -> anyhow::Result<(A, B)> {
    if run.is_multiple_of(2) {
        let ours = ours()?;
        Ok((ours, rival()?))
    } else {
        let rival = rival()?;
        Ok((ours()?, rival))
    }
}

/// Sample by sample.
fn ratios(ours: &[f64], rival: &[f64]) -> Vec<f64> {
    ours.iter().zip(rival).map(|(ours, rival)| ours / rival).collect()
}
