//! Virtual time, and channels that keep their order but not that between them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use bytes::Bytes;
use kwik_core::session::client::CarrierEnd;
use kwik_core::time::Instant;
use kwik_proto::frame::{ControlFrame, StreamHeader};
use kwik_proto::{ByteRange, Epoch, Offset, PathId, StreamId};

use crate::plan::{Dice, Plan};

/// What happens.
#[derive(Debug)]
pub(crate) enum Event {
    ToClient(PathId, Epoch, ControlFrame),
    ToPrimary(ControlFrame),
    ToSecondary(usize, Epoch, ControlFrame),
    Dialled(PathId, Epoch),
    Lost(PathId, Epoch),
    PrimaryLost,
    /// To the client, on a carrier: its first message.
    Header(PathId, Epoch, u64, StreamHeader),
    /// To the client, on a carrier.
    Chunk(PathId, Epoch, u64, ByteRange),
    Fin(u64, Offset),
    End(PathId, Epoch, u64, CarrierEnd),
    /// A server has given QUIC everything of a contribution.
    Sent(PathId, Epoch, u64, bool),
    /// STOP_SENDING reaches a server.
    Stop(PathId, u64),
    /// To the primary, on the public carrier of a stream.
    Upload(StreamId, Offset, Bytes, bool),
    OpenStream(usize),
    Reset(usize),
    StopReading(usize),
    Remove(usize),
    Read(StreamId),
    PrimaryRead(StreamId),
    Wake,
}

/// One direction of something that keeps its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Channel {
    ToServer(PathId),
    ToClient(PathId),
    Carrier(PathId, u64),
    Upload(StreamId),
}

impl Channel {
    fn path(self) -> PathId {
        match self {
            Channel::ToServer(path) | Channel::ToClient(path) | Channel::Carrier(path, _) => path,
            Channel::Upload(_) => PathId::PRIMARY,
        }
    }
}

/// The content of every stream, in each direction.
pub(crate) fn content(stream: StreamId, range: ByteRange) -> Bytes {
    (range.start().value()..range.end().value())
        .map(|at| byte(stream, at))
        .collect::<Vec<_>>()
        .into()
}

pub(crate) fn is_content(stream: StreamId, offset: u64, data: &[u8]) -> bool {
    data.iter().zip(offset..).all(|(got, at)| *got == byte(stream, at))
}

/// What a liar sends instead: of every three stretches one is wrong.
pub(crate) fn lie(stream: StreamId, range: ByteRange) -> Bytes {
    (range.start().value()..range.end().value())
        .map(|at| false_byte(stream, at))
        .collect::<Vec<_>>()
        .into()
}

/// Whether every byte is what an honest server or a liar sends.
pub(crate) fn is_content_or_lie(stream: StreamId, offset: u64, data: &[u8]) -> bool {
    data.iter()
        .zip(offset..)
        .all(|(got, at)| *got == byte(stream, at) || *got == false_byte(stream, at))
}

fn false_byte(stream: StreamId, offset: u64) -> u8 {
    let wrong = (offset / 3000).is_multiple_of(3);
    byte(stream, offset) ^ if wrong { 0x55 } else { 0 }
}

fn byte(stream: StreamId, offset: u64) -> u8 {
    ((offset ^ stream.value() << 40).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

pub(crate) struct Network {
    pub now: Instant,
    pub dice: Dice,
    queue: BinaryHeap<Reverse<(Instant, u64)>>,
    events: BTreeMap<u64, Event>,
    last: BTreeMap<Channel, Instant>,
    silences: BTreeMap<PathId, (Instant, Instant)>,
    delays: BTreeMap<PathId, Duration>,
    sequence: u64,
    /// What happened; `None`: nobody asked, and formatting it would cost most of the run.
    log: Option<Vec<String>>,
}

impl Network {
    pub(crate) fn new(plan: &Plan) -> Self {
        let mut silences = BTreeMap::new();
        let mut delays = BTreeMap::from([(PathId::PRIMARY, plan.primary_delay)]);
        for (index, server) in plan.servers.iter().enumerate() {
            let path = PathId::new(index as u16 + 1);
            delays.insert(path, server.delay);
            if let Some((from, length)) = server.silence {
                let from = Instant::from_start(from);
                silences.insert(path, (from, from + length));
            }
        }
        Self {
            now: Instant::ZERO,
            dice: Dice::new(plan.seed ^ 0xabcd),
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            last: BTreeMap::new(),
            silences,
            delays,
            sequence: 0,
            log: None,
        }
    }

    pub(crate) fn delay(&self, path: PathId) -> Duration {
        self.delays[&path]
    }

    pub(crate) fn at(&mut self, at: Instant, event: Event) {
        self.sequence += 1;
        self.events.insert(self.sequence, event);
        self.queue.push(Reverse((at, self.sequence)));
    }

    /// Sent `wait` from now; arrives in order with everything else on its channel, not while its path is silent.
    pub(crate) fn travel(&mut self, channel: Channel, wait: Duration, event: Event) {
        let path = channel.path();
        let jitter = Duration::from_micros(self.dice.roll(3_000));
        let mut at = self.now + wait + self.delay(path) + jitter;
        if let Some((from, until)) = self.silences.get(&path)
            && (*from..*until).contains(&at)
        {
            at = *until + jitter;
        }
        if let Some(last) = self.last.get(&channel) {
            at = at.max(*last + Duration::from_nanos(1));
        }
        self.last.insert(channel, at);
        self.at(at, event);
    }

    /// The next event; time moves to it.
    pub(crate) fn next(&mut self) -> Option<Event> {
        let Reverse((at, key)) = self.queue.pop()?;
        self.now = self.now.max(at);
        let event = self.events.remove(&key)?;
        if !matches!(event, Event::Wake | Event::Read(_) | Event::PrimaryRead(_)) {
            self.note(&event);
        }
        Some(event)
    }

    pub(crate) fn keep_log(&mut self) {
        self.log = Some(Vec::new());
    }

    fn note(&mut self, event: &Event) {
        if self.log.is_none() {
            return;
        }
        let mut text = format!("{event:?}");
        text.truncate(200);
        self.remark(|| text);
    }

    pub(crate) fn remark(&mut self, text: impl FnOnce() -> String) {
        if let Some(log) = &mut self.log {
            log.push(format!("{} {}", self.now, text()));
        }
    }

    pub(crate) fn log(&self) -> &[String] {
        self.log.as_deref().unwrap_or_default()
    }
}
