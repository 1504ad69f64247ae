//! The laboratory: what is in it, and how a run goes.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use kwik_core::delegation::Switches;

use crate::action::Action;
use crate::event::{Event, Report};
use crate::failure::{Cause, Failure, SoftwareError};
use crate::host::{Directory, Host, Identity};
use crate::link::{Condition, LinkConfig};
use crate::machine::{Machine, Running};
use crate::world::{Memory, World};

/// The client's name among the hosts.
pub const CLIENT: &str = "client";

/// Hosts run, and datagrams arrive, in steps of this: the resolution of tokio's timers. Links reckon in nanoseconds.
const STEP: Duration = Duration::from_millis(1);

type Software =
    Box<dyn Fn(Host) -> Pin<Box<dyn Future<Output = Result<(), SoftwareError>> + Send>>>;

/// A laboratory: servers, one client, a link between the client and each server, and a script of what goes wrong.
///
/// Servers and client are your own code over the real KWIK, in simulated time. Nothing depends on the machine: equal
/// seeds give equal runs, to the byte. There are no other links: servers don't talk to each other.
///
/// ```
/// use std::time::Duration;
/// use kwik_client::Connect;
/// use kwik_sim::link::{LinkConfig, Rate};
/// use kwik_sim::{Action, Lab};
///
/// let mut lab = Lab::new(42);
/// let dsl = LinkConfig {
///     rate: Some(Rate::mbit(50)),
///     delay: Duration::from_millis(10),
///     ..LinkConfig::default()
/// };
/// lab.server("origin", dsl, |host| async move {
///     let mut server = host.server()?.start()?;
///     while let Some(mut session) = server.accept().await {
///         while let Some(mut stream) = session.accept_bidirectional_stream().await? {
///             while let Some(chunk) = stream.receive().await? {
///                 stream.send(chunk).await?;
///             }
///             stream.finish()?;
///         }
///     }
///     Ok(())
/// });
/// // A second without a network, while the echo is under way.
/// lab.at(Duration::from_millis(25), Action::Partition("origin".into()));
/// lab.at(Duration::from_millis(1_025), Action::Heal("origin".into()));
///
/// let (echo, report) = lab.run(Duration::from_secs(10), |host| async move {
///     let client = host.client().with_tls(host.pin_of("origin"))?.start()?;
///     let mut session = client.connect(Connect::new(host.address_of("origin"))).await?;
///     let mut stream = session.open_bidirectional_stream().await?;
///     stream.send("hello".into()).await?;
///     stream.finish()?;
///     let mut echo = Vec::new();
///     while let Some(chunk) = stream.receive().await? {
///         echo.extend_from_slice(&chunk);
///     }
///     Ok(echo)
/// })?;
/// assert_eq!(echo, b"hello");
/// assert!(report.elapsed > Duration::from_secs(1));
/// # Ok::<(), kwik_sim::Failure>(())
/// ```
pub struct Lab {
    seed: u64,
    names: Vec<String>,
    servers: BTreeMap<String, Software>,
    links: Vec<(String, LinkConfig, LinkConfig)>,
    script: BTreeMap<Duration, Vec<Action>>,
    switches: Switches,
}

impl Lab {
    /// An empty laboratory. `seed` decides about everything that is left to chance.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            names: vec![CLIENT.to_owned()],
            servers: BTreeMap::new(),
            links: Vec::new(),
            script: BTreeMap::new(),
            switches: Switches::default(),
        }
    }

    /// A server named `name`, its link to and from the client, and its software: what it does from its start on, and
    /// again after an [`Action::Restart`]. An error that it returns, or a panic, ends the run; tasks that it spawned go
    /// on when it returns.
    ///
    /// # Panics
    /// When the name is taken, or there are 250 servers.
    pub fn server<F, R>(&mut self, name: &str, link: LinkConfig, software: F)
    where
        F: Fn(Host) -> R + 'static,
        R: Future<Output = Result<(), SoftwareError>> + Send + 'static,
    {
        assert!(!self.names.iter().any(|other| other == name), "there are two hosts {name:?}");
        assert!(self.names.len() <= 250, "too many hosts");
        self.names.push(name.to_owned());
        self.links.push((name.to_owned(), link, link));
        self.servers.insert(name.to_owned(), Box::new(move |host| Box::pin(software(host))));
    }

    /// Gives a server's link another nature in each direction.
    ///
    /// # Panics
    /// When there is no such server.
    pub fn asymmetric(&mut self, name: &str, to_client: LinkConfig, from_client: LinkConfig) {
        let link = self.links.iter_mut().find(|(server, ..)| server == name);
        let (_, down, up) = link.unwrap_or_else(|| panic!("no server {name:?}"));
        (*down, *up) = (to_client, from_client);
    }

    /// Has something done at a time after the start, rounded up to a millisecond.
    pub fn at(&mut self, time: Duration, action: Action) {
        self.script.entry(time).or_default().push(action);
    }

    /// Switches mechanisms of the primaries' schedulers off, to see what each is worth. Nothing outside a laboratory can.
    ///
    /// ```
    /// use kwik_sim::{Lab, Switches};
    ///
    /// let mut lab = Lab::new(1);
    /// lab.switch(Switches { hedging: false, ..Switches::default() });
    /// ```
    pub fn switch(&mut self, switches: Switches) {
        self.switches = switches;
    }

    /// Starts the servers, and then the client with `client`, and runs until it is done.
    ///
    /// # Errors
    /// [`Failure`], which names the seed: the client was not done after `bound` of simulated time, software failed or
    /// panicked.
    pub fn run<F, R, T>(self, bound: Duration, client: F) -> Result<(T, Report), Failure>
    where
        F: FnOnce(Host) -> R,
        R: Future<Output = Result<T, SoftwareError>> + Send + 'static,
        T: Send + 'static,
    {
        let seed = self.seed;
        let mut run = Run::new(self);
        let outcome = run.run(bound, client);
        // The hosts end before the record is taken: nothing is added to it.
        run.machines.clear();
        let report = Report { seed, elapsed: run.now, events: run.world.take_events() };
        match outcome {
            Ok(value) => Ok((value, report)),
            Err(cause) => Err(Failure { cause, report: Box::new(report) }),
        }
    }
}

impl std::fmt::Debug for Lab {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lab").field("seed", &self.seed).field("hosts", &self.names).finish()
    }
}

/// A laboratory at work.
struct Run {
    world: World,
    directory: Directory,
    servers: BTreeMap<String, Software>,
    script: BTreeMap<Duration, Vec<Action>>,
    machines: BTreeMap<String, Powered>,
    boots: u64,
    now: Duration,
}

/// A host that is switched on.
struct Powered {
    machine: Machine,
    /// Taken when it has ended. The client's is not here.
    software: Option<Running<()>>,
    pace: Pace,
}

/// Whether a host runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    Running,
    /// Its clock goes on.
    Frozen,
    /// Its clock stands still.
    Asleep,
}

impl Run {
    fn new(lab: Lab) -> Self {
        let host = |(index, name): (usize, String)| {
            let index = u8::try_from(index + 1).expect("`Lab::server` limits the hosts");
            (name, Identity::new(lab.seed, index))
        };
        let directory: BTreeMap<_, _> = lab.names.into_iter().enumerate().map(host).collect();
        let world = World::new(lab.switches);
        let client = directory[CLIENT].ip;
        for (name, down, up) in lab.links {
            let Identity { ip, seed, .. } = directory[&name];
            world.connect(ip, client, down, seed);
            world.connect(client, ip, up, !seed);
        }
        Self {
            world,
            directory: Arc::new(directory),
            servers: lab.servers,
            script: lab.script,
            machines: BTreeMap::new(),
            boots: 0,
            now: Duration::ZERO,
        }
    }

    fn run<F, R, T>(&mut self, bound: Duration, client: F) -> Result<T, Cause>
    where
        F: FnOnce(Host) -> R,
        R: Future<Output = Result<T, SoftwareError>> + Send + 'static,
        T: Send + 'static,
    {
        let servers: Vec<_> = self.servers.keys().cloned().collect();
        for name in servers {
            self.restart(&name)?;
        }
        let (machine, host) = self.boot(CLIENT)?;
        let inside = machine.runtime().enter();
        let running = machine.runtime().spawn(client(host));
        drop(inside);
        let powered = Powered { machine, software: None, pace: Pace::Running };
        self.machines.insert(CLIENT.to_owned(), powered);
        while !running.is_finished() {
            if self.now >= bound {
                return Err(Cause::Bound(bound));
            }
            self.step()?;
        }
        self.machines[CLIENT].machine.join(CLIENT, running)
    }

    fn step(&mut self) -> Result<(), Cause> {
        while let Some(due) = self.script.first_entry().filter(|due| *due.key() <= self.now) {
            for action in due.remove() {
                self.act(action)?;
            }
        }
        self.world.deliver(self.now);
        for (name, host) in &mut self.machines {
            if host.pace != Pace::Running {
                continue;
            }
            host.machine.run_until(self.now, self.now + STEP);
            if let Some(ended) = host.software.take_if(|software| software.is_finished()) {
                host.machine.join(name, ended)?;
            }
        }
        self.now += STEP;
        for (delay, action) in self.world.take_wishes() {
            match delay {
                Duration::ZERO => self.act(action)?,
                delay => self.script.entry(self.now + delay).or_default().push(action),
            }
        }
        Ok(())
    }

    fn act(&mut self, action: Action) -> Result<(), Cause> {
        let name = action.host();
        let Some(ip) = self.directory.get(name).map(|host| host.ip) else {
            return Err(Cause::Action(action));
        };
        self.world.record(self.now, Event::Action(action.clone()));
        match &action {
            Action::Crash(name) | Action::Restart(name) if name == CLIENT => {
                return Err(Cause::Action(action));
            }
            Action::Rebind(name) if name != CLIENT => return Err(Cause::Action(action)),
            Action::Rebind(_) => self.world.rebind(ip),
            Action::Crash(name) => drop(self.machines.remove(name)),
            Action::Restart(name) => self.restart(name)?,
            Action::Freeze(name) => self.set_pace(name, Pace::Frozen),
            Action::Sleep(name) => self.set_pace(name, Pace::Asleep),
            Action::Thaw(name) => self.set_pace(name, Pace::Running),
            Action::Partition(_) => self.world.set_condition(ip, Condition::Down),
            Action::Heal(_) => self.world.set_condition(ip, Condition::Up),
            Action::Link(_, config) => self.set_links(ip, *config),
            Action::Disk(name, state) => self.directory[name].disk.set(*state),
            Action::Corrupt(_) => self.world.set_memory(ip, Memory::Bad),
            Action::Mend(_) => self.world.set_memory(ip, Memory::Good),
            Action::Revoke(name) => {
                self.directory[name].revoked.send_modify(|times| *times += 1);
            }
            Action::Tell(name, text) => {
                // The other end is in the directory as well.
                let _ = self.directory[name].mouth.send(text.clone());
            }
        }
        Ok(())
    }

    fn set_links(&self, host: IpAddr, config: LinkConfig) {
        self.world.change_links(host, |link| link.set_config(config));
    }

    fn set_pace(&mut self, name: &str, pace: Pace) {
        if let Some(host) = self.machines.get_mut(name) {
            if host.pace == Pace::Asleep {
                host.machine.sleep_until(self.now);
            }
            host.pace = pace;
        }
    }

    fn restart(&mut self, name: &str) -> Result<(), Cause> {
        if self.machines.contains_key(name) {
            return Ok(());
        }
        let (machine, host) = self.boot(name)?;
        let inside = machine.runtime().enter();
        let software = Some(machine.runtime().spawn(self.servers[name](host)));
        drop(inside);
        self.machines.insert(name.to_owned(), Powered { machine, software, pace: Pace::Running });
        Ok(())
    }

    fn boot(&mut self, name: &str) -> Result<(Machine, Host), Cause> {
        self.boots += 1;
        let Identity { ip, disk, .. } = &self.directory[name];
        let machine = Machine::start(self.world.clone(), *ip, disk.clone(), self.now)?;
        let inside = machine.runtime().enter();
        let (directory, world) = (self.directory.clone(), self.world.clone());
        let host = Host::boot(name, directory, world, machine.card(), self.boots);
        drop(inside);
        Ok((machine, host))
    }
}
