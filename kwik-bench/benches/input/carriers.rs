//! Heads of data frames, and whole carriers in chunks of a datagram.

use bytes::{Bytes, BytesMut};
use kwik_proto::data::{self, DataDecoder, DataEvent, DataHeader};
use kwik_proto::frame::{CarrierKind, StreamHeader};
use kwik_proto::{Offset, StreamId};

pub(crate) const FRAME: usize = 64 * 1024;
pub(crate) const FRAMES: usize = 64;
/// What one datagram brings of a stream.
pub(crate) const DATAGRAM: usize = 1_400;

pub(crate) fn header(kind: CarrierKind) -> StreamHeader {
    let stream = StreamId::from_wire(5).expect("below 2^62");
    StreamHeader { stream, kind, delegation: None, promised: None }
}

pub(crate) fn frame(kind: CarrierKind, at: u64, payload: &[u8], out: &mut BytesMut) {
    let (stream, offset) = (header(kind).stream, Offset::new(at).expect("below 2^62"));
    let crc32c = (kind == CarrierKind::Contribution)
        .then(|| data::checksum(stream, offset, false, payload.len(), [payload]));
    DataHeader { stream, offset, fin: false, length: payload.len(), crc32c }.encode(out);
    out.extend_from_slice(payload);
}

/// A decoder that is past the header, as it is for the life of a carrier.
pub(crate) fn decoder(kind: CarrierKind) -> DataDecoder {
    let (mut decoder, mut out) = (DataDecoder::new(), BytesMut::new());
    data::encode_stream_header(&header(kind), &mut out);
    decoder.push(out.freeze());
    assert!(matches!(decoder.poll(), Ok(Some(DataEvent::Header(_)))));
    decoder
}

pub(crate) fn carrier(kind: CarrierKind) -> Vec<Bytes> {
    let payload: Vec<u8> = (0..FRAME).map(|byte| ((byte * 31) >> 3) as u8).collect();
    let mut out = BytesMut::new();
    for index in 0..FRAMES {
        frame(kind, (index * FRAME) as u64, &payload, &mut out);
    }
    let bytes = out.freeze();
    (0..bytes.len())
        .step_by(DATAGRAM)
        .map(|at| bytes.slice(at..bytes.len().min(at + DATAGRAM)))
        .collect()
}
