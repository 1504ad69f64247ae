//! What servers do, and what is done to them.

use super::*;

impl World<'_> {
    pub(super) fn at_server(&mut self, path: usize, message: Message) {
        let server = &mut self.servers[path];
        if server.dead {
            return;
        }
        if self.now < server.frozen_until {
            server.held_back.push(message);
            return;
        }
        match message {
            Message::Order { id, range, .. } => {
                if path > 0 {
                    if let Some(reason) = server.refuses {
                        return self.answer(path, id, DelegationState::Refused(reason));
                    }
                    if self.now < server.pending_until {
                        server.waiting.push(id);
                        server.jobs.push_back((id, range, u64::MAX));
                        return self.answer(path, id, DelegationState::Pending);
                    }
                    server.jobs.push_back((id, range, range.start().value()));
                    self.answer(path, id, DelegationState::Accepted);
                } else {
                    server.jobs.push_back((id, range, range.start().value()));
                }
                self.start(path);
            }
            Message::Revoke { id, .. } => server.jobs.retain(|job| job.0 != id),
            _ => {}
        }
    }

    pub(super) fn answer(&mut self, path: usize, delegation: DelegationId, state: DelegationState) {
        let status = DelegationStatus { path: PathId::new(path as u16), delegation, state };
        let way = self.servers[path].link.rtt / 2;
        self.send_to_client(way, Message::Answer { status });
    }

    pub(super) fn start(&mut self, path: usize) {
        let server = &mut self.servers[path];
        if server.sending
            || server.dead
            || self.now < server.frozen_until
            || self.now < server.hung_until
        {
            return;
        }
        let Some(at) = server.jobs.iter().position(|job| job.2 != u64::MAX) else { return };
        if at > 0 {
            let job = server.jobs.remove(at).unwrap();
            server.jobs.push_front(job);
        }
        let job = &server.jobs[0];
        let len = CHUNK.min(job.1.end().value() - job.2);
        server.sending = true;
        let turn = server.turn;
        let time = Duration::from_secs_f64(len as f64 / server.link.rate as f64);
        self.after(time, Event::Sent(path, turn));
    }

    pub(super) fn sent(&mut self, path: usize, turn: u64) {
        let order = self.lab.order;
        let server = &mut self.servers[path];
        if server.dead || server.turn != turn {
            return;
        }
        server.sending = false;
        let active = server.jobs.iter().position(|job| job.2 != u64::MAX);
        if let Some(mut job) = active.and_then(|at| server.jobs.remove(at)) {
            let end = (job.2 + CHUNK).min(job.1.end().value());
            let data = Message::Data { path, id: job.0, range: range(job.2, end), promised: job.1 };
            job.2 = end;
            if end < job.1.end().value() {
                match order {
                    Order::OneByOne => server.jobs.push_front(job),
                    Order::InTurns => server.jobs.push_back(job),
                }
            }
            let way = server.link.rtt / 2;
            self.send_to_client(way, data);
        }
        self.start(path);
    }

    pub(super) fn fault(&mut self, fault: Fault) {
        let now = self.now;
        match fault {
            Fault::Dies(path) => self.servers[path].dead = true,
            Fault::Freezes(path, time) => {
                self.pause(path, |server| server.frozen_until = now + time, time);
            }
            Fault::DiskHangs(path, time) => {
                self.pause(path, |server| server.hung_until = now + time, time);
            }
            Fault::Refuses(path, reason) => self.servers[path].refuses = Some(reason),
            Fault::Rate(path, rate) => self.servers[path].link.rate = rate,
            Fault::Resets(path) => {
                let server = &mut self.servers[path];
                if server.dead || now < server.frozen_until {
                    return;
                }
                let jobs = std::mem::take(&mut server.jobs);
                let way = server.link.rtt / 2;
                for (id, ..) in jobs {
                    self.send_to_client(way, Message::Reset { path, id });
                }
            }
            Fault::Outage(time) => self.outage_until = now + time,
            Fault::ClientStops(time) => {
                if !time.is_zero() {
                    self.stopped_until = now + time;
                    self.after(time, Event::Fault(Fault::ClientStops(Duration::ZERO)));
                } else if now >= self.stopped_until {
                    // The path clock re-arms after a long sleep.
                    for path in &mut self.paths {
                        path.heard = now;
                    }
                    self.drain_client();
                    let stopped = std::mem::take(&mut self.stopped);
                    stopped.into_iter().for_each(|message| self.at_client(message));
                }
            }
            Fault::Removed(path) => {
                self.scheduler.remove_path(PathId::new(path as u16), now);
                self.send_to_client(self.lab.primary_rtt / 2, Message::Remove { path });
                self.drain_primary();
            }
            Fault::Pending(path, time) => {
                if time.is_zero() {
                    self.ready(path);
                } else {
                    self.servers[path].pending_until = now + time;
                    self.after(time, Event::Fault(Fault::Pending(path, Duration::ZERO)));
                }
            }
        }
    }

    /// A server that could not yet now can.
    pub(super) fn ready(&mut self, path: usize) {
        let ids = std::mem::take(&mut self.servers[path].waiting);
        for id in ids {
            let job = self.servers[path].jobs.iter_mut().find(|job| job.0 == id);
            if let Some(job) = job {
                job.2 = job.1.start().value();
                self.answer(path, id, DelegationState::Accepted);
            }
        }
        self.start(path);
    }

    pub(super) fn pause(&mut self, path: usize, set: impl FnOnce(&mut Server), time: Duration) {
        let server = &mut self.servers[path];
        set(server);
        server.turn += 1;
        server.sending = false;
        let turn = server.turn;
        self.after(time, Event::Wake(path, turn));
    }
}
