//! What the servers hear, and what they do then.

use super::*;

impl World {
    pub(super) fn reach_primary(&mut self, frame: ControlFrame) {
        if let ControlFrame::Hello(hello) = &frame {
            let config = SessionConfig::default();
            let seed = self.plan.seed;
            self.primary =
                Some(PrimarySession::new(&config, hello, SESSION, seed, self.now).unwrap());
            self.start_job();
            return;
        }
        self.primary.as_mut().unwrap().handle_control(frame, self.now);
    }

    /// What the primary's application does: it adds its secondaries, writes the head, delegates the rest.
    pub(super) fn start_job(&mut self) {
        let primary = self.primary.as_mut().unwrap();
        for index in 0..self.servers.len() {
            let address = format!("198.51.100.{}:4433", index + 1);
            let spec = PathSpec {
                addresses: vec![address.parse().unwrap()],
                identity: ServerIdentity::Pin([index as u8; 32]),
                grant_all: false,
            };
            primary.add_path(spec, self.now).unwrap();
        }
        primary.handle_header(self.stream.value(), self.stream).unwrap();
        primary.handle_rtt(self.plan.primary_delay * 2);
        self.drain();
        let head = self.plan.head.min(self.plan.size);
        let send = self.sends.get_mut(&self.stream).unwrap();
        let first = ByteRange::with_length(Offset::ZERO, head).unwrap();
        send.write(bytes(first)).unwrap();
        let rest = ByteRange::new(first.end(), Offset::new(self.plan.size).unwrap()).unwrap();
        if !rest.is_empty() {
            send.delegate(rest).unwrap();
            let primary = self.primary.as_mut().unwrap();
            let (all, local) = (Candidates::All, Local::Fallback);
            primary.delegate(self.stream, rest, "x".into(), all, local, self.now).unwrap();
        }
        self.sends.get_mut(&self.stream).unwrap().finish().unwrap();
        self.pump();
    }

    /// The public carrier: whatever the sending half lets go.
    pub(super) fn pump(&mut self) {
        // The client's second bidirectional QUIC stream, behind the control stream.
        let (path, carrier, delay) = (PathId::PRIMARY, 4, self.plan.primary_delay);
        let channel = (2, path, carrier);
        while let Some(frame) =
            self.sends.get_mut(&self.stream).and_then(|send| send.next_frame(16 << 10))
        {
            if !self.announced_header {
                self.announced_header = true;
                let header = StreamHeader {
                    stream: self.stream,
                    kind: CarrierKind::Public,
                    delegation: None,
                    promised: None,
                };
                self.travel(channel, delay, Event::Header(path, Epoch::FIRST, carrier, header));
            }
            let end = frame.offset.saturating_add(frame.payload.len() as u64);
            if !frame.payload.is_empty() {
                let chunk = Event::Chunk(path, Epoch::FIRST, carrier, frame.offset, frame.payload);
                self.travel(channel, delay, chunk);
            }
            if frame.fin {
                self.travel(channel, delay, Event::Fin(path, carrier, end));
            }
        }
    }

    pub(super) fn reach_secondary(&mut self, index: usize, epoch: Epoch, frame: ControlFrame) {
        let path = PathId::new(index as u16 + 1);
        if let ControlFrame::Hello(hello) = &frame {
            self.servers[index].epoch = epoch;
            let config = SessionConfig::default();
            let session = SecondarySession::new(&config, hello, SESSION, path, epoch);
            self.servers[index].session = Some(session.unwrap());
            return;
        }
        if self.servers[index].epoch != epoch {
            return;
        }
        let Some(session) = &mut self.servers[index].session else { return };
        match frame {
            ControlFrame::Orders(signed) => {
                session.handle_orders(Orders::decode(&signed.body).unwrap());
            }
            frame => session.handle_control(frame),
        }
    }

    pub(super) fn primary_output(&mut self, output: PrimaryOutput) {
        let (path, epoch, delay) = (PathId::PRIMARY, Epoch::FIRST, self.plan.primary_delay);
        let to_client = |world: &mut Self, frame| {
            world.travel((1, path, 0), delay, Event::ToClient(path, epoch, frame));
        };
        match output {
            PrimaryOutput::Send(frame) => to_client(self, frame),
            PrimaryOutput::Sign(orders) => {
                let body = orders.encode();
                let signed = SignedOrders { body, signature: [0; 64], key_id: String::new() };
                to_client(self, ControlFrame::Orders(signed));
            }
            PrimaryOutput::Attach { path, epoch, addresses, identity, .. } => {
                let token = "v4.public.x".into();
                let add = AddPath { path, epoch, addresses, identity, token };
                to_client(self, ControlFrame::AddPath(add));
            }
            PrimaryOutput::Stream(action) => self.primary_action(action),
            PrimaryOutput::Supply { stream, range, delegation } => {
                self.contribute(path, epoch, delay, stream, delegation, range, None);
            }
            _ => {}
        }
    }

    pub(super) fn primary_action(&mut self, action: StreamAction) {
        match action {
            StreamAction::Open { id, send: Some(config), .. } => {
                self.sends.insert(id, SendHalf::new(config));
            }
            StreamAction::ExtendWindow(id, max_offset) => {
                if let Some(send) = self.sends.get_mut(&id) {
                    send.extend_window(max_offset);
                }
                self.pump();
            }
            _ => {}
        }
    }

    pub(super) fn secondary_output(&mut self, index: usize, output: SecondaryOutput) {
        let path = PathId::new(index as u16 + 1);
        let (delay, epoch) = (self.servers[index].delay, self.servers[index].epoch);
        match output {
            SecondaryOutput::Send(frame) => {
                self.travel((1, path, 0), delay, Event::ToClient(path, epoch, frame));
            }
            SecondaryOutput::Offer(order) => self.obey(index, path, epoch, delay, &order),
            _ => {}
        }
    }

    pub(super) fn obey(
        &mut self,
        index: usize,
        path: PathId,
        epoch: Epoch,
        delay: Duration,
        order: &Delegation,
    ) {
        let server = &mut self.servers[index];
        let Some(session) = &mut server.session else { return };
        if server.manner == Manner::Refuses {
            return session.refuse(order.id, GapReason::NotFound);
        }
        // It may have been taken back in the same frame.
        if session.accept(order.stream, order.id).is_err() {
            return;
        }
        let length = order.range.len();
        let stop = match server.manner {
            Manner::Hangs => return,
            Manner::Breaks => {
                server.broken += 1;
                (server.broken % 2 == 1).then_some(length / 2)
            }
            _ => None,
        };
        self.contribute(path, epoch, delay, order.stream, order.id, order.range, stop);
    }

    /// Sends a range as one contribution, at about 10 MB/s; breaks off after `stop` bytes.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn contribute(
        &mut self,
        path: PathId,
        epoch: Epoch,
        delay: Duration,
        stream: StreamId,
        delegation: DelegationId,
        range: ByteRange,
        stop: Option<u64>,
    ) {
        let carrier = self.next_carrier;
        self.next_carrier += 4;
        let channel = (2, path, carrier);
        let header = StreamHeader {
            stream,
            kind: CarrierKind::Contribution,
            delegation: Some(delegation),
            promised: Some(range),
        };
        self.travel(channel, delay, Event::Header(path, epoch, carrier, header));
        let end = stop.map_or(range.end(), |bytes| range.start().saturating_add(bytes));
        let mut at = range.start();
        let mut sent = Duration::ZERO;
        while at < end {
            let length = end.since(at).min(1 + self.dice.roll(16 << 10));
            let piece = ByteRange::with_length(at, length).unwrap();
            sent += Duration::from_nanos(length * 100);
            let chunk = Event::Chunk(path, epoch, carrier, at, bytes(piece));
            self.travel(channel, delay + sent, chunk);
            at = piece.end();
        }
        let how = if stop.is_some() { CarrierEnd::Reset } else { CarrierEnd::Finished };
        self.travel(channel, delay + sent, Event::End(path, carrier, how));
    }
}
