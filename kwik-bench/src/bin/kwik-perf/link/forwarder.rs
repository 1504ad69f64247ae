//! The process of a link: sockets, a clock, and commands on standard input.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use kwik_sim::link::Rate;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::{Deserialize, Serialize};

use super::flows::{self, Flows};
use super::report::Report;
use super::shape::Shape;
use super::wire::{Flow, Way, Wire};
use crate::usage::{Usage, cpu_time};

/// How a forwarder is started.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Settings {
    /// The server.
    pub(crate) target: SocketAddr,
    /// Towards the server.
    pub(crate) up: Shape,
    /// Towards the client.
    pub(crate) down: Shape,
    /// Decides about loss and jitter.
    pub(crate) seed: u64,
}

/// The forwarder does not wake up more often than this for deliveries: waking for each datagram of 100 Mbit/s costs
/// several times the work that a batch does.
const GRAIN: Duration = Duration::from_micros(200);
/// Datagrams that are read from one socket in a turn, so that no socket holds up the others' deliveries.
const BATCH: usize = 128;
/// The largest datagram.
const LARGEST: usize = 1 << 16;

/// Runs a forwarder on loopback until its standard input ends: says its address first, then obeys.
///
/// Commands are lines: `silent`, `back`, `rate BITS` (towards the client; 0: no limit), `also ADDRESS` (another server
/// behind the same link), `report` and `usage`. The last three are answered with one line of JSON.
pub(crate) fn run(settings: &Settings) -> anyhow::Result<()> {
    let commands = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    forward(settings, commands, io::stdout())
}

fn forward(settings: &Settings, commands: File, out: impl Write) -> anyhow::Result<()> {
    let door = Door::new(settings.target, 0)?;
    let mut out = BufWriter::new(out);
    answer(&mut out, &door.front.local_addr()?)?;
    let mut forwarder = Forwarder {
        doors: vec![door],
        wire: Wire::new(settings.up.config(), settings.down.config(), settings.seed),
        start: Instant::now(),
        buffer: vec![0; LARGEST],
    };
    let mut text = String::new();
    loop {
        let ready = forwarder.wait(&commands)?;
        forwarder.turn(&ready);
        if ready.commands {
            if !read_lines(&commands, &mut text)? {
                return Ok(());
            }
            while let Some((line, rest)) = text.split_once('\n') {
                forwarder.obey(line, &mut out)?;
                text = rest.to_owned();
            }
        }
    }
}

fn answer(out: &mut impl Write, value: &impl Serialize) -> anyhow::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}

/// `false` at the end.
fn read_lines(mut commands: &File, text: &mut String) -> anyhow::Result<bool> {
    let mut piece = [0; 4_096];
    let length = io::Read::read(&mut commands, &mut piece)?;
    text.push_str(std::str::from_utf8(&piece[..length])?);
    anyhow::ensure!(text.len() < LARGEST, "a command has no end");
    Ok(length > 0)
}

struct Forwarder {
    /// One for each server behind the link.
    doors: Vec<Door>,
    wire: Wire,
    start: Instant,
    buffer: Vec<u8>,
}

/// Where clients of one server come in.
struct Door {
    front: UdpSocket,
    flows: Flows,
}

/// Flows of one door have its number in the bits above these.
const DOOR_SHIFT: u32 = 32;
/// Servers behind one link.
const MOST_DOORS: usize = 16;

impl Door {
    fn new(target: SocketAddr, index: usize) -> anyhow::Result<Self> {
        let home = if target.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
        let front = flows::socket(home.parse()?)?;
        Ok(Self { front, flows: Flows::new(target, (index as Flow) << DOOR_SHIFT) })
    }

    /// The door of a flow.
    fn of(doors: &[Self], flow: Flow) -> Option<&Self> {
        doors.get((flow >> DOOR_SHIFT) as usize)
    }
}

/// What can be read.
struct Ready {
    doors: Vec<usize>,
    commands: bool,
    flows: Vec<Flow>,
}

impl Forwarder {
    /// Waits for a datagram, a command or the next delivery.
    fn wait(&self, commands: &File) -> io::Result<Ready> {
        let mut fds = vec![PollFd::new(commands, PollFlags::IN)];
        fds.extend(self.doors.iter().map(|door| PollFd::new(&door.front, PollFlags::IN)));
        fds.extend(self.sockets().map(|(_, socket)| PollFd::new(socket, PollFlags::IN)));
        let due =
            self.wire.next_arrival().map(|at| at.saturating_sub(self.start.elapsed()).max(GRAIN));
        let due = due.map(|wait| Timespec {
            tv_sec: wait.as_secs() as i64,
            tv_nsec: wait.subsec_nanos().into(),
        });
        match poll(&mut fds, due.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        let (fronts, sockets) = ready[1..].split_at(self.doors.len());
        let doors = (0..).zip(fronts).filter(|(_, ready)| **ready).map(|(door, _)| door).collect();
        let flows = self.sockets().zip(sockets);
        let flows = flows.filter(|(_, ready)| **ready).map(|((flow, _), _)| flow).collect();
        Ok(Ready { doors, commands: ready[0], flows })
    }

    /// The sockets towards all servers.
    fn sockets(&self) -> impl Iterator<Item = (Flow, &UdpSocket)> {
        self.doors.iter().flat_map(|door| door.flows.sockets())
    }

    fn turn(&mut self, ready: &Ready) {
        let now = self.start.elapsed();
        for door in &ready.doors {
            self.take_from_clients(*door, now);
        }
        for flow in &ready.flows {
            self.take_from_server(*flow, now);
        }
        let Self { doors, wire, .. } = self;
        let now = self.start.elapsed();
        wire.deliver(now, |way, flow, payload| {
            Door::of(doors, flow).is_none_or(|door| pass(door, way, flow, payload))
        });
    }

    fn take_from_clients(&mut self, door: usize, now: Duration) {
        let door = &mut self.doors[door];
        for _ in 0..BATCH {
            // An error is the answer to something sent earlier (a port that is closed): the next call goes on.
            let Ok((length, client)) = door.front.recv_from(&mut self.buffer) else { return };
            match door.flows.of(client) {
                Ok(flow) => self.wire.send(Way::Up, now, flow, &self.buffer[..length]),
                Err(_) => self.wire.counts.overflow += 1,
            }
        }
    }

    fn take_from_server(&mut self, flow: Flow, now: Duration) {
        let door = Door::of(&self.doors, flow);
        let Some(socket) = door.and_then(|door| door.flows.socket(flow)) else { return };
        for _ in 0..BATCH {
            let Ok(length) = socket.recv(&mut self.buffer) else { return };
            self.wire.send(Way::Down, now, flow, &self.buffer[..length]);
        }
    }

    fn obey(&mut self, command: &str, out: &mut impl Write) -> anyhow::Result<()> {
        match command.split_once(' ').unwrap_or((command, "")) {
            ("silent", "") => self.wire.silence(),
            ("back", "") => self.wire.come_back(),
            ("rate", bits) => {
                let bits: u64 = bits.parse()?;
                self.wire.set_rate(Some(bits).filter(|bits| *bits > 0).map(Rate::bits));
            }
            ("also", target) => {
                anyhow::ensure!(self.doors.len() < MOST_DOORS, "too many servers for one link");
                let door = Door::new(target.parse()?, self.doors.len())?;
                answer(out, &door.front.local_addr()?)?;
                self.doors.push(door);
            }
            ("report", "") => answer(out, &self.report())?,
            ("usage", "") => answer(out, &Usage::now())?,
            _ => anyhow::bail!("{command:?} is no command of a link"),
        }
        Ok(())
    }

    fn report(&self) -> Report {
        let (counts, late) = (self.wire.counts, &self.wire.lateness);
        let micros = |per_mille| late.quantile(per_mille).as_micros() as u64;
        Report {
            up: counts.up,
            down: counts.down,
            down_bytes: counts.down_bytes,
            queue_full: counts.queue_full,
            too_large: counts.too_large,
            lost: counts.lost,
            silenced: counts.silenced,
            socket_drops: self.socket_drops(),
            overflow: counts.overflow,
            evicted: self.doors.iter().map(|door| door.flows.evicted).sum(),
            late_p50_us: micros(500),
            late_p99_us: micros(990),
            late_max_us: micros(1_000),
            down_sent_bytes: counts.down_sent_bytes,
            queue_mean_bytes: counts.queued / counts.down_sent.max(1),
            queue_peak_bytes: counts.queue_peak,
            cpu_ms: cpu_time().as_millis() as u64,
            wall_ms: self.start.elapsed().as_millis() as u64,
        }
    }

    /// What the kernel dropped in front of the forwarder's sockets.
    fn socket_drops(&self) -> u64 {
        let fronts = self.doors.iter().map(|door| &door.front);
        let ours = fronts.chain(self.sockets().map(|(_, socket)| socket));
        let ports: Vec<u16> =
            ours.filter_map(|socket| Some(socket.local_addr().ok()?.port())).collect();
        let tables = ["/proc/self/net/udp", "/proc/self/net/udp6"].map(std::fs::read_to_string);
        tables.iter().flatten().map(|table| drops(table, &ports)).sum()
    }
}

/// Passes a datagram on. `true` also where nobody is there to take it: that is the endpoints' affair.
fn pass(door: &Door, way: Way, flow: Flow, payload: &[u8]) -> bool {
    let sent = match way {
        Way::Up => door.flows.socket(flow).map(|socket| socket.send(payload)),
        Way::Down => door.flows.client(flow).map(|client| door.front.send_to(payload, client)),
    };
    !matches!(sent, Some(Err(error)) if error.kind() == io::ErrorKind::WouldBlock)
}

/// Sum of the last column of the kernel's table of UDP sockets, over those ports.
fn drops(table: &str, ports: &[u16]) -> u64 {
    let row = |line: &str| {
        let mut columns = line.split_whitespace();
        let local = columns.nth(1)?.rsplit_once(':')?.1;
        let port = u16::from_str_radix(local, 16).ok()?;
        ports.contains(&port).then(|| columns.last()?.parse::<u64>().ok())?
    };
    table.lines().skip(1).filter_map(row).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_of_the_kernel_are_read_from_its_table() {
        let table = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
 1186: 0100007F:9C4A 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 8731 2 0000000000000000 17
 1187: 00000000:9C4B 0100007F:0035 01 00000000:00000000 00:00000000 00000000     0        0 8732 2 0000000000000000 4
 1188: 00000000:9C4C 0100007F:0035 01 00000000:00000000 00:00000000 00000000     0        0 8733 2 0000000000000000 900
";
        assert_eq!(drops(table, &[0x9c4a, 0x9c4b]), 21);
        assert_eq!(drops(table, &[1]), 0);
    }
}
