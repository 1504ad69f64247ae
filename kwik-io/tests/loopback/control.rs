//! The control channel.

use std::sync::mpsc as std_mpsc;

use bytes::Bytes;
use kwik_io::control::{ControlError, ControlReader, ControlSender, PushError, split};
use kwik_io::endpoint::{Accepted, Dialled};
use kwik_proto::frame::{ControlFrame, Ping, Relay, SignedOrders, StreamWindow};
use kwik_proto::{Offset, PathId, StreamId};
use s2n_quic::stream::{ReceiveStream, SendStream};

use crate::support::Lab;

fn ping(nonce: u64) -> ControlFrame {
    ControlFrame::Ping(Ping { nonce })
}

fn window(max: u64) -> ControlFrame {
    let stream = StreamId::from_wire(0).unwrap();
    ControlFrame::StreamWindow(StreamWindow { stream, max_offset: Offset::new(max).unwrap() })
}

fn relay(message_id: u64, piece: usize) -> ControlFrame {
    ControlFrame::Relay(Relay {
        path: PathId::new(1),
        message_id,
        message_size: piece as u32,
        piece_offset: 0,
        piece: Bytes::from(vec![9; piece]),
    })
}

fn orders(size: usize) -> ControlFrame {
    let body = Bytes::from(vec![0; size]);
    ControlFrame::Orders(SignedOrders { body, signature: [0; 64], key_id: "k4.pid.".to_owned() })
}

/// A control channel at the client, and at the server the bare stream.
struct Channel {
    lab: Lab,
    dialled: Dialled,
    accepted: Accepted,
    reader: ControlReader,
    sender: ControlSender,
    receive: Collected,
    send: SendStream,
}

async fn channel() -> Channel {
    let mut lab = Lab::new();
    let (mut dialled, mut accepted) = lab.connect().await;
    let stream = dialled.connection.open_bidirectional_stream().await.unwrap();
    let (reader, sender, writer) = split(stream);
    lab.worker.spawn(writer.run());
    sender.push(&ping(0)).unwrap();
    let stream = accepted.connection.accept_bidirectional_stream().await.unwrap().unwrap();
    let (receive, send) = stream.split();
    let mut receive = Collected::new(receive);
    // The frame that made the stream known to the server.
    assert_eq!(receive.next().await, ping(0));
    Channel { lab, dialled, accepted, reader, sender, receive, send }
}

/// A control channel at both ends.
async fn pair() -> (Lab, [(ControlReader, ControlSender); 2], (Dialled, Accepted)) {
    let mut lab = Lab::new();
    let (mut dialled, mut accepted) = lab.connect().await;
    let stream = dialled.connection.open_bidirectional_stream().await.unwrap();
    let (reader, sender, writer) = split(stream);
    lab.worker.spawn(writer.run());
    sender.push(&ping(0)).unwrap();
    let stream = accepted.connection.accept_bidirectional_stream().await.unwrap().unwrap();
    let (mut server_reader, server_sender, writer) = split(stream);
    lab.worker.spawn(writer.run());
    assert_eq!(server_reader.recv().await.unwrap(), Some(ping(0)));
    let ends = [(reader, sender), (server_reader, server_sender)];
    (lab, ends, (dialled, accepted))
}

#[tokio::test]
async fn frames_arrive_both_ways_in_order() {
    let (_lab, [(mut here, to_there), (mut there, to_here)], _connections) = pair().await;
    for nonce in 0..1_000 {
        to_there.push(&ping(nonce)).unwrap();
        to_here.push(&ping(nonce)).unwrap();
    }
    for nonce in 0..1_000 {
        assert_eq!(here.recv().await.unwrap(), Some(ping(nonce)));
        assert_eq!(there.recv().await.unwrap(), Some(ping(nonce)));
    }
}

#[tokio::test]
async fn the_largest_frames_pass_one_by_one() {
    let (_lab, [(_, to_there), (mut there, _)], _connections) = pair().await;
    for _ in 0..20 {
        to_there.push(&orders(48 << 10)).unwrap();
    }
    for _ in 0..20 {
        assert_eq!(there.recv().await.unwrap(), Some(orders(48 << 10)));
    }
}

#[tokio::test]
async fn dropping_the_sender_sends_what_waits_and_ends_the_stream() {
    let (_lab, [(_, to_there), (mut there, _)], _connections) = pair().await;
    for nonce in 0..100 {
        to_there.push(&orders(10_000)).unwrap();
        to_there.push(&ping(nonce)).unwrap();
    }
    drop(to_there);
    for nonce in 0..100 {
        assert_eq!(there.recv().await.unwrap(), Some(orders(10_000)));
        assert_eq!(there.recv().await.unwrap(), Some(ping(nonce)));
    }
    assert_eq!(there.recv().await.unwrap(), None);
}

#[tokio::test]
async fn flushed_means_acknowledged() {
    let (_lab, [(_, to_there), (mut there, _)], (dialled, _accepted)) = pair().await;
    for nonce in 0..100 {
        to_there.push(&orders(5_000)).unwrap();
        to_there.push(&ping(nonce)).unwrap();
    }
    to_there.flushed().await.unwrap();
    // Whatever was acknowledged is delivered, although the connection is closed.
    dialled.connection.close(0u32.into());
    let mut last = None;
    while let Ok(Some(frame)) = there.recv().await {
        last = Some(frame);
    }
    assert!(
        last.is_none_or(|last| matches!(last, ControlFrame::Ping(_) | ControlFrame::Orders(_)))
    );
}

#[tokio::test]
async fn a_flush_ends_with_the_writer() {
    let (lab, [(_, to_there), _], (dialled, accepted)) = pair().await;
    accepted.connection.close(1u32.into());
    // The writer sees the end at its next frame, if not before.
    while to_there.push(&ping(1)).is_ok() {
        tokio::task::yield_now().await;
    }
    assert_eq!(to_there.push(&ping(1)), Err(PushError::Closed));
    assert_eq!(to_there.flushed().await, Err(PushError::Closed));
    drop((lab, dialled));
}

#[tokio::test]
async fn without_a_reader_states_are_replaced_and_relays_wait() {
    let Channel { lab, sender, mut receive, accepted: _accepted, dialled: _dialled, .. } =
        channel().await;
    // The worker is kept busy, so that the writer runs only when everything has been pushed.
    let (go, gate) = std_mpsc::channel::<()>();
    let (entered, inside) = tokio::sync::oneshot::channel();
    lab.worker.spawn(async move {
        entered.send(()).unwrap();
        gate.recv().unwrap();
    });
    inside.await.unwrap();
    sender.push(&relay(0, 100)).unwrap();
    for max in 1..=1_000 {
        sender.push(&window(max)).unwrap();
        sender.push(&ping(max)).unwrap();
    }
    go.send(()).unwrap();
    assert_eq!(receive.next().await, window(1_000));
    for nonce in 1..=1_000 {
        assert_eq!(receive.next().await, ping(nonce));
    }
    assert_eq!(receive.next().await, relay(0, 100));
}

/// Decodes the bare stream.
struct Collected {
    stream: ReceiveStream,
    decoder: kwik_proto::control::ControlDecoder,
}

impl Collected {
    fn new(stream: ReceiveStream) -> Self {
        Self { stream, decoder: kwik_proto::control::ControlDecoder::new() }
    }

    async fn next(&mut self) -> ControlFrame {
        loop {
            if let Some(frame) = self.decoder.poll().unwrap() {
                return frame;
            }
            self.decoder.push(self.stream.receive().await.unwrap().unwrap());
        }
    }
}

#[tokio::test]
async fn a_frame_in_pieces_survives_cancelled_reads() {
    let Channel { lab: _lab, mut reader, mut send, sender: _sender, .. } = channel().await;
    let mut out = bytes::BytesMut::new();
    orders(5_000).encode(&mut out);
    let mut rest = out.freeze();
    while !rest.is_empty() {
        let piece = rest.split_to(rest.len().min(700));
        send.send(piece).await.unwrap();
        if rest.is_empty() {
            break;
        }
        send.flush().await.unwrap();
        tokio::select! {
            biased;
            frame = reader.recv() => panic!("{frame:?} before its end"),
            () = tokio::task::yield_now() => {}
        }
    }
    assert_eq!(reader.recv().await.unwrap(), Some(orders(5_000)));
}

#[tokio::test]
async fn a_bad_frame_is_an_error_and_stays_one() {
    let Channel { lab: _lab, mut reader, mut send, sender: _sender, .. } = channel().await;
    send.send(Bytes::from_static(&[0xff; 12])).await.unwrap();
    for _ in 0..2 {
        assert!(matches!(reader.recv().await, Err(ControlError::Frame(_))));
    }
}

#[tokio::test]
async fn an_end_inside_a_frame_is_an_error() {
    let Channel { lab: _lab, mut reader, mut send, sender: _sender, .. } = channel().await;
    send.send(Bytes::from_static(&[5, 1])).await.unwrap();
    send.finish().unwrap();
    assert!(matches!(reader.recv().await, Err(ControlError::Frame(_))));
}

#[tokio::test]
async fn a_reset_is_an_error() {
    let Channel { lab: _lab, mut reader, mut send, sender: _sender, .. } = channel().await;
    send.reset(3u32.into()).unwrap();
    assert!(matches!(reader.recv().await, Err(ControlError::Stream(_))));
}

#[tokio::test]
async fn forwarding_hands_on_frames_and_then_the_end() {
    let (lab, [(here, _to_there), (_there, to_here)], _connections) = pair().await;
    let (inbox, mut received) = kwik_io::channel::bounded(4);
    lab.worker.spawn(here.forward(inbox, |frame| (7, frame)));
    for nonce in 0..100 {
        to_here.push(&ping(nonce)).unwrap();
    }
    drop(to_here);
    for nonce in 0..100 {
        let (path, frame) = received.recv().await.unwrap();
        assert_eq!((path, frame.unwrap()), (7, Some(ping(nonce))));
    }
    assert!(matches!(received.recv().await, Some((7, Ok(None)))));
    assert!(received.recv().await.is_none());
}
