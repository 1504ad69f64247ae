//! Client endpoints, shared and closed when unused.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use s2n_quic::Client;
use s2n_quic::provider::io::tokio::Provider;
use s2n_quic::provider::tls::rustls;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

use super::dial::{Dial, DialError, Dialled, Refusals};
use super::goodbye::Goodbyes;
use super::limits::{EndpointLimits, Role};
use super::sockets;
use crate::connection::Observer;
use crate::env::Env;
use crate::tls::{Trust, client_config};
use crate::worker::Worker;

/// How long an endpoint that nobody holds may take to say goodbye to its peers.
const CLOSING: Duration = Duration::from_secs(15);
/// How often a closing endpoint is woken to see whether it is done.
const NUDGES: Duration = Duration::from_millis(100);

/// The client's QUIC endpoints, made on demand: one for each trust, address family and worker.
///
/// A client has one for its primaries and one for its secondaries, never together: a secondary that floods its socket
/// cannot touch the primary's. An endpoint lives as long as a connection or a dial of its own and is then closed by a
/// task on its worker. There are at most as many as connections; whoever limits paths limits endpoints.
///
/// ```no_run
/// # async fn dial(pin: kwik_io::tls::Pin) -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use kwik_io::endpoint::{ClientEndpoints, EndpointLimits, Role};
/// use kwik_io::env::Env;
/// use kwik_io::tls::Trust;
/// use kwik_io::worker::{Placement, Workers};
///
/// let workers = Workers::start(Placement::default())?;
/// let endpoints = ClientEndpoints::new(Env::system(), Role::Primary, EndpointLimits::default());
/// let target = "192.0.2.1:4433".parse()?;
/// let dialled = endpoints
///     .connect(&workers.next(), target, &Trust::Pin(pin), None, Duration::from_secs(10))
///     .await?;
/// println!("round trip {:?}", dialled.stats.smoothed_rtt());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ClientEndpoints(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    env: Env,
    role: Role,
    limits: EndpointLimits,
    local: Option<SocketAddr>,
    open: Mutex<BTreeMap<Key, Weak<ClientEndpoint>>>,
    /// Endpoints that are open or closing.
    alive: watch::Sender<usize>,
    goodbyes: Goodbyes,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    trust: Trust,
    family: Family,
    worker: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Family {
    V4,
    V6,
}

impl Family {
    fn of(address: SocketAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    fn any(self) -> SocketAddr {
        match self {
            Self::V4 => (IpAddr::from(Ipv4Addr::UNSPECIFIED), 0).into(),
            Self::V6 => (IpAddr::from(Ipv6Addr::UNSPECIFIED), 0).into(),
        }
    }
}

impl ClientEndpoints {
    /// No endpoint yet. `role` is that of the paths: [`Role::Primary`] or [`Role::Secondary`].
    pub fn new(env: Env, role: Role, limits: EndpointLimits) -> Self {
        Self::bound(env, role, limits, None)
    }

    /// As [`ClientEndpoints::new`], with a local address for targets of its family. With a port other than 0 there
    /// is room for one trust and one worker: a second endpoint cannot bind it.
    pub fn with_local_address(
        env: Env,
        role: Role,
        limits: EndpointLimits,
        local: SocketAddr,
    ) -> Self {
        Self::bound(env, role, limits, Some(local))
    }

    fn bound(env: Env, role: Role, limits: EndpointLimits, local: Option<SocketAddr>) -> Self {
        let (open, alive, goodbyes) = (Mutex::default(), watch::Sender::new(0), Goodbyes::new());
        Self(Arc::new(Shared { env, role, limits, local, open, alive, goodbyes }))
    }

    /// Connects to `target` from `worker`, with TLS verified by `trust`.
    ///
    /// `server_name` is a DNS name or IP literal; without one the target's address is the name. Keep-alive is on. Call
    /// it in a task on the worker. When the future is dropped the handshake ends within 100 ms, and a server that has
    /// answered is told; a connection that is complete by then is closed.
    ///
    /// A target that refuses datagrams is found out at once, as far as ICMP tells; not in a simulated world.
    ///
    /// # Errors
    /// [`DialError`], which tells apart what went wrong.
    pub async fn connect(
        &self,
        worker: &Worker,
        target: SocketAddr,
        trust: &Trust,
        server_name: Option<&str>,
        timeout: Duration,
    ) -> Result<Dialled, DialError> {
        let dial = Dial::new(target, server_name, timeout)?;
        dial.run(self.endpoint(worker, target, trust)?, self.0.refusals()).await
    }

    /// As [`connect`](Self::connect), to an address of which it is not known that a server is there: gives up after
    /// `patience` without a datagram from it, and sends nothing beside the handshake that asks whether the port is closed.
    ///
    /// What a silent host gets is then bounded by QUIC's schedule (RFC 9002, 6.2): one datagram of 1,200 bytes at once, two
    /// after a second, two after three, two after seven.
    ///
    /// # Errors
    /// [`DialError`]; [`DialError::Unreachable`] where nothing came within `patience`.
    pub async fn connect_unknown(
        &self,
        worker: &Worker,
        target: SocketAddr,
        trust: &Trust,
        server_name: Option<&str>,
        (timeout, patience): (Duration, Duration),
    ) -> Result<Dialled, DialError> {
        let dial = Dial::new(target, server_name, timeout)?;
        let silence = Refusals::Silence(patience);
        dial.run(self.endpoint(worker, target, trust)?, silence).await
    }

    /// Endpoints that are open or closing.
    pub fn count(&self) -> usize {
        *self.0.alive.borrow()
    }

    /// Waits until no connection is open whose peer takes it for alive: each was closed by one end, and where that was this
    /// one, its CONNECTION_CLOSE was handed to the system. Handshakes do not count. A program may then end.
    pub async fn said_goodbye(&self) {
        self.0.goodbyes.said().await;
    }

    /// Waits until every endpoint is closed: its connections over, its peers told, and what they may still have sent
    /// answered, for about three probe timeouts. Its sockets are put away by tasks of
    /// s2n-quic's own, at their next turn. A program that ends earlier leaves its peers to their idle timeouts.
    pub async fn closed(&self) {
        // The sender is `self`'s own, so there is no error to see.
        let _ = self.0.alive.subscribe().wait_for(|alive| *alive == 0).await;
    }

    fn endpoint(
        &self,
        worker: &Worker,
        target: SocketAddr,
        trust: &Trust,
    ) -> Result<Arc<ClientEndpoint>, DialError> {
        let family = Family::of(target);
        let key = Key { trust: trust.clone(), family, worker: worker.index() };
        let mut open = self.0.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, endpoint| endpoint.strong_count() > 0);
        if let Some(endpoint) = open.get(&key).and_then(Weak::upgrade) {
            return Ok(endpoint);
        }
        let endpoint = Arc::new(self.0.start(worker, family, trust)?);
        open.insert(key, Arc::downgrade(&endpoint));
        Ok(endpoint)
    }
}

impl Shared {
    fn start(
        &self,
        worker: &Worker,
        family: Family,
        trust: &Trust,
    ) -> Result<ClientEndpoint, DialError> {
        let (config, refusal) = client_config(&self.env, trust)?;
        let local = self.local.filter(|local| Family::of(*local) == family);
        let limits = self.limits.quic(self.role).map_err(DialError::Limits)?;
        let observer = Observer::client(self.env.clone(), refusal, self.goodbyes.clone());
        let builder = Client::builder()
            .with_tls(rustls::Client::from(config))
            .and_then(|builder| builder.with_limits(limits))
            .and_then(|builder| builder.with_event(observer))
            .unwrap_or_else(|never| match never {});
        let local = local.unwrap_or(family.any());
        let no_socket = |error: io::Error| DialError::Socket(error.to_string());
        #[cfg(feature = "sim")]
        if let Some(network) = self.env.network() {
            let (env, port) = (self.env.clone(), network.bind(local).map_err(no_socket)?);
            let (network, runtime) = (network.clone(), worker.runtime().clone());
            let random = crate::sim::Random(env.clone());
            let max_mtu = self.limits.max_mtu;
            let io = crate::sim::Io { env, network, port, runtime, max_mtu };
            let builder = builder
                .with_random(random.clone())
                .and_then(|builder| builder.with_connection_id(random.clone()))
                .and_then(|builder| builder.with_stateless_reset_token(random))
                .and_then(|builder| builder.with_io(io))
                .unwrap_or_else(|never| match never {});
            let client = (self.limits.congestion_control)
                .start_client(builder)
                .map_err(|error| DialError::Socket(error.to_string()))?;
            return Ok(self.endpoint(worker, client));
        }
        let builder = builder
            .with_io(self.socket(worker, local).map_err(no_socket)?)
            .unwrap_or_else(|never| match never {});
        let client = (self.limits.congestion_control)
            .start_client(builder)
            .map_err(|error| DialError::Socket(error.to_string()))?;
        Ok(self.endpoint(worker, client))
    }

    fn endpoint(&self, worker: &Worker, client: Client) -> ClientEndpoint {
        let alive = Some(Alive::new(self.alive.clone()));
        ClientEndpoint {
            client: Some(client),
            worker: worker.clone(),
            env: self.env.clone(),
            alive,
        }
    }

    fn refusals(&self) -> Refusals {
        #[cfg(feature = "sim")]
        if self.env.network().is_some() {
            return Refusals::None;
        }
        Refusals::Icmp(self.local.map(|local| local.ip()))
    }

    fn socket(&self, worker: &Worker, local: SocketAddr) -> io::Result<Provider> {
        let socket = UdpSocket::bind(local)?;
        sockets::io(worker, socket, self.role, self.limits.max_mtu)
    }
}

/// One endpoint. Held by its dials and, through their event contexts, by its connections.
#[derive(Debug)]
pub(crate) struct ClientEndpoint {
    /// Taken by the drop alone.
    client: Option<Client>,
    worker: Worker,
    env: Env,
    /// Taken by the drop alone.
    alive: Option<Alive>,
}

impl ClientEndpoint {
    pub(super) fn client(&self) -> &Client {
        self.client.as_ref().expect("only the drop takes the client out")
    }
}

impl Drop for ClientEndpoint {
    /// An endpoint of s2n-quic that is merely dropped may keep its sockets and tasks for ever; this closes it. Where
    /// this held the last handle to the worker, the worker's end closes it.
    fn drop(&mut self) {
        let (client, alive) = (self.client.take(), self.alive.take());
        let env = self.env.clone();
        self.worker.spawn(async move {
            if let Some(client) = client {
                close(&env, client).await;
            }
            drop(alive);
        });
    }
}

/// Counts one endpoint as long as it lives, also where its worker ends before it is closed.
#[derive(Debug)]
struct Alive(watch::Sender<usize>);

impl Alive {
    fn new(count: watch::Sender<usize>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(count)
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

/// Asks the endpoint to end when its connections have, and wakes it until it does.
async fn close(env: &Env, mut client: Client) {
    let local = client.local_addr();
    let deadline = Instant::now() + CLOSING;
    let idle = timeout_at(deadline, client.wait_idle());
    tokio::pin!(idle);
    loop {
        tokio::select! {
            biased;
            _ = &mut idle => break,
            () = std::future::ready(()) => {}
        }
        if let Ok(local) = local {
            env.nudge(local);
        }
        tokio::select! {
            biased;
            _ = &mut idle => break,
            () = sleep(NUDGES) => {}
        }
    }
}
