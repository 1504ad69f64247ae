//! A crude network in virtual time: one client, one primary, any number of servers, and faults.
//!
//! Each server has one link of fixed rate and delay that sends its ranges one after the other (or in turns). There is no
//! loss and no congestion control: what is under test is who is asked for what.

mod client;
mod lab;
mod outcome;
mod primary;
mod server;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use kwik_core::delegation::{Candidates, Decision, Event as Told, PathView, Scheduler};
use kwik_core::gap::{Arrival, GapAction, GapConfig, PathTiming, Promises, StreamView};
use kwik_core::interval::{RangeMap, RangeSet};
use kwik_core::time::Instant;
use kwik_proto::frame::{
    DelegationState, DelegationStatus, Gap, GapReason, HeldRange, PathState, PathStatus,
    StreamProgress,
};
use kwik_proto::{ByteRange, DelegationId, Offset, PathId, StreamId};

pub(crate) use lab::{Fault, Lab, Link, Order, link};
pub(crate) use outcome::Outcome;

/// Bytes that a link carries at once.
const CHUNK: u64 = 8 << 10;

pub(crate) const MBIT: u64 = 125_000;
pub(crate) const MB: u64 = 1_000_000;

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn range(start: u64, end: u64) -> ByteRange {
    ByteRange::new(Offset::new(start).unwrap(), Offset::new(end).unwrap()).unwrap()
}

#[derive(Clone, Debug)]
enum Message {
    Order { path: usize, id: DelegationId, range: ByteRange },
    Revoke { path: usize, id: DelegationId },
    Remove { path: usize },
    Answer { status: DelegationStatus },
    Reset { path: usize, id: DelegationId },
    Data { path: usize, id: DelegationId, range: ByteRange, promised: ByteRange },
    Progress(StreamProgress),
    Status(PathStatus),
    Gap(Gap),
    Window(Offset),
}

#[derive(Clone, Debug)]
enum Event {
    AtServer(usize, Message),
    AtClient(Message),
    AtPrimary(Message),
    Sent(usize, u64),
    Wake(usize, u64),
    Report,
    Timer,
    Ping,
    Fault(Fault),
    Connected(usize),
    Read,
}

struct Server {
    link: Link,
    jobs: VecDeque<(DelegationId, ByteRange, u64)>,
    sending: bool,
    dead: bool,
    frozen_until: Instant,
    hung_until: Instant,
    pending_until: Instant,
    refuses: Option<GapReason>,
    /// Counts restarts of the sender, so that an old event is known as such.
    turn: u64,
    held_back: Vec<Message>,
    waiting: Vec<DelegationId>,
}

struct PathAtClient {
    state: PathState,
    heard: Instant,
    suspect_since: Instant,
    epoch_reported: Option<PathStatus>,
}

struct World<'a> {
    lab: &'a Lab,
    now: Instant,
    queue: BinaryHeap<Reverse<(Instant, u64)>>,
    events: BTreeMap<(Instant, u64), Event>,
    next: u64,
    scheduler: Scheduler,
    promises: Promises,
    servers: Vec<Server>,
    paths: Vec<PathAtClient>,
    stream: StreamId,
    held: RangeMap<usize>,
    have: RangeSet,
    read: u64,
    /// What was read by the end of each second.
    by_second: Vec<u64>,
    window_told: u64,
    progress_due: bool,
    received: Vec<u64>,
    outage_until: Instant,
    stopped_until: Instant,
    stopped: Vec<Message>,
    pings: u64,
    last_read: Instant,
    stall: Duration,
    first_byte: Duration,
    ninety_nine: Option<Instant>,
    finished: Option<Instant>,
    gave_up: bool,
    missing: Option<(u64, u64)>,
    orders: u64,
    ordered: BTreeMap<DelegationId, ByteRange>,
    told: Vec<Told>,
    primary_timer: Option<Instant>,
    client_timer: Option<Instant>,
}

impl<'a> World<'a> {
    fn new(lab: &'a Lab) -> Self {
        let own = Link { rate: lab.local.1, rtt: lab.primary_rtt };
        let servers = std::iter::once(&own).chain(&lab.links).map(|link| Server {
            link: link.clone(),
            jobs: VecDeque::new(),
            sending: false,
            dead: false,
            frozen_until: Instant::ZERO,
            hung_until: Instant::ZERO,
            pending_until: Instant::ZERO,
            refuses: None,
            turn: 0,
            held_back: Vec::new(),
            waiting: Vec::new(),
        });
        let servers: Vec<Server> = servers.collect();
        let paths = (0..servers.len()).map(|path| PathAtClient {
            state: if path == 0 || lab.dialled { PathState::Live } else { PathState::Dialing },
            heard: Instant::ZERO,
            suspect_since: Instant::ZERO,
            epoch_reported: None,
        });
        Self {
            now: Instant::ZERO,
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            next: 0,
            scheduler: Scheduler::new(lab.config.clone(), lab.seed),
            promises: Promises::new(GapConfig::default()),
            paths: paths.collect(),
            received: vec![0; servers.len()],
            servers,
            stream: StreamId::from_wire(0).unwrap(),
            held: RangeMap::new(),
            have: RangeSet::new(),
            read: 0,
            by_second: Vec::new(),
            window_told: lab.window,
            progress_due: false,
            outage_until: Instant::ZERO,
            stopped_until: Instant::ZERO,
            stopped: Vec::new(),
            pings: 0,
            last_read: Instant::ZERO,
            stall: Duration::ZERO,
            first_byte: Duration::ZERO,
            ninety_nine: None,
            finished: None,
            gave_up: false,
            missing: None,
            orders: 0,
            ordered: BTreeMap::new(),
            told: Vec::new(),
            primary_timer: None,
            client_timer: None,
            lab,
        }
    }

    fn at(&mut self, when: Instant, event: Event) {
        self.next += 1;
        self.queue.push(Reverse((when, self.next)));
        self.events.insert((when, self.next), event);
    }

    fn after(&mut self, delay: Duration, event: Event) {
        self.at(self.now + delay, event);
    }

    fn run(mut self) -> Outcome {
        self.begin();
        while let Some(Reverse(key)) = self.queue.pop() {
            let Some(event) = self.events.remove(&key) else { continue };
            while self.by_second.len() < key.0.elapsed().as_secs() as usize {
                self.by_second.push(self.read);
            }
            self.now = key.0;
            if self.now.elapsed() > self.lab.limit || self.missing.is_some() {
                break;
            }
            self.handle(event);
            if self.finished.is_some() {
                break;
            }
        }
        self.outcome()
    }

    fn begin(&mut self) {
        let lab = self.lab;
        self.scheduler.set_primary_rtt(lab.primary_rtt);
        self.set_timing(0);
        for path in 1..self.servers.len() {
            let mut view = PathView::DIALING;
            if lab.dialled {
                view.state = PathState::Live;
                view.srtt = Some(self.servers[path].link.rtt);
                self.set_timing(path);
            }
            self.scheduler.set_path(PathId::new(path as u16), view, self.now);
            if !lab.dialled {
                // AddPath travels for half a round trip, the handshake takes one.
                let delay = lab.primary_rtt / 2 + self.servers[path].link.rtt;
                self.after(delay, Event::Connected(path));
            }
        }
        let window = Offset::new(lab.window).unwrap();
        self.scheduler.handle_window(self.stream, window, self.now);
        let whole = range(0, lab.size);
        let resource = Bytes::from_static(b"object");
        self.scheduler
            .delegate(self.stream, whole, resource, Candidates::All, lab.local.0, self.now)
            .unwrap();
        for &(at, fault) in &lab.faults {
            self.after(at, Event::Fault(fault));
        }
        self.after(self.report_interval(), Event::Report);
        self.after(ms(50), Event::Ping);
        if lab.reader.is_some() {
            self.after(ms(1), Event::Read);
        }
        self.drain_primary();
    }

    fn set_timing(&mut self, path: usize) {
        let rtt = self.servers[path].link.rtt;
        let timing = PathTiming { srtt: Some(rtt), rttvar: rtt / 8 };
        self.promises.set_path(PathId::new(path as u16), timing, self.now);
    }

    fn report_interval(&self) -> Duration {
        ms(5).max(self.lab.primary_rtt / 8)
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::AtServer(path, message) => self.at_server(path, message),
            Event::AtClient(message) => {
                if self.now < self.stopped_until {
                    self.stopped.push(message);
                } else {
                    self.at_client(message);
                }
            }
            Event::AtPrimary(message) => self.at_primary(message),
            Event::Sent(path, turn) => self.sent(path, turn),
            Event::Wake(path, turn) => {
                if self.servers[path].turn == turn {
                    let held = std::mem::take(&mut self.servers[path].held_back);
                    held.into_iter().for_each(|message| self.at_server(path, message));
                    self.start(path);
                }
            }
            Event::Report => {
                if self.now >= self.stopped_until {
                    self.report();
                }
                self.after(self.report_interval(), Event::Report);
            }
            Event::Timer => {
                self.drain_primary();
                if self.now >= self.stopped_until {
                    self.drain_client();
                }
            }
            Event::Ping => self.ping(),
            Event::Fault(fault) => self.fault(fault),
            Event::Connected(path) => self.connected(path),
            Event::Read => {
                self.read_some();
                self.after(ms(1), Event::Read);
            }
        }
    }

    fn send_to_client(&mut self, way: Duration, message: Message) {
        if self.now < self.outage_until {
            // Lost, and sent again when the network is back.
            let wait = self.outage_until.since(self.now) + way;
            self.after(wait + way, Event::AtClient(message));
        } else {
            self.after(way, Event::AtClient(message));
        }
    }

    fn send_from_client(&mut self, way: Duration, event: Event) {
        let wait = self.outage_until.since(self.now);
        self.after(wait + way, event);
    }

    fn outcome(mut self) -> Outcome {
        let end = self.finished.unwrap_or(self.now);
        if self.finished.is_none() {
            self.stall = self.stall.max(self.now.since(self.last_read));
        }
        let stats = self.scheduler.stats();
        let last = self.ninety_nine.map_or(0.0, |at| end.since(at).as_secs_f64());
        let received: u64 = self.received.iter().sum();
        Outcome {
            complete: self.have.total_len() == self.lab.size,
            gave_up: self.gave_up,
            missing: self.missing,
            seconds: end.elapsed().as_secs_f64(),
            stall: self.stall,
            by_second: self.by_second,
            first_byte: self.first_byte,
            redundant: received - self.have.total_len(),
            last_percent: last,
            size: self.lab.size,
            rate: self.lab.links.iter().map(|link| link.rate).sum(),
            orders: self.orders,
            received: self.received,
            repairs: stats.repairs,
            hedges: stats.hedges,
            end_game_copies: stats.end_game_copies,
            told: self.told,
        }
    }
}
