//! The decisions of a forwarder, without sockets and clock: what is under way in both directions.

use std::collections::BTreeMap;
use std::time::Duration;

use kwik_sim::link::{Condition, DropReason, Fate, Link, LinkConfig, Rate};

use super::report::Lateness;

/// Which way a datagram goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// From the client to the server.
    Up,
    /// From the server to the client.
    Down,
}

/// Bytes that may be under way in one direction. The model bounds them by rate times delay and its queue; without a
/// rate nothing else does. Beyond, datagrams are dropped and the run is void.
const ROOM: usize = 64 << 20;
/// Buffers that are kept for the next datagrams.
const SPARE: usize = 4_096;

/// What a datagram belongs to: a client's entry in the table, and the entry's generation.
pub(crate) type Flow = u64;

/// Both directions of a link, and the datagrams on them.
#[derive(Debug)]
pub(crate) struct Wire {
    up: Direction,
    down: Direction,
    spare: Vec<Vec<u8>>,
    pub(crate) counts: Counts,
    pub(crate) lateness: Lateness,
}

/// Datagrams that were not passed on, by reason, and those that were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) up: u64,
    pub(crate) down: u64,
    pub(crate) down_bytes: u64,
    pub(crate) queue_full: u64,
    pub(crate) too_large: u64,
    pub(crate) lost: u64,
    pub(crate) silenced: u64,
    pub(crate) overflow: u64,
    /// Towards the client: datagrams that were sent into the link, the sum of what each found in the queue, and the most.
    pub(crate) down_sent: u64,
    pub(crate) down_sent_bytes: u64,
    pub(crate) queued: u64,
    pub(crate) queue_peak: u64,
}

#[derive(Debug)]
struct Direction {
    link: Link,
    /// By arrival, then in the order of sending.
    flying: BTreeMap<(Duration, u64), Flight>,
    sent: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Flight {
    flow: Flow,
    payload: Vec<u8>,
}

impl Direction {
    fn new(config: LinkConfig, seed: u64) -> Self {
        Self { link: Link::new(config, seed), flying: BTreeMap::new(), sent: 0, bytes: 0 }
    }
}

impl Wire {
    pub(crate) fn new(up: LinkConfig, down: LinkConfig, seed: u64) -> Self {
        Self {
            up: Direction::new(up, seed),
            down: Direction::new(down, !seed),
            spare: Vec::new(),
            counts: Counts::default(),
            lateness: Lateness::default(),
        }
    }

    fn direction(&mut self, way: Way) -> &mut Direction {
        match way {
            Way::Up => &mut self.up,
            Way::Down => &mut self.down,
        }
    }

    /// A datagram enters the link.
    pub(crate) fn send(&mut self, way: Way, now: Duration, flow: Flow, payload: &[u8]) {
        self.see(way, now, payload.len());
        let direction = self.direction(way);
        if direction.bytes + payload.len() > ROOM {
            self.counts.overflow += 1;
            return;
        }
        let (at, corruption) = match direction.link.send(now, payload.len()) {
            Fate::Delivered { at, corruption } => (at, corruption),
            Fate::Dropped(DropReason::Down) => return self.counts.silenced += 1,
            Fate::Dropped(DropReason::TooLarge) => return self.counts.too_large += 1,
            Fate::Dropped(DropReason::QueueFull) => return self.counts.queue_full += 1,
            Fate::Dropped(DropReason::Lost) => return self.counts.lost += 1,
        };
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.clear();
        buffer.extend_from_slice(payload);
        if let Some(corruption) = corruption {
            corruption.apply(&mut buffer);
        }
        let direction = self.direction(way);
        direction.bytes += buffer.len();
        direction.sent += 1;
        direction.flying.insert((at, direction.sent), Flight { flow, payload: buffer });
    }

    fn see(&mut self, way: Way, now: Duration, length: usize) {
        if way == Way::Down {
            let queued = self.down.link.backlog(now) as u64;
            self.counts.down_sent += 1;
            self.counts.down_sent_bytes += length as u64;
            self.counts.queued += queued;
            self.counts.queue_peak = self.counts.queue_peak.max(queued);
        }
    }

    /// Hands over everything that has arrived, `true` for what could be passed on.
    pub(crate) fn deliver(
        &mut self,
        now: Duration,
        mut pass: impl FnMut(Way, Flow, &[u8]) -> bool,
    ) {
        for way in [Way::Up, Way::Down] {
            while let Some((at, flight)) = self.arrived(way, now) {
                self.lateness.record(now - at);
                if !pass(way, flight.flow, &flight.payload) {
                    self.counts.overflow += 1;
                } else if way == Way::Up {
                    self.counts.up += 1;
                } else {
                    self.counts.down += 1;
                    self.counts.down_bytes += flight.payload.len() as u64;
                }
                if self.spare.len() < SPARE {
                    self.spare.push(flight.payload);
                }
            }
        }
    }

    fn arrived(&mut self, way: Way, now: Duration) -> Option<(Duration, Flight)> {
        let direction = self.direction(way);
        let ((at, _), flight) =
            direction.flying.first_entry().filter(|first| first.key().0 <= now)?.remove_entry();
        direction.bytes -= flight.payload.len();
        Some((at, flight))
    }

    /// When the next datagram arrives.
    pub(crate) fn next_arrival(&self) -> Option<Duration> {
        let next = |direction: &Direction| direction.flying.keys().next().map(|(at, _)| *at);
        [next(&self.up), next(&self.down)].into_iter().flatten().min()
    }

    /// Drops what is under way and what comes.
    pub(crate) fn silence(&mut self) {
        for direction in [&mut self.up, &mut self.down] {
            direction.link.set_condition(Condition::Down);
            self.counts.silenced += direction.flying.len() as u64;
            direction.flying.clear();
            direction.bytes = 0;
        }
    }

    /// Carries again what comes.
    pub(crate) fn come_back(&mut self) {
        self.up.link.set_condition(Condition::Up);
        self.down.link.set_condition(Condition::Up);
    }

    /// Changes the rate towards the client, for what comes.
    pub(crate) fn set_rate(&mut self, rate: Option<Rate>) {
        let link = &mut self.down.link;
        link.set_config(LinkConfig { rate, ..link.config() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kwik_sim::link::Chance;

    const MS: Duration = Duration::from_millis(1);

    /// 1 byte per microsecond, 5 ms.
    fn slow() -> LinkConfig {
        LinkConfig { rate: Some(Rate::mbit(8)), delay: MS * 5, ..LinkConfig::default() }
    }

    fn wire(config: LinkConfig) -> Wire {
        Wire::new(config, config, 7)
    }

    fn delivered(wire: &mut Wire, now: Duration) -> Vec<(Way, Flow, Vec<u8>)> {
        let mut all = Vec::new();
        wire.deliver(now, |way, flow, payload| {
            all.push((way, flow, payload.to_vec()));
            true
        });
        all
    }

    #[test]
    fn datagrams_arrive_whole_in_order_and_in_time() {
        let mut wire = wire(slow());
        wire.send(Way::Down, Duration::ZERO, 1, &[1; 1_000]);
        wire.send(Way::Down, Duration::ZERO, 2, &[2; 500]);
        wire.send(Way::Up, Duration::ZERO, 3, &[3; 100]);
        assert_eq!(wire.next_arrival(), Some(Duration::from_micros(5_100)));
        assert_eq!(delivered(&mut wire, MS * 5), []);
        assert_eq!(
            delivered(&mut wire, MS * 6),
            [(Way::Up, 3, vec![3; 100]), (Way::Down, 1, vec![1; 1_000])]
        );
        assert_eq!(wire.next_arrival(), Some(Duration::from_micros(6_500)));
        assert_eq!(delivered(&mut wire, MS * 7), [(Way::Down, 2, vec![2; 500])]);
        assert_eq!(wire.next_arrival(), None);
        assert_eq!(wire.lateness.quantile(1_000), Duration::from_micros(900));
        assert_eq!((wire.counts.up, wire.counts.down, wire.counts.down_bytes), (1, 2, 1_500));
    }

    #[test]
    fn reordered_datagrams_overtake_and_are_handed_over_by_arrival() {
        let late = LinkConfig {
            reordered: Chance::ALWAYS,
            reordering: MS * 20,
            delay: MS,
            ..LinkConfig::default()
        };
        let mut wire = wire(late);
        for flow in 0..20 {
            wire.send(Way::Down, Duration::ZERO, flow, &[0; 100]);
        }
        let flows: Vec<Flow> = (1..=21)
            .flat_map(|ms| delivered(&mut wire, MS * ms))
            .map(|(_, flow, _)| flow)
            .collect();
        assert_eq!(flows.len(), 20);
        assert!(!flows.is_sorted(), "{flows:?}");
    }

    #[test]
    fn directions_do_not_share_their_rate() {
        let mut wire = wire(slow());
        for flow in 0..10 {
            wire.send(Way::Down, Duration::ZERO, flow, &[0; 1_000]);
            wire.send(Way::Up, Duration::ZERO, flow, &[0; 1_000]);
        }
        assert_eq!(delivered(&mut wire, MS * 15).len(), 20);
    }

    #[test]
    fn silence_drops_what_is_under_way_and_what_comes_and_ends() {
        let mut wire = wire(slow());
        wire.send(Way::Down, Duration::ZERO, 1, &[1; 1_000]);
        wire.silence();
        wire.send(Way::Up, Duration::ZERO, 1, &[1; 1_000]);
        assert_eq!(delivered(&mut wire, MS * 100), []);
        assert_eq!(wire.counts.silenced, 2);
        wire.come_back();
        wire.send(Way::Up, MS * 100, 1, b"again");
        assert_eq!(delivered(&mut wire, MS * 200), [(Way::Up, 1, b"again".to_vec())]);
    }

    #[test]
    fn a_new_rate_holds_for_what_comes_down() {
        let mut wire = wire(slow());
        wire.set_rate(Some(Rate::mbit(80)));
        wire.send(Way::Down, Duration::ZERO, 1, &[1; 1_000]);
        wire.send(Way::Up, Duration::ZERO, 2, &[1; 1_000]);
        assert_eq!(wire.next_arrival(), Some(Duration::from_micros(5_100)));
        assert_eq!(delivered(&mut wire, MS * 6).len(), 2);
    }

    #[test]
    fn what_the_model_drops_is_counted_by_its_reason() {
        let mut wire = wire(LinkConfig { queue: 1_000, ..slow() });
        for _ in 0..3 {
            wire.send(Way::Down, Duration::ZERO, 1, &[1; 1_000]);
        }
        assert_eq!(wire.counts.queue_full, 1);
        let mut lossy = self::wire(LinkConfig { loss: Chance::ALWAYS, ..slow() });
        lossy.send(Way::Up, Duration::ZERO, 1, &[1]);
        assert_eq!(lossy.counts.lost, 1);
        assert_eq!(lossy.next_arrival(), None);
    }

    #[test]
    fn what_nobody_takes_is_counted() {
        let mut wire = wire(slow());
        wire.send(Way::Up, Duration::ZERO, 1, &[1]);
        wire.deliver(MS * 10, |_, _, _| false);
        assert_eq!((wire.counts.overflow, wire.counts.up), (1, 0));
    }

    #[test]
    fn the_room_is_bounded() {
        let mtu = u16::MAX;
        let mut wire = wire(LinkConfig { delay: MS * 1_000, mtu, ..LinkConfig::default() });
        for _ in 0..=ROOM / (1 << 15) {
            wire.send(Way::Down, Duration::ZERO, 1, &[0; 1 << 15]);
        }
        assert_eq!(wire.counts.overflow, 1);
        assert_eq!(delivered(&mut wire, MS * 1_000).len(), ROOM / (1 << 15));
        assert_eq!(wire.down.bytes, 0);
    }
}
