//! A primary: its client and its application do what the input says.

use std::collections::BTreeMap;
use std::time::Duration;

use kwik_core::delegation::{Candidates, Local};
use kwik_core::session::primary::{Admitted, MAX_PATHS, Output, PathSpec};
use kwik_core::session::{PrimarySession, SessionConfig, StreamAction};
use kwik_core::stream::{Failure, Read, ReceiveHalf, SendHalf, SourceKey};
use kwik_core::time::Instant;
use kwik_proto::frame::{CarrierKind, ControlFrame, ErrorCode, ServerIdentity, StreamHeader};
use kwik_proto::{ByteRange, DelegationId, Epoch, Offset, PathId, StreamId};

use super::input::Input;
use super::rules::{Count, Ending, check_content, code_of, content, later};
use super::{STEPS, frames};

/// Streams that a primary keeps: what its client may open, 16 of each kind, and its own, one a step at most.
const MOST_STREAMS: usize = 32 + STEPS;

struct Up {
    half: ReceiveHalf,
    source: SourceKey,
    read: u64,
}

struct Primary {
    core: PrimarySession,
    now: Instant,
    ending: Ending,
    up: BTreeMap<StreamId, Up>,
    down: BTreeMap<StreamId, SendHalf>,
    waiting: Vec<(u64, StreamId)>,
    next_carrier: u64,
    supplies: BTreeMap<DelegationId, (u64, StreamId, ByteRange)>,
    proofs: Vec<DelegationId>,
    messages: Vec<(PathId, usize)>,
    /// Ranges that were ordered, for answers that name them.
    ordered: Vec<(PathId, DelegationId)>,
}

/// Feeds a primary's session with the steps of `input`.
pub fn check_primary(input: &[u8]) {
    let mut input = Input::new(input);
    let Some(mut primary) = Primary::new(&mut input) else { return };
    primary.settle();
    for _ in 0..STEPS {
        if input.is_empty() {
            break;
        }
        primary.step(&mut input);
        primary.settle();
    }
    for _ in 0..32 {
        let due = primary.core.poll_timeout().map(|at| at.since(primary.now));
        primary.now = later(primary.now, due.unwrap_or_default());
        primary.settle();
    }
}

impl Primary {
    fn new(input: &mut Input<'_>) -> Option<Self> {
        let config = SessionConfig {
            max_bidirectional_streams: frames::STREAMS,
            max_unidirectional_streams: frames::STREAMS,
            session_budget: 4 << 20,
            ..SessionConfig::default()
        };
        let (hello, now) = (frames::hello(input), Instant::ZERO);
        let core = PrimarySession::new(&config, &hello, frames::SESSION, 7, now).ok()?;
        Some(Self {
            core,
            now,
            ending: Ending::default(),
            up: BTreeMap::new(),
            down: BTreeMap::new(),
            waiting: Vec::new(),
            next_carrier: 0,
            supplies: BTreeMap::new(),
            proofs: Vec::new(),
            messages: Vec::new(),
            ordered: Vec::new(),
        })
    }

    fn step(&mut self, input: &mut Input<'_>) {
        let now = self.now;
        match input.below(26) {
            0..=4 => {
                if let Some(frame) = frames::any(input) {
                    self.core.handle_control(frame, now);
                }
            }
            5 => {
                for frame in frames::raw(input) {
                    self.core.handle_control(frame, self.now);
                    self.settle();
                }
            }
            6 | 7 => self.open_upload(input),
            8 | 9 => self.upload(input),
            10 => self.read(input),
            11 => self.add_path(input),
            12 => drop(self.core.remove_path(input.secondary(), now)),
            13 => {
                let end = input.flag().then(|| input.offset());
                let _ = self.core.grant(input.secondary(), input.stream(), input.offset(), end);
            }
            14..=16 => self.delegate(input),
            17 => self.write(input),
            18 => drop(self.core.open_stream(input.kind())),
            19 => self.leave(input),
            20 => self.supply(input),
            21 => self.prove(input),
            22 => self.answer(input),
            23 | 24 => {
                self.now = later(self.now, input.duration());
            }
            _ => self.seldom(input),
        }
    }

    fn open_upload(&mut self, input: &mut Input<'_>) {
        let id = input.stream();
        let kind = if input.byte() < 240 { id.value() % 4 } else { input.byte().into() };
        let carrier = self.next_carrier + kind % 4;
        self.next_carrier += 4;
        self.route(carrier, id);
    }

    fn route(&mut self, carrier: u64, id: StreamId) {
        match self.core.handle_header(carrier, id) {
            Ok(Admitted::Wait) => self.waiting.push((carrier, id)),
            Ok(_) => {}
            Err(code) => self.core.close(code, None, "a header"),
        }
    }

    fn upload(&mut self, input: &mut Input<'_>) {
        let at = usize::from(input.byte()) % self.up.len().max(1);
        let Some((id, up)) = self.up.iter_mut().nth(at) else { return };
        let offset = if input.flag() { up.half.contiguous_end() } else { input.offset() };
        let (id, length) = (*id, usize::from(input.byte()) * 33);
        let bytes = content(id, offset, length);
        let inserted = match length {
            0 => Ok(()),
            _ => up.half.insert(up.source, offset, bytes, length, self.now).map(|_| ()),
        };
        let fin = input.byte() > 200;
        let end = offset.saturating_add(length as u64);
        let ended = if fin { up.half.handle_fin(up.source, end).map(|_| ()) } else { Ok(()) };
        if let Err(error) = inserted.and(ended) {
            match code_of(&error) {
                code @ ErrorCode::FlowControl => self.core.close(code, None, "beyond the window"),
                code => self.core.break_stream(id, code),
            }
        }
        self.serve(id);
    }

    fn read(&mut self, input: &mut Input<'_>) {
        let at = usize::from(input.byte()) % self.up.len().max(1);
        let Some((id, up)) = self.up.iter_mut().nth(at) else { return };
        let most = 1 + usize::from(input.byte()) * 257;
        while let Read::Data(data) = up.half.read(most, self.now) {
            check_content(*id, up.read, &data, false);
            up.read += data.len() as u64;
        }
        let id = *id;
        self.serve(id);
    }

    fn add_path(&mut self, input: &mut Input<'_>) {
        let server = input.byte();
        let spec = PathSpec {
            addresses: vec![frames::address(server)],
            identity: ServerIdentity::Pin([server; 32]),
            grant_all: input.byte() > 200,
        };
        let _ = self.core.add_path(spec, self.now);
    }

    fn delegate(&mut self, input: &mut Input<'_>) {
        let at = usize::from(input.byte()) % self.down.len().max(1);
        let Some((id, half)) = self.down.iter_mut().nth(at) else { return };
        let range = ByteRange::new(half.position(), half.position().saturating_add(input.number()));
        let range = range.filter(|_| input.byte() < 240).unwrap_or_else(|| input.range());
        let local = match input.below(3) {
            0 => Local::None,
            1 => Local::Fallback,
            _ => Local::Share,
        };
        let candidates = match input.below(4) {
            0 => Candidates::List((0..input.below(4)).map(|_| input.secondary()).collect()),
            _ => Candidates::All,
        };
        let resource = bytes::Bytes::from_static(b"x");
        let fits = self.core.check_delegate(*id, range, &resource, &candidates, local).is_ok();
        if fits && half.delegate(range).is_ok() {
            let id = *id;
            let taken = self.core.delegate(id, range, resource, candidates, local, self.now);
            assert!(taken.is_ok(), "{range} was found good, and refused: {taken:?}");
            if local != Local::None && input.byte() > 200 {
                self.core.prove(id, range);
            }
        }
    }

    fn write(&mut self, input: &mut Input<'_>) {
        let at = usize::from(input.byte()) % self.down.len().max(1);
        let Some((id, half)) = self.down.iter_mut().nth(at) else { return };
        let _ = half.write(vec![0; usize::from(input.byte()) * 64].into());
        if input.byte() > 200 {
            let _ = half.finish();
        }
        let id = *id;
        self.core.watch_send(id, half.queued_bytes(), 0, self.now);
        if input.byte() > 128 {
            self.core.handle_opened(self.next_carrier + id.value() % 4, id);
            self.next_carrier += 4;
        }
        self.pump(id);
    }

    fn pump(&mut self, id: StreamId) {
        let Some(half) = self.down.get_mut(&id) else { return };
        while half.next_frame(16 << 10).is_some() {}
    }

    fn leave(&mut self, input: &mut Input<'_>) {
        let at = usize::from(input.byte()) % self.down.len().max(1);
        let Some((id, half)) = self.down.iter_mut().nth(at) else { return };
        match input.below(3) {
            0 => {
                let size = half.reset(9);
                self.core.reset_stream(*id, 9, size);
            }
            1 => {
                let _ = half.finish();
                self.core.detach_stream(*id, input.flag(), self.now);
            }
            _ => {
                let id = *id;
                if let Some(up) = self.up.get_mut(&id) {
                    up.half.stop(9);
                }
                self.core.stop_stream(id, 9);
                self.serve(id);
            }
        }
    }

    fn supply(&mut self, input: &mut Input<'_>) {
        let at = usize::from(input.byte()) % self.supplies.len().max(1);
        let Some((id, (carrier, stream, range))) =
            self.supplies.iter().nth(at).map(|(id, supply)| (*id, *supply))
        else {
            return;
        };
        self.supplies.remove(&id);
        if input.flag() {
            let reason = frames::reason(input);
            self.core.handle_supply_failed(stream, range, id, reason, self.now);
        }
        self.core.handle_carrier_end(carrier);
    }

    fn prove(&mut self, input: &mut Input<'_>) {
        let Some(id) = self.proofs.pop() else { return };
        if input.flag() && self.core.handle_proof_read(id, self.now) {
            return self.proofs.push(id);
        }
        let hash = (input.byte() < 200).then_some([3; 32]);
        self.core.handle_proof(id, hash, self.now);
    }

    /// The client says of a range that was ordered what becomes of it.
    fn answer(&mut self, input: &mut Input<'_>) {
        let at = usize::from(input.byte()).checked_rem(self.ordered.len());
        let Some((path, delegation)) = at.and_then(|at| self.ordered.get(at)).copied() else {
            return;
        };
        let state = match input.below(5) {
            0 => kwik_proto::frame::DelegationState::Accepted,
            1 => kwik_proto::frame::DelegationState::Pending,
            2 => kwik_proto::frame::DelegationState::Sent,
            3 => kwik_proto::frame::DelegationState::Refused(frames::reason(input)),
            _ => kwik_proto::frame::DelegationState::Failed(frames::reason(input)),
        };
        let status = kwik_proto::frame::DelegationStatus { path, delegation, state };
        self.core.handle_control(ControlFrame::DelegationStatus(status), self.now);
    }

    fn seldom(&mut self, input: &mut Input<'_>) {
        match input.below(10) {
            0 => self.core.close(frames::code(input), None, "x"),
            1 => self.core.go_away(self.now + input.duration(), self.now),
            2 => self.core.handle_unanswered(input.byte().into(), frames::code(input)),
            3 => {
                let code = frames::code(input).quic_code();
                self.core.handle_refusal(input.byte().into(), code);
            }
            4 | 5 => {
                let message = vec![1; 1 + usize::from(input.byte()) * 300];
                let _ = self.core.send_message(input.secondary(), message.into());
            }
            6 => {
                if let Some((path, size)) = self.messages.pop() {
                    self.core.handle_message_taken(path, size);
                }
            }
            7 => self.core.handle_rtt(input.duration()),
            _ => self.now = self.now + Duration::from_millis(1),
        }
    }

    fn settle(&mut self) {
        let mut count = Count::default();
        self.drain(&mut count);
        while let Some(at) = self.core.poll_timeout().filter(|at| *at <= self.now) {
            count.timeout(at);
            self.core.handle_timeout(self.now);
            self.drain(&mut count);
        }
        assert!(self.up.len() <= MOST_STREAMS && self.down.len() <= MOST_STREAMS);
        assert!(self.core.paths().count() <= MAX_PATHS);
    }

    fn drain(&mut self, count: &mut Count) {
        while let Some(output) = self.core.poll_output(self.now) {
            count.output(&output);
            self.carry_out(output);
        }
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Send(frame) => self.ending.handle_frame(&frame),
            Output::Close(code, ..) => self.ending.handle_close(code),
            Output::Sign(orders) => {
                self.ending.handle_act(&orders);
                assert_eq!(orders.validate(), Ok(()), "{orders:?}");
                for order in &orders.orders {
                    if let kwik_proto::frame::Order::Delegation(delegation) = order {
                        self.ordered.push((orders.path, delegation.id));
                    }
                }
            }
            Output::Attach { path, epoch, .. } => {
                self.ending.handle_act(&path);
                assert!(epoch >= Epoch::FIRST);
            }
            Output::Stream(action) => self.act(action),
            Output::Service(id) => self.serve(id),
            Output::Supply { stream, range, delegation } => self.begin(stream, range, delegation),
            Output::CancelSupply(id) => {
                if let Some((carrier, ..)) = self.supplies.remove(&id) {
                    self.core.handle_carrier_end(carrier);
                }
            }
            Output::Prove { delegation, .. } => self.proofs.push(delegation),
            Output::Message(path, message) => self.messages.push((path, message.len())),
            _ => {}
        }
    }

    fn begin(&mut self, stream: StreamId, range: ByteRange, delegation: DelegationId) {
        assert!(!range.is_empty());
        let carrier = self.next_carrier + 3;
        self.next_carrier += 4;
        self.core.handle_carrier_open(
            carrier,
            StreamHeader {
                stream,
                kind: CarrierKind::Contribution,
                delegation: Some(delegation),
                promised: Some(range),
            },
        );
        let known = self.supplies.insert(delegation, (carrier, stream, range));
        assert!(known.is_none(), "{delegation} supplied twice");
    }

    fn serve(&mut self, id: StreamId) {
        if let Some(up) = self.up.get_mut(&id) {
            self.core.service_stream(id, &mut up.half, self.now);
        }
    }

    fn act(&mut self, action: StreamAction) {
        match action {
            StreamAction::Open { id, receive, send } => {
                if let Some(config) = receive {
                    let mut half = ReceiveHalf::new(config);
                    let source = half.add_source(PathId::PRIMARY, None);
                    let up = Up { half, source, read: 0 };
                    assert!(self.up.insert(id, up).is_none(), "stream {id} opened twice");
                }
                if let Some(config) = send {
                    assert!(self.down.insert(id, SendHalf::new(config)).is_none());
                }
            }
            StreamAction::Reset(id, code, size) => self.end(id, |half| {
                if half.handle_reset(code, size).is_err() {
                    half.fail(Failure::Broken { code: ErrorCode::FinalSize });
                }
            }),
            StreamAction::Fail(id, failure) => self.end(id, |half| half.fail(failure)),
            StreamAction::Remove(id) => {
                self.up.remove(&id);
                self.down.remove(&id);
            }
            StreamAction::Admit(id) => {
                let waiting = std::mem::take(&mut self.waiting);
                for (carrier, of) in waiting {
                    match of == id {
                        true => self.route(carrier, of),
                        false => self.waiting.push((carrier, of)),
                    }
                }
            }
            action => self.act_on_sender(action),
        }
    }

    fn end(&mut self, id: StreamId, end: impl FnOnce(&mut ReceiveHalf)) {
        if let Some(up) = self.up.get_mut(&id) {
            end(&mut up.half);
        }
        self.serve(id);
    }

    fn act_on_sender(&mut self, action: StreamAction) {
        let id = match &action {
            StreamAction::ExtendWindow(id, _)
            | StreamAction::Progress(id, _)
            | StreamAction::Stopped(id, _)
            | StreamAction::PeerDone(id, _)
            | StreamAction::Weigh(id) => *id,
            _ => return,
        };
        let Some(half) = self.down.get_mut(&id) else { return };
        match action {
            StreamAction::ExtendWindow(_, max_offset) => drop(half.extend_window(max_offset)),
            StreamAction::Progress(_, progress) => {
                half.handle_progress(progress.read_offset, progress.contiguous_end);
            }
            StreamAction::Stopped(_, code) => {
                half.handle_stop(code);
                let size: Offset = half.reset(code);
                self.core.reset_stream(id, code, size);
            }
            StreamAction::PeerDone(_, complete) => half.handle_closed(complete),
            StreamAction::Weigh(_) => {
                self.core.watch_send(id, half.queued_bytes(), 0, self.now);
            }
            _ => {}
        }
        self.pump(id);
    }
}
