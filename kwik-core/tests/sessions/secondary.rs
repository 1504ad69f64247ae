//! The secondaries' ends: each obeys as its plan says.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use kwik_core::session::client::CarrierEnd;
use kwik_core::session::secondary::Output;
use kwik_core::session::{SecondarySession, SessionConfig};
use kwik_proto::frame::{
    CarrierKind, ControlFrame, Delegation, GapReason, Order, Orders, StreamHeader,
};
use kwik_proto::{DelegationId, Epoch, Offset, PathId, StreamId};

use crate::network::{Channel, Event};
use crate::plan::{Manner, Supply};
use crate::world::{SESSION, World, offset, path_of, range};

/// Pieces in which holders of grants take turns.
const PIECE: u64 = 8 << 10;

/// A contribution under a grant without an end.
struct Writer {
    carrier: u64,
    allowed: u64,
    /// The next piece of its share.
    next: u64,
}

#[derive(Default)]
pub(crate) struct Server {
    epoch: Option<Epoch>,
    /// The last connection that is over.
    lost: Option<Epoch>,
    pub session: Option<SecondarySession>,
    carriers: BTreeMap<u64, (StreamId, Option<DelegationId>)>,
    writers: BTreeMap<StreamId, Writer>,
    broken: u64,
    sent_messages: u64,
    got_messages: u64,
}

impl Server {
    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        self.session.as_mut().and_then(SecondarySession::poll_output)
    }

    pub(crate) fn is_at(&self, epoch: Epoch) -> bool {
        self.epoch.is_none_or(|own| own == epoch) || self.session.is_none()
    }

    /// The connection is over.
    pub(crate) fn lose(&mut self, epoch: Epoch) {
        self.lost = Some(epoch);
        if self.epoch == Some(epoch) {
            self.session = None;
            self.carriers.clear();
            self.writers.clear();
        }
    }
}

impl World {
    pub(crate) fn reach_secondary(&mut self, index: usize, epoch: Epoch, frame: ControlFrame) {
        let path = path_of(index);
        let server = &mut self.servers[index];
        if let ControlFrame::Hello(hello) = &frame {
            if server.epoch.is_some_and(|known| known >= epoch) || server.lost >= Some(epoch) {
                return;
            }
            server.epoch = Some(epoch);
            server.carriers.clear();
            server.writers.clear();
            let config = SessionConfig::default();
            let session = SecondarySession::new(&config, hello, SESSION, path, epoch);
            server.session = Some(session.unwrap());
            return;
        }
        if server.epoch != Some(epoch) {
            return;
        }
        let Some(session) = &mut server.session else { return };
        match frame {
            ControlFrame::Orders(signed) => {
                let orders = Orders::decode(&signed.body).unwrap();
                let granted: Vec<StreamId> = orders
                    .orders
                    .iter()
                    .filter_map(|order| match order {
                        Order::Grant(grant) => Some(grant.stream),
                        _ => None,
                    })
                    .collect();
                session.handle_orders(orders);
                for stream in granted {
                    self.open_writer(index, stream);
                }
            }
            frame => session.handle_control(frame),
        }
        self.send_message_back(index);
    }

    fn send_message_back(&mut self, index: usize) {
        let server = &mut self.servers[index];
        let Some(session) = &mut server.session else { return };
        if server.sent_messages < self.plan.messages {
            let text =
                vec![server.sent_messages as u8; 1 + (server.sent_messages * 1_700) as usize];
            if session.send_message(Bytes::from(text)).is_ok() {
                server.sent_messages += 1;
            }
        }
    }

    /// Its share of a granted stream: every n-th piece, up to the stream's size.
    fn open_writer(&mut self, index: usize, stream: StreamId) {
        let granted = self
            .size_of(stream)
            .is_some_and(|(at, ..)| self.plan.streams[at].supply == Supply::Granted);
        if !granted || self.servers[index].writers.contains_key(&stream) {
            return;
        }
        let Some(session) = &mut self.servers[index].session else { return };
        let plan = match session.open(stream) {
            Ok(plan) => plan,
            Err(error) => return self.fail(format!("no contribution under a grant: {error}")),
        };
        let carrier = self.next_carrier;
        self.next_carrier += 4;
        let (path, epoch) = (path_of(index), self.servers[index].epoch.unwrap());
        let header = StreamHeader { kind: CarrierKind::Contribution, ..plan.header };
        let event = Event::Header(path, epoch, carrier, header);
        self.network.travel(Channel::Carrier(path, carrier), Duration::ZERO, event);
        let server = &mut self.servers[index];
        server.session.as_mut().unwrap().handle_carrier_open(carrier, header);
        server.carriers.insert(carrier, (stream, None));
        let allowed = plan.max_offset.value();
        let writer = Writer { carrier, allowed, next: index as u64 };
        server.writers.insert(stream, writer);
        self.write_granted(index, stream);
    }

    fn write_granted(&mut self, index: usize, stream: StreamId) {
        let Some((at, download, _)) = self.size_of(stream) else { return };
        let (head, servers) = (self.plan.streams[at].head, self.servers.len() as u64);
        let (path, epoch) = (path_of(index), self.servers[index].epoch.unwrap());
        let Some(writer) = self.servers[index].writers.get_mut(&stream) else { return };
        let carrier = writer.carrier;
        let mut over = false;
        loop {
            let start = head + writer.next * PIECE;
            let end = (start + PIECE).min(download);
            if start >= download {
                over = true;
                break;
            }
            if end > writer.allowed {
                break;
            }
            writer.next += servers;
            let event = Event::Chunk(path, epoch, carrier, range(start, end));
            self.network.travel(Channel::Carrier(path, carrier), Duration::ZERO, event);
        }
        if over {
            self.servers[index].writers.remove(&stream);
            self.network.at(self.network.now, Event::Sent(path, epoch, carrier, true));
            return;
        }
        let window = self.servers[index].writers[&stream].allowed;
        if let Some(session) = &mut self.servers[index].session {
            session.handle_blocked(stream, offset(window));
        }
    }

    pub(crate) fn secondary_output(&mut self, index: usize, output: Output) {
        let path = path_of(index);
        let epoch = self.servers[index].epoch.unwrap();
        match output {
            Output::Send(frame) => {
                let event = Event::ToClient(path, epoch, frame);
                self.network.travel(Channel::ToClient(path), Duration::ZERO, event);
            }
            Output::Offer(order) => self.obey(index, &order),
            Output::Stop { stream, delegation, .. } => {
                let stopped: Vec<u64> = self.servers[index]
                    .carriers
                    .iter()
                    .filter(|(_, (of, id))| {
                        *of == stream && (delegation.is_none() || *id == delegation)
                    })
                    .map(|(carrier, _)| *carrier)
                    .collect();
                for carrier in stopped {
                    self.handle_stop(path, carrier);
                }
            }
            Output::Window(stream, max_offset) => self.widen(index, stream, max_offset),
            Output::Message(message) => self.take_message(index, &message),
            Output::Close(code, reason) => {
                self.fail(format!("{path} was closed by its server: {code:?} {reason}"));
            }
            _ => {}
        }
    }

    fn widen(&mut self, index: usize, stream: StreamId, max_offset: Offset) {
        if let Some(writer) = self.servers[index].writers.get_mut(&stream) {
            writer.allowed = writer.allowed.max(max_offset.value());
            self.write_granted(index, stream);
        }
    }

    /// Messages come in order, each whole; those of an earlier connection may be lost.
    fn take_message(&mut self, index: usize, message: &[u8]) {
        let server = &mut self.servers[index];
        let number = u64::from(message[0]);
        let whole = message.len() as u64 == 1 + number * 2_300;
        if let Some(session) = &mut server.session {
            session.handle_message_taken(message.len());
        }
        if number < server.got_messages || !whole || message.iter().any(|b| *b != message[0]) {
            return self.fail(format!("message {number} of {} bytes is wrong", message.len()));
        }
        server.got_messages = number + 1;
    }

    fn obey(&mut self, index: usize, order: &Delegation) {
        let path = path_of(index);
        let manner = self.plan.servers[index].manner;
        let server = &mut self.servers[index];
        let (Some(session), Some(epoch)) = (&mut server.session, server.epoch) else { return };
        if manner == Manner::Refuses {
            return session.refuse(order.id, GapReason::NotFound);
        }
        if session.accept(order.stream, order.id).is_err() {
            return;
        }
        let stop = match manner {
            Manner::Hangs => return,
            Manner::Breaks => {
                server.broken += 1;
                (server.broken % 2 == 1).then_some(order.range.len() / 2)
            }
            _ => None,
        };
        let carrier = self.contribute(path, epoch, order.stream, order.id, order.range, stop);
        let header = StreamHeader {
            stream: order.stream,
            kind: CarrierKind::Contribution,
            delegation: Some(order.id),
            promised: Some(order.range),
        };
        let server = &mut self.servers[index];
        server.carriers.insert(carrier, (order.stream, Some(order.id)));
        if let Some(session) = &mut server.session {
            session.handle_carrier_open(carrier, header);
        }
    }

    /// A server gave QUIC the last byte, or reset the carrier.
    pub(crate) fn handle_sent(&mut self, path: PathId, epoch: Epoch, carrier: u64, whole: bool) {
        if self.cancelled.contains(&(path, carrier)) {
            return;
        }
        if !path.is_primary() {
            let server = &mut self.servers[usize::from(path.value()) - 1];
            if server.epoch != Some(epoch) || server.carriers.remove(&carrier).is_none() {
                return;
            }
            if let Some(session) = &mut server.session {
                session.handle_carrier_end(carrier, whole);
            }
        } else if let Some(primary) = &mut self.primary {
            primary.core.handle_carrier_end(carrier);
        }
        let end = if whole { CarrierEnd::Finished } else { CarrierEnd::Reset };
        let event = Event::End(path, epoch, carrier, end);
        self.network.travel(Channel::Carrier(path, carrier), Duration::ZERO, event);
    }

    /// STOP_SENDING arrived, or the server's own session stopped the writer: the carrier is reset.
    pub(crate) fn handle_stop(&mut self, path: PathId, carrier: u64) {
        if !self.cancelled.insert((path, carrier)) {
            return;
        }
        if path.is_primary() {
            if let Some(primary) = &mut self.primary {
                primary.core.handle_carrier_end(carrier);
            }
            return;
        }
        let server = &mut self.servers[usize::from(path.value()) - 1];
        let Some((stream, _)) = server.carriers.remove(&carrier) else { return };
        server.writers.remove(&stream);
        let epoch = server.epoch.unwrap();
        if let Some(session) = &mut server.session {
            session.handle_carrier_end(carrier, false);
        }
        let event = Event::End(path, epoch, carrier, CarrierEnd::Reset);
        self.network.travel(Channel::Carrier(path, carrier), Duration::ZERO, event);
    }
}
