//! `kwik serve`.

use std::io;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use kwik_server::{
    CongestionControl, IdentityKey, Limits, PathSpec, Pin, PublicKey, Server, ServerCertificate,
    ServerHandle, ServerIdentity,
};
use serde_json::json;
use tokio::net::lookup_host;
use tokio::task::JoinSet;
use tracing::Instrument as _;

use crate::access_log::AccessLog;
use crate::catalog::Catalog;
use crate::cause::{Cause, Told};
use crate::cli::{Secondary, ServeArgs};
use crate::get::print;
use crate::health::{Health, Phase};
use crate::live::{self, feed::Feed};
use crate::materials::{self, Known, Materials};
use crate::monitor;
use crate::notify;
use crate::open_files::OpenFiles;
use crate::primary::{Clients, Directories, Primary, Proof, Share};
use crate::reload::{InForce, Reload};
use crate::root::Root;
use crate::roster::Roster;
use crate::secondary::contribute;
use crate::signals::{Hangup, Stop};
use crate::state::StateDir;
use crate::tag_cache::TagCache;
use crate::tag_store::TagStore;
use crate::{one_line, say};

/// Addresses of a secondary that the client may try: as many as the protocol carries.
const MAX_ADDRESSES: usize = 8;

/// How long an event may take to standard output before the server goes on.
const EVENT_TIME: Duration = Duration::from_millis(200);

/// A server of the file service, not started yet.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) listen: SocketAddr,
    pub(crate) certificate: ServerCertificate,
    pub(crate) identity: Option<IdentityKey>,
    pub(crate) trusted: Vec<PublicKey>,
    pub(crate) primary: Primary,
    pub(crate) limits: Limits,
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
    if args.check_config {
        return check(args);
    }
    let (mut stop, hangup) = (Stop::listen()?, Hangup::listen()?);
    let state = StateDir::open(args.state.as_deref())?;
    let (service, known) = prepare(args, &state).await?;
    let (roster, log) = (service.primary.roster.clone(), service.primary.log.clone());
    let health = Health::new(args.clone(), roster.clone());
    let feed = args.live.then(Feed::default);
    let metrics = live::address(args)?;
    let metrics = metrics
        .map(|address| monitor::listen(address, health.clone(), feed.clone()))
        .transpose()?;
    if feed.is_some() {
        live::board::open();
    }
    let running = service.start()?;
    if let Some(feed) = feed.clone() {
        tokio::spawn(live::run(running.server.clone(), feed));
    }
    health.enter(Phase::Serving);
    announce(&running, args.json, metrics.filter(|_| args.live))?;
    notify::ready();
    let server = running.server.clone();
    let in_force = InForce {
        args: args.clone(),
        known,
        state,
        server: server.clone(),
        roster,
        log: log.clone(),
        health: health.clone(),
    };
    let mut reload = Reload::new(in_force, hangup);
    tokio::select! {
        _ = stop.wanted() => {}
        () = reload.follow() => {}
        () = monitor::export(|| server.metrics()) => {}
    }
    health.enter(Phase::Draining);
    notify::stopping();
    let grace = reload.args().grace;
    announce_end(grace, args.json);
    tokio::select! {
        () = running.close(grace) => {}
        () = monitor::export(|| server.metrics()) => {}
        _ = stop.wanted() => running.close(Duration::ZERO).await,
    }
    // Requests that have just ended write their lines.
    let _ = tokio::task::spawn_blocking(move || log.flush()).await;
    Ok(())
}

/// Says what is wrong with what the settings name; the settings themselves were understood.
fn check(args: &ServeArgs) -> anyhow::Result<()> {
    let faults = materials::faults(args);
    if faults.is_empty() {
        return print(io::stdout(), "the settings are good");
    }
    faults.iter().for_each(|(_, fault)| say(&one_line(fault)));
    Err(Told(Cause::Failed).into())
}

async fn prepare(args: &ServeArgs, state: &StateDir) -> anyhow::Result<(Service, Known)> {
    let root = Root::open(&args.root).map_err(|error| args.origins.blame("root", error))?;
    let materials = Materials::read(args, state)?;
    let known = materials.known();
    let secondaries = resolve(args).await?;
    let tags = TagCache::new(TagStore::open(state.path())?);
    let files = args.open_files.map_or_else(OpenFiles::default_most, usize::from);
    let catalog = Catalog::new(root, tags, OpenFiles::new(files));
    let share = if args.delegate_only { Share::RepairsOnly } else { Share::Own };
    let proof = if args.no_proof { Proof::Skipped } else { Proof::Named };
    let clients = if args.helps_only() { Clients::Refused } else { Clients::Served };
    let directories = if args.no_listing { Directories::Unlisted } else { Directories::Listed };
    let log = match args.access_log.clone() {
        Some(path) => AccessLog::open(path, args.access_log_format)
            .map_err(|error| args.origins.blame("access-log", error))?,
        None => AccessLog::default(),
    };
    let roster = Roster::new(secondaries);
    let primary = Primary { catalog, roster, log, share, proof, clients, directories };
    let service = Service {
        listen: listen_address(args).await?,
        certificate: materials.certificate,
        identity: materials.identity,
        trusted: materials.trusted,
        primary,
        limits: args.limits(),
        congestion: args.congestion,
        max_mtu: args.max_mtu,
    };
    Ok((service, known))
}

/// The first of the addresses that the name in `--listen` has.
async fn listen_address(args: &ServeArgs) -> anyhow::Result<SocketAddr> {
    let name = args.listen.as_str();
    let found = lookup_host(name).await.map_err(anyhow::Error::new);
    let first = found.and_then(|mut all| all.next().context("it has no address"));
    first
        .with_context(|| format!("cannot find {name}; check --listen"))
        .map_err(|error| args.origins.blame("listen", error))
}

impl Service {
    /// Binds the port and serves from now on. Needs a tokio runtime.
    pub(crate) fn start(self) -> anyhow::Result<Running> {
        let pin = self.certificate.pin();
        let mut builder = Server::builder()
            .with_tls(self.certificate)?
            .with_io(self.listen)?
            .with_limits(self.limits)
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
fn announce(running: &Running, as_json: bool, live: Option<SocketAddr>) -> anyhow::Result<()> {
    let Running { address, pin, .. } = running;
    let page = live.map(|address| format!("http://{address}/"));
    let line = match (as_json, page) {
        (true, None) => {
            json!({ "event": "listening", "address": address, "pin": pin.to_string() }).to_string()
        }
        (true, Some(page)) => {
            json!({ "event": "listening", "address": address, "pin": pin.to_string(), "live": page })
                .to_string()
        }
        (false, None) => format!("listening on {address} pin {pin}"),
        (false, Some(page)) => format!("listening on {address} pin {pin}\nlive page at {page}"),
    };
    print(io::stdout(), &line)
}

/// The line that says that the end has begun. Nobody may be left to read it.
fn announce_end(grace: Duration, as_json: bool) {
    let grace = grace.as_secs_f64();
    let line = match as_json {
        true => json!({ "event": "draining", "grace_s": grace }).to_string(),
        false => {
            format!("draining: open sessions have {grace} s to end; a second signal ends them")
        }
    };
    tell(line);
}

/// An event for standard output. Nobody may be left to read it, and a pipe that is full is no reason to wait for long.
pub(crate) fn tell(line: String) {
    let (done, told) = mpsc::channel();
    thread::spawn(move || {
        let _ = print(io::stdout(), &line);
        let _ = done.send(());
    });
    let _ = told.recv_timeout(EVENT_TIME);
}

/// The secondaries that the settings name, with the addresses that their names have now.
pub(crate) async fn resolve(args: &ServeArgs) -> anyhow::Result<Vec<PathSpec>> {
    let mut secondaries = Vec::new();
    for secondary in &args.secondary {
        let found = resolve_one(secondary).await;
        secondaries.push(found.map_err(|error| args.origins.blame("secondary", error))?);
    }
    Ok(secondaries)
}

async fn resolve_one(secondary: &Secondary) -> anyhow::Result<PathSpec> {
    let Secondary { address, pin } = secondary;
    let resolved: Vec<_> = lookup_host(address)
        .await
        .with_context(|| format!("cannot find {address}; check --secondary"))?
        .take(MAX_ADDRESSES)
        .collect();
    ensure!(!resolved.is_empty(), "{address} has no address; check --secondary");
    Ok(self::secondary(resolved, *pin))
}
