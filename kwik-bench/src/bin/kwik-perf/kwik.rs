//! KWIK's side: a primary that does what clients ask for, secondaries that obey it, a client.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bytes::{Bytes, BytesMut};
use kwik_client::{Client, Connect, Session};
use kwik_server::stream::BidirectionalStream;
use kwik_server::{
    Delegate, Delegation, LocalSupply, PathSpec, Pin, Placement, PrimarySession, RangeSource,
    SecondarySession, Server, ServerCertificate, ServerIdentity,
};
use tokio::sync::Mutex;

use crate::role::{self, Certificate, Congestion, Listening, SERVER_NAME, Threads};
use crate::spread::Own;
use crate::traffic::{self, Pace, Request};

/// Bytes that a secondary writes at a time.
const PIECE: u64 = 64 << 10;

fn placement(threads: Threads) -> Placement {
    match threads {
        Threads::Default => Placement::default(),
        Threads::Single => Placement::Current,
    }
}

/// Every client here has the same address.
fn limits() -> kwik_server::Limits {
    kwik_server::Limits::new().with_max_sessions(100_000, 100_000).with_max_handshakes(4_096, 4_096)
}

/// A primary, and what it does with its sessions and secondaries.
pub(crate) fn serve<F: Future<Output = anyhow::Result<()>> + Send + 'static>(
    server: &role::Server,
    attend: impl Fn(PrimarySession, Vec<Listening>) -> F + Send + 'static,
) -> anyhow::Result<Listening> {
    let Certificate { chain, key } = &server.certificate;
    let mut builder = Server::builder()
        .with_tls((chain.as_str(), key.as_str()))?
        .with_io("127.0.0.1:0")?
        .with_limits(limits().with_max_streams(server.streams, 100))
        .with_congestion_control(server.congestion.0)
        .with_max_mtu(server.max_mtu)
        .with_workers(placement(server.threads));
    if let Some(identity) = &server.identity {
        builder = builder.with_identity(identity.parse()?)?;
    }
    let mut running = builder.start()?;
    let listening = Listening { address: running.local_addr(), pin: running.pin().to_string() };
    let secondaries = server.secondaries.clone();
    tokio::spawn(async move {
        while let Some(session) = running.accept().await {
            tokio::spawn(attend(session, secondaries.clone()));
        }
    });
    Ok(listening)
}

/// Attaches all secondaries and does what the client asks for.
pub(crate) fn attend(
    session: PrimarySession,
    secondaries: Vec<Listening>,
) -> impl Future<Output = anyhow::Result<()>> + Send {
    attend_as(session, secondaries, false)
}

/// The same, and the secondaries may contribute to every stream without an order.
pub(crate) fn attend_granting(
    session: PrimarySession,
    secondaries: Vec<Listening>,
) -> impl Future<Output = anyhow::Result<()>> + Send {
    attend_as(session, secondaries, true)
}

#[expect(clippy::manual_async_fn, reason = "an async fn has its arguments in its future twice")]
fn attend_as(
    mut session: PrimarySession,
    secondaries: Vec<Listening>,
    grant_all: bool,
) -> impl Future<Output = anyhow::Result<()>> + Send {
    async move {
        for secondary in secondaries {
            let spec = PathSpec { grant_all, ..secondary.spec()? };
            session.handle().add_path(spec).await?;
        }
        while let Some(stream) = session.accept_bidirectional_stream().await? {
            tokio::spawn(answer(stream));
        }
        Ok(())
    }
}

async fn answer(mut stream: BidirectionalStream) -> anyhow::Result<()> {
    let (request, rest): (Request, BytesMut) = traffic::hear(&mut stream).await?;
    let (length, rate, own) = match request {
        Request::Delegated { length, rate } => (length, rate, None),
        Request::Spread { length, own } => (length, 0, Some(own)),
        _ => return traffic::answer(stream, request, rest).await,
    };
    let (_, mut send) = stream.split();
    let resource = Bytes::copy_from_slice(&rate.to_be_bytes());
    let mut order = Delegate::new(0..length, resource);
    if let Some(own) = own {
        let supply = match own {
            Own::Fallback => LocalSupply::Fallback,
            Own::Share => LocalSupply::Share,
        };
        order = order.with_local(Arc::new(Copy::new()), supply);
    }
    send.delegate(order).await?;
    Ok(send.close().await?)
}

/// The primary's own copy of what secondaries send.
struct Copy(Bytes);

impl Copy {
    fn new() -> Self {
        Self(Bytes::from(vec![0x5a; 1 << 20]))
    }
}

impl RangeSource for Copy {
    fn read_at(&self, _: u64, length: usize) -> std::io::Result<Bytes> {
        Ok(self.0.slice(..length.min(self.0.len())))
    }
}

impl Listening {
    /// As a path of a primary.
    pub(crate) fn spec(&self) -> anyhow::Result<PathSpec> {
        let pin: Pin = self.pin.parse()?;
        Ok(PathSpec {
            addresses: vec![self.address],
            identity: ServerIdentity::Pin(pin.0),
            grant_all: false,
        })
    }
}

/// A secondary that sends what primaries order, at the rate that the order names.
pub(crate) fn contribute(trusts: &str, congestion: Congestion) -> anyhow::Result<Listening> {
    let server = Server::builder()
        .with_tls(ServerCertificate::self_signed([SERVER_NAME])?)?
        .with_io("127.0.0.1:0")?
        .with_trusted_primaries([trusts.parse()?])?
        .with_limits(limits())
        .with_congestion_control(congestion.0)
        .start()?;
    let listening = Listening { address: server.local_addr(), pin: server.pin().to_string() };
    let (_, mut sessions) = server.split();
    tokio::spawn(async move {
        while let Some(session) = sessions.accept().await {
            tokio::spawn(obey(session));
        }
    });
    Ok(listening)
}

async fn obey(mut session: SecondarySession) -> anyhow::Result<()> {
    let pace = Arc::new(Mutex::new(Pace::new()));
    let data = Bytes::from(vec![0x5a; PIECE as usize]);
    while let Some(order) = session.next_delegation().await? {
        tokio::spawn(fulfil(order, data.clone(), pace.clone()));
    }
    Ok(())
}

async fn fulfil(order: Delegation, data: Bytes, pace: Arc<Mutex<Pace>>) -> anyhow::Result<()> {
    let range = order.range();
    let rate = u64::from_be_bytes(order.resource()[..].try_into().context("a rate")?);
    let mut contribution = order.accept().await?;
    let mut at = range.start;
    while at < range.end {
        let length = (range.end - at).min(PIECE);
        if rate > 0 {
            let due = pace.lock().await.book(length, rate);
            Pace::wait(due).await;
        }
        contribution.write_at(at, data.slice(..length as usize)).await?;
        at += length;
    }
    Ok(contribution.finish().await?)
}

/// A client.
pub(crate) fn client(chain: &str, threads: Threads, max_mtu: u16) -> anyhow::Result<Client> {
    let builder = Client::builder().with_tls(chain)?.with_max_mtu(max_mtu);
    Ok(builder.with_workers(placement(threads)).start()?)
}

/// A client whose sessions may be promised so many bytes, on so many streams of either end.
pub(crate) fn roomy_client(chain: &str, budget: u64, streams: u32) -> anyhow::Result<Client> {
    let limits =
        kwik_client::Limits::new().with_session_budget(budget).with_max_streams(streams, 100);
    Ok(Client::builder().with_tls(chain)?.with_limits(limits).start()?)
}

/// A session, with that many secondaries attached.
pub(crate) async fn connect(
    client: &Client,
    address: SocketAddr,
    secondaries: usize,
) -> anyhow::Result<Session> {
    let session = client.connect(Connect::new(address).with_server_name(SERVER_NAME)).await?;
    let handle = session.handle();
    let live = async {
        loop {
            let metrics = handle.metrics().await?;
            if metrics.paths.iter().skip(1).filter(|path| path.state == "live").count()
                >= secondaries
            {
                return anyhow::Ok(());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), live).await.context("paths do not come up")??;
    Ok(session)
}
