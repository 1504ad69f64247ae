//! The beginning of a carrier, and what is wrong with frames.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kwik_core::stream::ReceiveError;
use kwik_io::pump::{CarrierEnd, CarrierFault, Route};
use kwik_io::stream::{ReceiveStream, application};
use kwik_proto::data::{self, DataHeader};
use kwik_proto::frame::{CarrierKind, ErrorCode, StreamHeader};
use kwik_proto::{ByteRange, DecodeError, DelegationId, Offset, StreamId};
use s2n_quic::stream::SendStream;

use crate::end::{End, Seen, pair};

const WINDOW: u64 = 1 << 20;

fn stream_header(id: u64, kind: CarrierKind) -> Bytes {
    let stream = StreamId::from_wire(id).unwrap();
    let delegation = (kind == CarrierKind::Contribution).then_some(DelegationId(3));
    let mut out = BytesMut::new();
    let header = StreamHeader { stream, kind, delegation, promised: None };
    data::encode_stream_header(&header, &mut out);
    out.freeze()
}

/// A contribution's frame; `spoil` is added to its checksum.
fn frame(id: u64, offset: u64, payload: &'static [u8], spoil: u32) -> Bytes {
    let stream = StreamId::from_wire(id).unwrap();
    let offset = Offset::new(offset).unwrap();
    let length = payload.len();
    let crc32c = data::checksum(stream, offset, false, length, [payload]).wrapping_add(spoil);
    let mut out = BytesMut::new();
    DataHeader { stream, offset, fin: false, length, crc32c: Some(crc32c) }.encode(&mut out);
    out.extend_from_slice(payload);
    out.freeze()
}

async fn carrier(from: &mut End, pieces: &[Bytes]) -> SendStream {
    let mut carrier = from.handle.open_send_stream().await.unwrap();
    for piece in pieces {
        carrier.send(piece.clone()).await.unwrap();
    }
    carrier
}

/// The code of KWIK's with which the peer stops the carrier.
async fn stopped_with(carrier: &mut SendStream) -> Option<ErrorCode> {
    loop {
        let sent = carrier.send(Bytes::from_static(&[0])).await;
        match sent {
            Ok(()) => tokio::task::yield_now().await,
            Err(s2n_quic::stream::Error::StreamReset { error, .. }) => {
                return application::Error::from(error).kwik_code();
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn a_carrier_without_header_is_stopped_in_time() {
    let (mut client, mut server) = pair().await;
    client.table.set_header_timeout(Duration::from_millis(30));
    // Half a header.
    let header = stream_header(1, CarrierKind::Contribution);
    let mut carrier = carrier(&mut server, &[header.slice(..2)]).await;
    let (about, end) = client.ended().await;
    assert_eq!(end, CarrierEnd::HeaderTimeout);
    assert_eq!(about.header, None);
    assert_eq!(stopped_with(&mut carrier).await, Some(ErrorCode::HeaderMissing));
}

#[tokio::test]
async fn a_frame_in_place_of_the_header_is_refused() {
    let (mut client, mut server) = pair().await;
    let mut carrier = carrier(&mut server, &[frame(1, 0, b"no header", 0)]).await;
    let (about, end) = client.ended().await;
    assert!(matches!(end, CarrierEnd::Decode(_)), "{end:?}");
    assert_eq!(about.header, None);
    assert_eq!(stopped_with(&mut carrier).await, Some(ErrorCode::HeaderMissing));
}

#[tokio::test]
async fn a_carrier_for_an_unknown_stream_is_stopped_with_the_sessions_code() {
    let (mut client, mut server) = pair().await;
    let header = stream_header(77, CarrierKind::Contribution);
    let mut carrier = carrier(&mut server, &[header]).await;
    assert_eq!(client.ended().await.1, CarrierEnd::Refused(ErrorCode::Mapping));
    assert_eq!(stopped_with(&mut carrier).await, Some(ErrorCode::Mapping));
}

#[tokio::test]
async fn a_wrong_checksum_is_reported_and_costs_one_frame() {
    let (mut client, mut server) = pair().await;
    let mut stream = ReceiveStream::new(client.table.receive(1, WINDOW));
    let header = stream_header(1, CarrierKind::Contribution);
    let pieces = [
        header.clone(),
        frame(1, 0, b"good ", 0),
        frame(1, 5, b"evil ", 1),
        frame(1, 10, b"again", 0),
    ];
    let mut spoilt = carrier(&mut server, &pieces).await;
    let Seen::Fault(about, CarrierFault::Frame(error)) = client.seen().await else { panic!() };
    let DecodeError::ChecksumMismatch { stream: id, offset, length, .. } = error else { panic!() };
    assert_eq!((id.value(), offset.value(), length), (1, 5, 5));
    assert_eq!(about.header.unwrap().delegation, Some(DelegationId(3)));
    let mut other = carrier(&mut server, &[header, frame(1, 5, b"fine ", 0)]).await;
    spoilt.finish().unwrap();
    other.finish().unwrap();
    let mut all = Vec::new();
    while all.len() < 15 {
        all.extend_from_slice(&stream.receive().await.unwrap().unwrap());
    }
    assert_eq!(all, b"good fine again");
    assert_eq!(client.ended().await.1, CarrierEnd::Finished);
}

/// STREAM-18, also where both arrive at once.
#[tokio::test]
async fn a_second_final_size_is_refused() {
    for second in [6, 4] {
        let (mut client, mut server) = pair().await;
        let receive = client.table.receive(1, WINDOW);
        let stream = StreamId::from_wire(1).unwrap();
        let mut all = BytesMut::from(&stream_header(1, CarrierKind::Public)[..]);
        for size in [5, second] {
            let (offset, fin) = (Offset::new(size).unwrap(), true);
            DataHeader { stream, offset, fin, length: 0, crc32c: None }.encode(&mut all);
        }
        // The primary's, as the table has it: only that may tell a final size.
        let mut carrier = server.handle.open_bidirectional_stream().await.unwrap();
        carrier.send(all.freeze()).await.unwrap();
        let (_, end) = client.ended().await;
        let refused = matches!(end, CarrierEnd::Insert(ReceiveError::FinalSize { .. }));
        assert!(refused, "{second}: {end:?}");
        assert_eq!(receive.inspect(|half| half.final_size()), Offset::new(5));
    }
}

#[tokio::test]
async fn a_frame_of_another_stream_is_reported_and_can_be_rerouted() {
    let (mut client, mut server) = pair().await;
    let _named = client.table.receive(1, WINDOW);
    let meant = client.table.receive(5, WINDOW);
    let header = stream_header(1, CarrierKind::Contribution);
    let mut carrier = carrier(&mut server, &[header, frame(5, 0, b"lost", 0)]).await;
    let Seen::Fault(about, CarrierFault::Frame(error)) = client.seen().await else { panic!() };
    assert!(matches!(error, DecodeError::StreamMismatch { .. }), "{error:?}");
    let source = meant.update(|half| half.add_source(about.path, None));
    let control = client.table.controls().pop().unwrap();
    control.reroute(Route::Receive { receive: meant.clone(), source });
    tokio::task::yield_now().await;
    carrier.send(frame(5, 0, b"found", 0)).await.unwrap();
    let mut stream = ReceiveStream::new(meant);
    assert_eq!(stream.receive().await.unwrap().unwrap(), "found");
    assert!(control.received() > 9);
}

#[tokio::test]
async fn a_drained_carrier_is_read_and_dropped_until_it_is_stopped() {
    let (mut client, mut server) = pair().await;
    let receive = client.table.receive(1, WINDOW);
    client.table.drain();
    let header = stream_header(1, CarrierKind::Contribution);
    let mut carrier = carrier(&mut server, &[header, frame(1, 0, b"dropped", 0)]).await;
    carrier.flush().await.unwrap();
    let control = loop {
        match client.table.controls().pop() {
            Some(control) => break control,
            None => tokio::task::yield_now().await,
        }
    };
    control.stop(ErrorCode::StreamClosed);
    let code = application::Error::of_kwik(ErrorCode::StreamClosed);
    assert_eq!(client.ended().await.1, CarrierEnd::Stopped { code });
    assert_eq!(stopped_with(&mut carrier).await, Some(ErrorCode::StreamClosed));
    assert_eq!(receive.inspect(|half| half.received_end()), Offset::ZERO);
}

#[tokio::test]
async fn bytes_beyond_the_window_end_that_carrier_alone() {
    let (mut client, mut server) = pair().await;
    let mut stream = ReceiveStream::new(client.table.receive(1, 8));
    let header = stream_header(1, CarrierKind::Contribution);
    let pieces = [header.clone(), frame(1, 6, b"too far", 0)];
    let mut greedy = carrier(&mut server, &pieces).await;
    let (about, end) = client.ended().await;
    assert!(matches!(end, CarrierEnd::Insert(ReceiveError::FlowControl { .. })), "{end:?}");
    assert!(about.source.is_some());
    assert_eq!(stopped_with(&mut greedy).await, Some(ErrorCode::FlowControl));
    let _modest = carrier(&mut server, &[header, frame(1, 0, b"in time", 0)]).await;
    assert_eq!(stream.receive().await.unwrap().unwrap(), "in time");
}

#[tokio::test]
async fn what_was_decoded_before_nonsense_still_counts() {
    let (mut client, mut server) = pair().await;
    let mut stream = ReceiveStream::new(client.table.receive(1, WINDOW));
    let header = stream_header(1, CarrierKind::Contribution);
    let nonsense = Bytes::from_static(&[0xff; 32]);
    let pieces = [header, frame(1, 0, b"sense", 0), nonsense];
    let _carrier = carrier(&mut server, &pieces).await;
    let (_, end) = client.ended().await;
    assert!(matches!(end, CarrierEnd::Decode(_)), "{end:?}");
    assert_eq!(stream.receive().await.unwrap().unwrap(), "sense");
}

#[tokio::test]
async fn a_public_carrier_that_ends_without_final_size_is_an_error() {
    let (mut client, mut server) = pair().await;
    let _receive = client.table.receive(3, WINDOW);
    let header = stream_header(3, CarrierKind::Public);
    let mut carrier = carrier(&mut server, &[header]).await;
    carrier.finish().unwrap();
    assert_eq!(client.ended().await.1, CarrierEnd::NoFinalSize);
}

#[tokio::test]
async fn a_carrier_cut_inside_a_frame_is_an_error() {
    let (mut client, mut server) = pair().await;
    let _receive = client.table.receive(1, WINDOW);
    let header = stream_header(1, CarrierKind::Contribution);
    let whole = frame(1, 0, b"cut off", 0);
    let mut carrier = carrier(&mut server, &[header, whole.slice(..whole.len() - 1)]).await;
    carrier.finish().unwrap();
    let (_, end) = client.ended().await;
    assert!(matches!(end, CarrierEnd::Decode(DecodeError::Truncated { .. })), "{end:?}");
}

#[tokio::test]
async fn bytes_outside_the_promise_are_refused() {
    let (mut client, mut server) = pair().await;
    let _receive = client.table.receive(1, WINDOW);
    let mut out = BytesMut::new();
    let header = StreamHeader {
        stream: StreamId::from_wire(1).unwrap(),
        kind: CarrierKind::Contribution,
        delegation: None,
        promised: ByteRange::with_length(Offset::ZERO, 4),
    };
    data::encode_stream_header(&header, &mut out);
    let _carrier = carrier(&mut server, &[out.freeze(), frame(1, 2, b"over", 0)]).await;
    let (_, end) = client.ended().await;
    assert!(matches!(end, CarrierEnd::Insert(ReceiveError::NotGranted { .. })), "{end:?}");
}
