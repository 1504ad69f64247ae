//! The primary's end: a thin driver, and an application that writes, delegates and reads.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use kwik_core::delegation::Candidates;
use kwik_core::session::client::CarrierEnd;
use kwik_core::session::primary::{Admitted, Output, PathSpec};
use kwik_core::session::{PrimarySession, SessionConfig, StreamAction};
use kwik_core::stream::{Read, ReceiveHalf, SendHalf, SourceKey};
use kwik_core::time::Instant;
use kwik_proto::frame::{
    AddPath, CarrierKind, ControlFrame, Hello, ServerIdentity, SignedOrders, StreamHeader,
};
use kwik_proto::{DelegationId, Epoch, Offset, PathId, StreamId, StreamKind};

use crate::network::{Channel, Event, content, is_content};
use crate::plan::Supply;
use crate::world::{Primary, SESSION, World, path_of, range};

struct Up {
    half: ReceiveHalf,
    source: SourceKey,
    read: u64,
    over: bool,
    reading: bool,
}

pub(crate) struct PrimaryEnd {
    pub core: Primary,
    sends: BTreeMap<StreamId, SendHalf>,
    receives: BTreeMap<StreamId, Up>,
    /// Streams of which the client's header came.
    headed: BTreeSet<StreamId>,
    /// The public carrier of each stream that this end sends, once its header went out.
    carriers: BTreeMap<StreamId, u64>,
    supplies: BTreeMap<DelegationId, u64>,
    started: BTreeMap<StreamId, bool>,
    messages: BTreeMap<PathId, (u64, u64)>,
}

impl PrimaryEnd {
    fn new(core: Primary) -> Self {
        Self {
            core,
            sends: BTreeMap::new(),
            receives: BTreeMap::new(),
            headed: BTreeSet::new(),
            carriers: BTreeMap::new(),
            supplies: BTreeMap::new(),
            started: BTreeMap::new(),
            messages: BTreeMap::new(),
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.receives.values().all(|up| up.over) && self.sends.values().all(SendHalf::is_closed)
    }
}

impl World {
    pub(crate) fn reach_primary(&mut self, frame: ControlFrame) {
        let now = self.network.now;
        if let ControlFrame::Hello(hello) = &frame {
            if self.plan.primary_lost.is_none_or(|at| now.elapsed() < at) {
                self.greet(hello);
            }
            return;
        }
        if let Some(primary) = &mut self.primary {
            primary.core.handle_control(frame, now);
            self.send_messages();
        }
    }

    /// The primary's application adds its secondaries.
    fn greet(&mut self, hello: &Hello) {
        let (config, now) = (SessionConfig::default(), self.network.now);
        let mut core = PrimarySession::new(&config, hello, SESSION, self.plan.seed, now).unwrap();
        core.handle_rtt(self.plan.primary_delay * 2);
        for (index, server) in self.plan.servers.iter().enumerate() {
            let address = format!("198.51.100.{}:4433", index + 1);
            let spec = PathSpec {
                addresses: vec![address.parse().unwrap()],
                identity: ServerIdentity::Pin([index as u8; 32]),
                grant_all: false,
            };
            assert_eq!(core.add_path(spec, now), Ok(path_of(index)));
            if let Some(at) = server.removal {
                self.network.at(Instant::from_start(at).max(now), Event::Remove(index));
            }
        }
        self.primary = Some(PrimaryEnd::new(core));
    }

    pub(crate) fn remove(&mut self, index: usize) {
        if let Some(primary) = &mut self.primary {
            primary.core.remove_path(path_of(index), self.network.now);
        }
    }

    fn send_messages(&mut self) {
        let Some(primary) = &mut self.primary else { return };
        for index in 0..self.plan.servers.len() {
            let path = path_of(index);
            let (sent, _) = primary.messages.entry(path).or_default();
            if *sent < self.plan.messages {
                let message = vec![*sent as u8; 1 + (*sent * 2_300) as usize];
                if primary.core.send_message(path, Bytes::from(message)).is_ok() {
                    *sent += 1;
                }
            }
        }
    }

    pub(crate) fn open_at_primary(&mut self, index: usize, kind: StreamKind) {
        let Some(primary) = &mut self.primary else {
            // Not before the client's Hello came.
            if self.plan.primary_lost.is_none_or(|at| self.network.now.elapsed() < at) {
                let later = self.network.now + Duration::from_millis(20);
                self.network.at(later, Event::OpenStream(index));
            }
            return;
        };
        let Some(id) = primary.core.open_stream(kind) else { return };
        self.ids.insert(index, id);
        self.drain();
        self.start_job(id);
    }

    /// What the primary's application does with a stream: it writes the head and lets others send the rest.
    fn start_job(&mut self, id: StreamId) {
        let Some((index, download, _)) = self.size_of(id) else { return };
        let stream = self.plan.streams[index].clone();
        let now = self.network.now;
        let servers = self.plan.servers.len();
        let Some(primary) = &mut self.primary else { return };
        if primary.started.insert(id, true).is_some() {
            return;
        }
        let Some(send) = primary.sends.get_mut(&id) else { return };
        let head = if stream.supply == Supply::Written { download } else { stream.head };
        send.write(content(id, range(0, head))).unwrap();
        if head < download {
            let rest = range(head, download);
            send.delegate(rest).unwrap();
            match stream.supply {
                Supply::Delegated(local) => {
                    let all = Candidates::All;
                    primary.core.delegate(id, rest, "x".into(), all, local, now).unwrap();
                }
                _ => (0..servers).for_each(|index| {
                    primary.core.grant(path_of(index), id, rest.start(), None);
                }),
            }
        }
        send.finish().unwrap();
        self.pump(id);
    }

    pub(crate) fn reset(&mut self, index: usize) {
        let Some(id) = self.ids.get(&index).copied() else { return };
        let Some(primary) = &mut self.primary else { return };
        if let Some(send) = primary.sends.get_mut(&id).filter(|send| !send.is_closed()) {
            let size = send.reset(7);
            primary.core.reset_stream(id, 7, size);
        }
    }

    /// The public carrier: whatever the sending half lets go.
    fn pump(&mut self, id: StreamId) {
        let (path, epoch) = (PathId::PRIMARY, Epoch::FIRST);
        loop {
            let Some(primary) = &mut self.primary else { return };
            let Some(frame) = primary.sends.get_mut(&id).and_then(|send| send.next_frame(16 << 10))
            else {
                return;
            };
            let known = primary.carriers.get(&id).copied();
            // The two low bits of a QUIC stream id are its kind (RFC 9000, 2.1), here that of the stream.
            let carrier = known.unwrap_or_else(|| self.next_carrier - 3 + id.value() % 4);
            let channel = Channel::Carrier(path, carrier);
            if known.is_none() {
                self.next_carrier += 4;
                primary.carriers.insert(id, carrier);
                let kind = CarrierKind::Public;
                let header = StreamHeader { stream: id, kind, delegation: None, promised: None };
                let event = Event::Header(path, epoch, carrier, header);
                self.network.travel(channel, Duration::ZERO, event);
            }
            let end = frame.offset.saturating_add(frame.payload.len() as u64);
            if !frame.payload.is_empty() {
                let piece = range(frame.offset.value(), end.value());
                let event = Event::Chunk(path, epoch, carrier, piece);
                self.network.travel(channel, Duration::ZERO, event);
            }
            if frame.fin {
                self.network.travel(channel, Duration::ZERO, Event::Fin(carrier, end));
            }
        }
    }

    pub(crate) fn handle_upload(&mut self, id: StreamId, at: Offset, data: Bytes, fin: bool) {
        let now = self.network.now;
        let Some(primary) = &mut self.primary else {
            // A server leaves carriers alone until the Hello came.
            if self.plan.primary_lost.is_none_or(|at| now.elapsed() < at) {
                let later = now + Duration::from_millis(20);
                self.network.at(later, Event::Upload(id, at, data, fin));
            }
            return;
        };
        let admitted = match primary.headed.insert(id) {
            true => primary.core.handle_header(id.value(), id),
            false => Ok(Admitted::Open),
        };
        match admitted {
            Ok(Admitted::Open) => {}
            Ok(Admitted::Over) => return,
            Ok(Admitted::Wait) => return self.fail(format!("a header of stream {id} had to wait")),
            Ok(Admitted::Refused(code)) | Err(code) => {
                return self.fail(format!("a header of stream {id} was refused: {code:?}"));
            }
        }
        self.drain();
        let Some(up) = self.primary.as_mut().and_then(|end| end.receives.get_mut(&id)) else {
            return;
        };
        let end = at.saturating_add(data.len() as u64);
        let (source, length) = (up.source, data.len());
        let inserted = match data.is_empty() {
            true => Ok(()),
            false => up.half.insert(source, at, data, length, now).map(|_| ()),
        };
        let ended = if fin { up.half.handle_fin(source, end).map(|_| ()) } else { Ok(()) };
        if let Err(error) = inserted.and(ended) {
            self.fail(format!("an honest upload was refused: {error}"));
        }
        self.service_upload(id);
    }

    fn service_upload(&mut self, id: StreamId) {
        let now = self.network.now;
        let Some(primary) = &mut self.primary else { return };
        let Some(up) = primary.receives.get_mut(&id) else { return };
        if !up.reading && !up.over {
            up.reading = true;
            let pause = Duration::from_micros(100 + self.network.dice.roll(5_000));
            self.network.at(now + pause, Event::PrimaryRead(id));
        }
        primary.core.service_stream(id, &mut up.half, now);
    }

    pub(crate) fn primary_read(&mut self, id: StreamId) {
        let now = self.network.now;
        let expected = self.size_of(id).map(|(_, _, upload)| upload);
        let Some(primary) = &mut self.primary else { return };
        let Some(up) = primary.receives.get_mut(&id) else { return };
        up.reading = false;
        let mut text = None;
        while !up.over {
            match up.half.read(1 + self.network.dice.roll(100_000) as usize, now) {
                Read::Data(data) if is_content(id, up.read, &data) => up.read += data.len() as u64,
                Read::Blocked => break,
                Read::Finished if expected == Some(up.read) => up.over = true,
                Read::Reset { .. } => up.over = true,
                other => {
                    text = Some(format!("upload {id} at {}: {other:?}", up.read));
                    up.over = true;
                }
            }
        }
        if let Some(text) = text {
            self.fail(text);
        }
        self.service_upload(id);
    }

    pub(crate) fn primary_output(&mut self, output: Output) {
        let (path, epoch) = (PathId::PRIMARY, Epoch::FIRST);
        match output {
            Output::Send(frame) => self.tell_client(frame),
            Output::Sign(orders) => {
                let body = orders.encode();
                let signed = SignedOrders { body, signature: [0; 64], key_id: String::new() };
                self.tell_client(ControlFrame::Orders(signed));
            }
            Output::Attach { path, epoch, addresses, identity, .. } => {
                let token = "v4.public.x".into();
                let add = AddPath { path, epoch, addresses, identity, token };
                self.tell_client(ControlFrame::AddPath(add));
            }
            Output::Stream(action) => self.primary_action(action),
            Output::Service(id) => self.service_upload(id),
            Output::Supply { stream, range, delegation } => {
                let carrier = self.contribute(path, epoch, stream, delegation, range, None);
                let header = StreamHeader {
                    stream,
                    kind: CarrierKind::Contribution,
                    delegation: Some(delegation),
                    promised: Some(range),
                };
                if let Some(primary) = &mut self.primary {
                    primary.supplies.insert(delegation, carrier);
                    primary.core.handle_carrier_open(carrier, header);
                }
            }
            Output::CancelSupply(delegation) => {
                let carrier =
                    self.primary.as_mut().and_then(|end| end.supplies.remove(&delegation));
                if let Some(carrier) = carrier {
                    self.handle_stop(path, carrier);
                    let event = Event::End(path, epoch, carrier, CarrierEnd::Reset);
                    self.network.travel(Channel::Carrier(path, carrier), Duration::ZERO, event);
                }
            }
            Output::Message(path, message) => self.take_answer(path, &message),
            Output::Event(event) => self.network.remark(|| format!("{event:?}")),
            Output::Close(code, _, reason) => {
                self.fail(format!("the primary closed the session: {code:?} {reason}"));
            }
            _ => {}
        }
    }

    fn tell_client(&mut self, frame: ControlFrame) {
        let (path, epoch) = (PathId::PRIMARY, Epoch::FIRST);
        let event = Event::ToClient(path, epoch, frame);
        self.network.travel(Channel::ToClient(path), Duration::ZERO, event);
    }

    /// As what secondaries take: in order, whole; those of an earlier connection may be lost.
    fn take_answer(&mut self, path: PathId, message: &[u8]) {
        let Some(primary) = &mut self.primary else { return };
        primary.core.handle_message_taken(path, message.len());
        let (_, got) = primary.messages.entry(path).or_default();
        let number = u64::from(message[0]);
        let whole = message.len() as u64 == 1 + number * 1_700;
        if number < *got || !whole || message.iter().any(|b| *b != message[0]) {
            return self.fail(format!("answer {number} of {} bytes is wrong", message.len()));
        }
        *got = number + 1;
    }

    fn primary_action(&mut self, action: StreamAction) {
        let Some(primary) = &mut self.primary else { return };
        match action {
            StreamAction::Open { id, receive, send } => {
                if let Some(config) = receive {
                    let mut half = ReceiveHalf::new(config);
                    let source = half.add_source(PathId::PRIMARY, None);
                    let up = Up { half, source, read: 0, over: false, reading: false };
                    primary.receives.insert(id, up);
                }
                if let Some(config) = send {
                    primary.sends.insert(id, SendHalf::new(config));
                }
            }
            StreamAction::Accept(id) => self.start_job(id),
            StreamAction::Reset(id, code, size) => {
                if let Some(up) = primary.receives.get_mut(&id) {
                    let _ = up.half.handle_reset(code, size);
                }
                self.service_upload(id);
            }
            StreamAction::Fail(id, failure) => {
                if let Some(up) = primary.receives.get_mut(&id) {
                    up.half.fail(failure);
                }
                self.service_upload(id);
            }
            StreamAction::Remove(id) => {
                primary.receives.remove(&id);
                primary.sends.remove(&id);
                primary.carriers.remove(&id);
            }
            action => self.primary_send_action(action),
        }
    }

    fn primary_send_action(&mut self, action: StreamAction) {
        let Some(primary) = &mut self.primary else { return };
        let id = match &action {
            StreamAction::ExtendWindow(id, _)
            | StreamAction::Progress(id, _)
            | StreamAction::Stopped(id, _)
            | StreamAction::PeerDone(id, _) => *id,
            _ => return,
        };
        let Some(half) = primary.sends.get_mut(&id) else { return };
        match action {
            StreamAction::ExtendWindow(_, max_offset) => {
                half.extend_window(max_offset);
                self.pump(id);
            }
            StreamAction::Progress(_, progress) => {
                half.handle_progress(progress.read_offset, progress.contiguous_end);
            }
            StreamAction::Stopped(_, code) => {
                half.handle_stop(code);
                let size = half.reset(code);
                primary.core.reset_stream(id, code, size);
            }
            StreamAction::PeerDone(_, complete) => half.handle_closed(complete),
            _ => {}
        }
    }
}
