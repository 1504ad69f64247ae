//! Nothing fails: what the other scenarios are measured against.

use std::time::Duration;

use crate::common::{Download, SIZE, edges, redundancy};

#[test]
fn three_equal_edges_add_up() {
    let outcome = Download::new(SIZE, edges(3)).finish(1, Duration::from_millis(2_000));
    assert!(outcome.metrics.redundant_bytes <= redundancy(SIZE), "{:?}", outcome.metrics);
    let shares = outcome.metrics.paths[1..].iter().map(|path| path.bytes);
    assert!(shares.min().unwrap() > SIZE / 5);
}
