//! `kwik serve`.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use kwik_server::{
    CongestionControl, IdentityKey, PathSpec, Pin, PublicKey, Server, ServerCertificate,
    ServerHandle, ServerIdentity,
};
use serde_json::json;
use tokio::net::lookup_host;
use tokio::task::JoinSet;
use tracing::Instrument as _;

use crate::catalog::Catalog;
use crate::cli::{Secondary, ServeArgs};
use crate::get::print;
use crate::monitor;
use crate::open_files::OpenFiles;
use crate::primary::{Clients, Directories, Primary, Proof, Share};
use crate::private::{self, Links, Secret};
use crate::root::Root;
use crate::secondary::contribute;
use crate::signals::Stop;
use crate::state::StateDir;
use crate::tag_cache::TagCache;
use crate::tag_store::TagStore;

/// Addresses of a secondary that the client may try: as many as the protocol carries.
const MAX_ADDRESSES: usize = 8;

/// A server of the file service, not started yet.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) listen: SocketAddr,
    pub(crate) certificate: ServerCertificate,
    pub(crate) identity: Option<IdentityKey>,
    pub(crate) trusted: Vec<PublicKey>,
    pub(crate) primary: Primary,
    pub(crate) congestion: CongestionControl,
    /// `None`: the library's own.
    pub(crate) max_mtu: Option<u16>,
}

/// A server that runs until it is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) pin: Pin,
    server: ServerHandle,
    /// Accepting, and all sessions.
    _tasks: JoinSet<()>,
}

/// Serves until SIGINT or SIGTERM, and then until what is open is done, or for `--grace`, or until a second signal.
pub(crate) async fn run(args: &ServeArgs) -> anyhow::Result<()> {
    let mut stop = Stop::listen()?;
    let service = prepare(args).await?;
    if let Some(address) = args.metrics {
        monitor::listen(address)?;
    }
    let running = service.start()?;
    announce(&running, args.json)?;
    let server = running.server.clone();
    tokio::select! {
        _ = stop.wanted() => {}
        () = monitor::export(|| server.metrics()) => {}
    }
    announce_end(args);
    tokio::select! {
        () = running.close(args.grace) => {}
        () = monitor::export(|| server.metrics()) => {}
        _ = stop.wanted() => running.close(Duration::ZERO).await,
    }
    Ok(())
}

async fn prepare(args: &ServeArgs) -> anyhow::Result<Service> {
    let root = Root::open(&args.root)?;
    let state = StateDir::open(args.state.as_deref())?;
    let certificate = certificate(args, &state)?;
    let identity = args.identity.as_deref().map(identity).transpose()?;
    let trusted = args.trust.iter().map(|path| PublicKey::load(path)).collect::<Result<_, _>>()?;
    let mut secondaries = Vec::new();
    for secondary in &args.secondary {
        secondaries.push(resolve(secondary).await?);
    }
    let tags = TagCache::new(TagStore::open(state.path())?);
    let files = args.open_files.map_or_else(OpenFiles::default_most, usize::from);
    let catalog = Catalog::new(root, tags, OpenFiles::new(files));
    let share = if args.delegate_only { Share::RepairsOnly } else { Share::Own };
    let proof = if args.no_proof { Proof::Skipped } else { Proof::Named };
    let helps_only = identity.is_none() && !args.trust.is_empty();
    let clients = if helps_only { Clients::Refused } else { Clients::Served };
    let directories = if args.no_listing { Directories::Unlisted } else { Directories::Listed };
    let secondaries = secondaries.into();
    let primary = Primary { catalog, secondaries, share, proof, clients, directories };
    let (listen, congestion, max_mtu) = (args.listen, args.congestion, args.max_mtu);
    Ok(Service { listen, certificate, identity, trusted, primary, congestion, max_mtu })
}

impl Service {
    /// Binds the port and serves from now on. Needs a tokio runtime.
    pub(crate) fn start(self) -> anyhow::Result<Running> {
        let pin = self.certificate.pin();
        let mut builder = Server::builder()
            .with_tls(self.certificate)?
            .with_io(self.listen)?
            .with_congestion_control(self.congestion)
            .with_trusted_primaries(self.trusted)?;
        if let Some(bytes) = self.max_mtu {
            builder = builder.with_max_mtu(bytes);
        }
        if let Some(identity) = self.identity {
            builder = builder.with_identity(identity)?;
        }
        let server =
            builder.start().with_context(|| format!("cannot listen on {}", self.listen))?;
        let (address, handle) = (server.local_addr(), server.handle());
        let (mut primaries, mut secondaries) = server.split();
        let mut tasks = JoinSet::new();
        let catalog = self.primary.catalog.clone();
        let primary = self.primary;
        tasks.spawn(async move {
            let mut sessions = JoinSet::new();
            while let Some(session) = primaries.accept().await {
                let client = session.remote_addr().ok();
                let catalog = primary.catalog.for_client(client.map(|client| client.ip()));
                let primary = Primary { catalog, ..primary.clone() };
                let span = tracing::info_span!("session", ?client);
                sessions.spawn(primary.serve(session).instrument(span));
                while sessions.try_join_next().is_some() {}
            }
            // Those that are open go on while the server goes away.
            while sessions.join_next().await.is_some() {}
        });
        tasks.spawn(async move {
            let mut sessions = JoinSet::new();
            while let Some(session) = secondaries.accept().await {
                let client = session.remote_addr().ok();
                let catalog = catalog.for_client(client.map(|client| client.ip()));
                let span = tracing::info_span!("session", ?client);
                sessions.spawn(contribute(catalog, session).instrument(span));
                while sessions.try_join_next().is_some() {}
            }
            while sessions.join_next().await.is_some() {}
        });
        Ok(Running { address, pin, server: handle, _tasks: tasks })
    }
}

impl Running {
    /// This server, for a primary in the same process.
    pub(crate) fn as_secondary(&self) -> PathSpec {
        secondary(vec![self.address], self.pin)
    }

    /// Takes no more sessions, and returns when those that are open have ended: after `grace` at the latest.
    pub(crate) async fn close(&self, grace: Duration) {
        self.server.close(grace).await;
    }
}

fn secondary(addresses: Vec<SocketAddr>, pin: Pin) -> PathSpec {
    PathSpec { addresses, identity: ServerIdentity::Pin(pin.0), grant_all: false }
}

/// The first line, which scripts read.
fn announce(running: &Running, as_json: bool) -> anyhow::Result<()> {
    let Running { address, pin, .. } = running;
    let line = if as_json {
        json!({ "event": "listening", "address": address, "pin": pin.to_string() }).to_string()
    } else {
        format!("listening on {address} pin {pin}")
    };
    print(io::stdout(), &line)
}

/// The line that says that the end has begun. Nobody may be left to read it.
fn announce_end(args: &ServeArgs) {
    let grace = args.grace.as_secs_f64();
    let line = match args.json {
        true => json!({ "event": "draining", "grace_s": grace }).to_string(),
        false => {
            format!("draining: open sessions have {grace} s to end; a second signal ends them")
        }
    };
    let _ = print(io::stdout(), &line);
}

fn certificate(args: &ServeArgs, state: &StateDir) -> anyhow::Result<ServerCertificate> {
    let (Some(cert), Some(key)) = (&args.cert, &args.key) else {
        let pem = state.certificate(|| {
            let made = ServerCertificate::self_signed(["localhost"])?;
            let key = Secret::from(made.key_pem());
            Ok((made.certificate_pem() + &key).into())
        })?;
        return ServerCertificate::from_pem(&pem, &pem)
            .with_context(|| format!("{}/server.pem; remove it", state.path().display()));
    };
    let read = |path: &Path| {
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
    };
    let (chain, secret) = (read(cert)?, private::read_key(key, Links::Followed)?);
    ServerCertificate::from_pem(&chain, &secret).with_context(|| {
        format!("{} and {} are no certificate with its key", cert.display(), key.display())
    })
}

fn identity(path: &Path) -> anyhow::Result<IdentityKey> {
    let line = private::read_key(path, Links::Followed)?;
    line.trim().parse().with_context(|| format!("cannot use {}", path.display()))
}

async fn resolve(secondary: &Secondary) -> anyhow::Result<PathSpec> {
    let Secondary { address, pin } = secondary;
    let resolved: Vec<_> = lookup_host(address)
        .await
        .with_context(|| format!("cannot find {address}; check --secondary"))?
        .take(MAX_ADDRESSES)
        .collect();
    ensure!(!resolved.is_empty(), "{address} has no address; check --secondary");
    Ok(self::secondary(resolved, *pin))
}
