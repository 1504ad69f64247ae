//! The servers: primaries that send content from an offset on, and secondaries that help them.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kwik_server::{
    Delegate, Delegation, LocalSupply, PrimarySession, RangeSource, Refusal, SecondarySession,
    ServerHandle,
};
use kwik_sim::{Disk, Host, SoftwareError};

use crate::common::{HEAD, Local};
use crate::scenario::SIZE;

/// What a secondary writes at a time.
const PIECE: u64 = 64 << 10;
/// What a server that goes away gives its sessions: longer than any of them takes.
const GRACE: Duration = Duration::from_secs(30);

/// The content from an offset on, as the bytes of a stream.
struct Rest {
    disk: Disk,
    start: u64,
}

impl RangeSource for Rest {
    fn read_at(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        self.disk.read_at(self.start + offset, length)
    }
}

/// A primary.
pub(crate) async fn serve(
    host: Host,
    edges: Arc<[String]>,
    local: Local,
) -> Result<(), SoftwareError> {
    let mut server = host.server()?.with_identity(host.signing_key())?.start()?;
    host.note("serves");
    leave_when_told(&host, server.handle());
    while let Some(session) = server.accept().await {
        let (host, edges) = (host.clone(), edges.clone());
        tokio::spawn(async move {
            if let Err(error) = answer(&host, session, &edges, local).await {
                host.note(format!("a session ended: {error}"));
            }
        });
    }
    Ok(())
}

/// Has the server go away, as at SIGTERM, when it is told anything.
fn leave_when_told(host: &Host, server: ServerHandle) {
    let host = host.clone();
    tokio::spawn(async move {
        host.told().await;
        host.note("goes away");
        server.close(GRACE).await;
        host.note("is gone");
    });
}

/// Sends what is asked for: the head itself, the rest with the secondaries.
async fn answer(
    host: &Host,
    mut session: PrimarySession,
    edges: &[String],
    local: Local,
) -> Result<(), SoftwareError> {
    let Some(mut stream) = session.accept_bidirectional_stream().await? else { return Ok(()) };
    let mut request = Vec::new();
    while let Some(chunk) = stream.receive().await? {
        request.extend_from_slice(&chunk);
    }
    let start = u64::from_be_bytes(request.as_slice().try_into()?);
    let length = SIZE.saturating_sub(start);
    let handle = session.handle();
    for edge in edges {
        handle.add_path(host.path_to(edge)).await?;
    }
    let (_, mut send) = stream.split();
    let head = HEAD.min(length);
    send.send(Disk::content(start, head as usize)).await?;
    if head < length {
        let order = Delegate::new(head..length, Bytes::copy_from_slice(&start.to_be_bytes()));
        let own = Arc::new(Rest { disk: host.disk(), start });
        let order = match local {
            Local::None => order,
            Local::Fallback => order.with_local(own, LocalSupply::Fallback),
            Local::Share => order.with_local(own, LocalSupply::Share),
        };
        send.delegate(order).await?;
    }
    send.close().await?;
    Ok(())
}

/// A secondary.
pub(crate) async fn assist(host: Host, primaries: Vec<String>) -> Result<(), SoftwareError> {
    let trusted = primaries.iter().map(|name| host.public_key_of(name));
    let server = host.server()?.with_trusted_primaries(trusted)?.start()?;
    host.note("assists");
    leave_when_told(&host, server.handle());
    let (_primaries, mut sessions) = server.split();
    while let Some(session) = sessions.accept().await {
        tokio::spawn(follow(host.clone(), session));
    }
    Ok(())
}

async fn follow(host: Host, mut session: SecondarySession) {
    while let Ok(Some(order)) = session.next_delegation().await {
        let Ok(start) = order.resource().as_ref().try_into().map(u64::from_be_bytes) else {
            order.refuse(Refusal::NotFound);
            continue;
        };
        let (host, range) = (host.clone(), order.range());
        host.note(format!("ordered {}..{}", start + range.start, start + range.end));
        tokio::spawn(async move {
            if let Err(error) = send(&host.disk(), order, start).await {
                host.note(format!("a contribution ended: {error}"));
            }
        });
    }
}

/// Does what an order says: `start` is the content's byte at the stream's offset 0.
async fn send(disk: &Disk, order: Delegation, start: u64) -> Result<(), SoftwareError> {
    let range = order.range();
    let mut contribution = order.accept().await?;
    for at in range.clone().step_by(PIECE as usize) {
        let length = (range.end - at).min(PIECE) as usize;
        contribution.write_at(at, disk.read(start + at, length).await).await?;
    }
    contribution.finish().await?;
    Ok(())
}
