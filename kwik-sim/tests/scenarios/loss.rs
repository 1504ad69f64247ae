//! Every link loses packets.

use std::time::Duration;

use kwik_sim::link::{Chance, LinkConfig};

use crate::common::{Download, Local, for_seeds, link, percent_of, within};

/// What the bucket opens with, 256 KiB, is a fixed cost.
const SIZE: u64 = 32 << 20;

/// Bytes of a packet's payload.
const SEGMENT: f64 = 1_428.0;
/// QUIC's probe timeout here: the round trip, four variations, the 25 ms that an acknowledgement may wait.
const TIMEOUT: f64 = 0.065;

/// What senders can hope for whose windows shrink with each loss and who wait for a timeout now and then (Padhye et al.,
/// SIGCOMM 1998, equation 30 with each packet acknowledged): three of them at a round trip of 20 ms.
fn ideal(percent: u32) -> Duration {
    let lost = f64::from(percent) / 100.0;
    let shrinking = 0.020 * (2.0 * lost / 3.0).sqrt();
    let waits = (3.0 * (3.0 * lost / 8.0).sqrt()).min(1.0) * lost * (1.0 + 32.0 * lost * lost);
    let rate = 3.0 * SEGMENT / (shrinking + TIMEOUT * waits);
    Duration::from_secs_f64(SIZE as f64 / rate)
}

/// At most `hundredths` of the time that the formula gives, and no longer pause.
fn lossy(percent: u32, hundredths: u32, pause: Duration) {
    let lossy = LinkConfig { loss: Chance::percent(percent), ..link(40, 20) };
    for_seeds(|seed, _| {
        let download =
            Download { primary: lossy, local: Local::None, ..Download::new(SIZE, vec![lossy; 3]) };
        let outcome = download.finish(seed, Duration::from_secs(200));
        let share = outcome.elapsed.as_secs_f64() / ideal(percent).as_secs_f64();
        println!("completion: {share:.3} times the ideal");
        within("completion", outcome.elapsed, percent_of(ideal(percent), hundredths));
        within("longest pause", outcome.pause, pause);
        outcome.assert_frugal();
    });
}

/// One edge alone takes 1.22 times as long for a third: the formula is of Reno, this is CUBIC.
#[test]
fn two_percent_of_loss() {
    lossy(2, 145, Duration::from_secs(1));
}

/// A packet is lost three times in a row once in a thousand, and each time twice as long passes until it is sent again.
#[test]
fn ten_percent_of_loss() {
    lossy(10, 120, Duration::from_millis(2_500));
}
