//! Every link loses packets.

use std::time::Duration;

use kwik_sim::link::{Chance, LinkConfig};

use crate::common::{Download, SIZE, link};

fn lossy(percent: u32) -> Download {
    let lossy = LinkConfig { loss: Chance::percent(percent), ..link(40, 20) };
    Download { primary: lossy, ..Download::new(SIZE / 4, vec![lossy; 3]) }
}

#[test]
fn two_percent_of_loss() {
    lossy(2).finish(1, Duration::from_millis(4_000));
}

#[test]
fn ten_percent_of_loss() {
    lossy(10).finish(1, Duration::from_millis(60_000));
}
