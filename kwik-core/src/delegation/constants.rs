//! The numbers that steer: what a decision depends on, at the primary and at the client.
//!
//! With six of [`DelegationConfig`](super::DelegationConfig) there are 25. Halves, quarters, and what follows from another
//! number are not counted. Bounds of memory and of waiting are not among them; they stand where they are kept.

use std::time::Duration;

// Numbers that mean the same in several places.

/// Bytes that say nothing: a few packets. So many may wait behind a lost one and are gone with each move (measured: 9 KB
/// at 10 % of loss), a late range that delivered no more stands still, a copy of fewer is not worth its order, and a slow
/// path is left so many fewer at the end. Fewer: single bytes keep a reader for ever; more: short ranges are not repaired.
pub(crate) const FEW_PACKETS: u64 = 16 << 10;

/// How much sooner somebody else has to be, times, where a decision costs redundant bytes or throws some away: twice, as
/// rates under loss differ from moment to moment. Less: ranges are moved from one to the other and never come (measured:
/// 10 % of loss on three links, 62 s for 6 MiB); more: the reader stands at slow ranges.
pub(crate) const SOONER: f64 = 2.0;

/// How long a path that owes bytes may deliver none. Shorter: one burst of loss costs a path all its ranges, or looks like a
/// crawl; longer: the reader meets each range of a hung disk one by one.
pub(crate) const SILENCE: Duration = Duration::from_millis(250);

/// What is no accident any more: times that somebody was late with the same byte, after which the patience with a head does not
/// double again; turns of the control loop without growth that end growth (as in BBR's start-up), or without a byte
/// that make a silence; ranges in a row that a source broke off before it is not asked again for the resource; horizons that
/// a rate covers at most, for the sake of its bytes. Less: noise decides; more: what is broken is asked for longer.
pub(crate) const THRICE: u32 = 3;

/// What a reader notices. Patience with a head ends here at the latest, and a byte that nobody promised is asked for of
/// somebody who has enough to do. Shorter: every burst of streams gives sources more than they should have; longer: the
/// reader waits for nothing.
pub(crate) const NOTICED: Duration = Duration::from_millis(500);

/// Half of a silence in bytes: the longest frame of a contribution. As much is the smallest range, and what the primary
/// averages a rate over at least, where it comes within three horizons. Less: a lost packet of a slow path holds back what
/// came behind it, and then it looks fast for a moment (measured: 4 Mbit/s beside two of 40, 1 of 60 downloads had its last 1 %
/// over its bound), and orders are many; more: a path that became slow is noticed later, and holds more of the head.
pub(crate) const FRAME: u64 = 64 << 10;

/// A quarter more than was reckoned: what is kept outstanding, what counts as growth, how long a head is waited for beyond a
/// round trip, and what a path must have to send before a range for that not to be begun when a new order arrives. Less: a path
/// idles while its next order travels, and what is under way is called late; more: queues, and patience with the dead.
pub(crate) const MORE: f64 = 1.25;

/// How many times as slow a path or a range is that is taken to be stopped rather than slow: one that idles is tried again, and
/// the rest of a head is copied by what came of itself (its path may be at work on other ranges too). Less: slow paths
/// have a range under way all the time that others could bring; more: a crawl is waited for.
pub(crate) const STOPPED: f64 = 8.0;

/// What is no matter of the network any more: a range without a byte is late wherever it lies, a path without work has an
/// outdated rate. Shorter: long queues look like faults; longer: hung ranges are met by the reader.
pub(crate) const LONG: Duration = Duration::from_secs(1);

/// The shortest stall that counts ([`stall`](crate::stall)). So much sooner somebody else has to be where a reader waits; so much later than
/// it was set a timer fires in a process that was stopped; and a path of which nothing is known, where the primary's round trip
/// is not known either, is taken to be so far away. Shorter: redundant bytes for what no reader notices, dials that count as
/// overdue before they could end, and a busy machine's timers start all clocks again; longer: the reader stalls.
pub(crate) const SHORTEST_STALL: Duration = Duration::from_millis(50);

/// Least busy time over which a rate is averaged, or a round trip. Shorter: the bursts of one congestion window count as a
/// rate; longer: a path that became slow is noticed later.
pub(crate) const RATE_HORIZON: Duration = Duration::from_millis(60);

// What the primary reckons with.

/// What a growing path may have outstanding, in turns at its measured rate: it doubles in a turn, and the measurement is a turn
/// old. More only waits, behind the reader's window, for a path that has not grown.
pub(super) const GROWTH: f64 = 2.0 * 2.0;

/// Round trips until the first byte from a path that is still being dialled: handshake, admission, request. The protocol has so
/// many; it is no choice.
pub(super) const DIAL_TURNS: u32 = 3;

/// Time that a dial may take beyond twice what the round trips explain: starting up, on both ends, without a stall that counts at either.
pub(super) const DIAL_GRACE: Duration = SHORTEST_STALL.saturating_mul(2);

/// How much more than reckoned is left to faster sources (as the margins of ECF and BLEST): the rate of a slow path is known
/// least well. Less: its ranges end just after the reader got there; more: they end far beyond, or have no place in the
/// window.
pub(super) const MARGIN: f64 = 1.1;

/// Ranges of the smallest size that must wait on a stream for one of them to be given on trial.
pub(super) const TRIAL_DISTANCE: u64 = 32;

/// Ranges that a source is asked for at a time though it has enough to do. More: where there are many streams a slow source
/// has all of them to do, and none that joins can help; fewer: streams wait for each other.
pub(super) const EXTRAS: usize = 16;

/// Seconds that a decision must save at least which costs nothing or the end game's part. Less: orders for what nobody
/// notices.
pub(super) const WORTH_AN_ORDER: f64 = 0.01;

/// The part of the bucket that the end game may take. More: the copies of the last second cost a long transfer all that it
/// saved for late ranges. Less: the last bytes of a slow path, 0.5 MB in a transfer of 64 MB, can't be copied.
pub(super) const END_GAME_PART: f64 = 0.45;

/// The end game may have copied one byte in so many of a plan, or one piece.
pub(super) const END_GAME_OF_PLAN: u64 = 50;

/// How many times as long a late range is waited for where more was wasted than there was to waste: twice as much as
/// [`SOONER`], since all that its path has under way may be lost.
pub(super) const OVERDRAWN: u32 = 2 * SOONER as u32;

/// How long a source that was late is not asked for what others are late with: until a range of it that hangs as well, and was
/// asked for when the first one was found late, is found late too. Shorter: of several that hang now and then the reader meets
/// one after the other; longer: who was late once has no part in repairing the others.
pub(super) const WARY: Duration = LONG.saturating_mul(2);

// What the client reckons with.

/// Least patience with a head. Shorter: the timers and acknowledgements of an idle machine look like loss.
pub(crate) const LEAST_PATIENCE: Duration = Duration::from_millis(20);

/// What the wait for one move of a head counts at most: a silence is the head clock's business.
pub(crate) const LONGEST_STEP: Duration = SHORTEST_STALL.saturating_mul(2);

/// What the primary is taken to send of its own while nothing was measured, in bytes per second: 1 Mbit/s. Nothing: where
/// there is one secondary it may send a byte at a time for ever; much: an honest one that is slow is copied.
pub(crate) const PRIMARY_RATE: u64 = 125_000;
