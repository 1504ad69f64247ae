//! A primary whose own bytes come long after those that it delegated.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use bytes::Bytes;
use kwik_client::Connect;
use kwik_server::Delegate;
use kwik_sim::link::{LinkConfig, Rate};
use kwik_sim::{Lab, SoftwareError};

const PRIMARY: &str = "primary";
const EDGE: &str = "edge";
const HEAD: usize = 1000;
const SIZE: u64 = 200_000;

fn link() -> LinkConfig {
    let (rate, delay) = (Some(Rate::mbit(100)), Duration::from_millis(10));
    LinkConfig { rate, delay, ..LinkConfig::default() }
}

/// No reader of a stream of QUIC gives up on a writer that takes a minute to think.
#[test]
fn a_head_may_be_written_long_after_its_tail_was_delegated() {
    let mut lab = Lab::new(1);
    lab.server(PRIMARY, link(), |host| async move {
        let mut server = host.server()?.with_identity(host.signing_key())?.start()?;
        while let Some(session) = server.accept().await {
            let mut primary = session.handle();
            primary.add_path(host.path_to(EDGE)).await?;
            let mut stream = primary.open_send_stream().await?;
            stream.send(Bytes::from_static(b"!")).await?;
            stream.delegate(Delegate::new(HEAD as u64..SIZE, Bytes::new())).await?;
            tokio::time::sleep(Duration::from_secs(60)).await;
            stream.write_at(1, Bytes::from_static(&[1; HEAD - 1])).await?;
            stream.close().await?;
        }
        Ok(())
    });
    lab.server(EDGE, link(), |host| async move {
        let keys = [host.public_key_of(PRIMARY)];
        let server = host.server()?.with_trusted_primaries(keys)?.start()?;
        let (_primaries, mut sessions) = server.split();
        let mut session = sessions.accept().await.ok_or("a client comes")?;
        while let Some(order) = session.next_delegation().await? {
            let range = order.range();
            let mut contribution = order.accept().await?;
            let length = usize::try_from(range.end - range.start)?;
            contribution.write_at(range.start, Bytes::from(vec![2; length])).await?;
            contribution.finish().await?;
        }
        Ok::<(), SoftwareError>(())
    });
    let run = lab.run(Duration::from_secs(100), |host| async move {
        let client = host.client().with_tls(host.pin_of(PRIMARY))?.start()?;
        let mut session = client.connect(Connect::new(host.address_of(PRIMARY))).await?;
        let mut stream = session.accept_receive_stream().await?.ok_or("a stream comes")?;
        let mut read = 0;
        while let Some(chunk) = stream.receive().await? {
            read += chunk.len() as u64;
        }
        Ok(read)
    });
    let (read, _) = run.unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(read, SIZE);
}
