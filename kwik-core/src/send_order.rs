//! Which of a path's carriers hands its bytes to QUIC next, and which is written to next.
//!
//! QUIC shares a link among all streams that have bytes, so that of many ranges that are sent side by side the byte that the
//! reader needs first comes with the last. A path therefore hands QUIC little more than QUIC can send now, and that in the
//! reader's order. What was not handed over can be taken back for nothing, and what is more urgent overtakes it.

mod ahead;

#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kwik_proto::{Offset, StreamId};

/// Bytes that QUIC may have which it has not sent yet, beside a share of the congestion window: what an acknowledgement sets
/// free has to be there at once, or the path stands still until a carrier's task has run. Lower: the path starves. Higher: what
/// is urgent waits behind that much.
const BATCH: u64 = 64 << 10;

/// That share, as a divisor. One acknowledgement may free much of a large window.
const WINDOW_SHARE: u64 = 4;

/// What QUIC may have unsent where that is more than the share: what it sends in this time, at a window a round trip. Within a host a
/// round trip is shorter than the time in which a carrier's task is woken. (Measured over loopback, 1 GiB: with the share alone
/// three quarters of the rate.)
const WAKE_UP: Duration = Duration::from_millis(2);

/// The most of that: what QUIC buffers of one stream.
const MOST: u64 = 4 << 20;

/// The carriers of one path's connection that have bytes to send, in the order in which they may hand them to QUIC: urgent ones,
/// then streams by priority, equal ones by turns, byte for byte; of one stream the lowest offset first.
///
/// In that order their writers read, too: what waits for QUIC over all of them is bounded, and who is first may write
/// ([`may_write`](Self::may_write)).
///
/// Turns are those of start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996): each stream counts what it handed over,
/// and the one that has the least is next; who comes back does not get the turns that it did not take.
///
/// Holds one entry for each carrier that is open: QUIC's limit of streams bounds them.
///
/// ```
/// use kwik_core::send_order::SendOrder;
/// use kwik_proto::{Offset, StreamId};
///
/// let (stream, at) = (StreamId::from_wire(1).unwrap(), |offset| Offset::new(offset).unwrap());
/// let mut order = SendOrder::default();
/// order.open(7, stream);
/// order.open(11, stream);
/// let room = order.ask(7, at(1 << 20)).unwrap();
/// order.handed(7, room);
/// assert_eq!(order.ask(7, at(2 << 20)), None);
/// assert_eq!(order.ask(11, at(0)), None);
/// order.sent(7, room);
/// assert_eq!(order.next(), Some(11), "its offset is lower");
/// ```
#[derive(Debug)]
pub struct SendOrder {
    carriers: BTreeMap<u64, Carrier>,
    streams: BTreeMap<StreamId, Stream>,
    /// The streams with carriers that wait.
    turns: BTreeSet<Turn>,
    /// The urgent carriers that wait, whatever their streams.
    urgent: Waiting,
    /// What the stream that was served last had handed over before: who comes back starts here.
    round: u64,
    /// What QUIC may have beside a batch.
    ahead: u64,
    unsent: u64,
    /// What is written and was not handed over, and what writers are expected to write, of carriers whose bytes QUIC takes.
    written: u64,
    /// What may be.
    most_written: u64,
    /// The urgent carriers whose writers wait.
    urgent_writers: Waiting,
    writers: usize,
}

type Waiting = BTreeSet<(Offset, u64)>;

#[derive(Debug)]
struct Carrier {
    stream: StreamId,
    /// Bytes that QUIC took, headers included, as far as was told.
    handed: u64,
    /// Bytes that it has sent once: it may have sent what it took a moment ago before it was told that it had taken it.
    sent: u64,
    waits: Option<Offset>,
    urgent: bool,
    ahead: ahead::Ahead,
}

#[derive(Debug, Default)]
struct Stream {
    priority: i32,
    /// What it handed over, on the scale of [`SendOrder::round`].
    handed: u64,
    waiting: Waiting,
    carriers: usize,
    /// What is written of it and not handed over, as the order counts it.
    written: u64,
    /// Carriers whose writers wait.
    writers: Waiting,
}

type Turn = (Reverse<i32>, u64, StreamId);

impl Default for SendOrder {
    fn default() -> Self {
        Self {
            carriers: BTreeMap::new(),
            streams: BTreeMap::new(),
            turns: BTreeSet::new(),
            urgent: Waiting::new(),
            round: 0,
            ahead: 0,
            unsent: 0,
            written: 0,
            most_written: ahead::most(0),
            urgent_writers: Waiting::new(),
            writers: 0,
        }
    }
}

impl Carrier {
    fn unsent(&self) -> u64 {
        self.handed.saturating_sub(self.sent)
    }
}

impl SendOrder {
    /// A carrier for bytes of that stream. `carrier` is the id of its QUIC stream; one that is open stays as it is.
    pub fn open(&mut self, carrier: u64, stream: StreamId) {
        let ahead = ahead::Ahead::default();
        let entry = Carrier { stream, handed: 0, sent: 0, waits: None, urgent: false, ahead };
        if self.carriers.contains_key(&carrier) {
            return;
        }
        self.carriers.insert(carrier, entry);
        let round = self.round;
        let it = self.streams.entry(stream);
        it.or_insert_with(|| Stream { handed: round, ..Stream::default() }).carriers += 1;
    }

    /// The carrier is over: what QUIC has of it was acknowledged, or is not sent any more.
    pub fn close(&mut self, carrier: u64) {
        self.idle(carrier);
        self.close_writer(carrier);
        let Some(closed) = self.carriers.remove(&carrier) else { return };
        self.unsent -= closed.unsent();
        if let Some(stream) = self.streams.get_mut(&closed.stream) {
            stream.carriers -= 1;
            if stream.carriers == 0 {
                self.streams.remove(&closed.stream);
            }
        }
    }

    /// The stream's priority: of two that have bytes the higher one's go first. 0 is what a stream begins with, and goes back to
    /// when its last carrier is closed.
    pub fn set_priority(&mut self, stream: StreamId, priority: i32) {
        self.update(stream, |stream| stream.priority = priority);
    }

    /// The carrier's bytes go before all others of the path that are not urgent too: a reader waits for them. Call it before the
    /// first [`ask`](Self::ask).
    pub fn set_urgent(&mut self, carrier: u64) {
        if let Some(entry) = self.carriers.get_mut(&carrier) {
            entry.urgent = true;
        }
    }

    /// The carrier has bytes for that offset of its stream. How many it may hand over now; `None`: it waits until
    /// [`next`](Self::next) names it.
    pub fn ask(&mut self, carrier: u64, offset: Offset) -> Option<u64> {
        let entry = self.carriers.get_mut(&carrier)?;
        let (stream, before) = (entry.stream, entry.waits.replace(offset));
        self.unblock(carrier);
        if self.is_urgent(carrier) {
            before.map(|before| self.urgent.remove(&(before, carrier)));
            self.urgent.insert((offset, carrier));
            return (self.next() == Some(carrier)).then(|| self.limit() - self.unsent);
        }
        let round = self.round;
        self.update(stream, |stream| {
            if stream.waiting.is_empty() {
                stream.handed = stream.handed.max(round);
            }
            if let Some(before) = before {
                stream.waiting.remove(&(before, carrier));
            }
            stream.waiting.insert((offset, carrier));
        });
        (self.next() == Some(carrier)).then(|| self.limit() - self.unsent)
    }

    /// The carrier has nothing to hand over, or QUIC takes nothing of it.
    pub fn idle(&mut self, carrier: u64) {
        let Some(entry) = self.carriers.get_mut(&carrier) else { return };
        let Some(offset) = entry.waits.take() else { return };
        let stream = entry.stream;
        if self.urgent.remove(&(offset, carrier)) {
            return;
        }
        self.update(stream, |stream| {
            stream.waiting.remove(&(offset, carrier));
        });
    }

    fn is_urgent(&self, carrier: u64) -> bool {
        self.carriers.get(&carrier).is_some_and(|entry| entry.urgent)
    }

    /// QUIC has taken that many bytes of the carrier since it was opened, headers included. It does not wait any more.
    pub fn handed(&mut self, carrier: u64, total: u64) {
        self.idle(carrier);
        let Some(entry) = self.carriers.get_mut(&carrier) else { return };
        let (more, before) = (total.saturating_sub(entry.handed), entry.unsent());
        entry.handed += more;
        self.unsent = self.unsent - before + entry.unsent();
        // What is urgent goes out of turn.
        if let Some(stream) = self.streams.get(&entry.stream).filter(|_| !entry.urgent) {
            self.round = self.round.max(stream.handed);
        }
        let stream = entry.stream;
        self.update(stream, |stream| stream.handed += more);
    }

    /// QUIC has sent the carrier's bytes up to `end`, or did so again. They may be told as [`handed`](Self::handed) afterwards.
    pub fn sent(&mut self, carrier: u64, end: u64) {
        let Some(entry) = self.carriers.get_mut(&carrier) else { return };
        let before = entry.unsent();
        entry.sent = entry.sent.max(end);
        self.unsent = self.unsent - before + entry.unsent();
    }

    /// What QUIC says of the path: its congestion window, bytes, and the smoothed round-trip time.
    pub fn set_pace(&mut self, congestion_window: u64, round_trip: Duration) {
        let round_trip = round_trip.as_micros().max(1);
        let meanwhile = u128::from(congestion_window) * WAKE_UP.as_micros() / round_trip;
        let meanwhile = u64::try_from(meanwhile).unwrap_or(MOST).min(MOST);
        self.ahead = meanwhile.max(congestion_window / WINDOW_SHARE);
        self.most_written = ahead::most(congestion_window.max(self.ahead));
    }

    /// The carrier whose turn it is, if there is one that waits and QUIC has room: it is to [`ask`](Self::ask) again.
    pub fn next(&self) -> Option<u64> {
        // Half of the room at once: less would be a wake-up for each packet.
        if self.unsent > self.limit() / 2 {
            return None;
        }
        if let Some((_, carrier)) = self.urgent.first() {
            return Some(*carrier);
        }
        let (_, _, stream) = self.turns.first()?;
        let (_, carrier) = self.streams.get(stream)?.waiting.first()?;
        Some(*carrier)
    }

    /// Bytes that QUIC has and has not sent yet.
    pub fn unsent(&self) -> u64 {
        self.unsent
    }

    fn limit(&self) -> u64 {
        BATCH.saturating_add(self.ahead)
    }

    fn update(&mut self, id: StreamId, change: impl FnOnce(&mut Stream)) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        self.turns.remove(&(Reverse(stream.priority), stream.handed, id));
        change(stream);
        if !stream.waiting.is_empty() {
            self.turns.insert((Reverse(stream.priority), stream.handed, id));
        }
    }
}
