//! R1.3 and R1.4: what secondaries open never comes out of the client's accept, under random interleavings.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kwik_client::Connect;
use kwik_client::stream::PeerStream;
use kwik_server::{Delegate, Paths, SecondarySession};
use kwik_sim::link::{Chance, LinkConfig, Rate};
use kwik_sim::{Disk, Host, Lab, SoftwareError, for_each_seed};

const SECONDARIES: [&str; 3] = ["edge0", "edge1", "edge2"];
/// Contributions that each secondary opens.
const EACH: usize = 100;
/// Bytes of one.
const PIECE: u64 = 1 << 10;
const SIZE: u64 = (SECONDARIES.len() * EACH) as u64 * PIECE;
/// Streams of each kind that the primary opens meanwhile.
const PUBLIC: u64 = 6;
const BOUND: Duration = Duration::from_secs(60);

/// Order of the orders: which secondary gets the next piece.
fn shuffled(host: &Host) -> Vec<usize> {
    let mut turns: Vec<usize> =
        (0..SECONDARIES.len() * EACH).map(|i| i % SECONDARIES.len()).collect();
    for last in (1..turns.len()).rev() {
        turns.swap(last, host.random(last as u64 + 1) as usize);
    }
    turns
}

async fn pause(host: &Host, most_ms: u64) {
    tokio::time::sleep(Duration::from_millis(host.random(most_ms))).await;
}

async fn primary(host: Host) -> Result<(), SoftwareError> {
    let mut server = host.server()?.with_identity(host.signing_key())?.start()?;
    let mut session = server.accept().await.ok_or("no session")?;
    let request = session.accept_bidirectional_stream().await?.ok_or("no request")?;
    let (_, mut reply) = request.split();
    let mut handle = session.handle();
    let mut paths = Vec::new();
    for name in SECONDARIES {
        paths.push(handle.add_path(host.path_to(name)).await?);
    }
    let opening = async {
        for _ in 0..PUBLIC {
            pause(&host, 30).await;
            let mut send = handle.open_send_stream().await?;
            send.send(Disk::content(send.id(), 500)).await?;
            send.finish()?;
            pause(&host, 30).await;
            let mut both = handle.open_bidirectional_stream().await?;
            both.send(Disk::content(both.id(), 500)).await?;
            both.finish()?;
        }
        Ok::<_, SoftwareError>(())
    };
    let delegating = async {
        for (turn, secondary) in shuffled(&host).into_iter().enumerate() {
            let start = turn as u64 * PIECE;
            let order = Delegate::new(start..start + PIECE, "piece".into())
                .with_paths(Paths::List(vec![paths[secondary]]));
            reply.delegate(order).await?;
            if turn % 20 == 0 {
                pause(&host, 10).await;
            }
        }
        reply.close().await?;
        Ok::<_, SoftwareError>(())
    };
    let (opened, delegated) = tokio::join!(opening, delegating);
    opened.and(delegated)?;
    std::future::pending().await
}

async fn secondary(host: Host, contributions: Arc<AtomicU64>) -> Result<(), SoftwareError> {
    let primary = host.public_key_of("primary");
    let (_, mut sessions) = host.server()?.with_trusted_primaries([primary])?.start()?.split();
    while let Some(session) = sessions.accept().await {
        tokio::spawn(contribute(host.clone(), session, contributions.clone()));
    }
    Ok(())
}

async fn contribute(host: Host, mut session: SecondarySession, contributions: Arc<AtomicU64>) {
    while let Ok(Some(order)) = session.next_delegation().await {
        let (host, contributions) = (host.clone(), contributions.clone());
        tokio::spawn(async move {
            pause(&host, 20).await;
            let range = order.range();
            let mut contribution = order.accept().await?;
            contributions.fetch_add(1, Ordering::Relaxed);
            let middle = range.start + host.random(range.end - range.start);
            for part in [range.start..middle, middle..range.end] {
                let length = (part.end - part.start) as usize;
                if length > 0 {
                    pause(&host, 5).await;
                    contribution.write_at(part.start, Disk::content(part.start, length)).await?;
                }
            }
            contribution.finish().await?;
            Ok::<(), SoftwareError>(())
        });
    }
}

async fn client(host: Host) -> Result<(), SoftwareError> {
    let client = host.client().with_tls(host.pin_of("primary"))?.start()?;
    let mut session = client.connect(Connect::new(host.address_of("primary"))).await?;
    let mut request = session.open_bidirectional_stream().await?;
    request.finish()?;
    let reading = tokio::spawn(async move {
        let mut at = 0;
        while let Some(chunk) = request.receive().await? {
            assert!(Disk::is_content(at, &chunk), "wrong bytes at {at}");
            at += chunk.len() as u64;
        }
        assert_eq!(at, SIZE);
        Ok::<_, SoftwareError>(())
    });
    let mut accepted = BTreeSet::new();
    while accepted.len() < 2 * PUBLIC as usize {
        let stream = session.accept().await?.ok_or("the session ended")?;
        let (id, mut receive) = match stream {
            PeerStream::Bidirectional(stream) => (stream.id(), stream.split().0),
            PeerStream::Receive(stream) => (stream.id(), stream),
        };
        assert!(accepted.insert(id), "stream {id} came twice");
        let mut at = id;
        while let Some(chunk) = receive.receive().await? {
            assert!(Disk::is_content(at, &chunk), "stream {id} has bytes that are not its own");
            at += chunk.len() as u64;
        }
        assert_eq!(at - id, 500, "bytes of stream {id}");
    }
    let expected = (0..PUBLIC).flat_map(|turn| [turn * 4 + 1, turn * 4 + 3]).collect();
    assert_eq!(accepted, expected, "the primary's streams");
    // The request is complete, and still nothing else comes.
    reading.await??;
    let more = tokio::time::timeout(Duration::from_secs(1), session.accept()).await;
    assert!(more.is_err(), "accepted {more:?}");
    let metrics = session.metrics().await?;
    let (secondaries, all) = (&metrics.paths[1..], &metrics.paths[..]);
    assert!(secondaries.iter().all(|path| path.bytes > 0), "{all:?}");
    Ok(())
}

fn interleave(seed: u64) {
    let rough = LinkConfig {
        rate: Some(Rate::mbit(20)),
        delay: Duration::from_millis(5),
        jitter: Duration::from_millis(5),
        loss: Chance::percent((seed % 4) as u32),
        ..LinkConfig::default()
    };
    let mut lab = Lab::new(seed);
    lab.server("primary", rough, primary);
    let contributions = Arc::new(AtomicU64::new(0));
    for name in SECONDARIES {
        let contributions = contributions.clone();
        lab.server(name, rough, move |host| secondary(host, contributions.clone()));
    }
    if let Err(failure) = lab.run(BOUND, client) {
        panic!("{failure}");
    }
    let opened = contributions.load(Ordering::Relaxed);
    assert!(opened >= (SECONDARIES.len() * EACH) as u64, "seed {seed}: {opened} contributions");
}

#[test]
fn r01_3_and_4_accept_returns_the_primarys_streams_alone() {
    for_each_seed(300, interleave);
}
