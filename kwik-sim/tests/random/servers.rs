//! The software of the servers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kwik_server::stream::{BidirectionalStream, Error, ReceiveStream, SendStream};
use kwik_server::{
    DelegateError, Delegation, PrimarySession, Refusal, SecondaryMetrics, SecondarySession,
    application,
};
use kwik_sim::{Disk, Host, SoftwareError};

use crate::common::{Local, Manner, PRIMARY, edge, order};
use crate::plan::{By, End, Half, StreamPlan};
use crate::{UPLOADS, pause_for};

/// How often servers look at what they have left.
const LOOK: Duration = Duration::from_millis(100);
/// What a secondary writes at a time.
const PIECE: u64 = 32 << 10;

pub const UPLOAD: &str = "upload";
pub const DOWNLOAD: &str = "download";

/// The code that halves are reset and stopped with.
pub fn code() -> application::Error {
    application::Error::new(0x77).unwrap()
}

/// What servers have left to do, at their last look.
#[derive(Clone, Debug, Default)]
pub struct Watch(Arc<Mutex<Left>>);

#[derive(Debug, Default)]
pub struct Left {
    /// Sessions of secondaries, by host and a number of the session's own.
    pub sessions: BTreeMap<(String, u64), SecondaryMetrics>,
    /// Halves of the primary's streams that are not over.
    pub halves: BTreeSet<(u64, &'static str)>,
    /// What the primary supplies.
    pub supplies: usize,
}

impl Watch {
    pub fn left(&self) -> MutexGuard<'_, Left> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Left {
    /// Says what is left, but for the servers that are down.
    pub fn work(&self, down: &BTreeSet<String>) -> Option<String> {
        let works = |metrics: &SecondaryMetrics| metrics.contributions + metrics.delegations > 0;
        let busy = self
            .sessions
            .iter()
            .find(|((host, _), metrics)| !down.contains(host) && works(metrics));
        match busy {
            Some(((host, _), metrics)) => Some(format!("{host} has work left: {metrics:?}")),
            None if !self.halves.is_empty() => Some(format!("the primary has {:?}", self.halves)),
            None if self.supplies > 0 => Some(format!("the primary supplies {}", self.supplies)),
            None => None,
        }
    }
}

/// What the primary serves.
#[derive(Clone)]
pub struct Service {
    pub edges: usize,
    pub streams: Arc<[StreamPlan]>,
    pub local: Local,
    pub proof: bool,
    pub watch: Watch,
}

pub async fn primary(host: Host, service: Service) -> Result<(), SoftwareError> {
    let mut server = host.server()?.with_identity(host.signing_key())?.start()?;
    let session = server.accept().await.ok_or("no session")?;
    serve(&host, session, service).await
}

async fn serve(
    host: &Host,
    mut session: PrimarySession,
    service: Service,
) -> Result<(), SoftwareError> {
    let handle = session.handle();
    for index in 0..service.edges {
        let path = handle.add_path(host.path_to(&edge(index))).await?;
        let (host, handle) = (host.clone(), session.handle());
        tokio::spawn(async move {
            host.revoked(&edge(index)).await;
            handle.remove_path(path).await;
            // Another comes back in its place.
            tokio::time::sleep(Duration::from_millis(300)).await;
            handle.add_path(host.path_to(&edge(index))).await
        });
    }
    let ids = (0..service.streams.len() as u64).map(|index| index * 4);
    service.watch.left().halves = ids.flat_map(|id| [(id, UPLOAD), (id, DOWNLOAD)]).collect();
    let mut streams = tokio::task::JoinSet::new();
    for plan in service.streams.iter().cloned() {
        let stream = session.accept_bidirectional_stream().await?.ok_or("no stream")?;
        let (host, service) = (host.clone(), service.clone());
        streams.spawn(async move { answer(&host, stream, plan, &service).await });
    }
    let mut look = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            biased;
            Some(ended) = streams.join_next(), if !streams.is_empty() => {
                ended??;
            }
            _ = look.tick() => {
                let supplies = handle.metrics().await?.supplies.len();
                service.watch.left().supplies = supplies;
            }
        }
    }
}

async fn answer(
    host: &Host,
    stream: BidirectionalStream,
    plan: StreamPlan,
    service: &Service,
) -> Result<(), SoftwareError> {
    let (receive, mut send) = stream.split();
    let (up, id) = (plan.upload.clone(), send.id());
    let over = |half| service.watch.left().halves.remove(&(id, half));
    let taking = async {
        let taken = take(host, receive, &up).await;
        over(UPLOAD);
        taken
    };
    let giving = async {
        let download = give(host, &mut send, &plan, service);
        let given = match plan.download.end {
            End::Reset(after) => match tokio::time::timeout(after, download).await {
                Ok(given) => given,
                Err(_) => Ok(send.reset(code())?),
            },
            End::Finished | End::Stopped(_) => download.await,
        };
        over(DOWNLOAD);
        given
    };
    let (taken, given) = tokio::join!(taking, giving);
    taken.map_err(|error| format!("upload {id}: {error}"))?;
    match given {
        // Stopped by the reader, as planned.
        Err(error) if matches!(plan.download.end, End::Stopped(_)) && is_stop(&error) => Ok(()),
        other => other.map_err(|error| format!("download {id}: {error}").into()),
    }
}

/// Whether a sender was told what a reader who stops the stream says.
fn is_stop(error: &SoftwareError) -> bool {
    let stopped =
        |error: &Error| matches!(error, Error::StreamReset { error, .. } if *error == code());
    error.downcast_ref::<Error>().is_some_and(stopped)
        || matches!(error.downcast_ref::<DelegateError>(), Some(DelegateError::Reserve(_)))
}

/// Sends a download's parts, or has them sent.
async fn give(
    host: &Host,
    send: &mut SendStream,
    plan: &StreamPlan,
    service: &Service,
) -> Result<(), SoftwareError> {
    for &(end, by) in &plan.parts {
        let start = send.position();
        if start == end {
            continue;
        }
        match by {
            By::Primary => send.send(Disk::content(start, (end - start) as usize)).await?,
            By::Order => {
                let order = order(host, start..end, service.local);
                send.delegate(if service.proof { order.with_proof() } else { order }).await?;
            }
        }
    }
    Ok(send.close().await?)
}

/// Reads an upload.
async fn take(host: &Host, mut receive: ReceiveStream, plan: &Half) -> Result<(), SoftwareError> {
    let (start, mut at) = (host.now(), 0);
    loop {
        if let End::Stopped(end) = plan.end
            && at >= end
        {
            return Ok(receive.stop_sending(code())?);
        }
        match receive.receive().await {
            Ok(Some(chunk)) => {
                assert!(Disk::is_content(UPLOADS + at, &chunk), "wrong bytes at {at}");
                at += chunk.len() as u64;
            }
            Ok(None) => break,
            Err(Error::StreamReset { error, .. }) if error == code() => {
                assert!(matches!(plan.end, End::Reset(_)), "nobody wanted that");
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
        pause_for(host, start, at, plan.pace).await;
    }
    assert_eq!(at, plan.size, "bytes of an upload");
    Ok(())
}

pub async fn secondary(host: Host, manner: Manner, watch: Watch) -> Result<(), SoftwareError> {
    // What a process that crashed had to do is nobody's.
    watch.left().sessions.retain(|(name, _), _| name != host.name());
    let primary = host.public_key_of(PRIMARY);
    let (_, mut sessions) = host.server()?.with_trusted_primaries([primary])?.start()?.split();
    while let Some(session) = sessions.accept().await {
        let key = (host.name().to_owned(), host.random(u64::MAX));
        let (host, watch) = (host.clone(), watch.clone());
        tokio::spawn(async move {
            obey(host, session, manner, &watch, &key).await;
            watch.left().sessions.remove(&key);
        });
    }
    Ok(())
}

async fn obey(
    host: Host,
    mut session: SecondarySession,
    manner: Manner,
    watch: &Watch,
    key: &(String, u64),
) {
    let mut look = tokio::time::interval(LOOK);
    let mut orders = 0;
    loop {
        tokio::select! {
            biased;
            order = session.next_delegation() => {
                let Ok(Some(order)) = order else { return };
                let disk = host.disk();
                if disk.version() != 1 {
                    order.refuse(Refusal::Stale);
                    continue;
                }
                orders += 1;
                let breaks = matches!(manner, Manner::BreaksOff(every) if orders % every == 0);
                let backwards = manner == Manner::Backwards;
                tokio::spawn(async move { send(&disk, order, breaks, backwards).await });
            }
            _ = look.tick() => {
                let Ok(metrics) = session.metrics().await else { return };
                watch.left().sessions.insert(key.clone(), metrics);
            }
        }
    }
}

/// Does what an order says, or half of it. Breaks off where the copy turns out to be another.
async fn send(
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
        let data = disk.read(at, length).await;
        if disk.version() != 1 {
            return Ok(());
        }
        contribution.write_at(at, data).await?;
    }
    if !breaks {
        contribution.finish().await?;
    }
    Ok(())
}
