//! A newer peer and this one still understand each other.

#![allow(clippy::unwrap_used)]

use bytes::{Bytes, BytesMut};
use kwik_proto::control::ControlDecoder;
use kwik_proto::data::{DataDecoder, DataEvent};
use kwik_proto::frame::*;
use kwik_proto::{
    ALPN, DecodeError, DelegationId, Epoch, Offset, PathId, SessionId, StreamId, VERSION,
};

const LIMITS: Limits =
    Limits { max_bidirectional_streams: 1, max_unidirectional_streams: 1, initial_window: 65_536 };

/// A message that both versions know, with a field that only the newer one does.
fn grown(message: &[u8]) -> Vec<u8> {
    // Field 200, two bytes.
    [message, &[0xc2, 0x0c, 2, 1, 2]].concat()
}

/// A field of up to 127 bytes.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, u8::try_from(content.len()).unwrap()], content].concat()
}

fn delimited(message: &[u8]) -> Vec<u8> {
    [&[u8::try_from(message.len()).unwrap()], message].concat()
}

/// The flight of a client of version 3: its Hello, a frame that we do not know, and a Ping.
fn newer_client() -> Vec<u8> {
    let limits = field(3, &grown(&[0x08, 1, 0x10, 1, 0x18, 0x80, 0x80, 4]));
    let hello = grown(&[&[0x0a, 3, 3, 2, 1][..], &[0x12, 3, 7, 0x80, 0x10], &limits].concat());
    let hello = delimited(&grown(&[&[0x08, 1][..], &field(2, &hello)].concat()));
    let unknown = delimited(&[0x82, 0x0d, 3, 1, 2, 3]);
    let ping = delimited(&[0xba, 1, 2, 0x08, 7]);
    [hello, unknown, ping].concat()
}

#[test]
fn a_newer_client_is_understood() {
    let mut decoder = ControlDecoder::new();
    decoder.push(newer_client().into());
    let Some(ControlFrame::Hello(hello)) = decoder.poll().unwrap() else { panic!("no Hello") };
    assert_eq!(hello.versions, [3, 2, 1], "the server picks the best that it speaks");
    assert!(hello.versions.contains(&VERSION));
    assert_eq!(hello.features, [7, 2048], "the server answers with those that it knows");
    assert_eq!(hello.limits, LIMITS);
    assert_eq!(decoder.poll(), Ok(Some(ControlFrame::Ping(Ping { nonce: 7 }))));
    assert_eq!(decoder.skipped(), 1);
}

#[test]
fn a_newer_client_understands_our_answer() {
    // It sees version 1 and no features, and then sends nothing that version 1 does not have.
    let answer = ControlFrame::Welcome(Welcome {
        version: VERSION,
        features: vec![],
        limits: LIMITS,
        session: SessionId([1; 16]),
    });
    let mut out = BytesMut::new();
    answer.encode(&mut out);
    let mut decoder = ControlDecoder::new();
    decoder.push(out.freeze());
    assert_eq!(decoder.poll(), Ok(Some(answer)));
}

/// The flight of a server of version 3 that speaks version 1 with us: Welcome, AddPath and orders, in which every message
/// has grown, between them a frame that we do not know.
fn newer_server() -> Vec<u8> {
    let limits = field(3, &grown(&[0x08, 1, 0x10, 1, 0x18, 0x80, 0x80, 4]));
    let welcome = grown(&[&[0x08, 1][..], &limits, &field(4, &[1; 16])].concat());
    let welcome = delimited(&grown(&[&[0x08, 1][..], &field(3, &welcome)].concat()));
    let address = field(3, &grown(&[&field(1, &[192, 0, 2, 1])[..], &[0x10, 7]].concat()));
    let identity = field(4, &grown(&field(2, b"edge.example")));
    let add = [&[0x08, 3, 0x10, 1][..], &address, &identity, &field(5, b"v4.public.x")].concat();
    let add = delimited(&grown(&[&[0x08, 1][..], &field(5, &grown(&add))].concat()));
    [welcome, delimited(&[0x82, 0x0d, 3, 1, 2, 3]), add].concat()
}

#[test]
fn a_newer_server_is_understood() {
    let mut decoder = ControlDecoder::new();
    decoder.push(newer_server().into());
    let welcome =
        Welcome { version: VERSION, features: vec![], limits: LIMITS, session: SessionId([1; 16]) };
    assert_eq!(decoder.poll(), Ok(Some(ControlFrame::Welcome(welcome))));
    let add = AddPath {
        path: PathId::new(3),
        epoch: Epoch::FIRST,
        addresses: vec!["192.0.2.1:7".parse().unwrap()],
        identity: ServerIdentity::Name("edge.example".into()),
        token: "v4.public.x".into(),
    };
    assert_eq!(decoder.poll(), Ok(Some(ControlFrame::AddPath(add))));
    assert_eq!((decoder.poll(), decoder.skipped()), (Ok(None), 1));
}

#[test]
fn orders_of_a_newer_primary_are_understood() {
    let revoke = field(3, &grown(&[0x08, 1, 0x10, 9]));
    let orders = field(5, &grown(&revoke));
    let body = [&field(1, &[1; 16])[..], &[0x10, 3, 0x18, 1, 0x20, 9], &orders].concat();
    let orders = Orders::decode(&grown(&body).into()).unwrap();
    let stream = StreamId::from_wire(1).unwrap();
    let revoke = Revoke { stream, delegation: Some(DelegationId(9)) };
    assert_eq!((orders.number, orders.orders), (9, vec![Order::Revoke(revoke)]));
}

#[test]
fn what_a_newer_peer_insists_on_is_named() {
    let insists = delimited(&[0x08, 1, 0x82, 0x0d, 3, 1, 2, 3]);
    let mut decoder = ControlDecoder::new();
    decoder.push(insists.into());
    assert_eq!(decoder.poll(), Err(DecodeError::UnknownCriticalFrame { number: 208, at: 3 }));
}

#[test]
fn a_newer_carrier_is_understood() {
    let header = delimited(&grown(&[0x08, 4, 0x10, 1]));
    // New fields come before the payload.
    let frame = delimited(&[0x08, 4, 0x70, 9, 0x7a, 2, b'o', b'k']);
    let mut decoder = DataDecoder::new();
    decoder.push([header, frame].concat().into());
    assert!(matches!(decoder.poll(), Ok(Some(DataEvent::Header(_)))));
    let payload = Bytes::from_static(b"ok");
    assert_eq!(decoder.poll(), Ok(Some(DataEvent::Chunk { offset: Offset::ZERO, payload })));
}

#[test]
fn the_name_in_the_handshake_carries_the_version() {
    assert_eq!(ALPN, format!("kwik/{VERSION}").as_bytes());
}
