//! Carriers of a primary's session: which stream each is for, of those that the client sends on and of this end's own.

use kwik_proto::frame::{CarrierKind, ErrorCode, StreamHeader};
use kwik_proto::{Initiator, PathId, StreamId, StreamKind};

use super::PrimarySession;
use crate::mapping::refusal;
use crate::session::streams::Known;
use crate::stream::Failure;

/// What becomes of a public carrier whose header came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admitted {
    /// Its bytes are the stream's.
    Open,
    /// The stream is over, the carrier is to be stopped.
    Over,
    /// It is not read, until [`StreamAction::Admit`](crate::session::StreamAction::Admit) for its stream: then ask again.
    Wait,
    /// It contradicts what is known, and is to be stopped with that code. Its stream is broken.
    Refused(ErrorCode),
}

impl PrimarySession {
    /// This end opened a QUIC stream as the carrier of a public stream.
    pub fn handle_opened(&mut self, carrier: u64, stream: StreamId) {
        if self.streams.unknown(stream).is_none() {
            // Refused only for what the driver can't do: one QUIC stream, or one public stream, twice.
            let _ = self.carriers.create(PathId::PRIMARY, carrier, public(stream));
        }
    }

    /// A public carrier's header arrived.
    ///
    /// # Errors
    /// The code to close the connection with.
    pub fn handle_header(&mut self, carrier: u64, id: StreamId) -> Result<Admitted, ErrorCode> {
        if let Some(own) = self.own_stream(carrier).filter(|own| *own != id) {
            // An answer has to be for the stream that was asked on.
            self.break_stream(own, ErrorCode::Mapping);
            return Ok(Admitted::Refused(ErrorCode::Mapping));
        }
        if id.initiator() == Initiator::Client
            && self.streams.handle_header(id, true)? == Known::Wait
        {
            return Ok(Admitted::Wait);
        }
        if !self.streams.receives(id) && !self.streams.sends(id) {
            return Ok(Admitted::Over);
        }
        if let Err(error) = self.received.create(PathId::PRIMARY, carrier, public(id)) {
            self.break_stream(id, error.code());
            return Ok(Admitted::Refused(error.code()));
        }
        if id.initiator() == Initiator::Client && id.kind() == StreamKind::Bidirectional {
            self.handle_opened(carrier, id);
        }
        Ok(Admitted::Open)
    }

    /// The answer on a carrier of this end broke a rule before it had a header: its stream gets no bytes by it.
    pub fn handle_unanswered(&mut self, carrier: u64, code: ErrorCode) {
        if let Some(own) = self.own_stream(carrier) {
            self.break_stream(own, code);
        }
    }

    /// The client stopped what this end sends on a carrier, or reset its other direction before a header, with that code:
    /// where that refuses the carrier its stream is broken, for the client does not know it.
    pub fn handle_refusal(&mut self, carrier: u64, code: u64) {
        let (Some(own), Some(code)) = (self.own_stream(carrier), refusal(code)) else { return };
        self.streams.break_send(own, code);
        if self.received.public_carrier(own).is_none() {
            self.break_stream(own, code);
        }
    }

    /// What the client sends on the stream broke a rule: nothing can mend it, and no other stream is to blame.
    pub fn break_stream(&mut self, id: StreamId, code: ErrorCode) {
        self.streams.break_receive(id, Failure::Broken { code }, code);
    }

    /// The public stream that this end sends on a carrier.
    fn own_stream(&self, carrier: u64) -> Option<StreamId> {
        let route = self.carriers.route(PathId::PRIMARY, carrier)?;
        (route.kind == CarrierKind::Public).then_some(route.stream)
    }
}

fn public(stream: StreamId) -> StreamHeader {
    StreamHeader { stream, kind: CarrierKind::Public, delegation: None, promised: None }
}
