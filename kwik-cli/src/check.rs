//! `kwik check`: whether each server of a file is reached by a client, and sends what the primary has.

mod verdict;

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use blake3::Hasher;
use kwik_client::connection::Handle;
use kwik_client::{PathMetrics, PathRole, SessionMetrics};
use nix::sys::socket::{getsockopt, sockopt};
use tokio::time::{Instant, timeout_at};

use crate::attempt::ask_bytes;
use crate::cause::{Cause, Known, Told};
use crate::cli::CheckArgs;
use crate::connect::{self, Servers};
use crate::get::print;
use crate::primary::SMALL;
use crate::protocol::{Found, Get};
use crate::signals::Stop;
use verdict::{Checked, Server};

/// Pause before the same bytes are fetched again, for servers that sent none of them: they may still be hashing.
const AGAIN: Duration = Duration::from_millis(250);
/// Rounds in which the round trip to a server that sends may become known.
const MEASURING: u32 = 8;
/// How long the goodbyes may take.
const GOODBYE: Duration = Duration::from_millis(200);

/// Fetches the head of the file until every server has sent some of it, and tells of each.
pub(crate) async fn run(args: &CheckArgs) -> anyhow::Result<()> {
    let mut stop = Stop::listen()?;
    let outcome = tokio::select! {
        biased;
        cause = stop.wanted() => Err(Known::error(cause, "interrupted")),
        checked = check(args) => checked,
    };
    let checked = outcome.map_err(|error| error.context(args.url.to_string()))?;
    let text = if args.json { checked.to_json() } else { checked.to_text() };
    print(io::stdout(), &text)?;
    checked.cause().map_or(Ok(()), |cause| Err(Told(cause).into()))
}

async fn check(args: &CheckArgs) -> anyhow::Result<Checked> {
    let trusts = connect::trusts_in(&args.pin, args.ca.as_deref())?;
    let dial = args.connect_timeout.0;
    let servers = Servers::new(std::slice::from_ref(&args.url), trusts, dial, None)?;
    let deadline = Instant::now() + dial;
    let late = || Known::error(Cause::Timeout, "no connection in the time of --connect-timeout");
    let session = timeout_at(deadline, servers.connect(0)).await.map_err(|_| late())??;
    let path = servers.source(0).path.to_string();
    let mut comparison = Comparison::new(session, path, args.most.0);
    let checked = comparison.run(Instant::now() + args.timeout.0).await;
    drop(comparison);
    servers.say_goodbye(GOODBYE).await;
    checked
}

/// The same bytes, from the primary alone and then from all.
struct Comparison {
    session: Handle,
    path: String,
    most: u64,
    /// The best rate of each server in a round, in bytes a second.
    rates: BTreeMap<SocketAddr, f64>,
    /// Servers that sent bytes in a round whose hash was another than the primary's.
    doubted: Vec<SocketAddr>,
}

impl Comparison {
    fn new(session: Handle, path: String, most: u64) -> Self {
        Self { session, path, most, rates: BTreeMap::new(), doubted: Vec::new() }
    }

    async fn run(&mut self, deadline: Instant) -> anyhow::Result<Checked> {
        let late =
            || Known::error(Cause::Timeout, "the primary sent too little in the time of --timeout");
        let reference = timeout_at(deadline, self.reference()).await.map_err(|_| late())?;
        let (found, length, hash) = reference?;
        let mut seen = SessionMetrics::default();
        // A file that comes from the primary alone is compared already.
        for round in 1.. {
            if length <= SMALL {
                break;
            }
            let before = seen.clone();
            let start = Instant::now();
            let fetched = timeout_at(deadline, self.fetch(&found, 0, length, Hasher::new())).await;
            seen = self.session.metrics().await?;
            let Ok(fetched) = fetched else { break };
            self.note(&before, &seen, start.elapsed(), fetched?.finalize() == hash);
            if is_settled(&seen, round) || Instant::now() + AGAIN >= deadline {
                break;
            }
            tokio::time::sleep(AGAIN).await;
        }
        if length <= SMALL {
            seen = self.session.metrics().await?;
        }
        Ok(self.verdict(&found, length, &seen))
    }

    /// What the primary has, and the hash of its head, in pieces so small that it sends them alone.
    async fn reference(&mut self) -> anyhow::Result<(Found, u64, blake3::Hash)> {
        let look = Get { path: self.path.clone(), offset: 0, length: Some(0), if_tag: None };
        let (found, _) = ask_bytes(&mut self.session, &look).await?;
        let length = found.size.min(self.most);
        let mut hasher = Hasher::new();
        let mut offset = 0;
        while offset < length {
            let piece = SMALL.min(length - offset);
            hasher = self.fetch(&found, offset, piece, hasher).await?;
            offset += piece;
        }
        Ok((found, length, hasher.finalize()))
    }

    /// Fetches bytes and hashes them.
    async fn fetch(
        &mut self,
        found: &Found,
        offset: u64,
        length: u64,
        mut hasher: Hasher,
    ) -> anyhow::Result<Hasher> {
        let get =
            Get { path: self.path.clone(), offset, length: Some(length), if_tag: Some(found.tag) };
        let (_, mut inbound) = ask_bytes(&mut self.session, &get).await?;
        let mut left = length;
        while left > 0 {
            let Some(chunk) = inbound.chunk().await? else {
                let text = "the primary ended the file too early; try again";
                return Err(Known::error(Cause::Integrity, text));
            };
            left = left.saturating_sub(chunk.len() as u64);
            hasher.update(&chunk);
        }
        Ok(hasher)
    }

    /// Enters what each server did in a round.
    fn note(
        &mut self,
        before: &SessionMetrics,
        after: &SessionMetrics,
        took: Duration,
        is_same: bool,
    ) {
        for path in &after.paths {
            let earlier = before.paths.iter().find(|known| known.address == path.address);
            let sent = path.bytes.saturating_sub(earlier.map_or(0, |known| known.bytes));
            if sent == 0 {
                continue;
            }
            // What a round brought of the first look is counted with it: the first rate is a little too high at most.
            let rate = sent as f64 / took.as_secs_f64().max(1e-6);
            let best = self.rates.entry(path.address).or_default();
            *best = best.max(rate);
            if !is_same && path.role == PathRole::Other && !self.doubted.contains(&path.address) {
                self.doubted.push(path.address);
            }
        }
    }

    fn verdict(&self, found: &Found, length: u64, seen: &SessionMetrics) -> Checked {
        let server = |path| {
            let mut server = Server::new(path, &seen.faults, &self.doubted);
            server.rate = self.rates.get(&server.address).map(|rate| rate.round() as u64);
            server.mtu = route_mtu(server.address);
            server
        };
        Checked {
            size: found.size,
            blake3: found.tag.to_string(),
            compared: length,
            servers: seen.paths.iter().map(server).collect(),
        }
    }
}

/// Whether each server has sent something, or will not. A round trip is measured soon after.
fn is_settled(seen: &SessionMetrics, round: u32) -> bool {
    let measured = |path: &PathMetrics| path.rtt.is_some() || round >= MEASURING;
    let sent = |path: &PathMetrics| path.bytes > 0 && measured(path);
    seen.paths.iter().all(|path| path.state == "gone" || sent(path))
}

/// The largest IP packet on the way to an address, as far as this machine knows: that of its own link, or what a router told
/// it. `None`: it does not say.
fn route_mtu(address: SocketAddr) -> Option<u32> {
    let any: IpAddr = if address.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(address).ok()?;
    let mtu = match address {
        SocketAddr::V4(_) => getsockopt(&socket, sockopt::IpMtu),
        SocketAddr::V6(_) => return None,
    };
    mtu.ok().and_then(|mtu| u32::try_from(mtu).ok())
}
