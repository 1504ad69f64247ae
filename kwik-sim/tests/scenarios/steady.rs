//! Nothing fails: what the other scenarios are measured against.

use std::time::Duration;

use crate::common::{Download, edges, for_seeds, ideal, percent_of, within};

const SIZE: u64 = 64 << 20;

#[test]
fn three_equal_edges_share_the_work_to_the_end() {
    for_seeds(|seed, _| {
        let outcome = Download::new(SIZE, edges(3)).finish(seed, Duration::from_secs(20));
        within("completion", outcome.elapsed, percent_of(ideal(SIZE, 120), 110));
        outcome.assert_even_end(120);
        let shares = outcome.metrics.paths[1..].iter().map(|path| path.bytes);
        assert!(shares.min().unwrap() > SIZE * 3 / 10);
        outcome.assert_graceful();
    });
}
