//! What a client can make a primary read.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use kwik_proto::frame::{
    AddPathResult, DelegationState, DelegationStatus, GapReason, Hello, Order, Orders, StreamWindow,
};
use kwik_proto::{Epoch, Offset, StreamId};
use kwik_server::{
    Delegate, Event, LocalSupply, PathSpec, RangeEvent, RangeSource, ServerIdentity,
};

use super::*;

/// A copy that counts what is read of it.
#[derive(Debug, Default)]
struct Counting(AtomicU64);

impl RangeSource for Counting {
    fn read_at(&self, _: u64, length: usize) -> io::Result<Bytes> {
        self.0.fetch_add(length as u64, Ordering::Relaxed);
        Ok(vec![7; length].into())
    }
}

/// What may be read of it for proofs, and beside that: one read of each supply that QUIC has no room for.
const MOST: u64 = (256 << 20) + (64 << 20);

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_refuses_everything_has_no_more_read_than_it_could_have_under_way() {
    let (identity, _) = kwik_tests::identity();
    let mut server = builder().with_identity(identity).unwrap().start().unwrap();
    let mut client = bare::connect_to_primary(server.local_addr(), server.pin()).await;
    let hello = Hello { confirmation_key: Some([7; 32]), ..bare::hello() };
    client.send(ControlFrame::Hello(hello));
    let mut session = server.accept().await.unwrap();
    let spec = PathSpec {
        addresses: vec!["127.0.0.1:9".parse().unwrap()],
        identity: ServerIdentity::Pin([1; 32]),
        grant_all: false,
    };
    let path = session.add_path(spec).await.unwrap();
    let (epoch, code, detail) = (Epoch::FIRST, ErrorCode::None, String::new());
    client.send(ControlFrame::AddPathResult(AddPathResult { path, epoch, code, detail }));
    let request = client.handle.open_bidirectional_stream().await.unwrap();
    let (_reply, request) = request.split();
    let mut request = bare::Carrier(request);
    request
        .write([bare::public_header(0), bare::public_frame(0, 0, b"all", true)].concat().into())
        .await;
    let (stream, max_offset) = (StreamId::from_wire(0).unwrap(), Offset::new(1 << 40).unwrap());
    client.send(ControlFrame::StreamWindow(StreamWindow { stream, max_offset }));
    let asked = session.accept_bidirectional_stream().await.unwrap().unwrap();
    let (_asked, mut asked) = asked.split();
    let copy = Arc::new(Counting::default());
    let order = Delegate::new(0..1 << 40, "all".into());
    let order = order.with_local(copy.clone(), LocalSupply::Fallback).with_proof();
    let _delegated = asked.delegate(order).await.unwrap();
    // An absurd rate: it had everything at once.
    client.send(ControlFrame::PathStatus(kwik_proto::frame::PathStatus {
        path,
        epoch,
        state: kwik_proto::frame::PathState::Live,
        reason: None,
        smoothed_rtt_us: 1_000_000,
        rtt_variation_us: 0,
        received_bytes: 1 << 40,
        busy_us: 1_000_000,
    }));
    let unproven = async {
        loop {
            let event = session.next_event().await.expect("the session lasts");
            if matches!(event, Event::Range(RangeEvent::Unproven { .. })) {
                return;
            }
        }
    };
    let refusing = async {
        loop {
            if let ControlFrame::Orders(signed) = client.next().await {
                for order in Orders::decode(&signed.body).unwrap().orders {
                    if let Order::Delegation(order) = order {
                        let state = DelegationState::Refused(GapReason::Busy);
                        let delegation = order.id;
                        let status = DelegationStatus { path, delegation, state };
                        client.send(ControlFrame::DelegationStatus(status));
                    }
                }
            }
            let read = copy.0.load(Ordering::Relaxed);
            assert!(read <= MOST, "{read} bytes were read for nothing");
        }
    };
    tokio::select! {
        () = unproven => {}
        () = refusing => {}
    }
    let read = copy.0.load(Ordering::Relaxed);
    assert!(read <= MOST, "{read} bytes were read for nothing");
}
