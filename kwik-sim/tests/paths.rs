//! Paths that come back, and paths that are idle.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use kwik_client::{Connect, SessionMetrics};
use kwik_server::{Delegate, PathId, PrimarySession, SecondarySession};
use kwik_sim::link::{LinkConfig, Rate};
use kwik_sim::{Action, Disk, Event, Host, Lab, SoftwareError};

const PRIMARY: &str = "primary";
const EDGE: &str = "edge";
const SIZE: u64 = 100_000;
const BOUND: Duration = Duration::from_secs(200);

fn link() -> LinkConfig {
    let rate = Some(Rate::mbit(50));
    LinkConfig { rate, delay: Duration::from_millis(10), ..LinkConfig::default() }
}

/// A primary's session with the edge attached.
async fn attached(host: &Host) -> Result<(PrimarySession, PathId), SoftwareError> {
    let mut server = host.server()?.with_identity(host.signing_key())?.start()?;
    let session = server.accept().await.ok_or("no session")?;
    // Sessions go on without their server.
    let path = session.add_path(host.path_to(EDGE)).await?;
    up(&session, path).await?;
    Ok((session, path))
}

async fn up(session: &PrimarySession, path: PathId) -> Result<(), SoftwareError> {
    while session.next_event().await.ok_or("the session is over")?
        != kwik_server::Event::PathUp(path)
    {}
    Ok(())
}

/// Sends each range that is ordered in two halves, with a pause between them.
async fn send_in_halves(mut session: SecondarySession, pause: Duration) {
    while let Ok(Some(order)) = session.next_delegation().await {
        tokio::spawn(async move {
            let range = order.range();
            let middle = range.start + (range.end - range.start) / 2;
            let mut contribution = order.accept().await?;
            let (half, rest) = ((middle - range.start) as usize, (range.end - middle) as usize);
            contribution.write_at(range.start, Disk::content(range.start, half)).await?;
            tokio::time::sleep(pause).await;
            contribution.write_at(middle, Disk::content(middle, rest)).await?;
            contribution.finish().await?;
            Ok::<(), SoftwareError>(())
        });
    }
}

async fn read(host: Host) -> Result<SessionMetrics, SoftwareError> {
    let client = host.client().with_tls(host.pin_of(PRIMARY))?.start()?;
    let mut session = client.connect(Connect::new(host.address_of(PRIMARY))).await?;
    let mut stream = session.accept_receive_stream().await?.ok_or("no stream")?;
    let mut at = 0;
    while let Some(chunk) = stream.receive().await? {
        assert!(Disk::is_content(at, &chunk), "wrong bytes from {at} on");
        at += chunk.len() as u64;
    }
    assert_eq!(at, SIZE);
    Ok(session.metrics().await?)
}

/// Each session of the edge, with the time.
async fn obey(host: Host) -> Result<(), SoftwareError> {
    obey_slowly(host, Duration::ZERO).await
}

async fn obey_slowly(host: Host, pause: Duration) -> Result<(), SoftwareError> {
    let server = host.server()?.with_trusted_primaries([host.public_key_of(PRIMARY)])?.start()?;
    let (_primaries, mut secondaries) = server.split();
    while let Some(session) = secondaries.accept().await {
        host.note(format!("admitted at {}", host.now().as_millis()));
        tokio::spawn(send_in_halves(session, pause));
    }
    Ok(())
}

/// The edge is out of reach for 40 s, long enough for its connection to be over. It remembers the token that admitted
/// the client: only a new one admits it again. Nobody else has the content.
#[test]
fn a_path_that_was_lost_comes_back_with_a_new_token() {
    let mut lab = Lab::new(6);
    lab.server(PRIMARY, link(), |host| async move {
        let (session, path) = attached(&host).await?;
        // Down, and up again.
        loop {
            match session.next_event().await.ok_or("the session is over")? {
                kwik_server::Event::PathDown(down, ..) if down == path => break,
                _ => {}
            }
        }
        up(&session, path).await?;
        let mut stream = session.handle().open_send_stream().await?;
        stream.delegate(Delegate::new(0..SIZE, "v1".into())).await?;
        stream.close().await?;
        std::future::pending().await
    });
    lab.server(EDGE, link(), obey);
    lab.at(Duration::from_secs(1), Action::Partition(EDGE.into()));
    lab.at(Duration::from_secs(41), Action::Heal(EDGE.into()));
    let (metrics, report) = lab.run(BOUND, read).unwrap_or_else(|failure| panic!("{failure}"));
    let admitted = report.events.iter().filter(
        |(_, event)| matches!(event, Event::Note { text, .. } if text.starts_with("admitted at ")),
    );
    assert_eq!(admitted.count(), 2, "{report:?}");
    let states: Vec<_> = metrics.paths.iter().map(|path| (path.state, path.bytes)).collect();
    assert_eq!(states, [("live", 0), ("live", SIZE)]);
    assert!(metrics.faults.is_empty(), "{:?}", metrics.faults);
}

/// The edge is removed while it rests, for most of the time that it may drain, halfway through what it accepted.
/// Nobody else has the content.
#[test]
fn a_path_that_is_removed_finishes_what_it_accepted() {
    let mut lab = Lab::new(8);
    lab.server(PRIMARY, link(), |host| async move {
        let (session, path) = attached(&host).await?;
        let mut stream = session.handle().open_send_stream().await?;
        stream.delegate(Delegate::new(0..SIZE, "v1".into())).await?;
        // Long enough for the first half, and too short for anybody to lose patience with the second.
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(session.remove_path(path).await);
        stream.close().await?;
        std::future::pending().await
    });
    lab.server(EDGE, link(), |host| obey_slowly(host, Duration::from_secs(4)));
    let (metrics, _) = lab.run(BOUND, read).unwrap_or_else(|failure| panic!("{failure}"));
    let states: Vec<_> = metrics.paths.iter().map(|path| (path.state, path.bytes)).collect();
    assert_eq!(states, [("live", 0), ("gone", SIZE)]);
}

/// The edge is removed halfway through what it accepted, and pauses for longer than it may drain. Nobody else has the
/// content, until the edge is added anew: then it is asked for the rest, and for no more.
#[test]
fn what_a_removed_path_pauses_with_is_asked_of_who_comes_after_it() {
    let mut lab = Lab::new(9);
    lab.server(PRIMARY, link(), |host| async move {
        let (session, path) = attached(&host).await?;
        let mut stream = session.handle().open_send_stream().await?;
        stream.delegate(Delegate::new(0..SIZE, "v1".into())).await?;
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(session.remove_path(path).await);
        tokio::time::sleep(Duration::from_secs(6)).await;
        session.add_path(host.path_to(EDGE)).await?;
        stream.close().await?;
        std::future::pending().await
    });
    lab.server(EDGE, link(), |host| async move {
        let primary = host.public_key_of(PRIMARY);
        let (_, mut sessions) = host.server()?.with_trusted_primaries([primary])?.start()?.split();
        let first = sessions.accept().await.ok_or("no session")?;
        tokio::spawn(send_in_halves(first, Duration::from_secs(30)));
        let second = sessions.accept().await.ok_or("no second session")?;
        send_in_halves(second, Duration::ZERO).await;
        std::future::pending().await
    });
    let (metrics, report) = lab.run(BOUND, read).unwrap_or_else(|failure| panic!("{failure}"));
    println!("{:?}, {} ms", metrics.paths, report.elapsed.as_millis());
    let states: Vec<_> = metrics.paths.iter().map(|path| (path.state, path.bytes)).collect();
    assert_eq!(states, [("live", 0), ("live", SIZE / 2), ("gone", SIZE / 2)]);
    assert_eq!(metrics.redundant_bytes, 0);
    // Added anew after 6.1 s: its handshake, the order and the bytes take a few round trips of 20 ms.
    assert!(report.elapsed < Duration::from_millis(6_400), "{:?}", report.elapsed);
}

/// A session that is idle for a minute is as good as ever, and says so.
#[test]
fn an_idle_session_is_live() {
    let mut lab = Lab::new(7);
    lab.server(PRIMARY, link(), |host| async move {
        let _attached = attached(&host).await?;
        std::future::pending().await
    });
    lab.server(EDGE, link(), obey);
    let client = |host: Host| async move {
        let client = host.client().with_tls(host.pin_of(PRIMARY))?.start()?;
        let session = client.connect(Connect::new(host.address_of(PRIMARY))).await?;
        let mut states = std::collections::BTreeSet::new();
        for _ in 0..60 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            states.extend(session.metrics().await?.paths.iter().map(|path| path.state));
        }
        Ok(states)
    };
    let (states, _) = lab.run(BOUND, client).unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(states.into_iter().collect::<Vec<_>>(), ["live"]);
}
