//! Of two streams that have bytes the one with the higher priority goes first, whoever sends it.
#![allow(clippy::unwrap_used)]

#[path = "common/mod.rs"]
mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use common::{PRIMARY, send};
use kwik_client::stream::ReceiveStream;
use kwik_client::{Connect, Session};
use kwik_server::{Delegate, Paths};
use kwik_sim::link::{LinkConfig, Rate};
use kwik_sim::{Disk, Host, Lab, SoftwareError, for_each_seed};

const SECONDARY: &str = "secondary";
const SIZE: u64 = 2 << 20;
/// Priorities of the two streams, in the order in which they are opened.
const PRIORITIES: [i32; 2] = [-3, 5];

fn link() -> LinkConfig {
    let (rate, delay) = (Some(Rate::mbit(10)), Duration::from_millis(10));
    LinkConfig { rate, delay, queue: 64 << 10, ..LinkConfig::default() }
}

async fn serve(host: Host, delegated: bool) -> Result<(), SoftwareError> {
    let mut server = host.server()?.with_identity(host.signing_key())?.start()?;
    while let Some(session) = server.accept().await {
        let mut handle = session.handle();
        let path = match delegated {
            true => Some(handle.add_path(host.path_to(SECONDARY)).await?),
            false => None,
        };
        let mut streams = Vec::new();
        for priority in PRIORITIES {
            let mut stream = handle.open_send_stream().await?;
            assert_eq!(stream.priority()?, 0);
            stream.set_priority(priority)?;
            assert_eq!(stream.priority()?, priority);
            streams.push(stream);
        }
        let tasks = streams.into_iter().map(|mut stream| async move {
            match path {
                Some(path) => {
                    let order = Delegate::new(0..SIZE, "v1".into());
                    stream.delegate(order.with_paths(Paths::List(vec![path]))).await?;
                }
                None => stream.send(Disk::content(0, SIZE as usize)).await?,
            }
            stream.close().await?;
            Ok::<_, SoftwareError>(())
        });
        for task in tasks.map(tokio::spawn).collect::<Vec<_>>() {
            task.await??;
        }
        let _session = session;
    }
    Ok(())
}

async fn obey(host: Host) -> Result<(), SoftwareError> {
    let server = host.server()?.with_trusted_primaries([host.public_key_of(PRIMARY)])?.start()?;
    let (_primaries, mut secondaries) = server.split();
    while let Some(mut session) = secondaries.accept().await {
        let host = host.clone();
        tokio::spawn(async move {
            while let Ok(Some(order)) = session.next_delegation().await {
                let disk = host.disk();
                tokio::spawn(async move { send(&disk, order, false, false).await });
            }
        });
    }
    Ok(())
}

async fn read(mut stream: ReceiveStream, count: Arc<AtomicU64>) -> Result<(), SoftwareError> {
    while let Some(chunk) = stream.receive().await? {
        count.fetch_add(chunk.len() as u64, Ordering::Relaxed);
    }
    Ok(())
}

/// Reads both; how much of the lower one had come when the higher one was there.
async fn both(mut session: Session) -> Result<u64, SoftwareError> {
    let low = session.accept_receive_stream().await?.ok_or("no stream")?;
    let high = session.accept_receive_stream().await?.ok_or("no stream")?;
    assert!(low.id() < high.id());
    let count = Arc::<AtomicU64>::default();
    let rest = tokio::spawn(read(low, count.clone()));
    read(high, Arc::default()).await?;
    let before = count.load(Ordering::Relaxed);
    rest.await??;
    assert_eq!(count.load(Ordering::Relaxed), SIZE, "it has its turn in the end");
    Ok(before)
}

fn low_bytes(seed: u64, delegated: bool) -> u64 {
    let mut lab = Lab::new(seed);
    lab.server(PRIMARY, link(), move |host| serve(host, delegated));
    lab.server(SECONDARY, link(), obey);
    let run = lab.run(Duration::from_secs(60), |host| async move {
        let client = host.client().with_tls(host.pin_of(PRIMARY))?.start()?;
        both(client.connect(Connect::new(host.address_of(PRIMARY))).await?).await
    });
    let (bytes, _) = run.unwrap_or_else(|failure| panic!("{failure}"));
    println!("{bytes} bytes of the lower one before the end of the higher one");
    bytes
}

#[test]
fn a_higher_stream_of_the_primary_goes_first() {
    for_each_seed(3, |seed| assert!(low_bytes(seed, false) < SIZE / 4));
}

/// The secondary hears of it with its orders.
#[test]
fn a_higher_stream_goes_first_where_a_secondary_sends_both() {
    for_each_seed(3, |seed| assert!(low_bytes(seed, true) < SIZE / 4));
}
