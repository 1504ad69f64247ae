//! Carriers of a primary's session: opened for the application, routed by the core.

use kwik_core::session::primary::Admitted;
use kwik_core::stream::ReceiveHalf;
use kwik_io::pump::{
    Carrier, CarrierEnd, CarrierEvent, CarrierFault, CarrierId, Outgoing, ReceivePump, Route,
    RouteRequest, SendEnd, SendPump,
};
use kwik_io::table::Halves;
use kwik_proto::frame::{CarrierKind, ErrorCode};
use kwik_proto::{Epoch, PathId, StreamId, StreamKind};
use tracing::Instrument;

use super::task::Task;

impl Task {
    /// Opens a stream of this end; its carrier follows when QUIC has credit.
    pub(super) fn open(&mut self, kind: StreamKind) -> Option<Halves> {
        let id = self.core.open_stream(kind)?;
        self.carry_out();
        let halves = self.table.halves(id)?.clone();
        let link = self.link.as_ref()?;
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
                    let pump = SendPump::new(send, carrier, events).counted(sent).in_lane(&lane);
                    let (pump, back) = pump.opening(back);
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
            CarrierEvent::Fault { carrier, fault } => {
                tracing::debug!(carrier = carrier.id.0, ?fault, "fault on a carrier");
                let code = match fault {
                    CarrierFault::Conflict(_) => ErrorCode::DataConflict,
                    _ => ErrorCode::Mapping,
                };
                self.break_stream(&carrier, code);
            }
            CarrierEvent::SendEnded { carrier, end: SendEnd::Stopped { code } } => {
                self.core.handle_refusal(carrier.id.0, code.into());
            }
            CarrierEvent::Ended { carrier, end } => {
                if let (Some(receive), Some(source)) =
                    (self.table.receive_of(&carrier), carrier.source)
                {
                    receive.update(|half| half.remove_source(source));
                }
                match end.fault() {
                    Some(ErrorCode::FlowControl) => {
                        let reason = "the client sent bytes beyond the window";
                        self.core.close(ErrorCode::FlowControl, None, reason);
                    }
                    Some(code) => self.break_stream(&carrier, code),
                    None => {
                        if let (None, CarrierEnd::Reset { code }) = (carrier.header, end) {
                            self.core.handle_refusal(carrier.id.0, code.into());
                        }
                    }
                }
            }
            _ => {}
        }
    }

    /// A carrier that the client sends on broke a rule.
    fn break_stream(&mut self, carrier: &Carrier, code: ErrorCode) {
        if carrier.header.is_none() {
            return self.core.handle_unanswered(carrier.id.0, code);
        }
        if let (Some(receive), Some(_)) = (self.table.receive_of(carrier), carrier.source)
            && !receive.inspect(ReceiveHalf::is_complete)
        {
            self.core.break_stream(receive.id(), code);
        }
    }

    pub(super) fn route(&mut self, mut request: RouteRequest) {
        let id = request.header.stream;
        let admitted = match request.header.kind {
            CarrierKind::Public => self.core.handle_header(request.carrier.id.0, id),
            // A client contributes to nothing.
            CarrierKind::Contribution => Err(ErrorCode::ProtocolViolation),
        };
        if admitted == Ok(Admitted::Wait) {
            return self.waiting.wait(request);
        }
        self.carry_out();
        match admitted {
            Ok(Admitted::Open) => {
                let route = self.connect(id, request.back.take());
                request.answer(route);
            }
            Ok(Admitted::Refused(code)) => request.refuse(code),
            Ok(Admitted::Over | Admitted::Wait) => request.refuse(ErrorCode::StreamClosed),
            Err(code) => {
                self.core.close(code, None, "a stream that the client may not open");
                request.refuse(code);
            }
        }
    }

    /// Connects the halves of an open stream with the carrier that the client opened for it.
    fn connect(&mut self, id: StreamId, back: Option<Outgoing>) -> Route {
        match (back, self.table.send(id).cloned()) {
            (Some(back), Some(send)) => {
                let events = self.inbox.carriers.clone();
                let span = tracing::debug_span!("stream", %id);
                let mut pump = SendPump::new(send, back, events).counted(self.sent.clone());
                if let Some(link) = &self.link {
                    pump = pump.in_lane(link.stats().lane());
                }
                self.pumps.spawn(pump.run().instrument(span));
            }
            (Some(back), None) => back.refuse(ErrorCode::StreamClosed),
            (None, _) => {}
        }
        match self.table.receive(id).cloned() {
            Some(receive) => {
                let source = receive.update(|half| half.add_source(PathId::PRIMARY, None));
                Route::Receive { receive, source }
            }
            None => Route::Refused(ErrorCode::StreamClosed),
        }
    }
}
