//! What an application leaves behind is owed to its peer, and not for ever.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use bytes::Bytes;
use kwik_client::Connect;
use kwik_sim::link::{LinkConfig, Rate};
use kwik_sim::{Lab, SoftwareError};
use tokio::io::AsyncReadExt;

const SERVER: &str = "server";
/// How long a stream may be without progress that its application left.
const LINGER: Duration = Duration::from_secs(30);

fn link() -> LinkConfig {
    let (rate, delay) = (Some(Rate::mbit(100)), Duration::from_millis(10));
    LinkConfig { rate, delay, queue: 1 << 20, ..LinkConfig::default() }
}

/// A server that writes a stream of that length to each client, finishes it and leaves.
fn leave_a_stream(lab: &mut Lab, length: usize) {
    lab.server(SERVER, link(), move |host| async move {
        let mut server = host.server()?.start()?;
        while let Some(mut session) = server.accept().await {
            let mut stream = session.open_send_stream().await?;
            tokio::spawn(async move {
                stream.send(Bytes::from(vec![7; length])).await?;
                stream.finish()?;
                Ok::<(), SoftwareError>(())
            });
        }
        Ok(())
    });
}

/// The server's application never looks at the stream.
#[test]
fn a_client_that_left_does_not_wait_for_an_application_that_never_reads() {
    let mut lab = Lab::new(1);
    lab.server(SERVER, link(), |host| async move {
        let mut server = host.server()?.start()?;
        let _session = server.accept().await.ok_or("a client comes")?;
        std::future::pending().await
    });
    let run = lab.run(3 * LINGER, |host| async move {
        let client = host.client().with_tls(host.pin_of(SERVER))?.start()?;
        let mut session = client.connect(Connect::new(host.address_of(SERVER))).await?;
        let mut upload = session.open_send_stream().await?;
        upload.send("nobody reads this".into()).await?;
        upload.finish()?;
        drop((upload, session));
        client.wait_idle().await?;
        Ok(host.now())
    });
    let (idle, _) = run.unwrap_or_else(|failure| panic!("{failure}"));
    assert!(idle >= LINGER && idle < LINGER + Duration::from_secs(5), "{idle:?}");
}

/// The server's application writes, finishes and leaves; the client's reads when that has been given up.
#[test]
fn a_reader_that_pauses_for_too_long_hears_that_the_rest_will_not_come() {
    const LENGTH: usize = 16 << 20;
    let mut lab = Lab::new(1);
    leave_a_stream(&mut lab, LENGTH);
    let run = lab.run(Duration::from_secs(100), |host| async move {
        let client = host.client().with_tls(host.pin_of(SERVER))?.start()?;
        let mut session = client.connect(Connect::new(host.address_of(SERVER))).await?;
        let mut stream = session.accept_receive_stream().await?.ok_or("a stream comes")?;
        tokio::time::sleep(LINGER + Duration::from_secs(5)).await;
        let mut read = 0;
        let error = loop {
            match stream.receive().await {
                Ok(Some(chunk)) => read += chunk.len(),
                Ok(None) => return Err("the end came".into()),
                Err(error) => break error,
            }
        };
        Ok((read, error))
    });
    let ((read, error), _) = run.unwrap_or_else(|failure| panic!("{failure}"));
    assert!(read < LENGTH, "{read} bytes, {error}");
}

/// It takes less of the stream in 30 s than its window's eighth, and is not given up.
#[test]
fn a_slow_reader_of_what_was_left_gets_all_of_it() {
    const LENGTH: usize = 16 << 20;
    const SIP: usize = 20_000;
    let mut lab = Lab::new(1);
    leave_a_stream(&mut lab, LENGTH);
    let run = lab.run(Duration::from_secs(200), |host| async move {
        let client = host.client().with_tls(host.pin_of(SERVER))?.start()?;
        let mut session = client.connect(Connect::new(host.address_of(SERVER))).await?;
        let mut stream = session.accept_receive_stream().await?.ok_or("a stream comes")?;
        let mut sip = vec![0; SIP];
        for _ in 0..20 {
            stream.read_exact(&mut sip).await?;
            tokio::time::sleep(LINGER / 6).await;
        }
        let mut read = 20 * SIP;
        while let Some(chunk) = stream.receive().await? {
            read += chunk.len();
        }
        Ok(read)
    });
    let (read, _) = run.unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(read, LENGTH);
}

/// Shortly before each pause it takes a little that is not worth a word then.
#[test]
fn a_reader_that_pauses_for_almost_as_long_gets_all_of_it() {
    const LENGTH: usize = 16 << 20;
    const SIP: usize = 5_000;
    const PAUSES: [u64; 6] = [20, 26, 23, 29, 28, 29];
    let mut lab = Lab::new(1);
    leave_a_stream(&mut lab, LENGTH);
    let run = lab.run(Duration::from_secs(300), |host| async move {
        let client = host.client().with_tls(host.pin_of(SERVER))?.start()?;
        let mut session = client.connect(Connect::new(host.address_of(SERVER))).await?;
        let mut stream = session.accept_receive_stream().await?.ok_or("a stream comes")?;
        let mut sip = vec![0; SIP];
        for pause in PAUSES {
            stream.read_exact(&mut sip).await?;
            tokio::time::sleep(LINGER / 6).await;
            stream.read_exact(&mut sip).await?;
            tokio::time::sleep(Duration::from_secs(pause)).await;
        }
        let mut read = 2 * PAUSES.len() * SIP;
        while let Some(chunk) = stream.receive().await? {
            read += chunk.len();
        }
        Ok(read)
    });
    let (read, _) = run.unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(read, LENGTH);
}
