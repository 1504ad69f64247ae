//! The primary is at 150 ms, its edges at 5 ms.

use std::time::Duration;

use crate::common::{Download, SIZE, link};

#[test]
fn edges_are_kept_busy_by_a_far_primary() {
    let size = 4 * SIZE;
    let far = Download {
        primary: link(50, 150),
        ..Download::new(size, vec![link(40, 5), link(40, 5), link(40, 5)])
    };
    // 64 MiB over 120 Mbit/s take 4.5 s.
    let outcome = far.finish(1, Duration::from_millis(7_000));
    assert!(outcome.metrics.longest_stall <= Duration::from_millis(500));
}
