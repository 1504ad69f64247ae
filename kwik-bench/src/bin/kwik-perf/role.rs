//! What a process of a measurement is.
//!
//! A scenario on links needs roles of its own: a variant of [`Role`], and what it does in [`play`].

use std::net::SocketAddr;
use std::process::ExitCode;

use kwik_io::endpoint::{CongestionControl, EndpointLimits, UnknownCongestionControl};
use kwik_io::env::Env;
use kwik_server::{IdentityKey, ServerCertificate};
use serde::{Deserialize, Serialize};
use tokio::runtime::{Builder, Runtime};

use crate::child::{Child, Orders, say, say_failed};
use crate::client::{self, Client};
use crate::hold::{self, Holder, Pieces};
use crate::link;
use crate::{attach, kwik, native, peers};

/// The name in every certificate.
pub(crate) const SERVER_NAME: &str = "localhost";

/// A process, and all that it has to know.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Role {
    /// Does what clients ask for, see [`crate::traffic::Request`]. Says where it listens.
    Server(Server),
    /// Sends what a primary orders. Says where it listens.
    Secondary(Secondary),
    /// As [`Role::Server`], KWIK's: attaches its secondaries only when it is asked for bytes.
    Attacher(Server),
    /// A link to a server. Says where it listens.
    Link(link::Settings),
    /// Measures. Says that it is ready, waits for the order to go, says what it found.
    Client(Client),
    /// A client that holds something. Says when it does.
    Holder(Holder),
    /// A secondary that sends pieces of streams when it is told to. Says where it listens, that it is ready, and when
    /// all was received.
    Contributor(Contributor),
    /// The same of bare s2n-quic, on streams of its own.
    Sender(Sender),
    /// Another program, kept until this process ends. Says what that prints.
    Program(peers::Program),
}

/// Which library.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stack {
    /// Bare s2n-quic.
    Native,
    Kwik,
}

/// On which threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Threads {
    /// The application on tokio's default multi-thread runtime; the library where it is by default.
    Default,
    /// Application and library on one current-thread runtime.
    Single,
}

/// How fast a server sends, as JSON has it: by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Congestion(pub(crate) CongestionControl);

impl TryFrom<String> for Congestion {
    type Error = UnknownCongestionControl;

    fn try_from(name: String) -> Result<Self, UnknownCongestionControl> {
        name.parse().map(Self)
    }
}

impl From<Congestion> for String {
    fn from(congestion: Congestion) -> Self {
        congestion.0.to_string()
    }
}

/// A certificate and its key, both PEM. It is its own authority.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Certificate {
    pub(crate) chain: String,
    pub(crate) key: String,
}

impl Certificate {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let made = ServerCertificate::self_signed([SERVER_NAME])?;
        Ok(Self { chain: made.certificate_pem(), key: made.key_pem() })
    }
}

/// A server.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Server {
    pub(crate) stack: Stack,
    pub(crate) threads: Threads,
    pub(crate) certificate: Certificate,
    /// Bidirectional streams that a client may have open.
    pub(crate) streams: u32,
    /// PASERK of its identity key, to attach secondaries with.
    pub(crate) identity: Option<String>,
    /// Attached to every session.
    pub(crate) secondaries: Vec<Listening>,
    /// Whether they may contribute to every stream without an order.
    pub(crate) grant_all: bool,
    pub(crate) congestion: Congestion,
    /// Of both stacks; the client's is to be the same.
    pub(crate) max_mtu: u16,
}

/// A secondary.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Secondary {
    /// PASERK of the primary's public key.
    pub(crate) trusts: String,
    /// How many servers the process is; each says where it listens.
    pub(crate) servers: usize,
    pub(crate) congestion: Congestion,
}

/// A secondary that sends pieces.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Contributor {
    /// PASERK of the primary's public key.
    pub(crate) trusts: String,
    pub(crate) pieces: Pieces,
}

/// A bare server that sends on its own streams.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Sender {
    pub(crate) certificate: Certificate,
    pub(crate) streams: u64,
    pub(crate) length: u64,
}

/// Where a server listens, as it says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Listening {
    pub(crate) address: SocketAddr,
    /// Of its certificate, `sha256:HEX`.
    pub(crate) pin: String,
}

/// A primary's key pair, as PASERK.
pub(crate) struct Identity {
    pub(crate) secret: String,
    pub(crate) public: String,
}

impl Identity {
    pub(crate) fn new() -> Self {
        let key = IdentityKey::generate(&Env::system());
        Self { secret: key.to_paserk(), public: key.public().to_string() }
    }
}

impl Role {
    /// For messages.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Program(_) => "program",
            Self::Server(server) if server.stack == Stack::Native => "bare server",
            Self::Server(_) => "primary",
            Self::Attacher(_) => "primary",
            Self::Secondary(_) => "secondary",
            Self::Link(_) => "link",
            Self::Contributor(_) => "contributor",
            Self::Client(_) | Self::Holder(_) => "client",
            Self::Sender(_) => "bare sender",
        }
    }

    fn threads(&self) -> Threads {
        match self {
            Self::Server(server) | Self::Attacher(server) => server.threads,
            Self::Link(_) => Threads::Single,
            Self::Client(client) => client.threads,
            _ => Threads::Default,
        }
    }
}

impl Threads {
    fn runtime(self) -> std::io::Result<Runtime> {
        match self {
            Self::Default => Runtime::new(),
            Self::Single => Builder::new_current_thread().enable_all().build(),
        }
    }
}

impl Server {
    /// A server by itself, which allows its clients 100 streams.
    pub(crate) fn new(stack: Stack, threads: Threads, certificate: &Certificate) -> Self {
        let certificate = certificate.clone();
        Self {
            stack,
            threads,
            certificate,
            streams: 100,
            identity: None,
            secondaries: Vec::new(),
            grant_all: false,
            congestion: Congestion::default(),
            max_mtu: default_mtu(),
        }
    }
}

/// The MTU that KWIK probes for by default, which the rival gets too.
pub(crate) fn default_mtu() -> u16 {
    EndpointLimits::default().max_mtu
}

/// Starts a process that listens.
pub(crate) fn start(role: &Role) -> anyhow::Result<(Child, Listening)> {
    let mut child = Child::start(role)?;
    let listening = child.hear()?;
    Ok((child, listening))
}

/// Plays the role that the parent wrote down, to the end of this process.
pub(crate) fn run(role: &str) -> ExitCode {
    let played = serde_json::from_str::<Role>(role).map_err(anyhow::Error::from).and_then(|role| {
        // They read their orders themselves.
        match role {
            Role::Link(settings) => return link::run(&settings),
            Role::Program(program) => return peers::keep(&program),
            _ => {}
        }
        let orders = Orders::of_this_process();
        role.threads().runtime()?.block_on(play(&role, orders))
    });
    match played {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say_failed(&error);
            ExitCode::FAILURE
        }
    }
}

async fn play(role: &Role, mut orders: Orders) -> anyhow::Result<()> {
    match role {
        Role::Server(server) if server.stack == Stack::Native => {
            let address = native::serve(server)?;
            say(&Listening { address, pin: String::new() });
        }
        Role::Server(server) if server.grant_all => {
            say(&kwik::serve(server, kwik::attend_granting)?);
        }
        Role::Server(server) => say(&kwik::serve(server, kwik::attend)?),
        Role::Attacher(server) => say(&kwik::serve(server, attach::attend)?),
        Role::Link(_) | Role::Program(_) => anyhow::bail!("it has no runtime"),
        Role::Secondary(secondary) => {
            for _ in 0..secondary.servers {
                say(&kwik::contribute(&secondary.trusts, secondary.congestion)?);
            }
        }
        Role::Client(client) => client::run(client, &mut orders).await?,
        Role::Holder(holder) => hold::run(holder, &mut orders).await?,
        Role::Contributor(Contributor { trusts, pieces }) => {
            hold::contribute(trusts, *pieces, &mut orders).await?;
        }
        Role::Sender(Sender { certificate, streams, length }) => {
            hold::send(certificate, *streams, *length, &mut orders).await?;
        }
    }
    // The process ends with its orders.
    loop {
        orders.next().await;
    }
}
