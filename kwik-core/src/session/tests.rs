//! Sessions against peers that break the rules, and the rules that live where the parts meet.
#![allow(clippy::unwrap_used)]

mod absent;
mod arbitrary;
mod carriers;
mod contributions;
mod credit;
mod crossing;
mod deadlock;
mod frames;
mod hostile_client;
mod hostile_primary;
mod hostile_secondary;
mod isolation;
mod leave;
mod orders;
mod orphan;
mod passing_on;
mod places;
mod primary;
mod proofs;
mod redial;
mod set_up;
mod unread;
mod unserved;
mod windows;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use kwik_proto::frame::*;
use kwik_proto::{ByteRange, DelegationId, Epoch, Offset, PathId, SessionId, StreamId, StreamKind};

use super::client::{Output, Route, Routed};
use super::{ClientSession, SessionConfig, StreamAction};
use crate::stream::{Failure, Read, ReceiveHalf, SourceKey};
use crate::time::Instant;

const SESSION: SessionId = SessionId([7; 16]);
const EDGE: PathId = PathId::new(1);
const OTHER: PathId = PathId::new(2);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn offset(value: u64) -> Offset {
    Offset::new(value).unwrap()
}

fn range(start: u64, end: u64) -> ByteRange {
    ByteRange::new(offset(start), offset(end)).unwrap()
}

fn stream(id: u64) -> StreamId {
    StreamId::from_wire(id).unwrap()
}

fn welcome() -> ControlFrame {
    let limits = SessionConfig::default().limits();
    ControlFrame::Welcome(Welcome { version: 1, features: Vec::new(), limits, session: SESSION })
}

fn hello() -> Hello {
    let limits = SessionConfig::default().limits();
    Hello {
        versions: vec![1],
        features: Vec::new(),
        limits,
        confirmation_key: Some([1; 32]),
        admission: None,
    }
}

fn add_path(path: PathId, epoch: u32) -> ControlFrame {
    ControlFrame::AddPath(AddPath {
        path,
        epoch: Epoch(epoch),
        addresses: vec![format!("198.51.100.{}:443", path.value() % 250 + 1).parse().unwrap()],
        identity: ServerIdentity::Pin([path.value() as u8; 32]),
        token: "v4.public.x".into(),
    })
}

fn signed(path: PathId, epoch: u32, number: u64, orders: Vec<Order>) -> SignedOrders {
    let orders = Orders { session: SESSION, path, epoch: Epoch(epoch), number, orders };
    SignedOrders { body: orders.encode(), signature: [0; 64], key_id: String::new() }
}

fn delegation(id: u64, stream: StreamId, range: ByteRange) -> Order {
    let resource = Bytes::from_static(b"x");
    Order::Delegation(Delegation {
        id: DelegationId(id),
        stream,
        range,
        resource,
        blake3: None,
        rank: Rank::default(),
    })
}

fn open_grant(stream: StreamId) -> Order {
    Order::Grant(Grant { stream, start: Offset::ZERO, end: None, max_offset: offset(65_536) })
}

fn public(stream: StreamId) -> StreamHeader {
    StreamHeader { stream, kind: CarrierKind::Public, delegation: None, promised: None }
}

fn contribution(stream: StreamId, id: u64, promised: ByteRange) -> StreamHeader {
    StreamHeader {
        stream,
        kind: CarrierKind::Contribution,
        delegation: Some(DelegationId(id)),
        promised: Some(promised),
    }
}

impl Routed {
    #[track_caller]
    fn unwrap(self) -> Route {
        match self {
            Self::To(route) => route,
            other => panic!("no route: {other:?}"),
        }
    }
}

/// A client's session with the receiving halves that a driver would keep.
struct Bench {
    client: ClientSession,
    halves: BTreeMap<StreamId, ReceiveHalf>,
    sources: BTreeMap<(PathId, u64), (StreamId, SourceKey)>,
    now: Instant,
    /// What was sent since the last [`Bench::sent`].
    sent: Vec<(PathId, ControlFrame)>,
    /// What else the session asked for.
    asked: Vec<Output>,
    /// Windows told, by who was told.
    windows: BTreeMap<(PathId, StreamId), Offset>,
    most_promised: u64,
    /// The session's end was drained: nothing may follow.
    over: bool,
}

impl Bench {
    fn new() -> Self {
        Self::with(SessionConfig::default())
    }

    fn with(config: SessionConfig) -> Self {
        let floors = 300 * 96 * 1024;
        let most_promised = config.session_budget.max(floors);
        let primary: SocketAddr = "192.0.2.1:443".parse().unwrap();
        let mut bench = Self {
            client: ClientSession::new(config, primary, [1; 32], 7),
            halves: BTreeMap::new(),
            sources: BTreeMap::new(),
            now: Instant::ZERO,
            sent: Vec::new(),
            asked: Vec::new(),
            windows: BTreeMap::new(),
            most_promised,
            over: false,
        };
        bench.drain();
        bench
    }

    /// After Welcome, with a stream of the client (id 0) that both ends know.
    fn established() -> Self {
        let mut bench = Self::new();
        bench.primary(welcome());
        bench.client.open_stream(StreamKind::Bidirectional).unwrap();
        bench.client.handle_primary_rtt(ms(20), ms(1), bench.now);
        bench.drain();
        bench.forget();
        bench
    }

    /// With that path Live.
    fn attached(path: PathId) -> Self {
        let mut bench = Self::established();
        bench.attach(path, 1);
        bench.forget();
        bench
    }

    fn attach(&mut self, path: PathId, epoch: u32) {
        self.primary(add_path(path, epoch));
        self.wait(ms(2000));
        self.connect(path, epoch);
        self.secondary(path, epoch, welcome());
    }

    fn connect(&mut self, path: PathId, epoch: u32) {
        self.client.handle_connected(path, Epoch(epoch), [2; 64], self.now);
        self.client.handle_path_rtt(path, ms(20), ms(1), self.now);
        self.drain();
    }

    fn primary(&mut self, frame: ControlFrame) {
        self.secondary(PathId::PRIMARY, 1, frame);
    }

    fn secondary(&mut self, path: PathId, epoch: u32, frame: ControlFrame) {
        self.client.handle_control(path, Epoch(epoch), frame, self.now);
        self.drain();
    }

    fn order(&mut self, path: PathId, epoch: u32, number: u64, orders: Vec<Order>) {
        self.primary(ControlFrame::Orders(signed(path, epoch, number, orders)));
    }

    /// Time passes; nothing arrives.
    fn wait(&mut self, time: Duration) {
        self.now = self.now + time;
        self.client.handle_timeout(self.now);
        self.drain();
    }

    fn header(
        &mut self,
        path: PathId,
        carrier: u64,
        header: StreamHeader,
    ) -> Result<Routed, ErrorCode> {
        let route = self.client.handle_header(path, carrier, header, self.now);
        self.drain();
        if let Ok(Routed::To(route)) = &route {
            self.feed(path, carrier, route);
        }
        self.drain();
        route
    }

    fn feed(&mut self, path: PathId, carrier: u64, route: &Route) {
        if let Some(half) = self.halves.get_mut(&route.stream) {
            let source = half.add_source(path, route.allowed.clone());
            self.client.handle_source(path, carrier, source);
            self.sources.insert((path, carrier), (route.stream, source));
        }
    }

    /// Bytes on a carrier; whether the half took them.
    fn data(&mut self, path: PathId, carrier: u64, at: u64, length: usize) -> bool {
        self.content(path, carrier, at, vec![0; length])
    }

    fn content(&mut self, path: PathId, carrier: u64, at: u64, content: Vec<u8>) -> bool {
        let Some(&(id, source)) = self.sources.get(&(path, carrier)) else { return false };
        let Some(half) = self.halves.get_mut(&id) else { return false };
        let (length, payload) = (content.len(), Bytes::from(content));
        let taken = half.insert(source, offset(at), payload, length, self.now).is_ok();
        self.client.service_stream(id, half, self.now);
        self.drain();
        taken
    }

    fn fin(&mut self, carrier: u64, size: u64) {
        let (id, source) = self.sources[&(PathId::PRIMARY, carrier)];
        let half = self.halves.get_mut(&id).unwrap();
        half.handle_fin(source, offset(size)).unwrap();
        self.client.service_stream(id, half, self.now);
        self.drain();
    }

    fn end(&mut self, path: PathId, carrier: u64, end: super::client::CarrierEnd) {
        let feeds = self.sources.remove(&(path, carrier));
        let half = feeds.and_then(|(id, _)| self.halves.get_mut(&id));
        self.client.handle_carrier_end(path, carrier, end, half, self.now);
        self.drain();
    }

    fn read(&mut self, id: StreamId) -> usize {
        let Some(half) = self.halves.get_mut(&id) else { return 0 };
        let mut total = 0;
        while let Read::Data(data) = half.read(1 << 20, self.now) {
            total += data.len();
        }
        self.client.service_stream(id, half, self.now);
        self.drain();
        total
    }

    /// Carries out everything, and checks what must hold whatever the inputs were.
    fn drain(&mut self) {
        for count in 0.. {
            assert!(count < 200_000, "the outputs never end");
            let Some(output) = self.client.poll_output(self.now) else { break };
            self.carry_out(output);
        }
        let promised = self.client.promised_bytes();
        assert!(promised <= self.most_promised, "{promised} promised of {}", self.most_promised);
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Send(path, frame) => self.note(path, frame),
            Output::Stream(StreamAction::Open { id, receive: Some(config), .. }) => {
                self.halves.insert(id, ReceiveHalf::new(config));
            }
            Output::Stream(StreamAction::Reset(id, code, size)) => {
                if let Some(half) = self.halves.get_mut(&id) {
                    let _ = half.handle_reset(code, size);
                    self.client.service_stream(id, half, self.now);
                }
            }
            Output::Stream(StreamAction::Fail(id, failure)) => {
                if let Some(half) = self.halves.get_mut(&id) {
                    half.fail(failure);
                }
                self.asked.push(Output::Stream(StreamAction::Fail(id, failure)));
            }
            Output::Stream(StreamAction::Remove(id)) => {
                self.halves.remove(&id);
                self.asked.push(Output::Stream(StreamAction::Remove(id)));
            }
            Output::Service(id) => {
                if let Some(half) = self.halves.get_mut(&id) {
                    self.client.service_stream(id, half, self.now);
                }
            }
            Output::Reroute { path, carrier, route } => {
                self.feed(path, carrier, &route);
                self.asked.push(Output::Reroute { path, carrier, route });
            }
            Output::Dial { .. } => {
                assert!(!self.over, "a closed session dials");
                self.asked.push(output);
            }
            Output::Close { .. } => {
                assert!(!self.over, "the session ended twice");
                self.over = true;
                self.asked.push(output);
            }
            other => self.asked.push(other),
        }
    }

    fn note(&mut self, path: PathId, frame: ControlFrame) {
        assert!(!self.over, "a closed session sent {frame:?}");
        assert_eq!(frame.validate(), Ok(()), "a frame that nobody takes");
        if let ControlFrame::StreamWindow(window) = &frame {
            let known = self.windows.insert((path, window.stream), window.max_offset);
            assert!(known <= Some(window.max_offset), "the window of {} fell", window.stream);
        }
        self.sent.push((path, frame));
    }

    /// What was sent to `path` since the last [`Bench::forget`].
    fn sent(&self, path: PathId) -> Vec<&ControlFrame> {
        self.sent.iter().filter(|(to, _)| *to == path).map(|(_, frame)| frame).collect()
    }

    fn gaps(&self) -> Vec<Gap> {
        let gap = |frame: &&ControlFrame| match frame {
            ControlFrame::Gap(gap) => Some(*gap),
            _ => None,
        };
        self.sent(PathId::PRIMARY).iter().filter_map(gap).collect()
    }

    /// How a stream was failed.
    fn failed(&self, id: StreamId) -> Option<Failure> {
        self.asked.iter().find_map(|output| match output {
            Output::Stream(StreamAction::Fail(of, failure)) if *of == id => Some(*failure),
            _ => None,
        })
    }

    /// Streams whose headers waited and need not any more.
    fn admitted(&self) -> Vec<StreamId> {
        let admitted = |output: &Output| match output {
            Output::Stream(StreamAction::Admit(id)) => Some(*id),
            _ => None,
        };
        self.asked.iter().filter_map(admitted).collect()
    }

    fn stopped(&self, path: PathId, carrier: u64) -> Option<ErrorCode> {
        self.asked.iter().find_map(|output| match output {
            Output::StopCarrier { path: of, carrier: id, code }
                if (*of, *id) == (path, carrier) =>
            {
                Some(*code)
            }
            _ => None,
        })
    }

    /// What was counted against servers.
    fn faults(&self) -> Vec<(PathId, ErrorCode)> {
        let fault = |output: &Output| match output {
            Output::Fault { path, code } => Some((*path, *code)),
            _ => None,
        };
        self.asked.iter().filter_map(fault).collect()
    }

    fn closed_with(&self) -> Option<ErrorCode> {
        self.asked.iter().find_map(|output| match output {
            Output::Close { code, .. } => Some(*code),
            _ => None,
        })
    }

    fn path_closed_with(&self, path: PathId) -> Option<ErrorCode> {
        self.asked.iter().find_map(|output| match output {
            Output::ClosePath { path: of, code, .. } if *of == path => Some(*code),
            _ => None,
        })
    }

    fn state(&self, path: PathId) -> Option<PathState> {
        self.client.paths().find(|report| report.path == path).map(|report| report.state)
    }

    fn forget(&mut self) {
        self.sent.clear();
        self.asked.clear();
    }
}
