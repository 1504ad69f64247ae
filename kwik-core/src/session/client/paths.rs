//! The client's secondaries: dialled on order, admitted, watched, and reported to the primary.

use std::net::SocketAddr;
use std::time::Duration;

use kwik_proto::frame::{
    AddPath, AddPathResult, Admission, ControlFrame, DelegationStatus, ErrorCode, Hello, Orders,
    PathState, PathStatus, Pong, RelayCredit, RemovePath, TokenRequest,
};
use kwik_proto::{Epoch, PathId, StreamId};

use super::{ClientSession, Output, PathReport};
use crate::gap::PathTiming;
use crate::path::lifecycle::{PathEffect, PathEvent};
use crate::path::table::{AddPathError, Cause, Path, PathWork, Transition};
use crate::path::trust::Trust;
use crate::session::handshake::{FEATURES, VERSIONS, check};
use crate::time::Instant;

impl ClientSession {
    pub(super) fn handle_add_path(&mut self, mut add: AddPath, now: Instant) {
        let (path, epoch) = (add.path, add.epoch);
        let allowed = self.config.path_policy.check(self.primary, &add);
        let refused = match allowed {
            Ok(_) if self.convictions.trust(path) == Trust::Lost => {
                (ErrorCode::DataConflict, "the path lied too often".to_owned())
            }
            Ok(addresses) => {
                add.addresses = addresses;
                match self.paths.add(add, now) {
                    Ok(changed) => {
                        // A new epoch begins with its own credit, and for its own reasons.
                        self.tolls.remove(&path);
                        self.credits.remove(&path);
                        self.details.remove(&path);
                        if let Some(transition) = changed {
                            self.carry_out(transition, now);
                        }
                        self.handle_due_paths(now);
                        return;
                    }
                    // What a connection of that epoch is doing is not touched by a late copy.
                    Err(AddPathError::StaleEpoch { .. }) => return,
                    Err(error) => (error.code(), error.to_string()),
                }
            }
            Err(error) => (error.code(), error.to_string()),
        };
        let (code, detail) = refused;
        let result = AddPathResult { path, epoch, code, detail };
        self.send(PathId::PRIMARY, ControlFrame::AddPathResult(result));
        if self.paths.path(path).is_some_and(|known| known.state() == PathState::Gone) {
            // It waited for this AddPath: its slot is for others, until the primary names it anew.
            self.give_path_up(path, now);
        }
    }

    pub(super) fn handle_remove_path(&mut self, remove: RemovePath, now: Instant) {
        let drain = Duration::from_millis(remove.drain_ms.into());
        match self.paths.remove(remove.path, drain, now) {
            Some(transition) => self.carry_out(transition, now),
            // It is over already: a primary that has not heard waits for the word.
            None => drop(self.pending_status.insert(remove.path)),
        }
        self.note_debt(remove.path, now);
    }

    /// The handshake with a secondary is done, and its control stream open. `proof` is the signature that
    /// [`Admission`] documents.
    pub fn handle_connected(&mut self, path: PathId, epoch: Epoch, proof: [u8; 64], now: Instant) {
        let dialled = |known: &&Path| known.epoch() == epoch && known.state() == PathState::Dialing;
        let Some(known) = self.paths.path(path).filter(dialled) else { return };
        let hello = Hello {
            versions: VERSIONS.to_vec(),
            features: FEATURES.to_vec(),
            limits: self.config.limits(),
            confirmation_key: None,
            admission: Some(Admission { token: known.token().clone(), proof }),
        };
        self.connected.insert(path);
        self.send(path, ControlFrame::Hello(hello));
        for signed in self.greeted.remove(&path).unwrap_or_default() {
            // Their streams may have ended while they waited.
            if let Ok(orders) = Orders::decode(&signed.body) {
                self.pass_orders(path, signed, &orders);
            }
        }
        self.send_windows(path);
        self.handle_event(path, epoch, PathEvent::Connected, ErrorCode::None.into(), now);
    }

    /// Dialling failed, or the connection of that epoch is over.
    ///
    /// [`ErrorCode::IdentityMismatch`] ends the path for good: a redial would find the same server.
    pub fn handle_lost(
        &mut self,
        path: PathId,
        epoch: Epoch,
        code: ErrorCode,
        detail: &str,
        now: Instant,
    ) {
        let event = match code {
            ErrorCode::IdentityMismatch => PathEvent::Refused,
            ErrorCode::ProtocolViolation
            | ErrorCode::FrameEncoding
            | ErrorCode::UnknownCriticalFrame => PathEvent::Violated,
            _ => PathEvent::Lost,
        };
        self.note_detail(path, epoch, detail);
        self.handle_event(path, epoch, event, code.into(), now);
    }

    /// Dialling failed, and is not to be tried again before `pause`. The primary hears the code, and which of the addresses
    /// that it named `belongs_to_another`; no more: what a host answers to whom is no business of somebody who names it.
    ///
    /// [`ErrorCode::IdentityMismatch`] ends the path for good, as in [`handle_lost`](Self::handle_lost).
    pub fn handle_unreached(
        &mut self,
        path: PathId,
        epoch: Epoch,
        code: ErrorCode,
        belongs_to_another: Option<SocketAddr>,
        pause: Duration,
        now: Instant,
    ) {
        let event = match code {
            ErrorCode::IdentityMismatch => PathEvent::Refused,
            _ => PathEvent::Lost,
        };
        if let Some(address) = belongs_to_another {
            let detail = format!("{address} is not the server that it should be");
            self.note_detail(path, epoch, &detail);
        }
        let cause = Cause { code, retry_after: pause };
        self.handle_event(path, epoch, event, cause, now);
    }

    /// The driver saw the peer of a path break a rule that no frame shows. It is counted as a fault with that code, and the
    /// path is over for good; the primary's with the session.
    pub fn handle_violation(
        &mut self,
        path: PathId,
        epoch: Epoch,
        code: ErrorCode,
        detail: &str,
        now: Instant,
    ) {
        let current = self.paths.path(path).is_some_and(|known| known.epoch() == epoch);
        if path.is_primary() || current {
            self.outputs.push_back(Output::Fault { path, code });
        }
        if path.is_primary() {
            return self.close(code, None, detail);
        }
        self.note_detail(path, epoch, detail);
        self.handle_event(path, epoch, PathEvent::Violated, code.into(), now);
    }

    fn note_detail(&mut self, path: PathId, epoch: Epoch, detail: &str) {
        if self.paths.path(path).is_some_and(|known| known.epoch() == epoch) {
            self.details.insert(path, detail.chars().take(200).collect());
        }
    }

    /// What QUIC measured on a path's connection.
    pub fn handle_path_rtt(
        &mut self,
        path: PathId,
        smoothed: Duration,
        variation: Duration,
        now: Instant,
    ) {
        self.note_standstill(now);
        let before = self.paths.path(path).and_then(|known| known.smoothed_rtt());
        if before.is_some_and(|before| self.is_our_own_time(smoothed, before, now)) {
            return;
        }
        if let Some(known) = self.paths.path_mut(path) {
            known.handle_rtt(smoothed, variation);
            let timing = PathTiming { srtt: Some(smoothed), rttvar: variation };
            self.promises.set_path(path, timing, now);
        }
    }

    /// The last datagram of the path's connection arrived at `at`.
    pub fn handle_activity(&mut self, path: PathId, at: Instant, now: Instant) {
        if path.is_primary() {
            return self.handle_primary_activity(at);
        }
        let healed = self.paths.path_mut(path).and_then(|known| known.handle_activity(at));
        if let Some(transition) = healed {
            self.promises.path_healed(path, now);
            self.carry_out(transition, now);
        }
    }

    pub(super) fn dispatch_secondary(
        &mut self,
        path: PathId,
        epoch: Epoch,
        frame: ControlFrame,
        now: Instant,
    ) {
        self.handle_activity(path, now, now);
        match frame {
            ControlFrame::Welcome(welcome) => {
                let (event, code) = match check(&welcome) {
                    Err(code) => (PathEvent::Violated, code),
                    Ok(()) if Some(welcome.session) == self.session => {
                        (PathEvent::Admitted, ErrorCode::None)
                    }
                    Ok(()) => (PathEvent::Violated, ErrorCode::ProtocolViolation),
                };
                self.handle_event(path, epoch, event, code.into(), now);
            }
            ControlFrame::Refuse(refuse) => {
                let cause = Cause {
                    code: refuse.code,
                    retry_after: Duration::from_millis(refuse.retry_after_ms.unwrap_or(0).into()),
                };
                let later = refuse.retry_after_ms.is_some();
                let event = if later { PathEvent::Deferred } else { PathEvent::Refused };
                self.note_detail(path, epoch, &refuse.reason);
                self.handle_event(path, epoch, event, cause, now);
            }
            ControlFrame::DelegationStatus(status) => self.pass_status(path, status, now),
            ControlFrame::Relay(mut piece) => {
                piece.path = path;
                match self.tolls.entry(path).or_default().pass(piece.piece.len()) {
                    Ok(()) => self.send(PathId::PRIMARY, ControlFrame::Relay(piece)),
                    Err(error) => {
                        self.note_detail(path, epoch, &error.to_string());
                        let cause = error.code().into();
                        self.handle_event(path, epoch, PathEvent::Violated, cause, now);
                    }
                }
            }
            ControlFrame::RelayCredit(credit) => self.pass_credit(path, credit.max_bytes),
            ControlFrame::MappingQuery(query) => self.answer_query(path, &query),
            ControlFrame::MappingSnapshot(snapshot) => self.handle_snapshot(path, &snapshot, now),
            ControlFrame::Ping(ping) => {
                self.send(path, ControlFrame::Pong(Pong { nonce: ping.nonce }));
            }
            ControlFrame::Pong(_) | ControlFrame::StreamBlocked(_) => {}
            ControlFrame::GoAway(away) => {
                let grace = Duration::from_millis(away.grace_ms.into());
                if let Some(transition) = self.paths.leave(path, epoch, grace, now) {
                    self.carry_out(transition, now);
                }
            }
            ControlFrame::SessionClose(close) => {
                self.note_detail(path, epoch, &close.reason);
                if self.paths.path(path).is_some_and(Path::is_leaving) {
                    // All that it sent has arrived, though not all was read: its connection's end comes behind that.
                    return;
                }
                self.handle_event(path, epoch, PathEvent::Lost, close.code.into(), now);
            }
            _ => self.handle_lost(
                path,
                epoch,
                ErrorCode::ProtocolViolation,
                "a frame that a secondary does not send",
                now,
            ),
        }
    }

    /// A secondary's answer, if it is one: to a delegation that the client passed on to that very path, and news.
    fn pass_status(&mut self, path: PathId, mut status: DelegationStatus, now: Instant) {
        status.path = path;
        let stream = self.promises.range_of(path, status.delegation).map(|(stream, _)| stream);
        if self.promises.handle_status(path, status.delegation, status.state, now) {
            self.send(PathId::PRIMARY, ControlFrame::DelegationStatus(status));
            if let Some(stream) = stream {
                self.look_again(stream);
            }
            self.note_debt(path, now);
        }
    }

    fn pass_credit(&mut self, path: PathId, max_bytes: u64) {
        if let Some(max_bytes) = self.credits.entry(path).or_default().pass(max_bytes) {
            let credit = RelayCredit { path, max_bytes };
            self.send(PathId::PRIMARY, ControlFrame::RelayCredit(credit));
        }
    }

    pub(super) fn handle_event(
        &mut self,
        path: PathId,
        epoch: Epoch,
        event: PathEvent,
        cause: Cause,
        now: Instant,
    ) {
        if let Some(transition) = self.paths.handle(path, epoch, event, cause, now) {
            self.carry_out(transition, now);
        }
    }

    pub(super) fn handle_due_paths(&mut self, now: Instant) {
        while let Some(work) = self.paths.handle_timeout(now) {
            self.handle_path_work(work, now);
        }
    }

    pub(super) fn handle_path_work(&mut self, work: PathWork, now: Instant) {
        match work {
            PathWork::Dial { path, epoch } => {
                if let Some(known) = self.paths.path(path) {
                    let (target, token) = (known.target().clone(), known.token().clone());
                    self.outputs.push_back(Output::Dial { path, epoch, target, token });
                }
            }
            PathWork::Ping { path } => self.ping(path),
            PathWork::RequestToken { path, .. } if self.orphans.is_some() => {
                self.give_path_up(path, now);
            }
            PathWork::RequestToken { path, epoch } => {
                let request = TokenRequest { path, epoch };
                self.send(PathId::PRIMARY, ControlFrame::TokenRequest(request));
            }
            PathWork::Changed(transition) => self.carry_out(transition, now),
        }
    }

    pub(super) fn carry_out(&mut self, transition: Transition, now: Instant) {
        for effect in transition.effects {
            self.carry_out_effect(*effect, &transition, now);
        }
        while let Some(path) = self.paths.poll_forgotten() {
            self.tolls.remove(&path);
            self.credits.remove(&path);
            self.details.remove(&path);
            self.told_status.remove(&path);
            self.convictions.forget(path);
        }
    }

    fn carry_out_effect(&mut self, effect: PathEffect, transition: &Transition, now: Instant) {
        let path = transition.path;
        match effect {
            // Hello went out with `handle_connected`; table and clocks see to the others.
            PathEffect::Greet | PathEffect::Dial | PathEffect::Watch | PathEffect::Redial => {}
            PathEffect::Drain => self.drain_if_idle(path, now),
            PathEffect::Answer => self.answer(transition),
            PathEffect::Report => {
                self.service_sources(path);
                self.pending_status.insert(path);
            }
            PathEffect::HandBack => self.hand_back(path, transition.to, now),
            PathEffect::Close => {
                self.connected.remove(&path);
                self.greeted.remove(&path);
                let code = transition.reason.unwrap_or(ErrorCode::None);
                let epoch = transition.ended;
                self.outputs.push_back(Output::ClosePath { path, epoch, code });
            }
        }
    }

    fn answer(&mut self, transition: &Transition) {
        let path = transition.path;
        let detail = self.details.remove(&path).unwrap_or_default();
        let (code, detail) = match transition.to {
            PathState::Live => (ErrorCode::None, String::new()),
            _ => (transition.reason.unwrap_or(ErrorCode::PathRemoved), detail),
        };
        let result = AddPathResult { path, epoch: transition.ended, code, detail };
        self.send(PathId::PRIMARY, ControlFrame::AddPathResult(result));
    }

    fn hand_back(&mut self, path: PathId, to: PathState, now: Instant) {
        if to == PathState::Suspect {
            self.promises.path_suspect(path, now);
        } else {
            self.resync.handle_path_closed(path);
            for (carrier, route) in self.mapping.close_path(path) {
                let entry = self.carriers.remove(&(path, carrier));
                if let Some(source) = entry.and_then(|entry| entry.source) {
                    self.stale.entry(route.stream).or_default().push(source);
                    self.outputs.push_back(Output::Service(route.stream));
                }
            }
            self.promises.path_gone(path, now);
        }
        self.service_sources(path);
        self.note_debt(path, now);
    }

    /// Streams that the path may contribute to are looked at again.
    fn service_sources(&mut self, path: PathId) {
        for id in self.grants.streams_of(path) {
            if self.watches.contains_key(&id) {
                self.look_again(id);
            }
        }
    }

    fn look_again(&mut self, id: StreamId) {
        if let Some(watch) = self.watches.get_mut(&id) {
            watch.report_soon();
        }
        self.outputs.push_back(Output::Service(id));
    }

    /// Tells the clocks of a path whether it owes bytes.
    pub(super) fn note_debt(&mut self, path: PathId, now: Instant) {
        let owes = self.promises.owes(path);
        if path.is_primary() {
            self.primary_account.handle_outstanding(owes, now);
            return;
        }
        let Some(known) = self.paths.path_mut(path) else { return };
        known.handle_owes(owes, now);
        known.handle_outstanding(owes, now);
        self.drain_if_idle(path, now);
    }

    /// A removed path is over when it owes nothing. A server that goes away closes by itself, when it has answered all that
    /// was passed on to it: closed here, what it has not refused yet would count as lost.
    fn drain_if_idle(&mut self, path: PathId, now: Instant) {
        let Some(known) = self.paths.path(path) else { return };
        let removed = known.state() == PathState::Draining && !known.is_leaving();
        if removed && !self.promises.owes(path) {
            let (epoch, cause) = (known.epoch(), known.drained_code().into());
            self.handle_event(path, epoch, PathEvent::Drained, cause, now);
        }
    }

    /// Reports come after the progress that they are about.
    pub(super) fn send_pending_status(&mut self, now: Instant) {
        while let Some(path) = self.pending_status.pop_first() {
            if let Some(status) = self.status(path, now) {
                self.send(PathId::PRIMARY, ControlFrame::PathStatus(status));
            }
        }
    }

    /// The counters of a path that delivers. Suspect and Gone are told once, behind the progress of every stream.
    pub(super) fn send_rate(&mut self, path: PathId, now: Instant) {
        let Some(status) = self.status(path, now) else { return };
        let news = self.told_status.get(&path) != Some(&status);
        if news && matches!(status.state, PathState::Live | PathState::Draining) {
            self.told_status.insert(path, status);
            self.send(PathId::PRIMARY, ControlFrame::PathStatus(status));
        }
    }

    fn status(&self, path: PathId, now: Instant) -> Option<PathStatus> {
        if !path.is_primary() {
            return self.paths.path(path).map(|known| known.status(now));
        }
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        Some(PathStatus {
            path,
            epoch: Epoch::FIRST,
            state: PathState::Live,
            reason: None,
            smoothed_rtt_us: micros(self.primary_rtt),
            rtt_variation_us: micros(self.primary_rttvar),
            received_bytes: self.primary_account.received_bytes(),
            busy_us: micros(self.primary_account.busy(now)),
        })
    }

    /// The secondaries of this session, those that are over included, for metrics.
    pub fn paths(&self) -> impl Iterator<Item = PathReport> + '_ {
        self.paths.iter().chain(self.paths.retired()).map(|path| PathReport {
            path: path.id(),
            address: path.target().addresses.first().copied(),
            state: path.state(),
            smoothed_rtt: path.smoothed_rtt(),
            received_bytes: path.account().received_bytes(),
            contributions: self.mapping.contributions_on(path.id()),
        })
    }
}
