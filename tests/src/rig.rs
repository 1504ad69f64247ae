//! A session between a client and its primary, with secondaries that the test holds in its own hands.

use kwik_client::{Client, Connect};
use kwik_server::{
    Contribution, ContributionOpenError, Event, PathId, PathSpec, Pin, PrimarySession, PublicKey,
    SecondaryAcceptor, SecondarySession, Server, ServerIdentity,
};

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::{Content, certificate, eventually, eventually_some, identity};

/// A client with a session to a primary, both on loopback.
pub struct Rig {
    /// The client's end.
    pub session: kwik_client::Session,
    /// The primary's end.
    pub primary: PrimarySession,
    /// The client.
    pub client: Client,
    /// The server that is primary.
    pub server: Server,
    /// The key that secondaries have to trust.
    pub key: PublicKey,
}

/// A secondary that the client is connected to.
pub struct Attached {
    /// Its path.
    pub path: PathId,
    /// The secondary's end.
    pub session: SecondarySession,
    /// The server.
    pub server: SecondaryServer,
}

/// A server that is secondary, its sessions in the test's hands.
pub struct SecondaryServer {
    /// Its sessions.
    pub acceptor: SecondaryAcceptor,
    spec: PathSpec,
}

impl SecondaryServer {
    /// Starts one that trusts `primary`.
    pub fn start(primary: &PublicKey) -> Self {
        let server = Server::builder()
            .with_tls(certificate())
            .and_then(|builder| builder.with_io("127.0.0.1:0"))
            .and_then(|builder| builder.with_trusted_primaries([primary.clone()]))
            .and_then(|builder| builder.start())
            .expect("a server on loopback starts");
        let pin = server.pin();
        Self::of(server.split().1, pin)
    }

    /// A server that was started elsewhere.
    pub fn of(acceptor: SecondaryAcceptor, pin: Pin) -> Self {
        let spec = PathSpec {
            addresses: vec![acceptor.local_addr()],
            identity: ServerIdentity::Pin(pin.0),
            grant_all: true,
        };
        Self { acceptor, spec }
    }

    /// Sends the [`Content`] that orders name by its key, from now on.
    pub fn obey(self) -> PathSpec {
        let mut acceptor = self.acceptor;
        tokio::spawn(async move {
            while let Some(session) = acceptor.accept().await {
                tokio::spawn(obey(session));
            }
        });
        PathSpec { grant_all: false, ..self.spec }
    }

    /// As a path of a primary, with a grant for every stream.
    pub fn spec(&self) -> PathSpec {
        self.spec.clone()
    }
}

impl Rig {
    /// A session with a client as it is by default.
    pub async fn new() -> Self {
        Self::with(|client| client).await
    }

    /// A session with a client that is set up differently.
    pub async fn with(set_up: impl FnOnce(kwik_client::Builder) -> kwik_client::Builder) -> Self {
        // With RUST_LOG set a failing test shows what went on.
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        let log = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer();
        // Fails for all tests of a process but the first, which has set it up for them.
        let _ = log.try_init();
        let (identity, key) = identity();
        let mut server = Server::builder()
            .with_tls(certificate())
            .and_then(|builder| builder.with_io("127.0.0.1:0"))
            .and_then(|builder| builder.with_identity(identity))
            .and_then(|builder| builder.start())
            .expect("a server on loopback starts");
        let builder = Client::builder().with_tls(server.pin()).expect("a pin is taken");
        let client = set_up(builder).start().expect("a client starts");
        let session = client.connect(Connect::new(server.local_addr())).await;
        let session = session.expect("loopback connects");
        let primary = server.accept().await.expect("the server runs");
        Self { session, primary, client, server, key }
    }

    /// Starts a secondary and has the client connect to it, with a grant for every stream.
    pub async fn attach(&mut self) -> Attached {
        let server = SecondaryServer::start(&self.key);
        self.attach_server(server).await
    }

    /// Has the client connect to a secondary.
    pub async fn attach_server(&mut self, mut server: SecondaryServer) -> Attached {
        let added = self.primary.handle().add_path(server.spec()).await;
        let path = added.expect("the session takes another path");
        let session = server.acceptor.accept().await.expect("the secondary runs");
        self.up(path).await;
        Attached { path, session, server }
    }

    /// Waits until the client has told that a path is up.
    pub async fn up(&mut self, path: PathId) {
        up(&self.primary, path).await;
    }
}

/// Waits until the client has told that a path is up.
///
/// # Panics
/// If it has told that the path is down.
pub async fn up(session: &PrimarySession, path: PathId) {
    loop {
        match session.next_event().await.expect("the session lasts") {
            Event::PathUp(up) if up == path => return,
            Event::PathDown(down, code, detail) if down == path => {
                panic!("{path:?} is down: {code:?}, {detail}")
            }
            _ => {}
        }
    }
}

/// Sends the content that orders name.
async fn obey(mut session: SecondarySession) {
    while let Ok(Some(order)) = session.next_delegation().await {
        let key = u64::from_be_bytes(order.resource()[..].try_into().expect("a key"));
        tokio::spawn(async move {
            let range = order.range();
            let mut contribution = order.accept().await?;
            let mut at = range.start;
            while at < range.end {
                let length = (range.end - at).min(64 * 1024) as usize;
                contribution.write_at(at, Content(key).bytes(at, length)).await?;
                at += length as u64;
            }
            contribution.finish().await?;
            anyhow::Ok(())
        });
    }
}

/// Waits until the client is connected to so many secondaries: what is delegated then is no race against dialling.
pub async fn all_up(handle: &kwik_server::Handle, secondaries: usize) {
    eventually("all secondaries are up", || async {
        handle.active_paths().await.len() == secondaries
    })
    .await;
}

/// Opens a contribution as soon as the primary's grant has arrived.
pub async fn contribute(secondary: &SecondarySession, stream: u64) -> Contribution {
    eventually_some("a grant arrives", || async {
        match secondary.open_stream(stream).await {
            Ok(contribution) => Some(contribution),
            Err(ContributionOpenError::Rule(_)) => None,
            Err(error) => panic!("{error}"),
        }
    })
    .await
}

/// Reads a stream to its end, and checks every byte.
///
/// # Panics
/// With the offset of the first wrong byte, or the stream's error.
pub async fn read_whole(stream: &mut (impl AsyncRead + Unpin), content: Content) -> u64 {
    let mut at = 0;
    loop {
        match read_some(stream, content, at, READ).await {
            0 => return at,
            more => at += more,
        }
    }
}

/// Reads a stream from `start`, where it stands, to `end`, and checks every byte.
///
/// # Panics
/// With the offset of the first wrong byte, or the stream's error.
pub async fn read_until(
    stream: &mut (impl AsyncRead + Unpin),
    content: Content,
    start: u64,
    end: u64,
) {
    let mut at = start;
    while at < end {
        let more = read_some(stream, content, at, READ.min((end - at) as usize)).await;
        assert!(more > 0, "the stream has ended at {at}");
        at += more;
    }
}

/// Bytes read at a time.
const READ: usize = 64 * 1024;

async fn read_some(
    stream: &mut (impl AsyncRead + Unpin),
    content: Content,
    at: u64,
    most: usize,
) -> u64 {
    let mut buffer = vec![0; most];
    let length = stream.read(&mut buffer).await.expect("the stream lasts");
    assert!(content.matches(at, &buffer[..length]), "wrong bytes at {at}");
    length as u64
}
