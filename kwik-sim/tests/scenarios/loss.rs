//! Every link loses packets.

use std::time::Duration;

use kwik_sim::link::{Chance, LinkConfig};

use crate::common::{Download, Local, link, percent_of, within};

const SIZE: u64 = 6 << 20;

/// Three lossy edges do not take longer than one alone takes for a third, and a third more.
fn lossy(percent: u32) {
    let lossy = LinkConfig { loss: Chance::percent(percent), ..link(40, 20) };
    let download = |size, edges| Download {
        primary: lossy,
        local: Local::None,
        ..Download::new(size, vec![lossy; edges])
    };
    let alone = download(SIZE / 3, 1).finish(1, Duration::from_secs(200));
    let together = download(SIZE, 3).finish(1, Duration::from_secs(200));
    within("completion", together.elapsed, percent_of(alone.elapsed, 133));
    let redundant = together.metrics.redundant_bytes;
    assert!(redundant <= crate::common::redundancy(SIZE), "{redundant} redundant bytes");
}

#[test]
fn two_percent_of_loss() {
    lossy(2);
}

#[test]
fn ten_percent_of_loss() {
    lossy(10);
}
