//! R8: what fails among the secondaries.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use kwik_client::{Client, Connect, ErrorCode, Pin};
use kwik_proto::frame::{ControlFrame, Mapping, MappingSnapshot};
use kwik_proto::{ByteRange, DelegationId, StreamId};
use kwik_server::{Delegate, Event, LocalSupply, PathId, PathState, RangeSource};
use kwik_tests::bare::{
    BareConnection, BareServer, Carrier, contribution_frame, contribution_header,
};
use kwik_tests::{
    Content, Gated, Rig, SecondaryServer, contribute, eventually, read_until, read_whole,
};

const CONTENT: Content = Content(90);
const SIZE: u64 = 400_000;

/// A session whose only secondary keeps no rule.
async fn with_bare() -> (Rig, BareConnection, PathId, BareServer) {
    let mut rig = Rig::new().await;
    let mut bare = BareServer::start();
    let path = rig.primary.add_path(bare.spec(false)).await.unwrap();
    let (secondary, _) = bare.accept_as_secondary(&rig.key).await;
    rig.up(path).await;
    (rig, secondary, path, bare)
}

/// Delegates everything, with the primary's own copy as the last resort.
async fn delegate_all(rig: &mut Rig) -> kwik_client::stream::ReceiveStream {
    delegate_with(rig, Arc::new(CONTENT)).await
}

/// Delegates everything, with `local` as the last resort.
async fn delegate_with(
    rig: &mut Rig,
    local: Arc<dyn RangeSource>,
) -> kwik_client::stream::ReceiveStream {
    let mut stream = rig.primary.open_send_stream().await.unwrap();
    let order = Delegate::new(0..SIZE, CONTENT.resource());
    stream.delegate(order.with_local(local, LocalSupply::Fallback)).await.unwrap();
    stream.finish().unwrap();
    rig.session.accept_receive_stream().await.unwrap().unwrap()
}

/// Accepts the next order, sends its first 1,000 bytes, and leaves it at that. An error: the client has stopped it.
async fn try_begin(secondary: &mut BareConnection) -> Result<Carrier, s2n_quic::stream::Error> {
    let order = secondary.next_delegation().await;
    let range = ByteRange::new(order.range.start(), order.range.end()).unwrap();
    let id = order.stream.value();
    let mut carrier = secondary.open().await;
    let header = contribution_header(id, Some((DelegationId(order.id.0), range)));
    let start = range.start().value();
    let frame = contribution_frame(id, start, &CONTENT.bytes(start, 1000));
    carrier.0.send([header, frame].concat().into()).await?;
    carrier.0.flush().await?;
    Ok(carrier)
}

/// The same of an order that nothing else serves.
async fn begin(secondary: &mut BareConnection) -> Carrier {
    try_begin(secondary).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn r08_1_a_contribution_that_breaks_off_is_made_good() {
    let (mut rig, mut secondary, path, _server) = with_bare().await;
    let (gate, copy) = Gated::new(CONTENT);
    let mut public = delegate_with(&mut rig, copy).await;
    let mut carrier = begin(&mut secondary).await;
    carrier.0.reset(s2n_quic::application::Error::new(7).unwrap()).unwrap();
    // Others are ended in order, but short of what they promised.
    let short = tokio::spawn(async move {
        loop {
            // Fails once others have supplied it all.
            if let Ok(mut carrier) = try_begin(&mut secondary).await {
                let _ = carrier.0.close().await;
            }
        }
    });
    let open_the_gate = async {
        eventually("what broke off is asked for again", || async {
            rig.session.metrics().await.unwrap().repairs > 0
        })
        .await;
        drop(gate);
    };
    let (size, ()) = tokio::join!(read_whole(&mut public, CONTENT), open_the_gate);
    assert_eq!(size, SIZE);
    // Suspect for a moment, if the machine held it up.
    eventually("its path stays", || async {
        let paths = rig.primary.paths().await;
        (paths[0].path, paths[0].state) == (path, PathState::Live)
    })
    .await;
    short.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn r08_2_a_secondary_that_is_gone_is_told_of_and_made_good() {
    let (mut rig, mut secondary, path, server) = with_bare().await;
    let mut public = delegate_all(&mut rig).await;
    let carrier = begin(&mut secondary).await;
    read_until(&mut public, CONTENT, 0, 1000).await;
    secondary.handle.close(9u8.into());
    drop((carrier, secondary, server));
    let mut at = 1000;
    while let Some(chunk) = public.receive().await.unwrap() {
        assert!(CONTENT.matches(at, &chunk), "wrong bytes at {at}");
        at += chunk.len() as u64;
    }
    assert_eq!(at, SIZE);
    loop {
        match rig.primary.next_event().await.unwrap() {
            Event::PathDown(down, ..) if down == path => break,
            _ => {}
        }
    }
    // Nothing of it is left at the client.
    eventually("no contribution of it is left", || async {
        let metrics = rig.session.metrics().await.unwrap();
        metrics.paths[1].contributions == 0 && metrics.paths[1].state != "live"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r08_3_corrupt_bytes_are_thrown_away_and_asked_for_again() {
    let (mut rig, mut secondary, _, _server) = with_bare().await;
    let spec = SecondaryServer::start(&rig.key).obey();
    let honest = rig.primary.add_path(spec).await.unwrap();
    rig.up(honest).await;
    let mut public = delegate_all(&mut rig).await;
    // All that it sends has a bit wrong, in the payload.
    let lying = tokio::spawn(async move {
        loop {
            let order = secondary.next_delegation().await;
            let (id, start) = (order.stream.value(), order.range.start().value());
            let range = ByteRange::new(order.range.start(), order.range.end()).unwrap();
            let mut carrier = secondary.open().await;
            carrier.write(contribution_header(id, Some((DelegationId(order.id.0), range)))).await;
            let frame = contribution_frame(id, start, &CONTENT.bytes(start, 1000));
            let mut spoiled = frame.to_vec();
            *spoiled.last_mut().unwrap() ^= 1;
            // Fails once the client has stopped the carrier.
            let _ = carrier.0.send(spoiled.into()).await;
            let _ = carrier.0.close().await;
        }
    });
    assert_eq!(read_whole(&mut public, CONTENT).await, SIZE);
    lying.abort();
    let metrics = rig.session.metrics().await.unwrap();
    assert_eq!(metrics.paths[1].bytes, 0, "not one of its bytes was taken");
    assert!(metrics.paths[2].bytes > 0, "the other is not affected: {metrics:?}");
    assert!(
        metrics
            .faults
            .iter()
            .any(|fault| fault.code == ErrorCode::Checksum
                && fault.address == metrics.paths[1].address),
        "{:?}",
        metrics.faults
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn r08_4_what_cannot_be_aggregated_isolates_its_source() {
    let (mut rig, mut secondary, path, _server) = with_bare().await;
    let (gate, copy) = Gated::new(CONTENT);
    let mut public = delegate_with(&mut rig, copy).await;
    let mut carrier = begin(&mut secondary).await;
    read_until(&mut public, CONTENT, 0, 1000).await;
    // It goes on with another stream's bytes; asked, it explains them by a stream that there is not.
    carrier.write(contribution_frame(399, 0, b"of no stream")).await;
    let asked = loop {
        if let ControlFrame::MappingQuery(query) = secondary.next().await {
            break query;
        }
    };
    let stream = StreamId::from_wire(399).unwrap();
    let mapping = Mapping { carrier: carrier.id(), stream, delegation: None, promised: None };
    let mappings = vec![mapping];
    secondary.send(ControlFrame::MappingSnapshot(MappingSnapshot { query: asked.query, mappings }));
    assert_eq!(carrier.refusal().await, ErrorCode::Mapping);
    drop(gate);
    let rest = read_to_end(&mut public, 1000).await;
    assert_eq!(rest, SIZE, "the primary's copy made it good");
    assert_eq!(rig.primary.paths().await[0].path, path);
}

async fn read_to_end(stream: &mut kwik_client::stream::ReceiveStream, mut at: u64) -> u64 {
    while let Some(chunk) = stream.receive().await.unwrap() {
        assert!(CONTENT.matches(at, &chunk), "wrong bytes at {at}");
        at += chunk.len() as u64;
    }
    at
}

#[tokio::test(flavor = "multi_thread")]
async fn r08_5_errors_say_where_and_why() {
    // Nobody can deliver: the reader is told stream, offset and length, the primary why.
    let timeout = Duration::from_millis(100);
    let mut rig = Rig::with(|client| client.with_gap_timeout(timeout)).await;
    let secondary = rig.attach().await;
    let mut stream = rig.primary.open_send_stream().await.unwrap();
    stream.send(CONTENT.bytes(0, 10)).await.unwrap();
    let mut contribution = contribute(&secondary.session, stream.id()).await;
    contribution.write_at(30, CONTENT.bytes(30, 10)).await.unwrap();
    eventually("what is behind the gap is there", || async {
        rig.session.metrics().await.unwrap().paths[1].bytes == 10
    })
    .await;
    let mut public = rig.session.accept_receive_stream().await.unwrap().unwrap();
    read_until(&mut public, CONTENT, 0, 10).await;
    let error = public.receive().await.unwrap_err().to_string();
    for part in [stream.id().to_string(), "10".into(), "20".into()] {
        assert!(error.contains(&part), "{part:?} is not in {error:?}");
    }
    // A primary that is not the one that was meant: whom, and which of its properties.
    let client = Client::builder().with_tls(Pin([5; 32])).unwrap().start().unwrap();
    let address = rig.server.local_addr();
    let error = client.connect(Connect::new(address)).await.unwrap_err().to_string();
    assert!(error.contains(&address.to_string()) && error.contains("pin"), "{error}");
    // A secondary that is not: the primary's application is told which path, the code and the address.
    let edge = SecondaryServer::start(&rig.key);
    let identity = kwik_server::ServerIdentity::Pin([5; 32]);
    let spec = kwik_server::PathSpec { identity, ..edge.spec() };
    let path = rig.primary.add_path(spec).await.unwrap();
    let (code, detail) = loop {
        if let Event::PathDown(down, code, detail) = rig.primary.next_event().await.unwrap()
            && down == path
        {
            break (code, detail);
        }
    };
    assert_eq!(code, Some(ErrorCode::IdentityMismatch));
    assert!(detail.contains(&edge.acceptor.local_addr().to_string()), "{detail}");
}
