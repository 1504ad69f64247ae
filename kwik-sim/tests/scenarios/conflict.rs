//! A source with a grant sends wrong bytes before the primary sends the right ones. What the reader gets, under each
//! policy; it begins to read when both have sent.

use std::time::Duration;

use bytes::Bytes;
use kwik_client::{ConflictPolicy, Connect, SessionMetrics};
use kwik_sim::{Disk, Host, Lab, SoftwareError};

use super::common::{PRIMARY, edge, for_seeds, link};

const SIZE: u64 = 192 << 10;
/// Where the liar's bytes are.
const LIES: std::ops::Range<u64> = 64 << 10..128 << 10;
/// When the primary sends its own.
const LATER: Duration = Duration::from_millis(300);
const BOUND: Duration = Duration::from_secs(3);

async fn primary(host: Host) -> Result<(), SoftwareError> {
    let mut server = host.server()?.with_identity(host.signing_key())?.start()?;
    let mut session = server.accept().await.ok_or("no session")?;
    let request = session.accept_bidirectional_stream().await?.ok_or("no request")?;
    let (_, mut reply) = request.split();
    let liar = session.handle().add_path(host.path_to(&edge(0))).await?;
    assert!(reply.grant(liar, LIES).await);
    tokio::time::sleep(LATER).await;
    reply.send(Disk::content(0, SIZE as usize)).await?;
    let _ = reply.close().await;
    std::future::pending().await
}

async fn liar(host: Host) -> Result<(), SoftwareError> {
    let primary = host.public_key_of(PRIMARY);
    let (_, mut sessions) = host.server()?.with_trusted_primaries([primary])?.start()?.split();
    let session = sessions.accept().await.ok_or("no session")?;
    let mut contribution = loop {
        match session.open_stream(0).await {
            Ok(contribution) => break contribution,
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    };
    let lie: Bytes = vec![0xee; (LIES.end - LIES.start) as usize].into();
    contribution.write_at(LIES.start, lie).await?;
    // It may be stopped for it.
    let _ = contribution.finish().await;
    std::future::pending().await
}

type Found = (Vec<u8>, Option<kwik_client::stream::Error>, SessionMetrics);

async fn client(host: Host, policy: ConflictPolicy) -> Result<Found, SoftwareError> {
    let builder = host.client().with_tls(host.pin_of(PRIMARY))?.with_conflict_policy(policy);
    let mut session = builder.start()?.connect(Connect::new(host.address_of(PRIMARY))).await?;
    let mut stream = session.open_bidirectional_stream().await?;
    stream.finish()?;
    tokio::time::sleep(LATER * 2).await;
    let mut read = Vec::new();
    let error = loop {
        match stream.receive().await {
            Ok(Some(chunk)) => read.extend_from_slice(&chunk),
            Ok(None) => break None,
            Err(error) => break Some(error),
        }
    };
    Ok((read, error, session.metrics().await?))
}

/// What was read, the reader's error, and the metrics.
fn run(policy: ConflictPolicy, seed: u64) -> Found {
    let mut lab = Lab::new(seed);
    lab.server(PRIMARY, link(50, 20), primary);
    lab.server(&edge(0), link(50, 20), liar);
    let (found, report) = lab
        .run(BOUND, move |host| client(host, policy))
        .unwrap_or_else(|failure| panic!("{failure}"));
    println!(
        "{policy:?}: {} bytes in {} ms, {:?}",
        found.0.len(),
        report.elapsed.as_millis(),
        found.2.faults
    );
    found
}

#[test]
fn the_first_win_where_nobody_compares() {
    for_seeds(|seed, _| {
        let (read, error, metrics) = run(ConflictPolicy::FirstWins, seed);
        assert_eq!((read.len() as u64, error), (SIZE, None));
        let (lies, head) = (&read[LIES.start as usize..LIES.end as usize], LIES.start as usize);
        assert!(lies.iter().all(|byte| *byte == 0xee), "the liar was first");
        assert!(Disk::is_content(0, &read[..head]));
        assert!(Disk::is_content(LIES.end, &read[LIES.end as usize..]));
        assert_eq!(metrics.faults, []);
    });
}

#[test]
fn the_primary_wins_over_what_was_not_read() {
    for_seeds(|seed, _| {
        let (read, error, metrics) = run(ConflictPolicy::PrimaryWins, seed);
        assert_eq!((read.len() as u64, error), (SIZE, None));
        assert!(Disk::is_content(0, &read));
        assert_eq!(metrics.paths[1].state, "live", "it is not isolated for it");
    });
}

#[test]
fn r08_4_a_liar_is_isolated_where_differences_are_rejected() {
    for_seeds(|seed, _| {
        let (read, error, metrics) = run(ConflictPolicy::Reject, seed);
        assert_eq!((read.len() as u64, error), (SIZE, None));
        assert!(Disk::is_content(0, &read));
        // Its bytes went with it, the primary's took their place, and it sends no more.
        let liar = &metrics.paths[1];
        assert_eq!((liar.bytes, liar.contributions), (0, 0), "{liar:?}");
        assert_eq!(metrics.paths[0].bytes, SIZE);
        assert!(metrics.repairs > 0, "the primary was told");
    });
}
