//! What a run is measured with.

use std::time::Duration;

use kwik_sim::link::Fate;
use kwik_sim::{CLIENT, Event, Report};

use super::Outcome;

/// The port that the laboratory's servers listen on.
const SERVER_PORT: u16 = 4_433;
/// What QUIC puts around the bytes of a stream in a full datagram: header, packet number, frame and tag.
const OVERHEAD: u64 = 44;

/// Bytes of payload that the servers' datagrams had room for: content, KWIK's headers and control frames. QUIC's own
/// bytes are not in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wire {
    /// All that was sent, also into nowhere.
    pub sent: u64,
    /// What the links delivered to the client, whatever it made of it. That QUIC sends again what a link dropped is no
    /// copy of KWIK's.
    pub carried: u64,
}

impl Wire {
    pub(super) fn of(report: &Report) -> Self {
        let mut wire = Self::default();
        for (_, event) in &report.events {
            let Event::Sent { from, length, fate, .. } = event else { continue };
            if from.port() != SERVER_PORT {
                continue;
            }
            let payload = (*length as u64).saturating_sub(OVERHEAD);
            wire.sent += payload;
            if matches!(fate, Fate::Delivered { .. }) {
                wire.carried += payload;
            }
        }
        wire
    }
}

impl Outcome {
    pub(super) fn print(&self) {
        if std::env::var_os("KWIK_NOTES").is_some() {
            for (at, event) in &self.report.events {
                if let Event::Note { host, text } = event {
                    println!("{:>6} ms {host}: {text}", at.as_millis());
                }
            }
        }
        let Self { elapsed, metrics, wire, size, .. } = self;
        println!(
            "{} ms, last 1 % in {} ms, longest pause {} ms, {} redundant bytes, {} repairs",
            elapsed.as_millis(),
            self.tail.as_millis(),
            self.pause.as_millis(),
            metrics.redundant_bytes,
            metrics.repairs
        );
        let delay = metrics.in_order_delay.summary();
        println!("  in-order delay: p50 {:?}, p99 {:?}, max {:?}", delay.p50, delay.p99, delay.max);
        let percent = |bytes: u64| (bytes as f64 / *size as f64 - 1.0) * 100.0;
        println!(
            "  on the wire {:+.2} % of {size} bytes, with what was dropped {:+.2} %",
            percent(wire.carried),
            percent(wire.sent)
        );
        for path in &metrics.paths {
            println!("  {} {:?} {} bytes, {}", path.address, path.role, path.bytes, path.state);
        }
        for stall in &metrics.stalls {
            println!(
                "  stalled at {} ms for {} ms: {} bytes from {}, owed by {:?}, ended by {:?}",
                stall.at.as_millis(),
                stall.duration.as_millis(),
                stall.length,
                stall.offset,
                stall.path,
                stall.ended_by
            );
        }
    }

    /// Completion within 1.15 times the ideal of the capacity left.
    pub fn assert_complete(&self, least: Duration) {
        let share = self.elapsed.as_secs_f64() / least.as_secs_f64();
        println!("completion: {share:.3} times the ideal");
        within("completion", self.elapsed, percent_of(least, 115));
    }

    /// Bytes of payload that the links delivered beside the content.
    pub fn redundant(&self) -> u64 {
        self.wire.carried.saturating_sub(self.size)
    }

    /// At most 3 % more than the content on the wire.
    pub fn assert_frugal(&self) {
        self.assert_wire(3);
    }

    /// At most so many percent more than the content on the wire.
    pub fn assert_wire(&self, percent: u64) {
        let (size, more, counted) = (self.size, self.redundant(), self.metrics.redundant_bytes);
        println!("redundant: {more} bytes on the wire, {counted} counted");
        assert!(more <= size * percent / 100, "{more} redundant bytes on the wire for {size}");
        assert!(counted <= more, "{counted} counted, {more} on the wire");
    }

    /// What must hold where any one secondary dies: the reader's pause, and the redundant bytes.
    pub fn assert_graceful(&self) {
        within("longest pause", self.pause, Duration::from_millis(500));
        self.assert_frugal();
    }

    /// The last 1 % in at most 1.5 times its fair share of the time, with `mbit` Mbit/s at the end.
    pub fn assert_even_end(&self, mbit: u64) {
        within("last 1 %", self.tail, percent_of(ideal(self.size / 100, mbit), 150));
    }
}

/// Bytes that may be sent twice where servers fail all the time: 3 %, and what the bucket opens with.
pub fn redundancy(size: u64) -> u64 {
    size * 3 / 100 + (256 << 10)
}

/// The least time for `bytes` over `mbit` Mbit/s.
pub fn ideal(bytes: u64, mbit: u64) -> Duration {
    Duration::from_secs_f64(bytes as f64 * 8.0 / (mbit as f64 * 1e6))
}

/// What a share of the time comes to, in hundredths.
pub fn percent_of(time: Duration, percent: u32) -> Duration {
    time * percent / 100
}

/// A measured time beside its bound, printed; panics where it is over.
pub fn within(what: &str, found: Duration, bound: Duration) {
    println!("{what}: {} ms of at most {} ms", found.as_millis(), bound.as_millis());
    assert!(found <= bound, "{what}: {} ms, bound {} ms", found.as_millis(), bound.as_millis());
}
