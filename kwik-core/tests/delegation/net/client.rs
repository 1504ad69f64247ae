use super::*;

impl World<'_> {
    pub(super) fn connected(&mut self, path: usize) {
        let server = &self.servers[path];
        if server.dead || self.paths[path].state != PathState::Dialing {
            return;
        }
        self.paths[path].state = PathState::Live;
        self.paths[path].heard = self.now;
        self.set_timing(path);
        self.status(path);
    }

    pub(super) fn heard(&mut self, path: usize) {
        self.paths[path].heard = self.now;
        if self.paths[path].state == PathState::Suspect {
            self.paths[path].state = PathState::Live;
            self.promises.path_healed(PathId::new(path as u16), self.now);
            self.status(path);
        }
    }

    #[allow(clippy::needless_pass_by_value)]
    pub(super) fn at_client(&mut self, message: Message) {
        match message {
            Message::Order { path, id, range } => {
                if self.paths[path].state == PathState::Gone {
                    return;
                }
                self.promises.record(PathId::new(path as u16), id, self.stream, range, self.now);
                // Owing begins now; before it silence was allowed.
                self.paths[path].heard = self.paths[path].heard.max(self.now);
                let mut way = self.servers[path].link.rtt / 2;
                if self.paths[path].state == PathState::Dialing {
                    way += self.servers[path].link.rtt;
                }
                self.send_from_client(
                    way,
                    Event::AtServer(path, Message::Order { path, id, range }),
                );
            }
            Message::Revoke { path, id } => {
                self.promises.revoke(PathId::new(path as u16), id, self.now);
                let way = self.servers[path].link.rtt / 2;
                self.send_from_client(way, Event::AtServer(path, Message::Revoke { path, id }));
            }
            Message::Remove { path } => {
                self.paths[path].state = PathState::Gone;
                self.promises.path_gone(PathId::new(path as u16), self.now);
                self.servers[path].dead = true;
            }
            Message::Answer { status } => {
                let path = usize::from(status.path.value());
                self.heard(path);
                self.promises.handle_status(status.path, status.delegation, status.state, self.now);
                let way = self.lab.primary_rtt / 2;
                self.send_from_client(way, Event::AtPrimary(Message::Answer { status }));
            }
            Message::Reset { path, id } => self.reset_arrived(path, id),
            Message::Data { path, id, range, promised } => self.data(path, id, range, promised),
            _ => {}
        }
        self.drain_client();
    }

    pub(super) fn reset_arrived(&mut self, path: usize, id: DelegationId) {
        let promised = self.promised_range(id);
        let missing: Vec<ByteRange> =
            promised.map(|range| self.have.missing_in(range).collect()).unwrap_or_default();
        let path = PathId::new(path as u16);
        self.promises.handle_end((path, self.stream, id), &missing, GapReason::Reset, self.now);
    }

    pub(super) fn promised_range(&self, id: DelegationId) -> Option<ByteRange> {
        self.ordered.get(&id).copied()
    }

    pub(super) fn data(
        &mut self,
        path: usize,
        id: DelegationId,
        bytes: ByteRange,
        promised: ByteRange,
    ) {
        if self.paths[path].state == PathState::Gone {
            return;
        }
        self.heard(path);
        if path == 0 {
            self.promises.record(PathId::PRIMARY, id, self.stream, promised, self.now);
        }
        let from = PathId::new(path as u16);
        let new: Vec<ByteRange> = self.have.missing_in(bytes).collect();
        let fresh = new.iter().map(|piece| piece.len()).sum();
        let arrival = Arrival { new: fresh, duplicate: bytes.len() - fresh };
        let all = self.promises.handle_bytes(from, id, arrival, self.now);
        self.received[path] += bytes.len();
        for piece in new {
            self.held.insert(piece, path);
            self.have.insert(piece);
        }
        if all.is_some_and(|range| self.have.covers(range)) {
            self.promises.handle_kept(from, id, self.now);
        }
        self.progress_due = true;
        if self.lab.reader.is_none() {
            self.read_to(self.contiguous());
        }
        let total = self.have.total_len();
        if total * 100 >= self.lab.size * 99 && self.ninety_nine.is_none() {
            self.ninety_nine = Some(self.now);
        }
        if total == self.lab.size && self.lab.reader.is_none() {
            self.finished = Some(self.now);
        }
    }

    pub(super) fn contiguous(&self) -> u64 {
        match self.have.first() {
            Some(first) if first.start() == Offset::ZERO => first.end().value(),
            _ => 0,
        }
    }

    pub(super) fn read_some(&mut self) {
        let Some(rate) = self.lab.reader else { return };
        let to = (self.read + rate / 1000).min(self.contiguous());
        self.read_to(to);
        if self.read == self.lab.size {
            self.finished = Some(self.now);
        }
    }

    pub(super) fn read_to(&mut self, to: u64) {
        if to == self.read {
            return;
        }
        if self.read == 0 {
            self.first_byte = self.now.elapsed();
        } else {
            self.stall = self.stall.max(self.now.since(self.last_read));
        }
        self.last_read = self.now;
        self.read = to;
        let window = to + self.lab.window;
        if window - self.window_told >= self.lab.window / 8 {
            self.window_told = window;
            let way = self.lab.primary_rtt / 2;
            let offset = Offset::new(window).unwrap();
            self.send_from_client(way, Event::AtPrimary(Message::Window(offset)));
        }
    }

    pub(super) fn drain_client(&mut self) {
        loop {
            let contiguous = self.contiguous();
            let missing: Vec<ByteRange> =
                self.have.missing_in(range(0, self.lab.size)).take(64).collect();
            let view = StreamView {
                read_offset: Offset::new(self.read).unwrap(),
                contiguous_end: Offset::new(contiguous).unwrap(),
                missing: &missing,
                waiting: self.read == contiguous && !missing.is_empty(),
                unwritten: false,
                opened: false,
            };
            match self.promises.poll(self.stream, &view, self.now) {
                Some(GapAction::Report(gap)) => {
                    self.progress();
                    let way = self.lab.primary_rtt / 2;
                    self.send_from_client(way, Event::AtPrimary(Message::Gap(gap)));
                }
                Some(GapAction::GiveUp { offset, len, .. }) => {
                    self.missing = Some((offset.value(), len));
                    return;
                }
                _ => break,
            }
        }
        if let Some((due, _)) = self.promises.poll_timeout()
            && self.client_timer.is_none_or(|armed| due < armed || armed <= self.now)
        {
            self.client_timer = Some(due.max(self.now));
            self.at(due.max(self.now), Event::Timer);
        }
    }

    pub(super) fn progress(&mut self) {
        let contiguous = Offset::new(self.contiguous()).unwrap();
        let held = self
            .held
            .iter_in(range(contiguous.value(), self.lab.size.max(contiguous.value())))
            .filter(|(range, _)| range.start() > contiguous)
            .take(32)
            .map(|(range, path)| HeldRange { range, path: PathId::new(path as u16) })
            .collect();
        let progress = StreamProgress {
            stream: self.stream,
            read_offset: Offset::new(self.read).unwrap(),
            contiguous_end: contiguous,
            held,
            reader_waiting: self.read == contiguous.value(),
        };
        let way = self.lab.primary_rtt / 2;
        self.send_from_client(way, Event::AtPrimary(Message::Progress(progress)));
    }

    pub(super) fn status(&mut self, path: usize) {
        let id = PathId::new(path as u16);
        let work = self.promises.work(id, self.now);
        let rtt = self.servers[path].link.rtt.as_micros() as u64;
        let status = PathStatus {
            path: id,
            epoch: kwik_proto::Epoch::FIRST,
            state: self.paths[path].state,
            reason: None,
            smoothed_rtt_us: if self.paths[path].state == PathState::Dialing { 0 } else { rtt },
            rtt_variation_us: rtt / 8,
            received_bytes: work.received_bytes,
            busy_us: work.busy.as_micros() as u64,
        };
        if self.paths[path].epoch_reported == Some(status) {
            return;
        }
        self.paths[path].epoch_reported = Some(status);
        let way = self.lab.primary_rtt / 2;
        self.send_from_client(way, Event::AtPrimary(Message::Status(status)));
    }

    pub(super) fn report(&mut self) {
        if self.progress_due {
            self.progress_due = false;
            self.progress();
        }
        for path in 0..self.servers.len() {
            let owes = self.promises.owes(PathId::new(path as u16));
            if owes || self.paths[path].epoch_reported.is_none() {
                self.judge_path(path, owes);
                self.status(path);
            }
        }
        self.drain_client();
    }

    /// The path clock: neither byte nor Pong.
    pub(super) fn judge_path(&mut self, path: usize, owes: bool) {
        let rtt = self.servers[path].link.rtt;
        let silent = self.now.since(self.paths[path].heard);
        match self.paths[path].state {
            PathState::Live if path > 0 && owes && silent >= (rtt * 3).max(ms(250)) => {
                self.paths[path].state = PathState::Suspect;
                self.paths[path].suspect_since = self.now;
                self.progress();
                self.promises.path_suspect(PathId::new(path as u16), self.now);
            }
            _ => {}
        }
    }

    pub(super) fn ping(&mut self) {
        self.pings += 1;
        for path in 0..self.servers.len() {
            let server = &self.servers[path];
            let answers = !server.dead && self.now >= server.frozen_until;
            let reachable = self.now >= self.outage_until && self.now >= self.stopped_until;
            if answers && reachable && self.paths[path].state != PathState::Dialing {
                if self.paths[path].state != PathState::Gone {
                    self.heard(path);
                }
            } else if self.paths[path].state == PathState::Suspect {
                let patience = (server.link.rtt * 12).max(Duration::from_secs(3));
                if self.now.since(self.paths[path].suspect_since) >= patience {
                    self.paths[path].state = PathState::Gone;
                    self.promises.path_gone(PathId::new(path as u16), self.now);
                    self.status(path);
                }
            }
        }
        self.after(ms(50), Event::Ping);
    }
}
