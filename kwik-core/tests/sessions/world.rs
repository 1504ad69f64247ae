//! The cores and their applications, joined by the network.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kwik_core::session::{ClientSession, PrimarySession, SessionConfig};
use kwik_core::time::Instant;
use kwik_proto::frame::{CarrierKind, StreamHeader};
use kwik_proto::{ByteRange, DelegationId, Epoch, Offset, PathId, SessionId, StreamId};

use crate::client::ClientEnd;
use crate::network::{Channel, Event, Network};
use crate::plan::{Fate, Plan};
use crate::primary::PrimaryEnd;
use crate::secondary::Server;

pub(crate) const SESSION: SessionId = SessionId([7; 16]);
/// Frames of contributions and public streams have at most so many bytes here.
const MAX_FRAME: u64 = 16 << 10;
/// Nothing takes longer: gap timeout and teardown have passed several times.
const LIMIT: Duration = Duration::from_secs(120);
/// What is left over then is left over for good: the longest timer is the linger's.
const AFTERMATH: Duration = Duration::from_secs(40);

pub(crate) struct World {
    pub plan: Plan,
    pub network: Network,
    pub client: ClientEnd,
    pub primary: Option<PrimaryEnd>,
    pub servers: Vec<Server>,
    /// By index in the plan.
    pub ids: BTreeMap<usize, StreamId>,
    pub next_carrier: u64,
    /// Carriers whose sender stopped, or was stopped.
    pub cancelled: BTreeSet<(PathId, u64)>,
    armed: Option<Instant>,
    /// Differences between copies that the client found.
    pub conflicts: u64,
    pub broken: Option<String>,
}

impl World {
    pub(crate) fn new(plan: Plan) -> Self {
        let config = SessionConfig { conflict_policy: plan.policy, ..SessionConfig::default() };
        let primary = "192.0.2.1:4433".parse().unwrap();
        let core = ClientSession::new(config, primary, [1; 32], plan.seed);
        let servers = plan.servers.iter().map(|_| Server::default()).collect();
        Self {
            network: Network::new(&plan),
            client: ClientEnd::new(core),
            primary: None,
            servers,
            ids: BTreeMap::new(),
            next_carrier: 7,
            cancelled: BTreeSet::new(),
            armed: None,
            conflicts: 0,
            broken: None,
            plan,
        }
    }

    /// Runs until every stream is over at both ends, then until nothing more can happen.
    pub(crate) fn run(&mut self) -> Result<(), String> {
        self.set_up();
        let mut over_since = None;
        loop {
            let Some(event) = self.network.next() else { break };
            let elapsed = self.network.now.elapsed();
            if over_since.is_none() && elapsed > LIMIT {
                return Err(self.describe("still not over"));
            }
            if over_since.is_some_and(|since: Duration| elapsed > since + AFTERMATH) {
                break;
            }
            self.step(event);
            self.drain();
            self.arm();
            if let Some(text) = self.broken.take() {
                return Err(self.describe(&text));
            }
            if over_since.is_none() && self.is_over() {
                over_since = Some(elapsed);
            }
        }
        if over_since.is_none() {
            return Err(self.describe("nothing left to happen"));
        }
        self.check_leftovers()
    }

    fn set_up(&mut self) {
        for (index, stream) in self.plan.streams.clone().into_iter().enumerate() {
            let opens = Instant::from_start(stream.opens_at);
            self.network.at(opens, Event::OpenStream(index));
            match stream.fate {
                Fate::Complete => {}
                Fate::Reset(after) => self.network.at(opens + after, Event::Reset(index)),
                Fate::Stop(after) => self.network.at(opens + after, Event::StopReading(index)),
            }
        }
        if let Some(at) = self.plan.primary_lost {
            self.network.at(Instant::from_start(at), Event::PrimaryLost);
        }
        self.drain();
    }

    fn describe(&self, text: &str) -> String {
        let log = self.network.log();
        let last = log[log.len().saturating_sub(60)..].join("\n");
        let reads: Vec<_> = self.client.describe();
        format!("{text}: {} at {}\n{last}", reads.join("; "), self.network.now)
    }

    fn is_over(&self) -> bool {
        let opened = self.client.core.is_closed() || self.ids.len() == self.plan.streams.len();
        let uploads = self.primary.as_ref().is_none_or(PrimaryEnd::is_over);
        opened && self.client.is_over() && uploads
    }

    fn check_leftovers(&mut self) -> Result<(), String> {
        let now = self.network.now;
        let client = &self.client.core;
        if client.promised_bytes() != 0 {
            return Err(self.describe(&format!("{} bytes promised", client.promised_bytes())));
        }
        if !client.is_idle() {
            return Err(self.describe("the client has streams left"));
        }
        if let Some(report) = client.paths().find(|report| report.contributions != 0) {
            return Err(self.describe(&format!("contributions are left on {report:?}")));
        }
        if let Some(primary) = &self.primary
            && !primary.core.is_idle()
        {
            return Err(self.describe("the primary has streams left"));
        }
        for (index, server) in self.servers.iter().enumerate() {
            let counts = server.session.as_ref().map(|session| session.counts());
            if counts.is_some_and(|counts| counts != (0, 0)) && self.primary.is_some() {
                let text = format!("server {index} has {counts:?} left");
                return Err(self.describe(&text));
            }
        }
        let _ = now;
        Ok(())
    }

    fn arm(&mut self) {
        let now = self.network.now;
        let primary = self.primary.as_ref().and_then(|primary| primary.core.poll_timeout());
        let due = [self.client.core.poll_timeout(), primary].into_iter().flatten().min();
        let Some(at) = due.map(|at| at.max(now + Duration::from_micros(10))) else { return };
        if self.armed.is_none_or(|armed| at < armed || armed <= now) {
            self.armed = Some(at);
            self.network.at(at, Event::Wake);
        }
    }

    fn step(&mut self, event: Event) {
        let now = self.network.now;
        match event {
            Event::ToClient(path, epoch, frame) => self.reach_client(path, epoch, frame),
            Event::ToPrimary(frame) => self.reach_primary(frame),
            Event::ToSecondary(index, epoch, frame) => self.reach_secondary(index, epoch, frame),
            Event::Dialled(path, epoch) => self.handle_dialled(path, epoch),
            Event::Lost(path, epoch) => self.lose(path, epoch),
            Event::PrimaryLost => self.lose_primary(),
            Event::Header(path, epoch, carrier, header) => {
                self.handle_header(path, epoch, carrier, header);
            }
            Event::Chunk(path, epoch, carrier, range) => {
                self.handle_chunk(path, epoch, carrier, range);
            }
            Event::Fin(carrier, size) => self.handle_fin(carrier, size),
            Event::End(path, epoch, carrier, end) => self.handle_end(path, epoch, carrier, end),
            Event::Sent(path, epoch, carrier, sent) => self.handle_sent(path, epoch, carrier, sent),
            Event::Stop(path, carrier) => self.handle_stop(path, carrier),
            Event::Upload(id, offset, data, fin) => self.handle_upload(id, offset, data, fin),
            Event::OpenStream(index) => self.open(index),
            Event::Reset(index) => self.reset(index),
            Event::StopReading(index) => self.stop_reading(index),
            Event::Remove(index) => self.remove(index),
            Event::Read(id) => self.read(id),
            Event::PrimaryRead(id) => self.primary_read(id),
            Event::Wake => {
                self.client.core.handle_timeout(now);
                if let Some(primary) = &mut self.primary {
                    primary.core.handle_timeout(now);
                }
            }
        }
    }

    /// Carries every core's outputs out until nobody has any.
    pub(crate) fn drain(&mut self) {
        loop {
            let mut idle = true;
            while let Some(output) = self.client.core.poll_output(self.network.now) {
                idle = false;
                self.client_output(output);
            }
            let now = self.network.now;
            while let Some(output) =
                self.primary.as_mut().and_then(|primary| primary.core.poll_output(now))
            {
                idle = false;
                self.primary_output(output);
            }
            for index in 0..self.servers.len() {
                while let Some(output) = self.servers[index].poll_output() {
                    idle = false;
                    self.secondary_output(index, output);
                }
            }
            if idle {
                return;
            }
        }
    }

    /// Sends a range as one contribution, at about 10 MB/s; breaks off after `stop` bytes.
    pub(crate) fn contribute(
        &mut self,
        path: PathId,
        epoch: Epoch,
        stream: StreamId,
        delegation: DelegationId,
        range: ByteRange,
        stop: Option<u64>,
    ) -> u64 {
        let carrier = self.next_carrier;
        self.next_carrier += 4;
        let channel = Channel::Carrier(path, carrier);
        let header = StreamHeader {
            stream,
            kind: CarrierKind::Contribution,
            delegation: Some(delegation),
            promised: Some(range),
        };
        self.network.travel(channel, Duration::ZERO, Event::Header(path, epoch, carrier, header));
        let end = stop.map_or(range.end(), |bytes| range.start().saturating_add(bytes));
        let (mut at, mut sent) = (range.start(), Duration::ZERO);
        while at < end {
            let length = end.since(at).min(1 + self.network.dice.roll(MAX_FRAME));
            let piece = ByteRange::with_length(at, length).unwrap();
            sent += Duration::from_nanos(length * 100);
            self.network.travel(channel, sent, Event::Chunk(path, epoch, carrier, piece));
            at = piece.end();
        }
        let whole = stop.is_none();
        let done = self.network.now + sent;
        self.network.at(done, Event::Sent(path, epoch, carrier, whole));
        carrier
    }

    pub(crate) fn size_of(&self, id: StreamId) -> Option<(usize, u64, u64)> {
        let (index, _) = self.ids.iter().find(|(_, known)| **known == id)?;
        let plan = &self.plan.streams[*index];
        Some((*index, plan.download, plan.upload))
    }

    pub(crate) fn fail(&mut self, text: String) {
        self.broken.get_or_insert(text);
    }
}

pub(crate) fn offset(value: u64) -> Offset {
    Offset::new(value).unwrap()
}

pub(crate) fn range(start: u64, end: u64) -> ByteRange {
    ByteRange::new(offset(start), offset(end)).unwrap()
}

/// The plan's server of a secondary path.
pub(crate) fn index_of(path: PathId) -> usize {
    usize::from(path.value()) - 1
}

/// The path of the plan's server: the primary adds them in order.
pub(crate) fn path_of(index: usize) -> PathId {
    PathId::new(index as u16 + 1)
}

/// The core's counterpart of what the primary's application had.
pub(crate) type Primary = PrimarySession;
