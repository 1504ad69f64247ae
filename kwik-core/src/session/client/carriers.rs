//! Carriers of a client session: which stream each feeds, what it may send, how it ended.

use kwik_proto::frame::{
    CarrierKind, ControlFrame, ErrorCode, GapReason, MappingQuery, MappingSnapshot, StreamHeader,
};
use kwik_proto::{ByteRange, DelegationId, Initiator, PathId, StreamId, StreamKind};

use super::conflict::isolated;
use super::{ClientSession, Output};
use crate::grant::{Grants, Recorded};
use crate::interval::RangeSet;
use crate::mapping::{MappingError, UnknownStream, refusal, takes_contributions};
use crate::session::streams::Known;
use crate::stream::{Failure, ReceiveHalf, SourceKey};
use crate::time::Instant;

/// Where a carrier's bytes go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The stream.
    pub stream: StreamId,
    /// Bytes outside are the carrier's error; `None`: the whole stream.
    pub allowed: Option<RangeSet>,
}

/// What becomes of a carrier whose header came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Routed {
    /// Its bytes go there.
    To(Route),
    /// Its stream takes no more bytes, but this end still sends on it: the carrier is stopped, its other direction used.
    SendOnly,
    /// They are dropped, until [`Output::Reroute`] or [`Output::StopCarrier`] for it.
    Drain,
    /// It is not read, until [`StreamAction::Admit`](crate::session::StreamAction::Admit) for its stream: then ask again.
    Wait,
}

/// How a carrier ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CarrierEnd {
    /// QUIC's FIN, after whole frames.
    Finished,
    /// RESET_STREAM, whatever the code.
    Reset,
    /// It broke a rule: bytes that are no frame, a wrong checksum, bytes where it may not send.
    Faulty(ErrorCode),
    /// The connection is over.
    Lost,
}

/// What a header is worth.
enum Standing {
    Fits,
    Refused(ErrorCode),
    Corrupt,
    Early,
    SendOnly,
}

#[derive(Debug)]
pub(super) struct Carrier {
    pub(super) stream: StreamId,
    pub(super) kind: CarrierKind,
    pub(super) delegation: Option<DelegationId>,
    promised: Option<ByteRange>,
    pub(super) source: Option<SourceKey>,
    pub(super) received: u64,
    pub(super) duplicate: u64,
}

impl ClientSession {
    /// The first message on a carrier arrived. Drain the outputs; if there is a route add a source to the stream's half,
    /// and tell [`handle_source`](Self::handle_source).
    ///
    /// # Errors
    /// The code for STOP_SENDING; the carrier's bytes are dropped.
    pub fn handle_header(
        &mut self,
        path: PathId,
        carrier: u64,
        header: StreamHeader,
        now: Instant,
    ) -> Result<Routed, ErrorCode> {
        if let Some(code) = self.reject_public(path, carrier, &header) {
            return Err(code);
        }
        let header = self.named(path, header)?;
        match self.admit_header(path, &header) {
            Standing::Fits => {}
            Standing::Refused(code) => return Err(code),
            Standing::Corrupt => {
                self.doubt(path, carrier, now);
                return Ok(Routed::Drain);
            }
            Standing::Early => return Ok(Routed::Wait),
            Standing::SendOnly => {
                let known = self.sending.create(path, carrier, header);
                return known.map(|_| Routed::SendOnly).map_err(|error| error.code());
            }
        }
        match self.mapping.create(path, carrier, header) {
            Ok(_) => Ok(Routed::To(self.route(path, carrier, &header, now)?)),
            Err(MappingError::Full { .. }) => Err(ErrorCode::LimitExceeded),
            Err(error) if header.kind == CarrierKind::Public => {
                self.break_stream(header.stream, error.code());
                Err(error.code())
            }
            Err(_) => {
                self.doubt(path, carrier, now);
                Ok(Routed::Drain)
            }
        }
    }

    /// The answer on a carrier that this end opened has to be for its stream.
    fn reject_public(
        &mut self,
        path: PathId,
        carrier: u64,
        header: &StreamHeader,
    ) -> Option<ErrorCode> {
        let own = self.sending.route(path, carrier)?.stream;
        let fits = header.kind == CarrierKind::Public && header.stream == own;
        if !fits {
            self.break_stream(own, ErrorCode::Mapping);
        }
        (!fits).then_some(ErrorCode::Mapping)
    }

    /// A header that names a delegation and no range means the delegation's. A public carrier has neither.
    pub(super) fn named(
        &self,
        path: PathId,
        mut header: StreamHeader,
    ) -> Result<StreamHeader, ErrorCode> {
        if header.kind == CarrierKind::Public {
            return Ok(StreamHeader { delegation: None, promised: None, ..header });
        }
        if let (Some(id), None) = (header.delegation, header.promised) {
            let known = self.promises.range_of(path, id).filter(|known| known.0 == header.stream);
            header.promised = Some(known.ok_or(ErrorCode::NotGranted)?.1);
        }
        Ok(header)
    }

    /// Whether a secondary was told of the delegation that its header names, with a range that holds the promise.
    ///
    /// A delegation that is over is not remembered, and its late header is no fault: then the range is one that was granted
    /// with an end. A grant without an end says nothing about delegations.
    fn was_told(&self, path: PathId, header: &StreamHeader) -> bool {
        let (Some(id), Some(promised)) = (header.delegation, header.promised) else { return true };
        let known = self.promises.range_of(path, id).filter(|known| known.0 == header.stream);
        path.is_primary()
            || known.map_or_else(
                || self.grants.allows_bounded(path, header.stream, promised),
                |(_, range)| range.covers(promised),
            )
    }

    /// Whether the header's promise was granted, or anything where it has none.
    pub(super) fn is_granted(&self, path: PathId, header: &StreamHeader) -> bool {
        granted(&self.grants, path, header.stream, header.promised) && self.was_told(path, header)
    }

    /// This end opened a QUIC stream to the primary as the carrier of a public stream.
    pub fn handle_opened(&mut self, carrier: u64, stream: StreamId) {
        self.note_sending(carrier, stream);
    }

    /// The primary stopped what this end sends on a carrier, or reset its other direction before a header, with that code:
    /// where that refuses the carrier its stream is broken, for the primary does not know it.
    pub fn handle_refusal(&mut self, carrier: u64, code: u64) {
        let own = self.sending.route(PathId::PRIMARY, carrier).map(|route| route.stream);
        let (Some(stream), Some(code)) = (own, refusal(code)) else { return };
        self.streams.break_send(stream, code);
        if self.mapping.public_carrier(stream).is_none() {
            self.break_stream(stream, code);
        }
    }

    fn note_sending(&mut self, carrier: u64, stream: StreamId) {
        if self.streams.unknown(stream).is_none() {
            let (kind, delegation, promised) = (CarrierKind::Public, None, None);
            let header = StreamHeader { stream, kind, delegation, promised };
            // Refused only for what the driver can't do: one QUIC stream, or one public stream, twice.
            let _ = self.sending.create(PathId::PRIMARY, carrier, header);
        }
    }

    pub(super) fn answer_query(&mut self, path: PathId, query: &MappingQuery) {
        let mappings = self.sending.snapshot(path, &query.carriers);
        let snapshot = MappingSnapshot { query: query.query, mappings };
        self.send(path, ControlFrame::MappingSnapshot(snapshot));
    }

    /// A public carrier broke a rule: nothing can mend its stream.
    fn break_stream(&mut self, stream: StreamId, code: ErrorCode) {
        self.fail_stream(stream, Failure::Broken { code }, code);
    }

    pub(super) fn route(
        &mut self,
        path: PathId,
        carrier: u64,
        header: &StreamHeader,
        now: Instant,
    ) -> Result<Route, ErrorCode> {
        let allowed = match header.kind {
            CarrierKind::Public => {
                if header.stream.kind() == StreamKind::Bidirectional {
                    self.note_sending(carrier, header.stream);
                }
                None
            }
            CarrierKind::Contribution => {
                if self.expect(path, header, now) == Recorded::Full {
                    self.mapping.close(path, carrier);
                    return Err(ErrorCode::LimitExceeded);
                }
                self.allowed(path, header)
            }
        };
        let entry = Carrier {
            stream: header.stream,
            kind: header.kind,
            delegation: header.delegation,
            promised: header.promised,
            source: None,
            received: 0,
            duplicate: 0,
        };
        self.carriers.insert((path, carrier), entry);
        Ok(Route { stream: header.stream, allowed })
    }

    fn admit_header(&mut self, path: PathId, header: &StreamHeader) -> Standing {
        match header.kind {
            CarrierKind::Public => self.admit_public(path, header.stream),
            CarrierKind::Contribution => self.admit_contribution(path, header),
        }
    }

    fn admit_public(&mut self, path: PathId, stream: StreamId) -> Standing {
        if !path.is_primary() {
            return Standing::Refused(ErrorCode::NotGranted);
        }
        if stream.initiator() == Initiator::Server {
            match self.streams.handle_header(stream, true) {
                Ok(Known::Open) => {}
                Ok(Known::Closed) => return Standing::Refused(ErrorCode::StreamClosed),
                Ok(Known::Wait) => return Standing::Early,
                Err(code) => {
                    self.close(code, None, "a stream that the primary may not open");
                    return Standing::Refused(code);
                }
            }
        }
        match self.streams.receives(stream) {
            true => Standing::Fits,
            // The primary opened it for both directions, and the end of its own was faster than the header.
            false if stream.initiator() == Initiator::Server && self.streams.sends(stream) => {
                Standing::SendOnly
            }
            false => Standing::Refused(ErrorCode::StreamClosed),
        }
    }

    fn admit_contribution(&mut self, path: PathId, header: &StreamHeader) -> Standing {
        let stream = header.stream;
        if !takes_contributions(stream) {
            return Standing::Refused(ErrorCode::StreamState);
        }
        // A supply of the primary may overtake its public carrier's header: it announces, as a grant would.
        if path.is_primary() && stream.initiator() == Initiator::Server {
            match self.streams.handle_header(stream, false) {
                Ok(Known::Open) => {}
                Ok(Known::Closed) => return Standing::Refused(ErrorCode::StreamClosed),
                Ok(Known::Wait) => return Standing::Early,
                Err(code) => {
                    self.close(
                        code,
                        None,
                        "a contribution to a stream that the primary may not open",
                    );
                    return Standing::Refused(code);
                }
            }
        }
        match self.streams.unknown(stream) {
            Some(UnknownStream::Closed) => return Standing::Refused(ErrorCode::StreamClosed),
            Some(UnknownStream::Corrupt) => return Standing::Corrupt,
            Some(UnknownStream::Announced) | None => {}
        }
        if !self.streams.receives(stream) {
            return Standing::Refused(ErrorCode::StreamClosed);
        }
        if isolated(&self.isolated, stream, path) {
            return Standing::Refused(ErrorCode::DataConflict);
        }
        match self.is_granted(path, header) {
            true => Standing::Fits,
            false => Standing::Refused(ErrorCode::NotGranted),
        }
    }

    /// The primary's own supplies are promised by their header; a secondary's by the order that passed through.
    fn expect(&mut self, path: PathId, header: &StreamHeader, now: Instant) -> Recorded {
        let (Some(id), Some(range)) = (header.delegation, header.promised) else {
            return Recorded::Kept;
        };
        if !path.is_primary() {
            return Recorded::Kept;
        }
        let (start, end) = (range.start(), Some(range.end()));
        if self.grants.record(path, header.stream, start, end) == Recorded::Full {
            return Recorded::Full;
        }
        self.watch(header.stream);
        self.promises.record(path, id, header.stream, range, now);
        self.note_debt(path, now);
        Recorded::Kept
    }

    fn allowed(&self, path: PathId, header: &StreamHeader) -> Option<RangeSet> {
        let promised = header.promised.map(RangeSet::from);
        if path.is_primary() {
            return promised;
        }
        // Nothing granted is nothing allowed: only the primary has no bound.
        let granted = || self.grants.allowed(path, header.stream).bytes();
        Some(promised.unwrap_or_else(granted))
    }

    /// The source that the half gave to a carrier.
    pub fn handle_source(&mut self, path: PathId, carrier: u64, source: SourceKey) {
        if let Some(entry) = self.carriers.get_mut(&(path, carrier)) {
            entry.source = Some(source);
        }
    }

    /// A carrier is over. `half` is its stream's receiving half, if that is still there.
    pub fn handle_carrier_end(
        &mut self,
        path: PathId,
        carrier: u64,
        end: CarrierEnd,
        half: Option<&mut ReceiveHalf>,
        now: Instant,
    ) {
        self.close_carrier(path, carrier, end, half, now);
        self.resync.handle_closed(path, carrier);
        if let CarrierEnd::Faulty(code) = end {
            self.outputs.push_back(Output::StopCarrier { path, carrier, code });
        }
        if path.is_primary() && end == CarrierEnd::Faulty(ErrorCode::FlowControl) {
            let reason = "the primary sent bytes beyond the window";
            self.close(ErrorCode::FlowControl, None, reason);
        }
    }

    pub(super) fn close_carrier(
        &mut self,
        path: PathId,
        carrier: u64,
        end: CarrierEnd,
        half: Option<&mut ReceiveHalf>,
        now: Instant,
    ) {
        let Some(entry) = self.carriers.get(&(path, carrier)) else {
            return self.close_unanswered(path, carrier, end);
        };
        let (stream, kind) = (entry.stream, entry.kind);
        let mut missing = RangeSet::new();
        let mut fault = fault(end, half.as_deref());
        if let Some(half) = half {
            self.note_arrivals(stream, half, now);
            missing = self.missing_of(path, carrier, half);
            let source = self.carriers.get(&(path, carrier)).and_then(|entry| entry.source);
            if let Some(source) = source {
                half.remove_source(source);
            }
            fault = fault.filter(|_| !half.is_complete());
        }
        self.mapping.close(path, carrier);
        let Some(entry) = self.carriers.remove(&(path, carrier)) else { return };
        if kind == CarrierKind::Public {
            if let Some(code) = fault {
                self.break_stream(stream, code);
            }
            return;
        }
        if let Some(id) = entry.delegation {
            let missing: Vec<ByteRange> = missing.iter().collect();
            self.promises.handle_end((path, stream, id), &missing, reason(end), now);
        }
        self.note_debt(path, now);
        self.outputs.push_back(Output::Service(stream));
    }

    /// The answer on a carrier of this end is over without a header: whatever it was, its stream gets no bytes by it.
    fn close_unanswered(&mut self, path: PathId, carrier: u64, end: CarrierEnd) {
        let own = self.sending.route(path, carrier).map(|route| route.stream);
        let unanswered = own.filter(|stream| self.mapping.public_carrier(*stream).is_none());
        if let (Some(stream), Some(code)) = (unanswered, fault(end, None)) {
            self.break_stream(stream, code);
        }
    }

    /// What is missing of the header's promise, and of the order's: they may differ.
    fn missing_of(&self, path: PathId, carrier: u64, half: &ReceiveHalf) -> RangeSet {
        let Some(entry) = self.carriers.get(&(path, carrier)) else { return RangeSet::new() };
        let ordered = entry.delegation.and_then(|id| self.promises.range_of(path, id));
        let ordered = ordered.filter(|known| known.0 == entry.stream).map(|known| known.1);
        let ranges = entry.promised.into_iter().chain(ordered);
        ranges.flat_map(|range| half.missing_in(range)).collect()
    }
}

/// What the primary supplies needs no grant of its own.
pub(super) fn granted(
    grants: &Grants,
    path: PathId,
    stream: StreamId,
    promised: Option<ByteRange>,
) -> bool {
    path.is_primary()
        || promised.map_or_else(
            || !grants.allowed(path, stream).is_empty(),
            |promised| grants.allows(path, stream, promised),
        )
}

/// The rule that a public carrier broke by ending like that; `None`: none, or the control stream, or the connection,
/// says why.
fn fault(end: CarrierEnd, half: Option<&ReceiveHalf>) -> Option<ErrorCode> {
    match end {
        CarrierEnd::Faulty(code) => Some(code),
        // QUIC's FIN says nothing about the stream.
        CarrierEnd::Finished => {
            let told = half.is_some_and(|half| half.final_size().is_some());
            (!told).then_some(ErrorCode::FinalSize)
        }
        CarrierEnd::Reset | CarrierEnd::Lost => None,
    }
}

fn reason(end: CarrierEnd) -> GapReason {
    match end {
        CarrierEnd::Finished | CarrierEnd::Reset => GapReason::Reset,
        CarrierEnd::Faulty(ErrorCode::DataConflict) => GapReason::Conflict,
        CarrierEnd::Faulty(_) => GapReason::Corrupt,
        CarrierEnd::Lost => GapReason::PathGone,
    }
}
