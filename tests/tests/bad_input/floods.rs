//! Peers that open streams and end them without having sent anything that counts (HTTP/2's rapid reset).

use kwik_core::mapping::empty::EmptyCarriers;
use s2n_quic::stream::SendStream;

use super::*;

/// Streams after which a peer that has not been cut off never will be.
const TOO_MANY: u32 = 4 * EmptyCarriers::BURST;

/// What is done with a stream right after it was opened.
#[derive(Clone, Copy, Debug)]
enum End {
    /// Nothing is sent, and then the end.
    Bare,
    /// A header, and then the end.
    Header,
    /// A header, and then a reset.
    Reset,
}

impl End {
    const ALL: [Self; 3] = [Self::Bare, Self::Header, Self::Reset];

    /// Fails with the connection alone: a receiver that is quick may have stopped the stream already.
    fn apply(self, carrier: &mut SendStream, header: bytes::Bytes) {
        if !matches!(self, Self::Bare) {
            let _ = carrier.send_data(header);
        }
        let _ = match self {
            Self::Bare | Self::Header => carrier.finish(),
            Self::Reset => carrier.reset(s2n_quic::application::Error::UNKNOWN),
        };
    }
}

/// Opens one stream after the other until the connection ends; returns the code that it was closed with.
async fn flood(peer: &mut BareConnection, end: End, header: bytes::Bytes) -> ErrorCode {
    flood_to_the_end(peer, end, header).await.expect("a close has a code")
}

/// As [`flood`]; `None` where the connection ended without a code.
async fn flood_to_the_end(
    peer: &mut BareConnection,
    end: End,
    header: bytes::Bytes,
) -> Option<ErrorCode> {
    for _ in 0..TOO_MANY {
        match peer.handle.open_send_stream().await {
            Ok(mut carrier) => end.apply(&mut carrier, header.clone()),
            Err(s2n_quic::connection::Error::Closed { .. }) => return None,
            Err(error) => return Some(code_of(error)),
        }
    }
    panic!("{TOO_MANY} streams that bring nothing are taken: {end:?}");
}

/// As [`flood`], with streams of both directions.
async fn flood_both_ways(peer: &mut BareConnection, end: End, header: bytes::Bytes) -> ErrorCode {
    for _ in 0..TOO_MANY {
        match peer.handle.open_bidirectional_stream().await {
            Ok(carrier) => end.apply(&mut carrier.split().1, header.clone()),
            Err(error) => return code_of(error),
        }
    }
    panic!("{TOO_MANY} streams that bring nothing are taken: {end:?}");
}

fn code_of(error: s2n_quic::connection::Error) -> ErrorCode {
    match error {
        s2n_quic::connection::Error::Application { error, .. } => {
            kwik_client::application::Error::new(error.into()).unwrap().kwik_code().unwrap()
        }
        other => panic!("expected a close, not {other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secondary_that_floods_with_empty_contributions_is_cut_off_alone() {
    for end in End::ALL {
        let mut rig = Rig::new().await;
        let mut server = BareServer::start();
        let path = rig.primary.handle().add_path(server.spec(true)).await.unwrap();
        let (mut offender, _) = server.accept_as_secondary(&rig.key).await;
        rig.up(path).await;
        let mut stream = rig.primary.handle().open_send_stream().await.unwrap();
        stream.send(CONTENT.bytes(0, 100)).await.unwrap();
        offender.granted(stream.id()).await;
        let header = bare::contribution_header(stream.id(), None);
        let code = flood_to_the_end(&mut offender, end, header).await;
        // A stream that comes while QUIC is told to close has it do so without the code: docs/upstream/close_code.md. The
        // client's own books have it.
        assert!(code.is_none_or(|code| code == ErrorCode::LimitExceeded), "{end:?}: {code:?}");
        eventually("the fault is counted", || async {
            let metrics = rig.session.metrics().await.unwrap();
            let address = metrics.paths[1].address;
            let flood = |fault: &&kwik_client::Fault| fault.code == ErrorCode::LimitExceeded;
            let fault = metrics.faults.iter().find(flood);
            fault.is_some_and(|fault| (fault.address, fault.count) == (address, 1))
                && metrics.paths[1].state == "gone"
        })
        .await;
        works(&mut rig).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_floods_with_empty_streams_ends_its_session() {
    for end in End::ALL {
        let (session, mut primary, _carrier, _client) = primary::with_bare_primary().await;
        // Of a stream far beyond the limit, which breaks no other rule before.
        let code = flood_both_ways(&mut primary, end, bare::contribution_header(3, None)).await;
        assert_eq!(code, ErrorCode::LimitExceeded, "{end:?}");
        drop(session);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_floods_with_empty_streams_ends_its_session() {
    for end in End::ALL {
        let mut rig = Rig::new().await;
        let server = (rig.server.local_addr(), rig.server.pin());
        let mut client = bare::connect_to_primary(server.0, server.1).await;
        client.send(ControlFrame::Hello(bare::hello()));
        assert!(matches!(client.next().await, ControlFrame::Welcome(_)));
        let _session = rig.server.accept().await.unwrap();
        let code = flood(&mut client, end, public_header(2)).await;
        assert_eq!(code, ErrorCode::LimitExceeded, "{end:?}");
        works(&mut rig).await;
    }
}
