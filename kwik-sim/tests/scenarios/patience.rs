//! Sources that take long and have not failed are waited for, and what nobody can be asked for is not.

use std::time::Duration;

use kwik_client::Connect;
use kwik_server::{Delegate, Paths, PrimarySession, SecondarySession};
use kwik_sim::{Disk, Failure, Host, Lab, SoftwareError};

use super::common::{PRIMARY, edge, for_seeds, link, send, within};

const HEAD: u64 = 1000;
const SIZE: u64 = 200_000;
/// Three gap timeouts.
const LONG: Duration = Duration::from_secs(30);
const GAP_TIMEOUT: Duration = Duration::from_secs(10);

/// How the bytes after the head come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    /// The secondary that they are ordered from has to hash its copy before it says yes.
    Hashes,
    /// A secondary writes them under a grant, with a long pause.
    Pauses,
    /// The only secondary that may be asked was taken out before, and another lives.
    TakenOut,
}

async fn primary(host: Host, case: Case) -> Result<(), SoftwareError> {
    let mut server = host.server()?.with_identity(host.signing_key())?.start()?;
    let mut session = server.accept().await.ok_or("no session")?;
    let stream = session.accept_bidirectional_stream().await?.ok_or("no request")?;
    let (_, mut out) = stream.split();
    out.send(Disk::content(0, HEAD as usize)).await?;
    let first = session.add_path(host.path_to(&edge(0))).await?;
    session.add_path(host.path_to(&edge(1))).await?;
    if case == Case::Pauses {
        out.grant(first, HEAD..SIZE).await;
    } else {
        if case == Case::TakenOut {
            session.remove_path(first).await;
        }
        let order = Delegate::new(HEAD..SIZE, "v1".into());
        out.delegate(order.with_paths(Paths::List(vec![first]))).await?;
    }
    keep(session).await
}

/// A stream without an end lives with its session.
async fn keep(_session: PrimarySession) -> Result<(), SoftwareError> {
    std::future::pending().await
}

async fn secondary(host: Host, case: Case) -> Result<(), SoftwareError> {
    let keys = [host.public_key_of(PRIMARY)];
    let (_, mut sessions) = host.server()?.with_trusted_primaries(keys)?.start()?.split();
    let session = sessions.accept().await.ok_or("no session")?;
    match case {
        Case::Pauses => write_slowly(session).await,
        Case::Hashes | Case::TakenOut => hash_first(host, session).await,
    }
}

async fn hash_first(host: Host, mut session: SecondarySession) -> Result<(), SoftwareError> {
    while let Some(order) = session.next_delegation().await? {
        let disk = host.disk();
        let left = LONG.saturating_sub(host.now());
        if !left.is_zero() {
            order.postpone();
        }
        tokio::spawn(async move {
            tokio::time::sleep(left).await;
            send(&disk, order, false, false).await
        });
    }
    Ok(())
}

async fn write_slowly(session: SecondarySession) -> Result<(), SoftwareError> {
    // The grant may come after the session.
    let mut contribution = loop {
        match session.open_stream(0).await {
            Ok(contribution) => break contribution,
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    let half = SIZE / 2;
    contribution.write_at(HEAD, Disk::content(HEAD, (half - HEAD) as usize)).await?;
    tokio::time::sleep(LONG).await;
    contribution.write_at(half, Disk::content(half, (SIZE - half) as usize)).await?;
    contribution.finish().await?;
    std::future::pending().await
}

/// When all bytes were read.
async fn client(host: Host) -> Result<Duration, SoftwareError> {
    let client = host.client().with_tls(host.pin_of(PRIMARY))?.start()?;
    let mut session = client.connect(Connect::new(host.address_of(PRIMARY))).await?;
    let mut stream = session.open_bidirectional_stream().await?;
    stream.finish()?;
    let mut at = 0;
    while at < SIZE {
        let chunk = stream.receive().await?.ok_or("the stream ended early")?;
        assert!(Disk::is_content(at, &chunk), "wrong bytes from {at} on");
        at += chunk.len() as u64;
    }
    Ok(host.now())
}

fn run(case: Case, seed: u64) -> Result<Duration, Failure> {
    let mut lab = Lab::new(seed);
    lab.server(PRIMARY, link(50, 20), move |host| primary(host, case));
    for index in 0..2 {
        lab.server(&edge(index), link(40, 20), move |host| secondary(host, case));
    }
    lab.run(Duration::from_secs(100), client).map(|(at, _)| at)
}

#[test]
fn a_server_that_hashes_its_copy_is_waited_for() {
    for_seeds(|seed, _| {
        let at = run(Case::Hashes, seed).unwrap_or_else(|failure| panic!("{failure}"));
        within("all read", at, LONG + Duration::from_secs(1));
    });
}

#[test]
fn a_server_that_pauses_under_a_grant_is_waited_for() {
    for_seeds(|seed, _| {
        let at = run(Case::Pauses, seed).unwrap_or_else(|failure| panic!("{failure}"));
        within("all read", at, LONG + Duration::from_secs(1));
    });
}

/// The stream has no end and nobody was ever asked: only the primary knows that nobody will be.
#[test]
fn what_only_a_server_has_that_was_taken_out_is_missing() {
    for_seeds(|seed, _| {
        let failure = run(Case::TakenOut, seed).unwrap_err();
        let (text, elapsed) = (failure.cause.to_string(), failure.report.elapsed);
        let named = format!("stream 0, offset {HEAD}, length {}", SIZE - HEAD);
        assert!(text.contains(&named), "{text}");
        assert!(elapsed >= GAP_TIMEOUT, "it was not waited for");
        // It may drain for five seconds, and is forgotten five seconds later.
        within("error", elapsed, GAP_TIMEOUT * 2 + Duration::from_secs(1));
    });
}
