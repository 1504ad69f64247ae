//! What a client does with many streams, or many sessions.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use anyhow::ensure;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::child::Orders;
use crate::client::{Client, Transfer};
use crate::traffic::{Request, Session, ask, drain};
use crate::usage::cpu_time;
use crate::{kwik, native};

/// Reads `total` streams of `length` bytes, so many at once.
pub(crate) async fn streams(
    session: &mut impl Session,
    at_once: u64,
    total: u64,
    length: u64,
) -> anyhow::Result<Transfer> {
    let (start, cpu) = (Instant::now(), cpu_time());
    let room = Arc::new(Semaphore::new(usize::try_from(at_once)?));
    let mut reading = JoinSet::new();
    let mut bytes = 0;
    for _ in 0..total {
        let permit = room.clone().acquire_owned().await?;
        let mut stream = ask(session, Request::Bulk { length, chunk: 64 << 10 }).await?;
        reading.spawn(async move {
            let read = drain(&mut stream, |_| {}).await;
            drop(permit);
            read
        });
        while let Some(read) = reading.try_join_next() {
            bytes += read??;
        }
    }
    while let Some(read) = reading.join_next().await {
        bytes += read??;
    }
    ensure!(bytes == total * length, "{bytes} bytes came of {}", total * length);
    Ok(found(start, cpu, bytes))
}

/// Opens sessions, waits for the order to go, then reads streams of each, one after the other, that the secondaries send;
/// all sessions at once.
pub(crate) async fn sessions(
    client: &Client,
    count: u64,
    streams: u64,
    length: u64,
    orders: &mut Orders,
) -> anyhow::Result<Transfer> {
    let endpoint = kwik::client(&client.chain, client.threads, client.max_mtu)?;
    let mut sessions = Vec::new();
    for _ in 0..count {
        sessions.push(kwik::connect(&endpoint, client.server, client.secondaries).await?);
    }
    orders.ready().await;
    read_each(sessions, streams, Request::Delegated { length, rate: 0 }, length).await
}

/// The same of bare connections: of each pair one is idle, and the other's server, `sender`, sends.
pub(crate) async fn pairs(
    client: &Client,
    sender: SocketAddr,
    (count, streams, length): (u64, u64, u64),
    orders: &mut Orders,
) -> anyhow::Result<Transfer> {
    let endpoint = || native::client(&client.chain, native::limits(100));
    // As KWIK has it: secondaries never share the primary's endpoint.
    let (idle_endpoint, endpoint) = (endpoint()?, endpoint()?);
    let (mut idle, mut connections) = (Vec::new(), Vec::new());
    for _ in 0..count {
        idle.push(native::connect(&idle_endpoint, client.server).await?);
        connections.push(native::connect(&endpoint, sender).await?);
    }
    orders.ready().await;
    read_each(connections, streams, Request::Bulk { length, chunk: 64 << 10 }, length).await
}

/// Reads so many streams of each session, one after the other, all sessions at once.
async fn read_each<S: Session<Stream: Send> + 'static>(
    sessions: Vec<S>,
    streams: u64,
    request: Request,
    length: u64,
) -> anyhow::Result<Transfer> {
    let due = sessions.len() as u64 * streams * length;
    let (start, cpu) = (Instant::now(), cpu_time());
    let mut reading = JoinSet::new();
    for mut session in sessions {
        reading.spawn(async move {
            let mut bytes = 0;
            for _ in 0..streams {
                let mut stream = ask(&mut session, request).await?;
                bytes += drain(&mut stream, |_| {}).await?;
            }
            anyhow::Ok((bytes, session))
        });
    }
    let (mut bytes, mut read) = (0, Vec::new());
    while let Some(session) = reading.join_next().await {
        let (came, session) = session??;
        bytes += came;
        // Closing is not measured.
        read.push(session);
    }
    ensure!(bytes == due, "{bytes} bytes came of {due}");
    Ok(found(start, cpu, bytes))
}

fn found(start: Instant, cpu: std::time::Duration, bytes: u64) -> Transfer {
    let cpu_seconds = (cpu_time() - cpu).as_secs_f64();
    let seconds = start.elapsed().as_secs_f64();
    Transfer { bytes, seconds, cpu_seconds, header_bytes: 0 }
}
