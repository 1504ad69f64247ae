//! A seed repeats its run: every datagram, at its time, with its bytes.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{Download, edge, link};
use kwik_sim::Action;
use kwik_sim::link::{Chance, LinkConfig};

fn run(seed: u64) -> kwik_sim::Report {
    let rough = LinkConfig {
        loss: Chance::percent(2),
        corruption: Chance::percent(2),
        jitter: Duration::from_millis(3),
        ..link(20, 20)
    };
    let mut download = Download::new(2 << 20, vec![rough, rough, link(10, 40)]);
    let half = download.percent(50);
    download.when_read.push((half, Action::Crash(edge(0))));
    download.finish(seed, Duration::from_secs(30)).report
}

#[test]
fn equal_seeds_give_equal_runs() {
    let (first, second) = (run(1), run(1));
    let difference = first.events.iter().zip(&second.events).position(|(a, b)| a != b);
    if let Some(at) = difference {
        panic!("event {at}: {:?}, then {:?}", first.events[at], second.events[at]);
    }
    assert_eq!(first, second);
    assert!(first.events.len() > 1_000);
}

#[test]
fn another_seed_gives_another_run() {
    assert_ne!(run(1).events, run(2).events);
}
