//! What software gets to see of its host.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use kwik_core::time::WallTime;
use kwik_io::env::Env;
use kwik_server::{IdentityKey, PathSpec, Pin, PublicKey, ServerCertificate, ServerIdentity};
use tokio::sync::{Mutex, mpsc, watch};

use crate::action::Action;
use crate::disk::Disk;
use crate::event::Event;
use crate::link::Chance;
use crate::machine::Card;
use crate::world::World;

/// The largest packet of an endpoint, in bytes.
const ETHERNET: u16 = 1_500;

/// The port that servers of a laboratory listen on.
const PORT: u16 = 4_433;
/// The wall clock at the start of every run: 2027-01-15. Any, but always the same.
const EPOCH: u64 = 1_800_000_000;

/// What stays of a host when its process is gone: its place, keys and disk.
pub(crate) struct Identity {
    pub(crate) ip: IpAddr,
    pub(crate) seed: u64,
    pub(crate) certificate: ServerCertificate,
    pub(crate) disk: Disk,
    public_key: PublicKey,
    inbox: Arc<Mutex<mpsc::UnboundedReceiver<String>>>,
    pub(crate) mouth: mpsc::UnboundedSender<String>,
    /// How often the host was revoked.
    pub(crate) revoked: watch::Sender<u64>,
}

impl Identity {
    /// The `index`th host of the laboratory with this seed.
    pub(crate) fn new(lab_seed: u64, index: u8) -> Self {
        let seed = lab_seed.wrapping_mul(0x100).wrapping_add(index.into());
        let keys = keys(seed);
        let certificate = ServerCertificate::self_signed_in(&keys, ["lab.example"])
            .expect("a DNS name can stand in a certificate");
        let (mouth, inbox) = mpsc::unbounded_channel();
        Self {
            ip: Ipv4Addr::new(10, 0, 0, index).into(),
            seed,
            certificate,
            disk: Disk::new(),
            public_key: signing_key(seed).public().clone(),
            inbox: Arc::new(Mutex::new(inbox)),
            mouth,
            revoked: watch::Sender::new(0),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::new(self.ip, PORT)
    }
}

/// The entropy of what a host has before it first runs: boot 0.
fn keys(seed: u64) -> Env {
    Env::seeded(seed, WallTime(EPOCH))
}

fn signing_key(seed: u64) -> IdentityKey {
    IdentityKey::generate(&keys(!seed))
}

/// All hosts of a laboratory, by name.
pub(crate) type Directory = Arc<BTreeMap<String, Identity>>;

/// A host, as its software sees it: its world, its keys, its disk, and the other hosts by their names. Cheap to clone.
#[derive(Clone)]
pub struct Host {
    name: Arc<str>,
    directory: Directory,
    world: World,
    card: Arc<Card>,
    env: Env,
}

impl Host {
    /// A process that starts now on the host. To be called inside its runtime.
    pub(crate) fn boot(
        name: &str,
        directory: Directory,
        world: World,
        card: Arc<Card>,
        boots: u64,
    ) -> Self {
        let seed = directory[name].seed ^ (boots << 56);
        let epoch = WallTime(EPOCH + card.now().as_secs());
        let env = Env::simulated(seed, epoch, card.clone(), world.switches());
        Self { name: name.into(), directory, world, card, env }
    }

    fn identity(&self, name: &str) -> &Identity {
        let known = self.directory.get(name);
        known.unwrap_or_else(|| panic!("the laboratory has no host {name:?}"))
    }

    fn me(&self) -> &Identity {
        self.identity(&self.name)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Simulated time since the start of the run, by this host's clock.
    pub fn now(&self) -> Duration {
        self.card.now()
    }

    /// A client in this world, to be set up further. It sends packets of up to 1,500 bytes, what links carry unless they are told
    /// otherwise ([`LinkConfig::mtu`](crate::link::LinkConfig::mtu)): probes for more are for who asks for them.
    pub fn client(&self) -> kwik_client::Builder {
        kwik_client::Client::builder().with_env(self.env.clone()).with_max_mtu(ETHERNET)
    }

    /// A server in this world that listens on [`Host::address_of`] its name and has the certificate of
    /// [`Host::pin_of`] it, to be set up further. Its packets are as large as those of [`Host::client`].
    ///
    /// # Errors
    /// None, but what [`kwik_server::Builder`]'s methods return.
    pub fn server(&self) -> Result<kwik_server::Builder, kwik_server::StartError> {
        let (address, certificate) = (self.me().address(), self.me().certificate.clone());
        kwik_server::Server::builder()
            .with_env(self.env.clone())
            .with_max_mtu(ETHERNET)
            .with_tls(certificate)?
            .with_io(address)
    }

    /// The key of this host as a primary.
    pub fn signing_key(&self) -> IdentityKey {
        signing_key(self.me().seed)
    }

    /// The public key of a primary.
    ///
    /// # Panics
    /// When the laboratory has no such host, as all that take a name.
    pub fn public_key_of(&self, name: &str) -> PublicKey {
        self.identity(name).public_key.clone()
    }

    /// Where a server listens.
    pub fn address_of(&self, name: &str) -> SocketAddr {
        self.identity(name).address()
    }

    /// The pin of a server's certificate.
    pub fn pin_of(&self, name: &str) -> Pin {
        self.identity(name).certificate.pin()
    }

    /// A server's certificate as PEM, valid for `lab.example`: for a client that trusts several servers at once.
    ///
    /// ```
    /// use kwik_client::{Client, Connect, Trust};
    /// # fn example(host: kwik_sim::Host) -> Result<Client, kwik_client::StartError> {
    /// let trust = Trust::ca(host.certificate_of("one") + &host.certificate_of("other"));
    /// let target = Connect::new(host.address_of("one")).with_server_name("lab.example");
    /// # host.client().with_tls(trust)?.start()
    /// # }
    /// ```
    pub fn certificate_of(&self, name: &str) -> String {
        self.identity(name).certificate.certificate_pem()
    }

    /// A server as a path of a primary's session, without grants.
    pub fn path_to(&self, name: &str) -> PathSpec {
        PathSpec {
            addresses: vec![self.address_of(name)],
            identity: ServerIdentity::Pin(self.pin_of(name).0),
            grant_all: false,
        }
    }

    /// This host's copy of the content.
    pub fn disk(&self) -> Disk {
        self.me().disk.clone()
    }

    /// Has something done, at the end of this millisecond. See [`Action`].
    pub fn act(&self, action: Action) {
        self.act_in(Duration::ZERO, action);
    }

    /// Has something done so long after the end of this millisecond, whatever becomes of this host meanwhile: a host
    /// that freezes itself is thawed by what it asked for before.
    pub fn act_in(&self, delay: Duration, action: Action) {
        self.world.wish(delay, action);
    }

    /// What the next [`Action::Tell`] says. One task of a host should ask.
    pub async fn told(&self) -> String {
        let inbox = self.me().inbox.clone();
        match inbox.lock().await.recv().await {
            Some(text) => text,
            None => std::future::pending().await,
        }
    }

    /// Waits for the next [`Action::Revoke`] of a server. For a primary's software, which then removes the path:
    ///
    /// ```
    /// # use kwik_server::{AddPathError, PrimarySession};
    /// # async fn example(host: kwik_sim::Host, session: PrimarySession) -> Result<(), AddPathError> {
    /// let handle = session.handle();
    /// let path = handle.add_path(host.path_to("edge")).await?;
    /// tokio::spawn(async move {
    ///     host.revoked("edge").await;
    ///     handle.remove_path(path).await
    /// });
    /// # Ok(())
    /// # }
    /// ```
    pub async fn revoked(&self, name: &str) {
        let mut times = self.identity(name).revoked.subscribe();
        // Its sender is in the directory, so there is no error to see.
        let _ = times.changed().await;
    }

    /// Writes into the report of the run.
    pub fn note(&self, text: impl Into<String>) {
        let event = Event::Note { host: self.name.to_string(), text: text.into() };
        self.world.record(self.now(), event);
    }

    /// A number from the seed, for software that takes chances: uniform below `end`, 0 if `end` is 0.
    pub fn random(&self, end: u64) -> u64 {
        u64::from_le_bytes(self.env.random()).checked_rem(end).unwrap_or(0)
    }

    /// Whether it happens this time.
    pub fn happens(&self, chance: Chance) -> bool {
        self.random(1_000_000) < chance.times_in_million()
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Host").field(&self.name).finish()
    }
}
