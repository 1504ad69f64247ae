//! Processes that hold something, so that their memory can be looked at.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use kwik_server::{
    Contribution, ContributionOpenError, SecondarySession, Server, ServerCertificate,
};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::child::{Orders, say};
use crate::role::{Certificate, Listening, SERVER_NAME, Stack, Threads, default_mtu};
use crate::traffic::{Request, ask};
use crate::{kwik, native};

/// A client that holds what others send, or many sessions.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Holder {
    pub(crate) server: SocketAddr,
    /// The authority of the server's certificate, PEM.
    pub(crate) chain: String,
    pub(crate) what: What,
}

/// What a client holds. It is ready when it does.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum What {
    /// A session with secondaries and that many streams, on which nothing is readable.
    Streams { streams: u64, secondaries: usize },
    /// A bare connection on which the server may open that many streams, never read.
    Unread { streams: u64, bytes: u64 },
    /// That many sessions, or bare connections, idle.
    Sessions { stack: Stack, count: u64 },
}

/// Pieces of streams that a secondary holds up: they are contributions, but the heads of the streams are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pieces {
    /// Client-initiated bidirectional streams, from the first.
    pub(crate) streams: u64,
    /// Bytes of each piece, and of what is missing at the start of each stream.
    pub(crate) length: u64,
    /// Which of all pieces.
    pub(crate) first: u64,
    pub(crate) end: u64,
}

impl Pieces {
    /// Streams and offsets, round robin over the streams.
    fn places(self) -> impl Iterator<Item = (u64, u64)> {
        (self.first..self.end)
            .map(move |piece| (piece % self.streams * 4, (piece / self.streams + 1) * self.length))
    }
}

/// What a process says when all it sends was received.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Received {
    pub(crate) bytes: u64,
}

/// Plays the client.
pub(crate) async fn run(holder: &Holder, orders: &mut Orders) -> anyhow::Result<()> {
    let Holder { server, chain, what } = holder;
    match *what {
        What::Streams { streams, secondaries } => {
            let client = kwik::roomy_client(chain, 4 << 30, 100)?;
            let mut session = kwik::connect(&client, *server, secondaries).await?;
            let mut held = Vec::new();
            for _ in 0..streams {
                held.push(ask(&mut session, Request::Nothing).await?);
            }
            orders.ready().await;
            orders.next().await;
        }
        What::Unread { streams, bytes } => {
            let client = native::roomy_client(chain, streams, bytes)?;
            let mut connection = native::connect(&client, *server).await?;
            orders.ready().await;
            let mut held = Vec::new();
            while let Some(stream) = connection.accept_receive_stream().await? {
                held.push(stream);
            }
        }
        What::Sessions { stack: Stack::Native, count } => {
            let client = native::client(chain, native::limits(100))?;
            let mut held = Vec::new();
            for _ in 0..count {
                held.push(native::connect(&client, *server).await?);
            }
            orders.ready().await;
            orders.next().await;
        }
        What::Sessions { stack: Stack::Kwik, count } => {
            let client = kwik::client(chain, Threads::Default, default_mtu())?;
            let mut held = Vec::new();
            for _ in 0..count {
                held.push(kwik::connect(&client, *server, 0).await?);
            }
            orders.ready().await;
            orders.next().await;
        }
    }
    Ok(())
}

/// Plays a secondary: attaches, waits for the order to go, sends its pieces, says that they were received.
pub(crate) async fn contribute(
    trusts: &str,
    pieces: Pieces,
    orders: &mut Orders,
) -> anyhow::Result<()> {
    let server = Server::builder()
        .with_tls(ServerCertificate::self_signed([SERVER_NAME])?)?
        .with_io("127.0.0.1:0")?
        .with_trusted_primaries([trusts.parse()?])?
        .start()?;
    say(&Listening { address: server.local_addr(), pin: server.pin().to_string() });
    let (_, mut sessions) = server.split();
    let session = sessions.accept().await.context("the secondary is over")?;
    orders.ready().await;
    let mut sending = JoinSet::new();
    let data = Bytes::from(vec![0x5a; usize::try_from(pieces.length)?]);
    for (stream, offset) in pieces.places() {
        let mut contribution = open(&session, stream).await?;
        let data = data.clone();
        sending.spawn(async move {
            while contribution.allowed().end < offset + data.len() as u64 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            contribution.write_at(offset, data).await?;
            anyhow::Ok(contribution.finish().await?)
        });
    }
    for sent in sending.join_all().await {
        sent?;
    }
    say(&Received { bytes: (pieces.end - pieces.first) * pieces.length });
    // Until the process ends.
    std::future::pending().await
}

/// Opens a contribution once the grant has come.
async fn open(session: &SecondarySession, stream: u64) -> anyhow::Result<Contribution> {
    loop {
        match session.open_stream(stream).await {
            Err(ContributionOpenError::Rule(_)) => {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            opened => return Ok(opened?),
        }
    }
}

/// Plays a bare server: waits for a connection and the order to go, sends on streams of its own, says that all was
/// received.
pub(crate) async fn send(
    certificate: &Certificate,
    streams: u64,
    length: u64,
    orders: &mut Orders,
) -> anyhow::Result<()> {
    let mut server = native::server(certificate, native::limits(100))?;
    say(&Listening { address: server.local_addr()?, pin: String::new() });
    let mut connection = server.accept().await.context("the server is over")?;
    connection.keep_alive(true)?;
    orders.ready().await;
    let mut sending = JoinSet::new();
    let data = Bytes::from(vec![0x5a; usize::try_from(length)?]);
    for _ in 0..streams {
        let mut stream = connection.open_send_stream().await?;
        let data = data.clone();
        sending.spawn(async move {
            stream.send(data).await?;
            anyhow::Ok(stream.close().await?)
        });
    }
    for sent in sending.join_all().await {
        sent?;
    }
    say(&Received { bytes: streams * length });
    std::future::pending().await
}
