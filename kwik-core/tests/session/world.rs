//! The simulated world: cores, channels, and servers that misbehave by plan.

mod client;
mod servers;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use kwik_core::delegation::{Candidates, Local};
use kwik_core::session::client::{CarrierEnd, Output as ClientOutput, Routed};
use kwik_core::session::primary::{Output as PrimaryOutput, PathSpec};
use kwik_core::session::secondary::Output as SecondaryOutput;
use kwik_core::session::{
    ClientSession, PrimarySession, SecondarySession, SessionConfig, StreamAction,
};
use kwik_core::stream::{Read, ReceiveHalf, SendHalf, SourceKey};
use kwik_core::time::Instant;
use kwik_proto::frame::{
    AddPath, CarrierKind, ControlFrame, Delegation, ErrorCode, GapReason, Orders, ServerIdentity,
    SignedOrders, StreamHeader,
};
use kwik_proto::{ByteRange, DelegationId, Epoch, Offset, PathId, SessionId, StreamId, StreamKind};

/// What a secondary does with its orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    Honest,
    /// Refuses everything.
    Refuses,
    /// Accepts and sends nothing.
    Hangs,
    /// Breaks every other contribution off in the middle.
    Breaks,
    /// Its connection is lost at that time.
    Dies(Duration),
    /// Can't be reached.
    Unreachable,
}

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub seed: u64,
    pub size: u64,
    pub head: u64,
    pub primary_delay: Duration,
    pub secondaries: Vec<(Manner, Duration)>,
}

/// A generator that needs no crate: xorshift64*.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % sides.max(1)
    }
}

impl Plan {
    pub(crate) fn random(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let count = dice.roll(5);
        let secondaries = (0..count)
            .map(|_| {
                let manner = match dice.roll(9) {
                    0 => Manner::Refuses,
                    1 => Manner::Hangs,
                    2 => Manner::Breaks,
                    3 => Manner::Dies(Duration::from_millis(dice.roll(300))),
                    4 => Manner::Unreachable,
                    _ => Manner::Honest,
                };
                (manner, Duration::from_millis(1 + dice.roll(40)))
            })
            .collect();
        Self {
            seed,
            size: dice.roll(1 << dice_bits(seed)),
            head: dice.roll(64 << 10),
            primary_delay: Duration::from_millis(1 + dice.roll(60)),
            secondaries,
        }
    }
}

/// Mostly small streams, some of many ranges.
fn dice_bits(seed: u64) -> u64 {
    [14, 16, 17, 18, 18, 18, 19, 20][(seed % 8) as usize]
}

fn byte(offset: u64) -> u8 {
    (offset.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

fn bytes(range: ByteRange) -> Bytes {
    (range.start().value()..range.end().value()).map(byte).collect::<Vec<_>>().into()
}

/// What travels.
#[derive(Debug)]
enum Event {
    ToClient(PathId, Epoch, ControlFrame),
    ToPrimary(ControlFrame),
    ToSecondary(usize, Epoch, ControlFrame),
    Dialled(PathId, Epoch),
    Lost(PathId, Epoch),
    Header(PathId, Epoch, u64, StreamHeader),
    Chunk(PathId, Epoch, u64, Offset, Bytes),
    Fin(PathId, u64, Offset),
    End(PathId, u64, CarrierEnd),
    Read,
    Wake,
}

struct Server {
    manner: Manner,
    delay: Duration,
    epoch: Epoch,
    session: Option<SecondarySession>,
    broken: u64,
}

/// How a carrier's bytes get to the client's half.
struct Feed {
    stream: StreamId,
    source: SourceKey,
}

pub(crate) struct World {
    plan: Plan,
    dice: Dice,
    now: Instant,
    queue: BinaryHeap<Reverse<(Instant, u64, usize)>>,
    events: BTreeMap<usize, Event>,
    last: BTreeMap<(u8, PathId, u64), Instant>,
    sequence: u64,
    armed: Option<Instant>,
    reading: bool,
    client: ClientSession,
    halves: BTreeMap<StreamId, ReceiveHalf>,
    feeds: BTreeMap<(PathId, u64), Feed>,
    primary: Option<PrimarySession>,
    sends: BTreeMap<StreamId, SendHalf>,
    servers: Vec<Server>,
    next_carrier: u64,
    stream: StreamId,
    read: u64,
    finished: bool,
    announced_header: bool,
    log: Vec<String>,
    keep_log: bool,
}

const SESSION: SessionId = SessionId([7; 16]);

impl World {
    pub(crate) fn new(plan: Plan) -> Self {
        let primary: SocketAddr = "192.0.2.1:4433".parse().unwrap();
        let client = ClientSession::new(SessionConfig::default(), primary, [1; 32], plan.seed);
        let servers = plan
            .secondaries
            .iter()
            .map(|(manner, delay)| Server {
                manner: *manner,
                delay: *delay,
                epoch: Epoch(0),
                session: None,
                broken: 0,
            })
            .collect();
        Self {
            dice: Dice::new(plan.seed ^ 0xabcd),
            now: Instant::ZERO,
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            last: BTreeMap::new(),
            sequence: 0,
            armed: None,
            reading: false,
            client,
            halves: BTreeMap::new(),
            feeds: BTreeMap::new(),
            primary: None,
            sends: BTreeMap::new(),
            servers,
            next_carrier: 3,
            stream: StreamId::from_wire(0).unwrap(),
            read: 0,
            finished: false,
            announced_header: false,
            log: Vec::new(),
            keep_log: false,
            plan,
        }
    }

    pub(crate) fn keep_log(&mut self) {
        self.keep_log = true;
    }

    pub(crate) fn log(&self) -> &[String] {
        &self.log
    }

    /// Runs until the reader has everything, or 60 simulated seconds are over.
    pub(crate) fn run(&mut self) -> Result<(), String> {
        self.stream = self.client.open_stream(StreamKind::Bidirectional).unwrap();
        self.drain();
        self.read_later();
        let limit = Instant::from_start(Duration::from_secs(60));
        while !self.finished {
            let Some(Reverse((at, _, key))) = self.queue.pop() else {
                return Err(format!(
                    "nothing left to happen, {} of {} read",
                    self.read, self.plan.size
                ));
            };
            if at > limit {
                return Err(format!("60 s and {} of {} read", self.read, self.plan.size));
            }
            self.now = self.now.max(at);
            let event = self.events.remove(&key).unwrap();
            // Formatting every event would cost more than the run itself.
            if self.keep_log && !matches!(event, Event::Wake | Event::Read) {
                self.log.push(format!("{} {event:?}", self.now));
            }
            self.step(event)?;
            self.drain();
            self.arm();
        }
        self.check_end()
    }

    fn check_end(&mut self) -> Result<(), String> {
        if self.read != self.plan.size {
            return Err(format!("ended after {} of {}", self.read, self.plan.size));
        }
        if self.client.promised_bytes() != 0 {
            return Err(format!("{} bytes are still promised", self.client.promised_bytes()));
        }
        Ok(())
    }

    fn schedule(&mut self, at: Instant, event: Event) {
        self.sequence += 1;
        let key = self.sequence as usize;
        self.events.insert(key, event);
        self.queue.push(Reverse((at, self.sequence, key)));
    }

    /// In order with everything else on the same channel.
    fn travel(&mut self, channel: (u8, PathId, u64), delay: Duration, event: Event) {
        let jitter = Duration::from_micros(self.dice.roll(3_000));
        let at = self.now + delay + jitter;
        let at = self.last.get(&channel).map_or(at, |last| at.max(*last + Duration::from_nanos(1)));
        self.last.insert(channel, at);
        self.schedule(at, event);
    }

    fn arm(&mut self) {
        let primary = self.primary.as_ref().and_then(PrimarySession::poll_timeout);
        let due = [self.client.poll_timeout(), primary].into_iter().flatten().min();
        let Some(at) = due.map(|at| at.max(self.now + Duration::from_micros(10))) else { return };
        if self.armed.is_none_or(|armed| at < armed || armed <= self.now) {
            self.armed = Some(at);
            self.schedule(at, Event::Wake);
        }
    }

    fn delay(&self, path: PathId) -> Duration {
        match path.value() {
            0 => self.plan.primary_delay,
            number => self.servers[usize::from(number) - 1].delay,
        }
    }

    fn step(&mut self, event: Event) -> Result<(), String> {
        let now = self.now;
        match event {
            Event::ToClient(path, epoch, frame) => {
                self.client.handle_control(path, epoch, frame, now);
            }
            Event::ToPrimary(frame) => self.reach_primary(frame),
            Event::ToSecondary(index, epoch, frame) => self.reach_secondary(index, epoch, frame),
            Event::Dialled(path, epoch) => {
                let server = &self.servers[usize::from(path.value()) - 1];
                if server.manner == Manner::Unreachable {
                    let code = ErrorCode::Unreachable;
                    self.client.handle_lost(path, epoch, code, "no answer", now);
                } else {
                    self.client.handle_connected(path, epoch, [2; 64], now);
                    let rtt = server.delay * 2;
                    self.client.handle_path_rtt(path, rtt, rtt / 4, now);
                    if let Manner::Dies(after) = server.manner {
                        self.schedule(now + after, Event::Lost(path, epoch));
                    }
                }
            }
            Event::Lost(path, epoch) => {
                let index = usize::from(path.value()) - 1;
                if self.servers[index].epoch == epoch {
                    self.servers[index].session = None;
                }
                let carriers: Vec<u64> =
                    self.feeds.keys().filter(|(of, _)| *of == path).map(|(_, id)| *id).collect();
                for carrier in carriers {
                    self.end(path, carrier, CarrierEnd::Lost);
                }
                self.client.handle_lost(path, epoch, ErrorCode::Unreachable, "lost", now);
            }
            Event::Header(path, epoch, carrier, header) => {
                self.header(path, epoch, carrier, header);
            }
            Event::Chunk(path, epoch, carrier, offset, payload) => {
                self.chunk(path, epoch, carrier, offset, payload)?;
            }
            Event::Fin(path, carrier, size) => {
                if let Some(feed) = self.feeds.get(&(path, carrier)) {
                    let half = self.halves.get_mut(&feed.stream).unwrap();
                    half.handle_fin(feed.source, size).map_err(|error| error.to_string())?;
                    self.service(self.stream);
                }
            }
            Event::End(path, carrier, end) => self.end(path, carrier, end),
            Event::Read => {
                self.reading = false;
                self.read()?;
            }
            Event::Wake => {
                self.client.handle_timeout(now);
                if let Some(primary) = &mut self.primary {
                    primary.handle_timeout(now);
                }
            }
        }
        Ok(())
    }

    /// Carries every core's outputs out until nobody has any.
    fn drain(&mut self) {
        loop {
            let mut idle = true;
            while let Some(output) = self.client.poll_output(self.now) {
                idle = false;
                self.client_output(output);
            }
            while let Some(output) =
                self.primary.as_mut().and_then(|primary| primary.poll_output(self.now))
            {
                idle = false;
                self.primary_output(output);
            }
            for index in 0..self.servers.len() {
                while let Some(output) =
                    self.servers[index].session.as_mut().and_then(SecondarySession::poll_output)
                {
                    idle = false;
                    self.secondary_output(index, output);
                }
            }
            if idle {
                return;
            }
        }
    }
}
