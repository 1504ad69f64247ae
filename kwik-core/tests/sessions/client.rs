//! The client's end: a thin driver as the real one, and an application that reads and writes.

use std::collections::BTreeMap;
use std::time::Duration;

use kwik_core::delegation::Local;
use kwik_core::session::client::{CarrierEnd, Output, Routed};
use kwik_core::session::{ClientSession, StreamAction};
use kwik_core::stream::{Failure, Read, ReceiveError, ReceiveHalf, SendHalf, SourceKey};
use kwik_proto::frame::{ControlFrame, ErrorCode, StreamHeader};
use kwik_proto::{ByteRange, Epoch, Offset, PathId, StreamId, StreamKind};

use crate::network::{Channel, Event, content, is_content, is_content_or_lie, lie};
use crate::plan::{Fate, Manner, Opener, Supply};
use crate::world::{World, index_of, range};

/// How reading a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Finished,
    Reset,
    Stopped,
    Failed(Failure),
}

pub(crate) struct Down {
    half: ReceiveHalf,
    read: u64,
    end: Option<End>,
    reading: bool,
    pause: Duration,
}

/// How a carrier's bytes get to a half.
pub(crate) struct Feed {
    stream: StreamId,
    source: SourceKey,
}

pub(crate) struct ClientEnd {
    pub core: ClientSession,
    down: BTreeMap<StreamId, Down>,
    up: BTreeMap<StreamId, SendHalf>,
    feeds: BTreeMap<(PathId, u64), Feed>,
    epochs: BTreeMap<PathId, Epoch>,
    /// What is over keeps its end for the check.
    ends: BTreeMap<StreamId, (u64, End)>,
}

impl ClientEnd {
    pub(crate) fn new(core: ClientSession) -> Self {
        Self {
            core,
            down: BTreeMap::new(),
            up: BTreeMap::new(),
            feeds: BTreeMap::new(),
            epochs: BTreeMap::new(),
            ends: BTreeMap::new(),
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        let writing = self.up.values().any(|half| !half.is_closed());
        self.down.values().all(|down| down.end.is_some()) && (!writing || self.core.is_closed())
    }

    pub(crate) fn describe(&self) -> Vec<String> {
        let open = self.down.iter().map(|(id, down)| {
            format!(
                "stream {id} read {} {:?} waiting {:?}",
                down.read,
                down.end,
                down.half.waiting_since()
            )
        });
        let up = self.up.iter().map(|(id, half)| {
            format!("sending {id} {:?} {}", half.final_size(), half.queued_bytes())
        });
        open.chain(up).collect()
    }
}

impl World {
    pub(crate) fn reach_client(&mut self, path: PathId, epoch: Epoch, frame: ControlFrame) {
        let now = self.network.now;
        if path.is_primary() && self.plan.primary_lost.is_some_and(|at| now.elapsed() >= at) {
            return;
        }
        if !path.is_primary() && self.client.epochs.get(&path) == Some(&epoch) {
            self.client.core.handle_activity(path, now, now);
        }
        self.client.core.handle_control(path, epoch, frame, now);
    }

    pub(crate) fn open(&mut self, index: usize) {
        let plan = self.plan.streams[index].clone();
        let kind =
            if plan.bidirectional { StreamKind::Bidirectional } else { StreamKind::Unidirectional };
        if plan.opener == Opener::Primary {
            return self.open_at_primary(index, kind);
        }
        let Some(id) = self.client.core.open_stream(kind) else { return };
        self.ids.insert(index, id);
        self.drain();
        self.start_upload(id, plan.upload);
    }

    /// Bytes go out with the header, which is what makes the stream exist at the primary.
    fn start_upload(&mut self, id: StreamId, size: u64) {
        if let Some(half) = self.client.up.get_mut(&id) {
            half.write(content(id, range(0, size))).unwrap();
            half.finish().unwrap();
        }
        self.pump_upload(id);
    }

    pub(crate) fn accept(&mut self, id: StreamId) {
        if let Some((_, _, upload)) = self.size_of(id) {
            self.start_upload(id, upload);
        }
    }

    fn pump_upload(&mut self, id: StreamId) {
        let Some(half) = self.client.up.get_mut(&id) else { return };
        while let Some(frame) = half.next_frame(16 << 10) {
            let event = Event::Upload(id, frame.offset, frame.payload, frame.fin);
            self.network.travel(Channel::Upload(id), Duration::ZERO, event);
        }
    }

    pub(crate) fn handle_dialled(&mut self, path: PathId, epoch: Epoch) {
        let (now, index) = (self.network.now, index_of(path));
        let core = &mut self.client.core;
        match self.plan.servers[index].manner {
            Manner::Unreachable => {
                core.handle_lost(path, epoch, ErrorCode::Unreachable, "no answer", now);
            }
            manner => {
                core.handle_connected(path, epoch, [2; 64], now);
                let rtt = self.network.delay(path) * 2;
                core.handle_path_rtt(path, rtt, rtt / 4, now);
                if let Manner::Dies(after) = manner {
                    self.network.at(now + after, Event::Lost(path, epoch));
                }
            }
        }
    }

    /// The connection is gone. Which comes first, its carriers' ends or its own, is a matter of luck.
    pub(crate) fn lose(&mut self, path: PathId, epoch: Epoch) {
        if self.client.epochs.get(&path) != Some(&epoch) {
            return;
        }
        self.servers[index_of(path)].lose(epoch);
        if self.network.dice.roll(2) == 0 {
            let carriers: Vec<u64> =
                self.client.feeds.keys().filter(|(of, _)| *of == path).map(|(_, id)| *id).collect();
            for carrier in carriers {
                self.end_carrier(path, carrier, CarrierEnd::Lost);
            }
        }
        self.client.feeds.retain(|(of, _), _| *of != path);
        let now = self.network.now;
        self.client.core.handle_lost(path, epoch, ErrorCode::Unreachable, "lost", now);
    }

    pub(crate) fn lose_primary(&mut self) {
        self.primary = None;
        self.network.remark(|| "the primary is lost".into());
        self.client.core.handle_primary_lost("lost", self.network.now);
    }

    fn is_current(&self, path: PathId, epoch: Epoch) -> bool {
        if path.is_primary() {
            return self.plan.primary_lost.is_none_or(|at| self.network.now.elapsed() < at);
        }
        self.client.epochs.get(&path) == Some(&epoch) && self.servers[index_of(path)].is_at(epoch)
    }

    pub(crate) fn handle_header(
        &mut self,
        path: PathId,
        epoch: Epoch,
        carrier: u64,
        header: StreamHeader,
    ) {
        if !self.is_current(path, epoch) {
            return;
        }
        let now = self.network.now;
        let routed = self.client.core.handle_header(path, carrier, header, now);
        self.drain();
        match routed {
            Ok(Routed::To(route)) => {
                let Some(down) = self.client.down.get_mut(&route.stream) else { return };
                let source = down.half.add_source(path, route.allowed);
                self.client.core.handle_source(path, carrier, source);
                self.client.feeds.insert((path, carrier), Feed { stream: route.stream, source });
            }
            Ok(Routed::Drain | Routed::SendOnly) => {}
            Ok(Routed::Wait) => self.fail(format!("carrier {carrier} of {path} had to wait")),
            Err(code) => {
                self.network.remark(|| format!("carrier {carrier} of {path} refused: {code:?}"));
                self.network.travel(
                    Channel::ToServer(path),
                    Duration::ZERO,
                    Event::Stop(path, carrier),
                );
            }
        }
    }

    pub(crate) fn handle_chunk(
        &mut self,
        path: PathId,
        epoch: Epoch,
        carrier: u64,
        piece: ByteRange,
    ) {
        if !self.is_current(path, epoch) || self.cancelled.contains(&(path, carrier)) {
            return;
        }
        let now = self.network.now;
        if !path.is_primary() {
            self.client.core.handle_activity(path, now, now);
        }
        let Some(feed) = self.client.feeds.get(&(path, carrier)) else { return };
        let (stream, source) = (feed.stream, feed.source);
        let Some(down) = self.client.down.get_mut(&stream) else { return };
        let lies = !path.is_primary() && self.plan.servers[index_of(path)].manner == Manner::Lies;
        let payload = if lies { lie(stream, piece) } else { content(stream, piece) };
        let length = payload.len();
        match down.half.insert(source, piece.start(), payload, length, now) {
            Ok(taken) => self.conflicts += u64::from(taken.conflict.is_some()),
            Err(ReceiveError::Conflict { .. }) if lies => {
                self.conflicts += 1;
                let end = CarrierEnd::Faulty(ErrorCode::DataConflict);
                self.end_carrier(path, carrier, end);
            }
            Err(error) => self.fail(format!("an honest frame was refused on {path}: {error}")),
        }
        self.service(stream);
    }

    pub(crate) fn handle_fin(&mut self, carrier: u64, size: Offset) {
        if !self.is_current(PathId::PRIMARY, Epoch::FIRST) {
            return;
        }
        let Some(feed) = self.client.feeds.get(&(PathId::PRIMARY, carrier)) else { return };
        let (stream, source) = (feed.stream, feed.source);
        let Some(down) = self.client.down.get_mut(&stream) else { return };
        if let Err(error) = down.half.handle_fin(source, size) {
            self.fail(format!("an honest final size was refused: {error}"));
        }
        self.service(stream);
        self.end_carrier(PathId::PRIMARY, carrier, CarrierEnd::Finished);
    }

    pub(crate) fn handle_end(&mut self, path: PathId, epoch: Epoch, carrier: u64, end: CarrierEnd) {
        if self.is_current(path, epoch) {
            self.end_carrier(path, carrier, end);
        }
    }

    fn end_carrier(&mut self, path: PathId, carrier: u64, end: CarrierEnd) {
        let feed = self.client.feeds.remove(&(path, carrier));
        let half = feed.and_then(|feed| self.client.down.get_mut(&feed.stream));
        let half = half.map(|down| &mut down.half);
        self.client.core.handle_carrier_end(path, carrier, end, half, self.network.now);
    }

    fn service(&mut self, id: StreamId) {
        self.read_later(id);
        if let Some(down) = self.client.down.get_mut(&id) {
            self.client.core.service_stream(id, &mut down.half, self.network.now);
        }
    }

    /// The reader comes back some time after something arrived.
    fn read_later(&mut self, id: StreamId) {
        let Some(down) = self.client.down.get_mut(&id) else { return };
        if !down.reading && down.end.is_none() {
            down.reading = true;
            let longest = u64::try_from(down.pause.as_micros()).unwrap();
            let pause = Duration::from_micros(100 + self.network.dice.roll(longest));
            self.network.at(self.network.now + pause, Event::Read(id));
        }
    }

    pub(crate) fn read(&mut self, id: StreamId) {
        let now = self.network.now;
        let Some(down) = self.client.down.get_mut(&id) else { return };
        down.reading = false;
        while down.end.is_none() {
            let most = 1 + self.network.dice.roll(200_000) as usize;
            match down.half.read(most, now) {
                Read::Data(data) => {
                    let fits = match self.plan.has_liar() {
                        true => is_content_or_lie(id, down.read, &data),
                        false => is_content(id, down.read, &data),
                    };
                    if !fits {
                        let text = format!("wrong bytes in stream {id} at {}", down.read);
                        self.broken.get_or_insert(text);
                        return;
                    }
                    down.read += data.len() as u64;
                }
                Read::Blocked => break,
                Read::Finished => down.end = Some(End::Finished),
                Read::Reset { .. } => down.end = Some(End::Reset),
                Read::Failed(failure) => down.end = Some(End::Failed(failure)),
            }
        }
        let ended = down.end.map(|end| (down.read, end));
        self.service(id);
        if let Some((read, end)) = ended {
            self.check_end(id, read, end);
        }
    }

    fn check_end(&mut self, id: StreamId, read: u64, end: End) {
        self.client.ends.insert(id, (read, end));
        self.network.remark(|| format!("stream {id} ended {end:?} after {read}"));
        let Some((index, download, _)) = self.size_of(id) else { return };
        let stream = &self.plan.streams[index];
        let no_local = matches!(stream.supply, Supply::Delegated(Local::None));
        let fits = match end {
            End::Finished => read == download,
            End::Reset => matches!(stream.fate, Fate::Reset(_)),
            End::Stopped => true,
            End::Failed(Failure::SessionEnded) => self.plan.primary_lost.is_some(),
            // Nobody takes back what was read, and without the primary's copy nobody knows who lied.
            End::Failed(Failure::DataConflict { .. }) => self.plan.has_liar(),
            End::Failed(_) => no_local && (!self.plan.has_steady_server() || self.plan.has_liar()),
        };
        if !fits {
            self.fail(format!("stream {id} ended {end:?} after {read} of {download}"));
        }
    }

    pub(crate) fn stop_reading(&mut self, index: usize) {
        let Some(id) = self.ids.get(&index).copied() else { return };
        let Some(down) = self.client.down.get_mut(&id).filter(|down| down.end.is_none()) else {
            return;
        };
        down.half.stop(9);
        down.end = Some(End::Stopped);
        self.client.core.stop_stream(id, 9);
        self.service(id);
    }

    pub(crate) fn client_output(&mut self, output: Output) {
        let now = self.network.now;
        match output {
            Output::Send(path, frame) => {
                let event = match path.is_primary() {
                    true => Event::ToPrimary(frame),
                    false => Event::ToSecondary(index_of(path), self.client.epochs[&path], frame),
                };
                self.network.travel(Channel::ToServer(path), Duration::ZERO, event);
            }
            Output::Dial { path, epoch, .. } => {
                self.client.epochs.insert(path, epoch);
                let delay = self.network.delay(path) * 2;
                self.network.at(now + delay, Event::Dialled(path, epoch));
            }
            Output::ClosePath { path, epoch, code } => {
                self.network.remark(|| format!("{path} {epoch:?} closed: {code:?}"));
                self.client.feeds.retain(|(of, _), _| *of != path);
                self.servers[index_of(path)].lose(epoch);
            }
            Output::Stream(action) => self.client_action(action),
            Output::Service(id) => self.service(id),
            Output::StopCarrier { path, carrier, .. } => {
                self.client.feeds.remove(&(path, carrier));
                self.network.travel(
                    Channel::ToServer(path),
                    Duration::ZERO,
                    Event::Stop(path, carrier),
                );
            }
            Output::Close { code, reason, .. } => {
                self.network.remark(|| format!("closed: {code:?} {reason}"));
                if self.plan.primary_lost.is_none() {
                    self.fail(format!("the client closed the session: {code:?} {reason}"));
                }
            }
            _ => {}
        }
    }

    fn client_action(&mut self, action: StreamAction) {
        match action {
            StreamAction::Open { id, receive, send } => {
                let pause = self
                    .size_of(id)
                    .map_or(Duration::from_millis(2), |(index, ..)| self.plan.streams[index].pause);
                if let Some(config) = receive {
                    let half = ReceiveHalf::new(config);
                    let down = Down { half, read: 0, end: None, reading: false, pause };
                    self.client.down.insert(id, down);
                }
                if let Some(config) = send {
                    self.client.up.insert(id, SendHalf::new(config));
                }
                self.read_later(id);
            }
            StreamAction::Accept(id) => self.accept(id),
            StreamAction::Fail(id, failure) => {
                if let Some(down) = self.client.down.get_mut(&id) {
                    down.half.fail(failure);
                }
                self.service(id);
            }
            StreamAction::Reset(id, code, size) => {
                if let Some(down) = self.client.down.get_mut(&id)
                    && let Err(error) = down.half.handle_reset(code, size)
                {
                    self.fail(format!("an honest reset was refused: {error}"));
                }
                self.service(id);
            }
            StreamAction::Remove(id) => {
                // As long as its reader has not found the end, it is read on.
                if self.client.down.get(&id).is_some_and(|down| down.end.is_some()) {
                    self.client.down.remove(&id);
                }
                self.client.up.remove(&id);
            }
            action => self.client_send_action(action),
        }
    }

    fn client_send_action(&mut self, action: StreamAction) {
        let (id, up) = match &action {
            StreamAction::ExtendWindow(id, _)
            | StreamAction::Progress(id, _)
            | StreamAction::Stopped(id, _)
            | StreamAction::PeerDone(id, _) => (*id, self.client.up.get_mut(id)),
            _ => return,
        };
        let Some(half) = up else { return };
        match action {
            StreamAction::ExtendWindow(_, max_offset) => {
                half.extend_window(max_offset);
                self.pump_upload(id);
            }
            StreamAction::Progress(_, progress) => {
                half.handle_progress(progress.read_offset, progress.contiguous_end);
            }
            StreamAction::Stopped(_, code) => {
                half.handle_stop(code);
                let size = half.reset(code);
                self.client.core.reset_stream(id, code, size);
            }
            StreamAction::PeerDone(_, complete) => half.handle_closed(complete),
            _ => {}
        }
    }
}
