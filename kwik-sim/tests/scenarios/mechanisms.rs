//! What each mechanism of the scheduler is worth: a scenario that keeps its bound with it, and misses it without.

use std::time::Duration;

use kwik_client::Limits;
use kwik_sim::{Action, DiskState, Switches};

use crate::common::{Download, Outcome, edge, edges, ideal, link, percent_of};

const ON: Switches = Switches { admission: true, hedging: true, repair: true, end_game: true };

/// Measures the same download with the mechanism and without; `None`: it never ended.
fn compare(
    name: &str,
    off: Switches,
    bound: Duration,
    make: impl Fn() -> Download,
    measure: impl Fn(&Outcome) -> Duration,
) {
    let run = |switches| {
        let download = Download { switches, ..make() };
        let outcome = download.run(1, Duration::from_secs(30));
        outcome.map(|outcome| measure(&outcome)).map_err(|failure| failure.cause.to_string())
    };
    let (with, without) = (run(ON), run(off));
    println!("{name}: {with:?} with, {without:?} without, bound {bound:?}");
    let with = with.unwrap();
    assert!(with <= bound, "{name} on: {with:?} is over {bound:?}");
    assert!(
        without.as_ref().is_err() || without.as_ref().is_ok_and(|without| *without > bound),
        "{name} off: {without:?} keeps the bound of {bound:?}"
    );
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

/// One of three dies.
#[test]
fn repair_completes_what_a_dead_secondary_owed() {
    let make = || {
        let mut download = Download::new(24 << 20, edges(3));
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
    let size = 16 << 20;
    let read = size * 80 / 100;
    let make = || {
        let edges = vec![link(40, 5); 3];
        let mut download = Download { primary: link(50, 300), ..Download::new(size, edges) };
        download.when_read.push((read, Action::Link(edge(2), link(1, 5))));
        download
    };
    let off = Switches { end_game: false, ..ON };
    let least = ideal(read, 120) + ideal(size - read, 81);
    // The request takes 300 ms, the first orders as long.
    let bound = Duration::from_millis(600) + percent_of(least, 140);
    compare("end game", off, bound, make, |outcome| outcome.elapsed);
}
