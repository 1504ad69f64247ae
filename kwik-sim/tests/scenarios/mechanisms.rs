//! What each mechanism of the scheduler is worth: a scenario that keeps its bound with it, and misses it without.

use std::time::Duration;

use kwik_client::Limits;
use kwik_sim::{Action, CLIENT, Cause, DiskState, Event, Failure, Report, Switches};

use crate::common::{Download, Outcome, edge, edges, for_seeds, ideal, link, percent_of};

const ON: Switches = Switches { admission: true, hedging: true, repair: true, end_game: true };

/// How a run without the mechanism misses the bound.
#[derive(Debug)]
enum Missed {
    /// It took longer.
    By(Duration),
    /// The reader's error was that bytes are missing, or the run was not over in time.
    NeverDone { cause: String, after: Duration },
}

/// Measures the same download with the mechanism and without.
fn compare(
    name: &str,
    off: Switches,
    bound: Duration,
    make: impl Fn() -> Download,
    measure: impl Fn(&Outcome) -> Duration,
) {
    for_seeds(|seed, _| compare_once(seed, name, off, bound, &make, &measure));
}

fn compare_once(
    seed: u64,
    name: &str,
    off: Switches,
    bound: Duration,
    make: &dyn Fn() -> Download,
    measure: &dyn Fn(&Outcome) -> Duration,
) {
    let run = |switches| Download { switches, ..make() }.run(seed, Duration::from_secs(30));
    let planned = make().when_read.len();
    let with = run(ON).unwrap_or_else(|failure| panic!("{name} on: {failure}"));
    with.assert_frugal();
    let with = measure(&with);
    let without = match run(off) {
        Ok(outcome) => {
            assert_eq!(actions(&outcome.report), planned);
            Missed::By(measure(&outcome))
        }
        Err(failure) => never_done(&failure),
    };
    let without_it = match &without {
        Missed::By(found) => format!("{found:?}"),
        Missed::NeverDone { cause, after } => format!("never done ({cause}) after {after:?}"),
    };
    println!("{name}: {with:?} with, {without_it} without, bound {bound:?}");
    assert!(with <= bound, "{name} on: {with:?} is over {bound:?}");
    if let Missed::By(found) = without {
        assert!(found > bound, "{name} off: {found:?} keeps the bound of {bound:?}");
    }
}

/// How many things were done.
fn actions(report: &Report) -> usize {
    report.events.iter().filter(|(_, event)| matches!(event, Event::Action(_))).count()
}

/// The two ways not to end that a missing mechanism explains; all others are panics of this test.
fn never_done(failure: &Failure) -> Missed {
    let missing = match &failure.cause {
        Cause::Bound(_) => true,
        Cause::Software { host, error } => {
            let error = error.downcast_ref::<kwik_client::stream::Error>();
            host == CLIENT && matches!(error, Some(kwik_client::stream::Error::Missing { .. }))
        }
        _ => false,
    };
    assert!(missing, "it failed for another reason: {failure}");
    Missed::NeverDone { cause: failure.cause.to_string(), after: failure.report.elapsed }
}

/// Two fast paths and one of 1 Mbit/s, with a small window: who gets a range near the head holds everybody up.
#[test]
fn admission_keeps_the_slow_path_from_the_head() {
    let size = 16 << 20;
    let make = || Download {
        // The floors of 104 streams leave little for the window.
        client: |builder| {
            let limits = Limits::new().with_max_streams(2, 2).with_session_budget(11 << 20);
            builder.with_limits(limits)
        },
        ..Download::new(size, vec![link(40, 20), link(40, 20), link(1, 20)])
    };
    let off = Switches { admission: false, ..ON };
    let bound = percent_of(ideal(size, 81), 130);
    compare("admission", off, bound, make, |outcome| outcome.elapsed);
}

/// The disk of one of three hangs, its path answers.
#[test]
fn hedging_shortens_the_pause_at_a_hung_disk() {
    let make = || {
        let mut download = Download::new(24 << 20, edges(3));
        let read = download.percent(50);
        download.when_read.push((read, Action::Disk(edge(1), DiskState::Hung)));
        download
    };
    let off = Switches { hedging: false, ..ON };
    compare("hedging", off, Duration::from_millis(500), make, |outcome| outcome.pause);
}

/// One of two dies. (With some seeds the last to be dialled is late with its first range before: that is repaired too, and is
/// the end without.)
#[test]
fn repair_completes_what_a_dead_secondary_owed() {
    let make = || {
        let mut download = Download::new(24 << 20, edges(2));
        let read = download.percent(50);
        download.when_read.push((read, Action::Crash(edge(1))));
        download
    };
    let off = Switches { repair: false, ..ON };
    compare("repair", off, Duration::from_millis(500), make, |outcome| outcome.pause);
}

/// One of three becomes forty times slower near the end, and the primary is far: a rest that is copied only when the reader
/// waits for it comes a whole control loop later.
#[test]
fn the_end_game_does_not_wait_for_the_slow() {
    // Long enough for the opening balance of the bucket, a fixed cost, to fit into the 3 %.
    let size = 40 << 20;
    let read = size * 92 / 100;
    let make = || {
        let edges = vec![link(40, 5); 3];
        let mut download = Download { primary: link(50, 300), ..Download::new(size, edges) };
        download.when_read.push((read, Action::Link(edge(2), link(1, 5))));
        download
    };
    let off = Switches { end_game: false, ..ON };
    let least = ideal(read, 120) + ideal(size - read, 81);
    // The request takes 300 ms, the first orders as long.
    let bound = Duration::from_millis(600) + percent_of(least, 115);
    compare("end game", off, bound, make, |outcome| outcome.elapsed);
}
