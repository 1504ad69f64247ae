//! What several sources deliver together, beside what each delivers alone: 95 % of the sum over equal links, 90 % where
//! one round trip is twice the other, never less than the best alone where it is ten times the other.

use std::cell::Cell;
use std::time::Duration;

use kwik_sim::link::LinkConfig;

use crate::common::{Download, Local, for_seeds, link};

const SIZE: u64 = 64 << 20;
/// Bytes per second over those edges, with the primary at `rtt_ms`, from the first byte on: what the request takes to the
/// primary and back is nobody's.
fn rate(seed: u64, edges: Vec<LinkConfig>, size: u64, rtt_ms: u64) -> f64 {
    let primary = link(50, rtt_ms);
    let download = Download { primary, local: Local::None, ..Download::new(size, edges) };
    let outcome = download.finish(seed, Duration::from_secs(60));
    outcome.assert_frugal();
    let busy = outcome.elapsed - Duration::from_millis(rtt_ms);
    size as f64 / busy.as_secs_f64()
}

/// The rate of all together, in the sum of what each does alone in the same time, and in the best of them; the worst of
/// all seeds. The primary is at `rtt_ms` to all of them, at 20 ms to each alone.
fn compare(edges: &[LinkConfig], rtt_ms: u64) -> (f64, f64) {
    let part = SIZE / edges.len() as u64;
    let alone: Vec<f64> = edges.iter().map(|&edge| rate(1, vec![edge], part, 20)).collect();
    let (sum, best) = (alone.iter().sum::<f64>(), alone.iter().copied().fold(0.0, f64::max));
    let worst = Cell::new(f64::INFINITY);
    for_seeds(|seed, _| worst.set(worst.get().min(rate(seed, edges.to_vec(), SIZE, rtt_ms))));
    let worst = worst.get();
    println!(
        "together {:.1} % of the sum, {:.2} times the best",
        worst / sum * 100.0,
        worst / best
    );
    (worst / sum, worst / best)
}

#[test]
fn equal_links_add_up() {
    let (of_sum, _) = compare(&[link(40, 20); 3], 20);
    assert!(of_sum >= 0.95, "{of_sum}");
}

#[test]
fn round_trips_of_one_to_two_add_up() {
    let (of_sum, _) = compare(&[link(40, 20), link(40, 40)], 20);
    assert!(of_sum >= 0.90, "{of_sum}");
}

#[test]
fn round_trips_of_one_to_ten_are_no_worse_than_the_best() {
    let (_, of_best) = compare(&[link(40, 20), link(40, 200)], 20);
    assert!(of_best >= 1.0, "{of_best}");
}

/// The primary is at 150 ms, its edges at 5 ms.
#[test]
fn edges_are_kept_busy_by_a_far_primary() {
    let (of_sum, _) = compare(&[link(40, 5); 3], 150);
    assert!(of_sum >= 0.90, "{of_sum}");
}
