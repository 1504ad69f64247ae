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
/// Priorities of streams in the order in which they are opened, and their size. The last one is the highest.
struct Streams {
    priorities: &'static [i32],
    size: u64,
    delegated: bool,
}

const OWN: Streams = Streams { priorities: &[-3, 5], size: 2 << 20, delegated: false };
/// Each within its first window, so that the secondary has all orders at once.
const DELEGATED: Streams =
    Streams { priorities: &[0, 0, -1, 0, 9], size: 48 << 10, delegated: true };

fn link() -> LinkConfig {
    let (rate, delay) = (Some(Rate::mbit(10)), Duration::from_millis(10));
    LinkConfig { rate, delay, queue: 64 << 10, ..LinkConfig::default() }
}

async fn serve(host: Host, streams: &'static Streams) -> Result<(), SoftwareError> {
    let mut server = host.server()?.with_identity(host.signing_key())?.start()?;
    while let Some(session) = server.accept().await {
        let mut handle = session.handle();
        let Streams { priorities, size, delegated } = *streams;
        let path = match delegated {
            true => Some(handle.add_path(host.path_to(SECONDARY)).await?),
            false => None,
        };
        let mut streams = Vec::new();
        for &priority in priorities {
            let mut stream = handle.open_send_stream().await?;
            assert_eq!(stream.priority()?, 0);
            stream.set_priority(priority)?;
            assert_eq!(stream.priority()?, priority);
            streams.push(stream);
        }
        let tasks = streams.into_iter().map(|mut stream| async move {
            match path {
                Some(path) => {
                    let order = Delegate::new(0..size, "v1".into());
                    stream.delegate(order.with_paths(Paths::List(vec![path]))).await?;
                }
                None => stream.send(Disk::content(0, size as usize)).await?,
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

/// Reads all; how much of the lower ones had come when the highest one was there.
async fn all(mut session: Session, streams: &Streams) -> Result<u64, SoftwareError> {
    let (count, mut rest) = (Arc::<AtomicU64>::default(), Vec::new());
    let lower = streams.priorities.len() - 1;
    for _ in 0..lower {
        let low = session.accept_receive_stream().await?.ok_or("no stream")?;
        rest.push(tokio::spawn(read(low, count.clone())));
    }
    let high = session.accept_receive_stream().await?.ok_or("no stream")?;
    read(high, Arc::default()).await?;
    let before = count.load(Ordering::Relaxed);
    for low in rest {
        low.await??;
    }
    let total = streams.size * lower as u64;
    assert_eq!(count.load(Ordering::Relaxed), total, "they have their turn in the end");
    Ok(before)
}

fn low_bytes(seed: u64, streams: &'static Streams) -> u64 {
    let mut lab = Lab::new(seed);
    lab.server(PRIMARY, link(), move |host| serve(host, streams));
    lab.server(SECONDARY, link(), obey);
    let run = lab.run(Duration::from_secs(60), |host| async move {
        let client = host.client().with_tls(host.pin_of(PRIMARY))?.start()?;
        all(client.connect(Connect::new(host.address_of(PRIMARY))).await?, streams).await
    });
    let (bytes, _) = run.unwrap_or_else(|failure| panic!("{failure}"));
    println!("{bytes} bytes of the lower ones before the end of the highest one");
    bytes
}

#[test]
fn a_higher_stream_of_the_primary_goes_first() {
    for_each_seed(3, |seed| assert!(low_bytes(seed, &OWN) < OWN.size / 4));
}

/// The secondary hears of it with its orders.
#[test]
fn a_higher_stream_goes_first_where_a_secondary_sends_both() {
    for_each_seed(3, |seed| assert!(low_bytes(seed, &DELEGATED) < 2 * DELEGATED.size + 1));
}
