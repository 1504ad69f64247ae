//! A client: its primary, its secondaries and its application do what the input says.

use std::collections::BTreeMap;
use std::time::Duration;

use kwik_core::conflict::ConflictPolicy;
use kwik_core::session::client::{CarrierEnd, Output, Route, Routed};
use kwik_core::session::{ClientSession, SessionConfig, StreamAction};
use kwik_core::stream::{Failure, Read, ReceiveHalf, SendHalf, SourceKey};
use kwik_core::time::Instant;
use kwik_proto::frame::{AddPath, ControlFrame, ErrorCode, ServerIdentity, StreamHeader};
use kwik_proto::{Epoch, PathId, StreamId};

use super::input::Input;
use super::rules::{Count, Ending, check_content, code_of, content, later, lie};
use super::{STEPS, frames};

/// Memory that the session may promise. Small, so that it is met.
const BUDGET: u64 = 8 << 20;
/// Streams that a client keeps: what its peer may open, 16 of each kind, and its own, one a step at most.
const MOST_STREAMS: usize = 32 + STEPS;
/// Paths that are kept: those that are open, and those that are over.
const MOST_PATHS: usize = 16 + 256;

/// Where a carrier's bytes go.
struct Feed {
    stream: StreamId,
    source: SourceKey,
}

struct Down {
    half: ReceiveHalf,
    read: u64,
}

struct Client {
    core: ClientSession,
    now: Instant,
    ending: Ending,
    down: BTreeMap<StreamId, Down>,
    up: BTreeMap<StreamId, SendHalf>,
    feeds: BTreeMap<(PathId, u64), Feed>,
    waiting: BTreeMap<(PathId, u64), StreamHeader>,
    epochs: BTreeMap<PathId, Epoch>,
    /// Carriers that this end opened, and no header came back.
    opened: Vec<(u64, StreamId)>,
    next_carrier: u64,
    lies: bool,
}

/// Feeds a client's session with the steps of `input`.
pub fn check_client(input: &[u8]) {
    let mut input = Input::new(input);
    let mut client = Client::new(&mut input);
    client.settle();
    for _ in 0..STEPS {
        if input.is_empty() {
            break;
        }
        client.step(&mut input);
        client.settle();
    }
    for _ in 0..32 {
        client.pass(None);
        client.settle();
    }
    client.read_all();
}

impl Client {
    fn new(input: &mut Input<'_>) -> Self {
        let policy = match input.below(3) {
            0 => ConflictPolicy::FirstWins,
            1 => ConflictPolicy::PrimaryWins,
            _ => ConflictPolicy::Reject,
        };
        let config = SessionConfig {
            max_bidirectional_streams: frames::STREAMS,
            max_unidirectional_streams: frames::STREAMS,
            session_budget: BUDGET,
            conflict_policy: policy,
            ..SessionConfig::default()
        };
        let primary = frames::address(200);
        let mut client = Self {
            core: ClientSession::new(config, primary, [1; 32], 7),
            now: Instant::ZERO,
            ending: Ending::default(),
            down: BTreeMap::new(),
            up: BTreeMap::new(),
            feeds: BTreeMap::new(),
            waiting: BTreeMap::new(),
            epochs: BTreeMap::new(),
            opened: Vec::new(),
            next_carrier: 0,
            lies: false,
        };
        if input.byte() < 240 {
            let frame = ControlFrame::Welcome(frames::welcome(input));
            client.core.handle_control(PathId::PRIMARY, Epoch::FIRST, frame, client.now);
        }
        client
    }

    fn step(&mut self, input: &mut Input<'_>) {
        let now = self.now;
        match input.below(28) {
            0..=3 => self.hear(PathId::PRIMARY, frames::any(input)),
            4 | 5 => {
                let path = input.secondary();
                self.hear(path, frames::any(input));
            }
            6 => {
                let path = if input.flag() { PathId::PRIMARY } else { input.secondary() };
                frames::raw(input).into_iter().for_each(|frame| self.hear(path, Some(frame)));
            }
            7 => self.attach(input),
            8 => self.end_path(input),
            9 | 10 => self.order(input),
            11..=13 => self.open_carrier(input),
            14..=17 => self.carry(input),
            18 => self.carry_end(input),
            19 => self.end_carrier_of(input),
            20 => self.read(input),
            21 => self.leave(input),
            22 => self.open(input),
            23 => self.write(input),
            24 | 25 => self.pass(Some(input.duration())),
            26 => {
                let (path, rtt) = (input.path(), input.duration());
                self.core.handle_activity(path, now, now);
                match path.is_primary() {
                    true => self.core.handle_primary_rtt(rtt, rtt / 4, now),
                    false => self.core.handle_path_rtt(path, rtt, rtt / 2, now),
                }
            }
            _ => self.seldom(input),
        }
    }

    fn hear(&mut self, path: PathId, frame: Option<ControlFrame>) {
        let epoch = self.epochs.get(&path).copied().unwrap_or(Epoch::FIRST);
        if let Some(frame) = frame {
            self.core.handle_control(path, epoch, frame, self.now);
            self.settle();
        }
    }

    /// A path that is added, connected and admitted as it should be, as far as the input says.
    fn attach(&mut self, input: &mut Input<'_>) {
        let path = input.secondary();
        let epoch = self.epochs.get(&path).map_or(Epoch::FIRST, |epoch| epoch.next());
        let add = AddPath {
            path,
            epoch,
            addresses: vec![frames::address(path.value() as u8)],
            identity: ServerIdentity::Pin([path.value() as u8; 32]),
            token: "v4.public.x".into(),
        };
        self.hear(PathId::PRIMARY, Some(ControlFrame::AddPath(add)));
        let how_far = input.below(4);
        if how_far > 0 && self.epochs.get(&path) == Some(&epoch) {
            self.core.handle_connected(path, epoch, [2; 64], self.now);
            self.settle();
        }
        if how_far > 1 {
            let welcome = frames::welcome(input);
            self.hear(path, Some(ControlFrame::Welcome(welcome)));
        }
    }

    fn end_path(&mut self, input: &mut Input<'_>) {
        let (path, now) = (input.secondary(), self.now);
        let Some(epoch) = self.epochs.get(&path).copied() else { return };
        let code = frames::code(input);
        match input.below(5) {
            0 => self.core.handle_connected(path, epoch, [2; 64], now),
            1 => {
                let address = input.flag().then(|| frames::address(input.byte()));
                let pause = input.duration();
                self.core.handle_unreached(path, epoch, code, address, pause, now);
            }
            2 => self.core.handle_violation(path, epoch, code, "a rule", now),
            _ => {
                if input.flag() {
                    self.drop_carriers(path);
                }
                self.core.handle_lost(path, epoch, code, "lost", now);
            }
        }
    }

    fn drop_carriers(&mut self, path: PathId) {
        let lost: Vec<u64> =
            self.feeds.keys().filter(|(of, _)| *of == path).map(|(_, carrier)| *carrier).collect();
        for carrier in lost {
            self.end_carrier(path, carrier, CarrierEnd::Lost);
        }
        self.waiting.retain(|(of, _), _| *of != path);
    }

    fn order(&mut self, input: &mut Input<'_>) {
        let path = input.secondary();
        let epoch = self.epochs.get(&path).copied().unwrap_or(Epoch::FIRST);
        let orders = frames::orders(path, epoch, 1, input);
        self.hear(PathId::PRIMARY, Some(ControlFrame::Orders(frames::signed(&orders))));
    }

    /// A header on a carrier of a peer, or the answer on one of this end's own.
    fn open_carrier(&mut self, input: &mut Input<'_>) {
        let (path, header) = (input.path(), frames::header(input));
        if path.is_primary() && input.flag() && !self.opened.is_empty() {
            let (carrier, stream) =
                self.opened.swap_remove(usize::from(input.byte()) % self.opened.len());
            let stream = if input.byte() < 240 { stream } else { header.stream };
            return self.route(path, carrier, StreamHeader { stream, ..header });
        }
        // The two low bits of a QUIC stream id are its kind (RFC 9000, 2.1).
        let kind = if input.byte() < 200 { header.stream.value() % 4 } else { input.byte().into() };
        let kind =
            if header.kind == kwik_proto::frame::CarrierKind::Contribution { 3 } else { kind };
        let carrier = self.next_carrier + kind % 4;
        self.next_carrier += 4;
        self.route(path, carrier, header);
    }

    fn route(&mut self, path: PathId, carrier: u64, header: StreamHeader) {
        let routed = self.core.handle_header(path, carrier, header, self.now);
        self.settle();
        match routed {
            Ok(Routed::To(route)) => self.feed(path, carrier, route),
            Ok(Routed::Wait) => drop(self.waiting.insert((path, carrier), header)),
            Ok(Routed::Drain | Routed::SendOnly) | Err(_) => {}
        }
        assert!(self.waiting.len() <= STEPS);
    }

    fn feed(&mut self, path: PathId, carrier: u64, route: Route) {
        let Some(down) = self.down.get_mut(&route.stream) else { return };
        let source = down.half.add_source(path, route.allowed);
        self.core.handle_source(path, carrier, source);
        self.feeds.insert((path, carrier), Feed { stream: route.stream, source });
    }

    fn some_feed(&self, input: &mut Input<'_>) -> Option<((PathId, u64), StreamId, SourceKey)> {
        let at = usize::from(input.byte()) % self.feeds.len().max(1);
        self.feeds.iter().nth(at).map(|(key, feed)| (*key, feed.stream, feed.source))
    }

    fn carry(&mut self, input: &mut Input<'_>) {
        let Some(((path, carrier), stream, source)) = self.some_feed(input) else { return };
        let Some(down) = self.down.get_mut(&stream) else { return };
        let offset = if input.flag() { down.half.contiguous_end() } else { input.offset() };
        let length = 1 + usize::from(input.byte()) * 33;
        let lies = !path.is_primary() && input.byte() > 250;
        self.lies |= lies;
        let bytes =
            if lies { lie(stream, offset, length) } else { content(stream, offset, length) };
        if let Err(error) = down.half.insert(source, offset, bytes, length, self.now) {
            let end = CarrierEnd::Faulty(code_of(&error));
            self.end_carrier(path, carrier, end);
        }
        self.service(stream);
    }

    fn carry_end(&mut self, input: &mut Input<'_>) {
        let Some(((path, carrier), stream, source)) = self.some_feed(input) else { return };
        let Some(down) = self.down.get_mut(&stream) else { return };
        let size = if input.flag() { down.half.received_end() } else { input.offset() };
        if let Err(error) = down.half.handle_fin(source, size) {
            let end = CarrierEnd::Faulty(code_of(&error));
            self.end_carrier(path, carrier, end);
        }
        self.service(stream);
    }

    fn end_carrier_of(&mut self, input: &mut Input<'_>) {
        let Some(((path, carrier), stream, _)) = self.some_feed(input) else { return };
        let end = match input.below(4) {
            0 | 1 => CarrierEnd::Finished,
            2 => CarrierEnd::Reset,
            _ => CarrierEnd::Faulty(frames::code(input)),
        };
        if input.byte() > 240 {
            self.feeds.remove(&(path, carrier));
            let half = self.down.get_mut(&stream).map(|down| &mut down.half);
            return self.core.handle_mismatch(path, carrier, half, self.now);
        }
        self.end_carrier(path, carrier, end);
    }

    fn end_carrier(&mut self, path: PathId, carrier: u64, end: CarrierEnd) {
        let feed = self.feeds.remove(&(path, carrier));
        let half = feed.and_then(|feed| self.down.get_mut(&feed.stream));
        let half = half.map(|down| &mut down.half);
        self.core.handle_carrier_end(path, carrier, end, half, self.now);
        self.settle();
    }

    fn some_down(&self, input: &mut Input<'_>) -> Option<StreamId> {
        let at = usize::from(input.byte()) % self.down.len().max(1);
        self.down.keys().nth(at).copied()
    }

    fn read(&mut self, input: &mut Input<'_>) {
        if let Some(id) = self.some_down(input) {
            self.read_some(id, 1 + usize::from(input.byte()) * 257, 4);
        }
    }

    fn read_all(&mut self) {
        for id in self.down.keys().copied().collect::<Vec<_>>() {
            self.read_some(id, usize::MAX, usize::MAX);
        }
        self.settle();
    }

    fn read_some(&mut self, id: StreamId, most: usize, times: usize) {
        let Some(down) = self.down.get_mut(&id) else { return };
        for _ in 0..times {
            let Read::Data(data) = down.half.read(most, self.now) else { break };
            assert!(!data.is_empty());
            check_content(id, down.read, &data, self.lies);
            down.read += data.len() as u64;
        }
        self.service(id);
    }

    fn leave(&mut self, input: &mut Input<'_>) {
        let Some(id) = self.some_down(input) else { return };
        if input.flag() {
            if let Some(down) = self.down.get_mut(&id) {
                down.half.stop(9);
            }
            self.core.stop_stream(id, 9);
            return self.service(id);
        }
        let Some(half) = self.up.get_mut(&id) else { return };
        if input.flag() {
            let size = half.reset(9);
            self.core.reset_stream(id, 9, size);
        } else {
            let _ = half.finish();
            self.core.detach_stream(id, input.flag(), self.now);
        }
    }

    fn open(&mut self, input: &mut Input<'_>) {
        let Some(id) = self.core.open_stream(input.kind()) else { return };
        self.settle();
        let carrier = self.next_carrier + id.value() % 4;
        self.next_carrier += 4;
        self.core.handle_opened(carrier, id);
        self.opened.push((carrier, id));
    }

    fn write(&mut self, input: &mut Input<'_>) {
        let at = usize::from(input.byte()) % self.up.len().max(1);
        let Some((id, half)) = self.up.iter_mut().nth(at) else { return };
        let _ = half.write(vec![0; usize::from(input.byte()) * 64].into());
        if input.flag() {
            let _ = half.finish();
        }
        let id = *id;
        self.pump(id);
    }

    fn pump(&mut self, id: StreamId) {
        let Some(half) = self.up.get_mut(&id) else { return };
        while half.next_frame(16 << 10).is_some() {}
    }

    fn seldom(&mut self, input: &mut Input<'_>) {
        let now = self.now;
        match input.below(8) {
            0 => self.core.handle_primary_lost("lost", now),
            1 => self.core.close(frames::code(input), None, "x"),
            2 | 3 => {
                let carrier = input.byte().into();
                self.core.handle_refusal(carrier, frames::code(input).quic_code());
            }
            4 => self.core.handle_delivered(input.path(), input.number() >> 8),
            5 => {
                // The answer on a carrier of this end ends without a header.
                if let Some((carrier, _)) = self.opened.pop() {
                    self.end_carrier(PathId::PRIMARY, carrier, CarrierEnd::Finished);
                }
            }
            6 => {
                let code = frames::code(input);
                self.core.handle_violation(PathId::PRIMARY, Epoch::FIRST, code, "a rule", now);
            }
            _ => self.drop_carriers(input.path()),
        }
    }

    /// That much later; by default, when the next timeout is due.
    fn pass(&mut self, time: Option<Duration>) {
        let due = self.core.poll_timeout();
        let due = due.map(|at| at.since(self.now));
        self.now = later(self.now, time.or(due).unwrap_or_default());
    }

    /// Carries out everything that the core asks for, timeouts that are due among it.
    fn settle(&mut self) {
        let mut count = Count::default();
        self.drain(&mut count);
        while let Some(at) = self.core.poll_timeout().filter(|at| *at <= self.now) {
            count.timeout(at);
            self.core.handle_timeout(self.now);
            self.drain(&mut count);
        }
        self.check_bounds();
    }

    fn drain(&mut self, count: &mut Count) {
        while let Some(output) = self.core.poll_output(self.now) {
            count.output(&output);
            self.carry_out(output, count);
        }
    }

    fn check_bounds(&self) {
        assert!(self.down.len() <= MOST_STREAMS && self.up.len() <= MOST_STREAMS);
        assert!(self.core.paths().count() <= MOST_PATHS);
        assert!(self.core.promised_bytes() <= BUDGET, "{} promised", self.core.promised_bytes());
        assert_eq!(self.core.is_closed(), self.ending.is_closed());
        assert!(!self.ending.is_closed() || self.core.poll_timeout().is_none());
    }

    fn carry_out(&mut self, output: Output, count: &mut Count) {
        match output {
            Output::Send(path, frame) if path.is_primary() => self.ending.handle_frame(&frame),
            Output::Send(path, frame) => {
                self.ending.handle_act(&frame);
                assert!(self.epochs.contains_key(&path), "{frame:?} to {path}, never dialled");
                assert_eq!(frame.validate(), Ok(()), "{frame:?}");
            }
            Output::Dial { path, epoch, .. } => {
                self.ending.handle_act(&path);
                assert!(self.epochs.insert(path, epoch).is_none_or(|before| before < epoch));
            }
            Output::ClosePath { path, .. } => {
                self.feeds.retain(|(of, _), _| *of != path);
                self.waiting.retain(|(of, _), _| *of != path);
            }
            Output::Stream(action) => self.act(action, count),
            Output::Service(id) => self.serve(id),
            Output::Reroute { path, carrier, route } => self.feed(path, carrier, route),
            Output::StopCarrier { path, carrier, .. } => drop(self.feeds.remove(&(path, carrier))),
            Output::Close { code, .. } => self.ending.handle_close(code),
            _ => {}
        }
    }

    fn service(&mut self, id: StreamId) {
        self.serve(id);
        self.settle();
    }

    fn serve(&mut self, id: StreamId) {
        if let Some(down) = self.down.get_mut(&id) {
            self.core.service_stream(id, &mut down.half, self.now);
        }
    }

    fn act(&mut self, action: StreamAction, count: &mut Count) {
        match action {
            StreamAction::Open { id, receive, send } => {
                if let Some(config) = receive {
                    let down = Down { half: ReceiveHalf::new(config), read: 0 };
                    assert!(self.down.insert(id, down).is_none(), "stream {id} opened twice");
                }
                if let Some(config) = send {
                    assert!(self.up.insert(id, SendHalf::new(config)).is_none());
                }
            }
            StreamAction::Fail(id, failure) => {
                if let Some(down) = self.down.get_mut(&id) {
                    down.half.fail(failure);
                }
                self.serve(id);
            }
            StreamAction::Reset(id, code, size) => {
                if let Some(down) = self.down.get_mut(&id)
                    && down.half.handle_reset(code, size).is_err()
                {
                    down.half.fail(Failure::Broken { code: ErrorCode::FinalSize });
                }
                self.serve(id);
            }
            StreamAction::Remove(id) => {
                self.down.remove(&id);
                self.up.remove(&id);
                self.opened.retain(|(_, of)| *of != id);
            }
            StreamAction::Admit(id) => self.admit(id, count),
            action => self.act_on_sender(action),
        }
    }

    /// Headers that had to wait are asked for again.
    fn admit(&mut self, id: StreamId, count: &mut Count) {
        let waiting: Vec<_> = self
            .waiting
            .iter()
            .filter(|(_, header)| header.stream == id)
            .map(|(key, _)| *key)
            .collect();
        for key in waiting {
            count.output(&id);
            if let Some(header) = self.waiting.remove(&key) {
                let routed = self.core.handle_header(key.0, key.1, header, self.now);
                self.drain(count);
                match routed {
                    Ok(Routed::To(route)) => self.feed(key.0, key.1, route),
                    Ok(Routed::Wait) => drop(self.waiting.insert(key, header)),
                    Ok(Routed::Drain | Routed::SendOnly) | Err(_) => {}
                }
            }
        }
    }

    fn act_on_sender(&mut self, action: StreamAction) {
        let id = match &action {
            StreamAction::ExtendWindow(id, _)
            | StreamAction::Progress(id, _)
            | StreamAction::Stopped(id, _)
            | StreamAction::PeerDone(id, _) => *id,
            _ => return,
        };
        let Some(half) = self.up.get_mut(&id) else { return };
        match action {
            StreamAction::ExtendWindow(_, max_offset) => drop(half.extend_window(max_offset)),
            StreamAction::Progress(_, progress) => {
                half.handle_progress(progress.read_offset, progress.contiguous_end);
            }
            StreamAction::Stopped(_, code) => {
                half.handle_stop(code);
                let size = half.reset(code);
                self.core.reset_stream(id, code, size);
            }
            StreamAction::PeerDone(_, complete) => half.handle_closed(complete),
            _ => {}
        }
        self.pump(id);
    }
}
