//! Carriers of a session: opened for the application, routed by the core.

use kwik_core::session::client::{CarrierEnd as Ended, Route as CoreRoute, Routed};
use kwik_core::stream::ReceiveError;
use kwik_io::pump::{
    Carrier, CarrierEnd, CarrierEvent, CarrierFault, CarrierId, Outgoing, ReceivePump, Route,
    RouteRequest, SendEnd, SendPump,
};
use kwik_io::stream::{SharedReceive, Watch};
use kwik_io::table::Halves;
use kwik_proto::frame::{CarrierKind, ErrorCode};
use kwik_proto::{DecodeError, Epoch, PathId, StreamKind};
use tracing::Instrument;

use super::Task;

impl Task {
    /// Opens a stream of this end; its carrier follows when QUIC has credit.
    pub(super) fn open(&mut self, kind: StreamKind) -> Option<Halves> {
        let id = self.core.open_stream(kind)?;
        self.carry_out();
        let halves = self.table.halves(id)?.clone();
        let link = self.primary.as_ref()?;
        let (mut connection, lane) = (link.connection().clone(), link.stats().lane().clone());
        let (pumped, events) = (halves.clone(), self.inbox.carriers.clone());
        let sent = self.sent.clone();
        let span = tracing::debug_span!("stream", %id);
        let pump = async move {
            let Some(send) = pumped.send else { return };
            let opened = |carrier: u64| {
                Box::new(CarrierEvent::Opened(Carrier::public(CarrierId(carrier), id)))
            };
            match kind {
                StreamKind::Bidirectional => {
                    // Fails only with the connection, which its acceptor reports.
                    let Ok(stream) = connection.open_bidirectional_stream().await else { return };
                    let (receive, carrier) = stream.split();
                    let carrier = Outgoing::from(carrier);
                    // Fails only if the session is gone.
                    let _ = events.send(opened(carrier.id())).await;
                    let (path, epoch) = (PathId::PRIMARY, Epoch::FIRST);
                    let back = ReceivePump::new(path, epoch, receive, events.clone());
                    let (pump, back) = SendPump::new(send, carrier, events)
                        .counted(sent)
                        .in_lane(&lane)
                        .opening(back);
                    tokio::join!(back.run(), pump.run());
                }
                StreamKind::Unidirectional => {
                    let Ok(carrier) = connection.open_send_stream().await else { return };
                    let carrier = Outgoing::from(carrier);
                    let _ = events.send(opened(carrier.id())).await;
                    SendPump::new(send, carrier, events).counted(sent).in_lane(&lane).run().await;
                }
            }
        };
        self.pumps.spawn(pump.instrument(span));
        Some(halves)
    }

    pub(super) fn handle_carrier(&mut self, event: CarrierEvent) {
        match event {
            CarrierEvent::Opened(carrier) => {
                if let Some(header) = carrier.header {
                    self.core.handle_opened(carrier.id.0, header.stream);
                }
            }
            CarrierEvent::Route(request) => self.route(request),
            CarrierEvent::Fault { carrier, fault } => self.handle_fault(&carrier, &fault),
            CarrierEvent::Ended { carrier, end } => self.handle_ended(&carrier, &end),
            CarrierEvent::SendEnded { carrier, end: SendEnd::Stopped { code } } => {
                self.core.handle_refusal(carrier.id.0, code.into());
            }
            CarrierEvent::SendEnded { .. } => {}
            other => tracing::warn!(?other, "a carrier's event that this client does not know"),
        }
    }

    pub(super) fn route(&mut self, mut request: RouteRequest) {
        let RouteRequest { carrier, header, .. } = request;
        let (path, id) = (carrier.path, carrier.id.0);
        if !self.is_current(path, carrier.epoch) {
            return request.refuse(ErrorCode::PathRemoved);
        }
        let contribution = header.kind == CarrierKind::Contribution;
        if request.back.is_some() && (contribution || !path.is_primary()) {
            // Only streams of the session go both ways: nobody else gets to read what this end sends.
            return request.refuse(ErrorCode::StreamState);
        }
        let now = self.shared.env.now();
        let routed = self.core.handle_header(path, id, header, now);
        if routed == Ok(Routed::Wait) {
            return self.waiting.wait(request);
        }
        // Streams that the header opened are made here.
        self.carry_out();
        match routed {
            Ok(Routed::To(route)) => {
                self.send_back(&mut request);
                let control = request.control.clone();
                self.controls.insert((path, id), (control, Some(route.stream)));
                let route = self.receive_route(path, id, route, header.kind);
                request.answer(route);
            }
            Ok(Routed::SendOnly) => {
                self.send_back(&mut request);
                request.control.stop(ErrorCode::StreamClosed);
                request.answer(Route::Drain);
            }
            Ok(Routed::Drain | Routed::Wait) => {
                self.count_fault(path, ErrorCode::Mapping);
                self.controls.insert((path, id), (request.control.clone(), None));
                request.answer(Route::Drain);
            }
            Err(code) => {
                tracing::debug!(%path, carrier = id, ?code, ?header, "carrier refused");
                request.refuse(code);
            }
        }
    }

    /// Sends what this end has for the stream on the other direction of its carrier.
    fn send_back(&mut self, request: &mut RouteRequest) {
        let id = request.header.stream;
        let Some(back) = request.back.take() else { return };
        if let Some(send) = self.table.send(id).cloned() {
            let events = self.inbox.carriers.clone();
            let span = tracing::debug_span!("stream", %id);
            let mut pump = SendPump::new(send, back, events).counted(self.sent.clone());
            if let Some(link) = &self.primary {
                pump = pump.in_lane(link.stats().lane());
            }
            self.pumps.spawn(pump.run().instrument(span));
        } else {
            back.refuse(ErrorCode::StreamClosed);
        }
    }

    fn receive_route(
        &mut self,
        path: PathId,
        carrier: u64,
        route: CoreRoute,
        kind: CarrierKind,
    ) -> Route {
        let Some(receive) = self.table.receive(route.stream).cloned() else {
            return Route::Refused(ErrorCode::StreamClosed);
        };
        let source = receive.update(|half| half.add_source(path, route.allowed));
        self.core.handle_source(path, carrier, source);
        if kind == CarrierKind::Contribution {
            receive.watch(Watch::Progress);
        }
        Route::Receive { receive, source }
    }

    pub(super) fn reroute(&mut self, path: PathId, carrier: u64, route: CoreRoute) {
        let kind = CarrierKind::Contribution;
        let id = route.stream;
        let target = self.receive_route(path, carrier, route, kind);
        if let Some((control, stream)) = self.controls.get_mut(&(path, carrier)) {
            *stream = Some(id);
            control.reroute(target);
        }
    }

    fn handle_fault(&mut self, carrier: &Carrier, fault: &CarrierFault) {
        let (path, id) = (carrier.path, carrier.id.0);
        tracing::debug!(%path, carrier = id, ?fault, "fault on a carrier");
        let now = self.shared.env.now();
        let receive = self.receive_of(carrier);
        match fault {
            CarrierFault::Frame(DecodeError::StreamMismatch { .. }) => {
                self.count_fault(path, ErrorCode::Mapping);
                let core = &mut self.core;
                match receive {
                    Some(receive) => {
                        receive.update(|half| core.handle_mismatch(path, id, Some(half), now));
                    }
                    None => core.handle_mismatch(path, id, None, now),
                }
                if let Some((control, _)) = self.controls.get(&(path, id)) {
                    control.reroute(Route::Drain);
                }
            }
            CarrierFault::Frame(_) => {
                self.count_fault(path, ErrorCode::Checksum);
                self.end_carrier(carrier, Ended::Faulty(ErrorCode::Checksum));
            }
            // The half keeps it for the session's next look, which the pump has asked for.
            CarrierFault::Conflict(_) => {}
            other => tracing::warn!(?other, "a fault that this client does not know"),
        }
    }

    fn handle_ended(&mut self, carrier: &Carrier, why: &CarrierEnd) {
        let public = carrier.header.is_some_and(|header| header.kind == CarrierKind::Public);
        let end = match (why, why.fault()) {
            // A stream's own carrier may come late.
            (CarrierEnd::Refused(ErrorCode::StreamClosed), _) if public => Ended::Reset,
            // Isolation counts it, with what shows only in others' bytes.
            (CarrierEnd::Insert(ReceiveError::Conflict { .. }), Some(code)) => Ended::Faulty(code),
            (_, Some(code)) => {
                self.count_fault(carrier.path, code);
                Ended::Faulty(code)
            }
            (CarrierEnd::Finished, None) => Ended::Finished,
            (CarrierEnd::Reset { .. } | CarrierEnd::Stopped { .. }, None) => Ended::Reset,
            _ => Ended::Lost,
        };
        if let (PathId::PRIMARY, None, CarrierEnd::Reset { code }) =
            (carrier.path, carrier.header, why)
        {
            self.core.handle_refusal(carrier.id.0, (*code).into());
        }
        self.end_carrier(carrier, end);
        self.forget(carrier.path, carrier.id.0);
    }

    pub(super) fn forget(&mut self, path: PathId, carrier: u64) {
        if let Some((control, _)) = self.controls.remove(&(path, carrier)) {
            *self.received.entry(path).or_default() += control.received();
        }
    }

    fn end_carrier(&mut self, carrier: &Carrier, end: Ended) {
        let (path, id) = (carrier.path, carrier.id.0);
        if !self.is_current(path, carrier.epoch) {
            return;
        }
        let now = self.shared.env.now();
        let core = &mut self.core;
        match self.table.receive_of(carrier) {
            Some(receive) => {
                receive.update(|half| core.handle_carrier_end(path, id, end, Some(half), now));
            }
            None => core.handle_carrier_end(path, id, end, None, now),
        }
    }

    fn receive_of(&self, carrier: &Carrier) -> Option<SharedReceive> {
        self.table.receive_of(carrier).cloned()
    }

    fn is_current(&self, path: PathId, epoch: Epoch) -> bool {
        path.is_primary() || self.secondaries.get(&path).is_some_and(|link| link.epoch() == epoch)
    }
}
