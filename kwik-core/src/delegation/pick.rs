//! The choice itself: who gets a range, how long it is, and where it lies.
//!
//! Plain functions of numbers, so that each rule can be checked against a table.

use kwik_proto::{ByteRange, Offset, PathId};

use super::config::DelegationConfig;
use super::constants::{FEW_PACKETS, MARGIN, SOONER};
use super::forecast::{Forecast, saves};

/// How a source compares with the others at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Standing {
    pub(super) path: PathId,
    /// When its bytes arrive.
    pub(super) forecast: Forecast,
    /// Length of its next range, before the plan's and the window's share limit it, in bytes.
    pub(super) size: u64,
    /// Whether it has less outstanding than it should have.
    pub(super) has_room: bool,
    /// It failed, and has not kept a promise since: trusted with little, and with nothing that the reader needs soon.
    pub(super) on_trial: bool,
    /// Its connection is not there yet.
    pub(super) dialing: bool,
}

/// What limits the length of ranges.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// Bytes of the window: from the reader's offset to its end.
    pub(super) window: u64,
    /// Bytes of the plan that nobody was asked for.
    pub(super) remaining: u64,
}

/// Length of the next range for `me`: half of what it keeps outstanding, at most its part of a quarter of the window, and
/// at most half of its share of what is left, so that ranges shrink as the end comes near. Never under the floor: then
/// fewer sources share the rest.
pub(super) fn length(
    me: &Standing,
    all: &[Standing],
    room: Room,
    config: &DelegationConfig,
) -> u64 {
    let sources = all.len().max(1) as u64;
    let mut len = me.size.min(room.window / (4 * sources));
    if config.switches.end_game {
        let rates: f64 = all.iter().map(|source| source.forecast.rate()).sum();
        let share = me.forecast.rate() / rates.max(1.0);
        len = len.min((room.remaining as f64 * share / 2.0) as u64);
    }
    len.clamp(config.floor, config.ceiling)
}

/// Bytes at the front of the pool that `me` leaves to faster sources, when its next range has `len` bytes.
///
/// A source that finishes later than the others could finish theirs takes what the reader reaches only then (ECF,
/// BLEST): everything that the others can deliver in the difference is left to them. Equals leave nothing to each other.
/// One that is still being dialled leaves the head to those that are there.
pub(super) fn leave_to_others(
    me: &Standing,
    len: u64,
    all: &[Standing],
    config: &DelegationConfig,
) -> u64 {
    if !config.switches.admission {
        return 0;
    }
    let mine = me.forecast.ordered(len);
    let others = || all.iter().filter(|other| other.path != me.path);
    let left: f64 = others()
        .map(|other| {
            // Who is not there yet may take long, or never come.
            let mine = if me.dialing && !other.dialing { mine * SOONER } else { mine };
            let theirs = other.forecast.ordered(other.size.min(len.max(config.floor)));
            (mine - theirs).max(0.0) * other.forecast.rate()
        })
        .sum();
    let least = len.max(config.floor);
    if me.dialing && others().any(|other| !other.dialing) {
        return (left as u64).max(least);
    }
    // Less than one range is within the error of the estimates; obeying it would only cut the pool into splinters.
    if left < least as f64 { 0 } else { (left * MARGIN) as u64 }
}

/// The first `len` bytes of the pool after leaving `skip` bytes of it; `None`: nothing is left there.
///
/// `pieces` are the pool's ranges in order, `floor` is the smallest piece worth leaving behind.
pub(super) fn place(
    pieces: impl Iterator<Item = ByteRange>,
    skip: u64,
    len: u64,
    floor: u64,
) -> Option<ByteRange> {
    let mut skip = skip;
    for piece in pieces {
        if piece.len() <= skip {
            skip -= piece.len();
            continue;
        }
        let start = aligned(piece, skip, floor);
        let rest = ByteRange::new(start, piece.end())?;
        if skip > 0 && rest.len() < floor / 2 {
            // A splinter, which is left to the others too.
            skip = skip.saturating_sub(piece.len());
            continue;
        }
        // A splinter behind the range would become an order of its own.
        let len = if rest.len() < len.saturating_add(floor / 2) { rest.len() } else { len };
        return ByteRange::with_length(start, len);
    }
    None
}

/// The point `skip` bytes into the piece, moved up to a multiple of `floor` if the piece reaches beyond it.
fn aligned(piece: ByteRange, skip: u64, floor: u64) -> Offset {
    let exact = piece.start().saturating_add(skip);
    if skip == 0 {
        return exact;
    }
    match Offset::new(exact.value().next_multiple_of(floor.max(1))) {
        Some(round) if round < piece.end() => round,
        _ => exact,
    }
}

/// The source that would deliver `len` new bytes first.
pub(super) fn soonest(all: &[Standing], len: u64) -> Option<&Standing> {
    all.iter().min_by(|a, b| a.forecast.ordered(len).total_cmp(&b.forecast.ordered(len)))
}

/// How many of the last `owed` bytes of `slow` the idle source `me` should copy so that both end at the same time, and a few
/// packets more, for one that is lost comes after all else; `None`: it would not be worth an order.
pub(super) fn end_game_share(me: &Forecast, slow: &Forecast, owed: u64) -> Option<u64> {
    let later = slow.owed(0, owed) - me.begins();
    // Each byte takes `slow` its time less, and `me` its time more.
    let share = later / (1.0 / slow.rate() + 1.0 / me.rate());
    let enough = share >= FEW_PACKETS as f64 && saves(share / slow.rate(), 0.0);
    enough.then_some(share as u64 + FEW_PACKETS)
}
