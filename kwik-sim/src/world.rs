//! The network between the hosts, and the record of what happened.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use crc_fast::CrcAlgorithm;
use kwik_core::delegation::Switches;
use kwik_io::sim::Port;

use crate::action::Action;
use crate::event::Event;
use crate::link::{Condition, Fate, Link, LinkConfig};
use crate::nat::{self, Nat};

/// Room for datagrams that a socket has not read: Linux' default.
const SOCKET_BUFFER: usize = 212_992;
/// First port that is given out where any will do (RFC 6335, 6).
const EPHEMERAL: u16 = 49_152;

/// One world, shared by its hosts. All on one thread: the lock is never contended.
#[derive(Clone, Debug)]
pub(crate) struct World {
    state: Arc<Mutex<State>>,
    switches: Switches,
}

/// What becomes of bytes between their checksum and the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Memory {
    Good,
    Bad,
}

#[derive(Debug, Default)]
struct State {
    /// Between the hosts' own addresses.
    links: BTreeMap<(IpAddr, IpAddr), Link>,
    ports: BTreeMap<SocketAddr, Weak<Port>>,
    nat: Nat,
    /// By arrival, then in the order of sending.
    flying: BTreeMap<(Duration, u64), Flight>,
    flights: u64,
    events: Vec<(Duration, Event)>,
    /// Each with the time until it is due.
    wishes: Vec<(Duration, Action)>,
    /// Hosts with bad memory.
    spoiled: BTreeSet<IpAddr>,
}

#[derive(Debug)]
struct Flight {
    from: SocketAddr,
    to: SocketAddr,
    payload: Vec<u8>,
}

impl World {
    pub(crate) fn new(switches: Switches) -> Self {
        Self { state: Arc::default(), switches }
    }

    /// Which of the scheduler's mechanisms run.
    pub(crate) fn switches(&self) -> Switches {
        self.switches
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn connect(&self, from: IpAddr, to: IpAddr, config: LinkConfig, seed: u64) {
        self.state().links.insert((from, to), Link::new(config, seed));
    }

    /// Changes all links from or to a host.
    pub(crate) fn change_links(&self, host: IpAddr, change: impl Fn(&mut Link)) {
        let mut state = self.state();
        let touched = state.links.iter_mut().filter(|((a, b), _)| *a == host || *b == host);
        touched.for_each(|(_, link)| change(link));
    }

    pub(crate) fn set_condition(&self, host: IpAddr, condition: Condition) {
        self.change_links(host, |link| link.set_condition(condition));
    }

    /// The host is seen under another address from now on.
    pub(crate) fn rebind(&self, host: IpAddr) {
        self.state().nat.rebind(host);
    }

    pub(crate) fn set_memory(&self, host: IpAddr, memory: Memory) {
        let spoiled = &mut self.state().spoiled;
        match memory {
            Memory::Bad => spoiled.insert(host),
            Memory::Good => spoiled.remove(&host),
        };
    }

    pub(crate) fn spoils(&self, host: IpAddr) -> bool {
        self.state().spoiled.contains(&host)
    }

    pub(crate) fn bind(&self, address: SocketAddr) -> io::Result<Arc<Port>> {
        let mut state = self.state();
        let taken = |port: u16| {
            let bound = state.ports.get(&SocketAddr::new(address.ip(), port));
            bound.is_some_and(|port| port.strong_count() > 0)
        };
        let port = match address.port() {
            0 => (EPHEMERAL..=u16::MAX).find(|port| !taken(*port)),
            port => Some(port).filter(|port| !taken(*port)),
        };
        let address = SocketAddr::new(address.ip(), port.ok_or(io::ErrorKind::AddrInUse)?);
        let port = Arc::new(Port::new(address, SOCKET_BUFFER));
        state.ports.insert(address, Arc::downgrade(&port));
        Ok(port)
    }

    pub(crate) fn send(&self, now: Duration, from: SocketAddr, to: SocketAddr, payload: &[u8]) {
        let mut state = self.state();
        let state = &mut *state;
        if from == to {
            return state.arrive(now, Flight { from, to, payload: payload.to_vec() });
        }
        let from = state.nat.outside(from);
        let hosts = (nat::host(from.ip()), nat::host(to.ip()));
        let Some(link) = state.links.get_mut(&hosts) else {
            return state.events.push((now, Event::NoRoute { from, to }));
        };
        let (length, checksum) = (payload.len(), checksum(payload));
        let fate = link.send(now, length);
        state.events.push((now, Event::Sent { from, to, length, checksum, fate }));
        if let Fate::Delivered { at, corruption } = fate {
            let mut payload = payload.to_vec();
            if let Some(corruption) = corruption {
                corruption.apply(&mut payload);
            }
            state.flights += 1;
            state.flying.insert((at, state.flights), Flight { from, to, payload });
        }
    }

    /// Everything arrives that is due.
    pub(crate) fn deliver(&self, now: Duration) {
        let mut state = self.state();
        while let Some(next) = state.flying.first_entry().filter(|next| next.key().0 <= now) {
            let flight = next.remove();
            state.arrive(now, flight);
        }
    }

    pub(crate) fn record(&self, now: Duration, event: Event) {
        self.state().events.push((now, event));
    }

    pub(crate) fn wish(&self, delay: Duration, action: Action) {
        self.state().wishes.push((delay, action));
    }

    pub(crate) fn take_wishes(&self) -> Vec<(Duration, Action)> {
        std::mem::take(&mut self.state().wishes)
    }

    pub(crate) fn take_events(&self) -> Vec<(Duration, Event)> {
        std::mem::take(&mut self.state().events)
    }
}

impl State {
    fn arrive(&mut self, now: Duration, flight: Flight) {
        let Flight { from, to, payload } = flight;
        let port = self.nat.inside(to).and_then(|to| self.ports.get(&to)?.upgrade());
        if !port.is_some_and(|port| port.deliver(from, payload)) {
            self.events.push((now, Event::NotTaken { to }));
        }
    }
}

fn checksum(payload: &[u8]) -> u32 {
    crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, payload) as u32
}
