//! Ends that lost packets must not change: of one direction of a stream, and of a session.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use kwik_client::{Connect, Session};
use kwik_server::PrimarySession;
use kwik_server::stream::Error;
use kwik_sim::link::LinkConfig;
use kwik_sim::{Action, Disk, Host, Lab, SoftwareError};

const PRIMARY: &str = "primary";
const SIZE: usize = 100_000;
const BOUND: Duration = Duration::from_secs(20);

/// Answers the first stream while its upload comes, and says how that ended.
async fn answer(host: Host) -> Result<(), SoftwareError> {
    let mut server = host.server()?.start()?;
    let mut session = server.accept().await.ok_or("no session")?;
    let stream = session.accept_bidirectional_stream().await?.ok_or("no stream")?;
    let (mut receive, mut send) = stream.split();
    let upload = async {
        loop {
            match receive.receive().await {
                Ok(Some(_)) => {}
                Ok(None) => return Err("it was not reset".into()),
                Err(Error::StreamReset { error, .. }) if error == 7u8.into() => return Ok(()),
                Err(error) => return Err::<(), SoftwareError>(error.into()),
            }
        }
    };
    let download = async {
        send.send(Disk::content(0, SIZE)).await?;
        send.close().await
    };
    let (uploaded, downloaded) = tokio::join!(upload, download);
    uploaded?;
    downloaded?;
    std::future::pending().await
}

/// What the client sent first never arrived when it resets: QUIC would send only the reset again, and the primary would
/// never learn which stream the carrier's other direction belongs to.
#[test]
fn an_upload_that_is_reset_in_an_outage_leaves_its_download_alone() {
    let mut lab = Lab::new(4);
    let link = LinkConfig { delay: Duration::from_millis(10), ..LinkConfig::default() };
    lab.server(PRIMARY, link, answer);
    let (read, _) = lab
        .run(BOUND, |host| async move {
            let client = host.client().with_tls(host.pin_of(PRIMARY))?.start()?;
            let session = client.connect(Connect::new(host.address_of(PRIMARY))).await?;
            tokio::time::sleep(Duration::from_millis(200)).await;
            host.act(Action::Partition(PRIMARY.into()));
            tokio::time::sleep(Duration::from_millis(5)).await;
            let (mut receive, mut send) =
                session.handle().open_bidirectional_stream().await?.split();
            send.send(Disk::content(0, 1_000)).await?;
            tokio::time::sleep(Duration::from_millis(50)).await;
            send.reset(7u8.into())?;
            tokio::time::sleep(Duration::from_millis(50)).await;
            host.act(Action::Heal(PRIMARY.into()));
            let mut at = 0;
            while let Some(chunk) = receive.receive().await? {
                assert!(Disk::is_content(at, &chunk));
                at += chunk.len() as u64;
            }
            Ok(at)
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(read, SIZE as u64);
}

/// A round trip so long that a lost frame is sent again only when its sender has closed the connection.
fn far() -> LinkConfig {
    LinkConfig { delay: Duration::from_millis(300), ..LinkConfig::default() }
}

/// Lets every packet of the next 200 ms be lost.
async fn interrupt(host: &Host) {
    host.act(Action::Partition(PRIMARY.into()));
    let host = host.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(200)).await;
        host.act(Action::Heal(PRIMARY.into()));
    });
    tokio::time::sleep(Duration::from_millis(5)).await;
}

async fn connect(host: &Host) -> Result<(kwik_client::Client, Session), SoftwareError> {
    let client = host.client().with_tls(host.pin_of(PRIMARY))?.start()?;
    let session = client.connect(Connect::new(host.address_of(PRIMARY))).await?;
    Ok((client, session))
}

async fn serve(host: &Host) -> Result<PrimarySession, SoftwareError> {
    let mut server = host.server()?.start()?;
    let session = server.accept().await.ok_or("no session")?;
    // Kept with its socket.
    tokio::spawn(async move { server.accept().await });
    Ok(session)
}

#[test]
fn a_client_that_leaves_is_no_error_though_its_farewell_is_lost() {
    let (tell, told) = tokio::sync::oneshot::channel();
    let tell = std::sync::Mutex::new(Some(tell));
    let mut lab = Lab::new(1);
    lab.server(PRIMARY, far(), move |host| {
        let tell = tell.lock().unwrap().take();
        async move {
            let mut session = serve(&host).await?;
            let end = session.accept().await.map(|stream| stream.is_none());
            let _ = tell.ok_or("a second start")?.send(end);
            std::future::pending().await
        }
    });
    let (end, _) = lab
        .run(BOUND, |host| async move {
            let (_client, session) = connect(&host).await?;
            tokio::time::sleep(Duration::from_secs(2)).await;
            interrupt(&host).await;
            drop(session);
            Ok(told.await?)
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(end, Ok(true));
}

#[test]
fn a_server_that_leaves_is_no_error_though_its_farewell_is_lost() {
    let mut lab = Lab::new(1);
    lab.server(PRIMARY, far(), |host| async move {
        let mut session = serve(&host).await?;
        let leave = session.accept().await?;
        interrupt(&host).await;
        drop((leave, session));
        std::future::pending().await
    });
    let (end, _) = lab
        .run(BOUND, |host| async move {
            let (_client, mut session) = connect(&host).await?;
            tokio::time::sleep(Duration::from_secs(2)).await;
            session.open_send_stream().await?.finish()?;
            Ok(session.accept().await.map(|stream| stream.is_none()))
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(end, Ok(true));
}
