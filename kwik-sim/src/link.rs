//! One direction of a network link, as arithmetic: when does this packet arrive, if it does?
//!
//! No clock, no socket, no entropy: time is an argument, chance comes from a seed. The same sequence of calls gives
//! the same answers on every machine.
//!
//! The model is a transmitter with a queue, followed by a wire:
//!
//! 1. A link that is down takes nothing, and none takes a packet above its [`LinkConfig::mtu`].
//! 2. The queue has room for [`LinkConfig::queue`] bytes, the packet on the transmitter not counted; what finds no
//!    room is dropped (drop-tail).
//! 3. The transmitter sends [`LinkConfig::rate`] bits per second, one packet after the other.
//! 4. The wire loses and corrupts packets by chance. A lost packet has used its time on the transmitter.
//! 5. The wire takes [`LinkConfig::delay`], and up to [`LinkConfig::jitter`] more. Packets do not overtake each other,
//!    except where they are reordered:
//! 6. A share of the packets ([`LinkConfig::reordered`]) takes up to [`LinkConfig::reordering`] more, and those behind
//!    do not wait for them.

use std::collections::VecDeque;
use std::time::Duration;

mod chance;
mod rate;

pub use chance::Chance;
pub use rate::Rate;

use chance::Dice;

/// What a link is like. The default is perfect: no rate, no delay, no loss.
///
/// ```
/// use std::time::Duration;
/// use kwik_sim::link::{Chance, LinkConfig, Rate};
///
/// let dsl = LinkConfig {
///     rate: Some(Rate::mbit(50)),
///     delay: Duration::from_millis(15),
///     jitter: Duration::from_millis(2),
///     loss: Chance::percent(1),
///     ..LinkConfig::default()
/// };
/// assert_eq!(dsl.corruption, Chance::NEVER);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkConfig {
    /// Bits per second; `None`: a packet takes no time on the transmitter, and nothing ever queues.
    pub rate: Option<Rate>,
    /// Propagation delay, one way.
    pub delay: Duration,
    /// The most that chance adds to the delay of a packet (uniform).
    pub jitter: Duration,
    /// Share of the packets that the wire loses.
    pub loss: Chance,
    /// Share of the packets that arrive with one byte changed.
    pub corruption: Chance,
    /// Share of the packets that later ones may overtake. With [`Chance::ALWAYS`] it is jitter that does not keep the
    /// order, as `tc netem` makes it.
    pub reordered: Chance,
    /// The most that chance adds to the delay of such a packet (uniform).
    pub reordering: Duration,
    /// The largest packet that it carries, in bytes, [`HEADERS`] included. Default 1,500: Ethernet. Larger ones are dropped without a
    /// word, as routers do that send no ICMP: an endpoint finds out by probing (RFC 8899).
    pub mtu: u16,
    /// Room of the queue in bytes. Default 256 KiB. Too low: a burst is cut to pieces. Too high: a full queue adds
    /// seconds of delay.
    pub queue: usize,
}

impl Default for LinkConfig {
    fn default() -> Self {
        Self {
            rate: None,
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            loss: Chance::NEVER,
            corruption: Chance::NEVER,
            reordered: Chance::NEVER,
            reordering: Duration::ZERO,
            mtu: 1_500,
            queue: 256 << 10,
        }
    }
}

/// What IPv4 and UDP add to a datagram's payload, in bytes.
pub const HEADERS: usize = 28;

/// Whether a link takes packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It does.
    Up,
    /// Every packet is dropped. What was sent before still arrives.
    Down,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It arrives.
    Delivered {
        /// When, in the time of [`Link::send`]'s `now`.
        at: Duration,
        /// The byte that the wire changed, if it did.
        corruption: Option<Corruption>,
    },
    /// It never arrives.
    Dropped(DropReason),
}

/// Why a packet never arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// The link was down.
    Down,
    /// It is above the link's MTU.
    TooLarge,
    /// No room in the queue.
    QueueFull,
    /// The wire lost it.
    Lost,
}

/// One changed byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corruption {
    /// Its index in the packet.
    pub index: usize,
    /// The bits that flip; never 0.
    pub mask: u8,
}

impl Corruption {
    /// Changes the byte. Does nothing to a packet that is too short to have it.
    pub fn apply(self, packet: &mut [u8]) {
        if let Some(byte) = packet.get_mut(self.index) {
            *byte ^= self.mask;
        }
    }
}

/// Sets the chance of reordering apart from the others.
const SHUFFLE: u64 = 0x7265_6f72_6465_7200;

/// One direction of a link: ask [`Link::send`] about each packet in the order in which they are sent.
///
/// ```
/// use std::time::Duration;
/// use kwik_sim::link::{DropReason, Fate, Link, LinkConfig, Rate};
///
/// // 8 Mbit/s are 1 byte per microsecond.
/// let config = LinkConfig {
///     rate: Some(Rate::mbit(8)),
///     delay: Duration::from_millis(5),
///     queue: 1_500,
///     ..LinkConfig::default()
/// };
/// let mut link = Link::new(config, 7);
/// let now = Duration::ZERO;
/// let arrives = |micros| Fate::Delivered { at: Duration::from_micros(micros), corruption: None };
/// assert_eq!(link.send(now, 1_000), arrives(6_000));
/// assert_eq!(link.send(now, 1_000), arrives(7_000)); // waits for the first
/// assert_eq!(link.send(now, 1_000), Fate::Dropped(DropReason::QueueFull));
/// ```
#[derive(Clone, Debug)]
pub struct Link {
    config: LinkConfig,
    condition: Condition,
    dice: Dice,
    /// Decides about reordering alone, so that a link without it draws what it drew before there was any.
    shuffle: Dice,
    /// When the transmitter has sent everything that it was given.
    free_at: Duration,
    /// Packets that were given to the transmitter: when each leaves it, and its size. At most one per byte of the
    /// queue, and one.
    waiting: VecDeque<(Duration, usize)>,
    waiting_bytes: usize,
    /// The arrival of the last packet that kept its place: none that is sent later arrives before it.
    last_arrival: Duration,
}

impl Link {
    /// A link that is up and empty. `seed` alone decides about loss, corruption, jitter and reordering.
    pub fn new(config: LinkConfig, seed: u64) -> Self {
        Self {
            config,
            condition: Condition::Up,
            dice: Dice::new(seed),
            shuffle: Dice::new(seed ^ SHUFFLE),
            free_at: Duration::ZERO,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            last_arrival: Duration::ZERO,
        }
    }

    /// What the link is like now.
    pub fn config(&self) -> LinkConfig {
        self.config
    }

    /// Changes the link for the packets that are sent from now on. What was sent before arrives as it was promised;
    /// what waits for the transmitter keeps its place.
    pub fn set_config(&mut self, config: LinkConfig) {
        self.config = config;
    }

    /// Whether it takes packets.
    pub fn condition(&self) -> Condition {
        self.condition
    }

    /// Takes the link down, or up again.
    pub fn set_condition(&mut self, condition: Condition) {
        self.condition = condition;
    }

    /// Sends a datagram with `length` bytes of payload and says what becomes of it. `now` counts from any fixed moment and must not
    /// go back; where it does, the transmitter goes on from where it was.
    pub fn send(&mut self, now: Duration, length: usize) -> Fate {
        if self.condition == Condition::Down {
            return Fate::Dropped(DropReason::Down);
        }
        if length + HEADERS > self.config.mtu.into() {
            return Fate::Dropped(DropReason::TooLarge);
        }
        // Drawn for every packet that the link takes up, whatever becomes of it: a change of one chance must not
        // shift what the others decide.
        let (lost, corruption) = (self.dice.roll(self.config.loss), self.corruption(length));
        let jitter = self.dice.up_to(self.config.jitter);
        let (reordered, late) =
            (self.shuffle.roll(self.config.reordered), self.shuffle.up_to(self.config.reordering));
        let Some(sent) = self.transmit(now, length) else {
            return Fate::Dropped(DropReason::QueueFull);
        };
        if lost {
            return Fate::Dropped(DropReason::Lost);
        }
        let at = (sent + self.config.delay + jitter).max(self.last_arrival);
        self.last_arrival = at;
        let late = if reordered { late } else { Duration::ZERO };
        Fate::Delivered { at: at + late, corruption }
    }

    /// Bytes that wait for the transmitter at `now`, the packet that is on it included.
    pub fn backlog(&mut self, now: Duration) -> usize {
        while let Some((_, length)) = self.waiting.pop_front_if(|(leaves, _)| *leaves <= now) {
            self.waiting_bytes -= length;
        }
        self.waiting_bytes
    }

    /// When the packet's last bit leaves the transmitter; `None` if the queue has no room for it.
    fn transmit(&mut self, now: Duration, length: usize) -> Option<Duration> {
        let backlog = self.backlog(now);
        let Some(rate) = self.config.rate else {
            return Some(now.max(self.free_at));
        };
        let on_transmitter = self.waiting.front().map_or(0, |(_, length)| *length);
        if backlog > 0 && backlog - on_transmitter + length > self.config.queue {
            return None;
        }
        self.free_at = now.max(self.free_at) + rate.time_for(length);
        self.waiting.push_back((self.free_at, length));
        self.waiting_bytes += length;
        Some(self.free_at)
    }

    fn corruption(&mut self, length: usize) -> Option<Corruption> {
        let (hit, place, mask) =
            (self.dice.roll(self.config.corruption), self.dice.next(), self.dice.next());
        if !hit || length == 0 {
            return None;
        }
        let index = (place % length as u64) as usize;
        Some(Corruption { index, mask: (mask % 255) as u8 + 1 })
    }
}

#[cfg(test)]
mod tests;
