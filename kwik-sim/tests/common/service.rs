//! What primary and secondaries of a download do.

use std::sync::Arc;
use std::time::Duration;

use kwik_server::{
    Delegate, Delegation, Handle, LocalSupply, PathId, PrimarySession, Refusal, SecondarySession,
};
use kwik_sim::{Disk, Host, SoftwareError};

use super::{HEAD, Local, Manner, PRIMARY};

/// What a secondary writes at a time.
const PIECE: u64 = 64 << 10;

/// What the primary serves.
#[derive(Clone)]
pub(super) struct Service {
    pub(super) size: u64,
    pub(super) edges: Arc<[String]>,
    pub(super) local: Local,
    pub(super) churn: Option<Duration>,
    pub(super) proof: bool,
}

pub(super) async fn serve(host: Host, service: Service) -> Result<(), SoftwareError> {
    let mut server = host.server()?.with_identity(host.signing_key())?.start()?;
    while let Some(session) = server.accept().await {
        let (host, service) = (host.clone(), service.clone());
        tokio::spawn(async move {
            if let Err(error) = answer(&host, session, &service).await {
                host.note(error.to_string());
            }
        });
    }
    Ok(())
}

async fn answer(
    host: &Host,
    mut session: PrimarySession,
    service: &Service,
) -> Result<(), SoftwareError> {
    let Some(mut stream) = session.accept_bidirectional_stream().await? else { return Ok(()) };
    while stream.receive().await?.is_some() {}
    let handle = session.handle();
    let mut paths = Vec::new();
    for edge in service.edges.iter() {
        paths.push(handle.add_path(host.path_to(edge)).await?);
    }
    let (_, mut send) = stream.split();
    let head = HEAD.min(service.size);
    send.send(Disk::content(0, head as usize)).await?;
    if head < service.size {
        let order = order(host, head..service.size, service.local);
        send.delegate(if service.proof { order.with_proof() } else { order }).await?;
    }
    let events = async {
        while let Some(event) = handle.next_event().await {
            host.note(format!("{event:?}"));
        }
    };
    let close = async {
        let closed = send.close().await;
        host.note(format!("stream closed: {closed:?}"));
        host.note(format!("{:?}", handle.metrics().await));
    };
    let changes = async {
        match service.churn {
            Some(every) => churn(host, &handle, service, paths, every).await,
            None => revocations(host, &handle, service, paths).await,
        }
    };
    tokio::select! {
        biased;
        ((), ()) = async { tokio::join!(events, close) } => Ok(()),
        () = changes => Ok(()),
    }
}

/// The order for a range of the stream.
pub fn order(host: &Host, range: std::ops::Range<u64>, local: Local) -> Delegate {
    let order = Delegate::new(range, "v1".into());
    let own = Arc::new(host.disk());
    match local {
        Local::None => order,
        Local::Fallback => order.with_local(own, LocalSupply::Fallback),
        Local::Share => order.with_local(own, LocalSupply::Share),
    }
}

/// Takes out who is revoked.
async fn revocations(host: &Host, handle: &Handle, service: &Service, paths: Vec<PathId>) {
    let waits = service.edges.iter().zip(paths).map(|(edge, path)| {
        let (host, handle, edge) = (host.clone(), handle.clone(), edge.clone());
        Box::pin(async move {
            host.revoked(&edge).await;
            let removed = handle.remove_path(path).await;
            host.note(format!("{edge} removed: {removed}"));
        }) as std::pin::Pin<Box<dyn Future<Output = ()> + Send>>
    });
    let mut waits: Vec<_> = waits.collect();
    std::future::poll_fn(|cx| {
        waits.retain_mut(|wait| wait.as_mut().poll(cx).is_pending());
        std::task::Poll::<()>::Pending
    })
    .await;
}

/// Half of the secondaries are out at any time.
async fn churn(
    host: &Host,
    handle: &Handle,
    service: &Service,
    mut paths: Vec<PathId>,
    every: Duration,
) {
    let half = service.edges.len() / 2;
    for path in paths.split_off(half) {
        handle.remove_path(path).await;
    }
    let mut out = half;
    loop {
        tokio::time::sleep(every).await;
        handle.remove_path(paths.remove(0)).await;
        let next = &service.edges[out % service.edges.len()];
        out += 1;
        match handle.add_path(host.path_to(next)).await {
            Ok(path) => paths.push(path),
            Err(error) => host.note(format!("{next} was not added: {error}")),
        }
        if paths.is_empty() {
            return std::future::pending().await;
        }
    }
}

pub(super) async fn obey(host: Host, manner: Manner) -> Result<(), SoftwareError> {
    let server = host.server()?.with_trusted_primaries([host.public_key_of(PRIMARY)])?.start()?;
    let (_primaries, mut secondaries) = server.split();
    while let Some(session) = secondaries.accept().await {
        tokio::spawn(follow(host.clone(), session, manner));
    }
    Ok(())
}

async fn follow(host: Host, mut session: SecondarySession, manner: Manner) {
    let mut orders = 0;
    while let Ok(Some(order)) = session.next_delegation().await {
        let disk = host.disk();
        if disk.version() != 1 {
            order.refuse(Refusal::Stale);
            continue;
        }
        let range = order.range();
        host.note(format!("ordered {}..{}", range.start, range.end));
        orders += 1;
        let breaks = matches!(manner, Manner::BreaksOff(every) if orders % every == 0);
        let hangs = matches!(manner, Manner::Hangs(every) if orders % every == 0);
        let backwards = manner == Manner::Backwards;
        let host = host.clone();
        tokio::spawn(async move {
            if hangs {
                let _contribution = order.accept().await;
                return std::future::pending().await;
            }
            match send(&disk, order, breaks, backwards).await {
                Ok(()) if breaks => {}
                Ok(()) => host.note(format!("sent {}..{}", range.start, range.end)),
                Err(error) => host.note(format!("a contribution ended: {error}")),
            }
        });
    }
}

/// Does what an order says, or half of it.
pub async fn send(
    disk: &Disk,
    order: Delegation,
    breaks: bool,
    backwards: bool,
) -> Result<(), SoftwareError> {
    let range = order.range();
    let mut contribution = order.accept().await?;
    let mut starts: Vec<u64> = (range.start..range.end).step_by(PIECE as usize).collect();
    if breaks {
        starts.truncate(starts.len() / 2);
    }
    if backwards {
        starts.reverse();
    }
    for at in starts {
        let length = (range.end - at).min(PIECE) as usize;
        contribution.ready(at).await?;
        contribution.write_at(at, disk.read(at, length).await).await?;
    }
    if breaks {
        // Dropped: the rest goes back.
        return Ok(());
    }
    contribution.finish().await?;
    Ok(())
}
