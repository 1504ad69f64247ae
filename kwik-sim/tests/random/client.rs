//! The software of the client.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kwik_client::stream::{Error, ReceiveStream, SendStream};
use kwik_client::{ConflictPolicy, Connect, ErrorCode, Fault, Limits, Session};
use kwik_sim::{Disk, Host, SoftwareError};

use crate::common::PRIMARY;
use crate::plan::{End, Half, StreamPlan};
use crate::servers::{DOWNLOAD, UPLOAD, Watch, code};
use crate::{UPLOADS, pause_for};

/// How long nothing must be left for nothing to be left: several of the servers' looks.
const SETTLE: Duration = Duration::from_millis(500);
/// What may be left until then: QUIC's idle time, after which a server forgets a client of which it hears nothing, and
/// what a removed path may drain.
const LEFT: Duration = Duration::from_secs(36);

/// What the client is to do, and what it may meet.
pub struct Task {
    pub streams: Arc<[StreamPlan]>,
    pub policy: ConflictPolicy,
    pub budget: Option<u64>,
    /// What all must be read in.
    pub bound: Duration,
    /// When the last thing was mended.
    pub mended: Duration,
    /// Who may be blamed for wrong bytes.
    pub liars: BTreeSet<String>,
    /// Who may be blamed for wrong checksums.
    pub spoilers: BTreeSet<String>,
    /// Servers that are gone.
    pub down: BTreeSet<String>,
    pub watch: Watch,
}

/// The time until all was read.
pub async fn client(host: Host, task: Task) -> Result<Duration, SoftwareError> {
    let builder = host.client().with_tls(host.pin_of(PRIMARY))?.with_conflict_policy(task.policy);
    let mut limits = Limits::new();
    if let Some(budget) = task.budget {
        limits = limits.with_max_streams(10, 10).with_session_budget(budget);
    }
    let client = builder.with_limits(limits).start()?;
    let mut session = client.connect(Connect::new(host.address_of(PRIMARY))).await?;
    let promised = session.metrics().await?.promised_bytes;
    let open = Open::default();
    let all = all(&host, &mut session, &task.streams, &open);
    let done = tokio::time::timeout(task.bound, all).await;
    if done.is_err() {
        let (bound, open) = (task.bound, open.lock().unwrap());
        return Err(format!("not done after {bound:?}: {open:?}").into());
    }
    done??;
    let read = host.now();
    host.note("all was read");
    settle(&host, &session, &task, promised).await?;
    check_faults(&host, &session, &task).await?;
    Ok(read)
}

/// The halves that are not over.
type Open = Arc<Mutex<BTreeSet<(u64, &'static str)>>>;

async fn all(
    host: &Host,
    session: &mut Session,
    streams: &[StreamPlan],
    open: &Open,
) -> Result<(), SoftwareError> {
    let mut running = tokio::task::JoinSet::new();
    for plan in streams.iter().cloned() {
        tokio::time::sleep(plan.after).await;
        let stream = session.open_bidirectional_stream().await?;
        let (host, open, id) = (host.clone(), open.clone(), stream.id());
        open.lock().unwrap().extend([(id, UPLOAD), (id, DOWNLOAD)]);
        running.spawn(async move {
            let (receive, send) = stream.split();
            let reading = async {
                let read = read(&host, receive, &plan.download).await;
                open.lock().unwrap().remove(&(id, DOWNLOAD));
                read
            };
            let sending = async {
                let sent = upload(send, &plan.upload).await;
                open.lock().unwrap().remove(&(id, UPLOAD));
                sent
            };
            let (read, sent) = tokio::join!(reading, sending);
            read.map_err(|error| format!("download {id}: {error}"))?;
            sent.map_err(|error| format!("upload {id}: {error}"))?;
            Ok::<_, SoftwareError>(())
        });
    }
    while let Some(ended) = running.join_next().await {
        ended??;
    }
    Ok(())
}

async fn read(host: &Host, mut stream: ReceiveStream, plan: &Half) -> Result<(), SoftwareError> {
    let (start, mut at) = (host.now(), 0);
    loop {
        if let End::Stopped(end) = plan.end
            && at >= end
        {
            return Ok(stream.stop_sending(code())?);
        }
        match stream.receive().await {
            Ok(Some(chunk)) => {
                assert!(Disk::is_content(at, &chunk), "wrong bytes at {at}");
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
    assert_eq!(at, plan.size, "bytes of a download");
    Ok(())
}

async fn upload(mut stream: SendStream, plan: &Half) -> Result<(), SoftwareError> {
    let sending = async {
        stream.send(Disk::content(UPLOADS, plan.size as usize)).await?;
        stream.close().await
    };
    let sent = match plan.end {
        End::Reset(after) => match tokio::time::timeout(after, sending).await {
            Ok(sent) => sent,
            Err(_) => stream.reset(code()),
        },
        End::Finished | End::Stopped(_) => sending.await,
    };
    match sent {
        Err(Error::StreamReset { error, .. }) if error == code() => {
            assert!(matches!(plan.end, End::Stopped(_)), "nobody wanted that");
            Ok(())
        }
        other => Ok(other?),
    }
}

/// Waits until nothing is left anywhere.
async fn settle(
    host: &Host,
    session: &Session,
    task: &Task,
    promised: u64,
) -> Result<(), SoftwareError> {
    let end = host.now().max(task.mended) + LEFT;
    let mut clean_since = None;
    loop {
        let left = match own(session, promised).await? {
            None => task.watch.left().work(&task.down),
            left => left,
        };
        let now = host.now();
        match left {
            _ if now < task.mended => clean_since = None,
            None if clean_since.is_some_and(|since| now - since >= SETTLE) => return Ok(()),
            None => clean_since = clean_since.or(Some(now)),
            Some(left) if now >= end => return Err(format!("a leak: {left}").into()),
            Some(_) => clean_since = None,
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What the client itself has left.
async fn own(session: &Session, promised: u64) -> Result<Option<String>, SoftwareError> {
    let metrics = session.metrics().await?;
    let carriers: usize = metrics.paths.iter().map(|path| path.contributions).sum();
    Ok(if metrics.streams.iter().any(|stream| stream.is_open) {
        Some(format!("streams of the client: {:?}", metrics.streams))
    } else if carriers > 0 {
        Some(format!("carriers of the client: {:?}", metrics.paths))
    } else if metrics.promised_bytes != promised {
        Some(format!("{} bytes promised, {promised} at the start", metrics.promised_bytes))
    } else {
        None
    })
}

/// Nobody is blamed for what others did.
async fn check_faults(host: &Host, session: &Session, task: &Task) -> Result<(), SoftwareError> {
    let named = |names: &BTreeSet<String>| {
        names.iter().map(|name| host.address_of(name)).collect::<BTreeSet<_>>()
    };
    let (liars, spoilers) = (named(&task.liars), named(&task.spoilers));
    // What comes late for a stream that ended early is counted, and nobody's fault; nor is a server that is not there.
    let blamed = |fault: &Fault| {
        !matches!(
            fault.code,
            ErrorCode::StreamClosed
                | ErrorCode::HandshakeTimeout
                | ErrorCode::Unreachable
                | ErrorCode::PathTimeout
                | ErrorCode::PathRemoved
                | ErrorCode::SessionClosed
        )
    };
    for fault in session.metrics().await?.faults.into_iter().filter(blamed) {
        let guilty = match fault.code {
            ErrorCode::Checksum => spoilers.contains(&fault.address),
            _ => liars.contains(&fault.address),
        };
        assert!(guilty, "{} is blamed: {fault:?}", fault.address);
    }
    Ok(())
}
