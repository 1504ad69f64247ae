//! Network namespaces: a client and servers, each at the end of a link of its own. The kernel carries them, so that any
//! program can use them; they have a rate and a queue, and no delay, which needs a kernel with netem.

use std::net::{IpAddr, Ipv4Addr};
use std::process::{self, Command, Stdio};

use super::program::{Missing, Program};
use super::site::Place;
use crate::link::Shape;

/// The most servers.
pub(crate) const MOST: usize = 3;

/// What may leave at once, above the rate: less than the rate of a tick needs at 100 Mbit/s loses speed.
const BURST: u64 = 32 << 10;

/// Where a server is.
pub(crate) fn address(index: usize) -> IpAddr {
    at(index, 2)
}

/// Of the network of a link.
fn at(index: usize, host: u8) -> IpAddr {
    Ipv4Addr::new(10, 213, index as u8, host).into()
}

/// A client and servers. They are removed when this is dropped.
pub(crate) struct Hosts {
    names: Vec<String>,
    client: String,
}

impl Hosts {
    /// That many servers; their links have no limit yet.
    pub(crate) fn new(servers: usize) -> anyhow::Result<Self> {
        let prefix = format!("kwik-perf-{}", process::id());
        let client = format!("{prefix}-client");
        let mut hosts = Self { names: Vec::new(), client: client.clone() };
        hosts.add(&client)?;
        for index in 0..servers {
            let (host, link) = (format!("{prefix}-server{index}"), format!("to{index}"));
            hosts.add(&host)?;
            run(&format!("ip -n {client} link add {link} type veth peer name eth0 netns {host}"))?;
            for (host, link, end) in [(&client, link.as_str(), 1), (&host, "eth0", 2)] {
                run(&format!("ip -n {host} addr add {}/30 dev {link}", at(index, end)))?;
                run(&format!("ip -n {host} link set {link} up"))?;
            }
        }
        Ok(hosts)
    }

    fn add(&mut self, name: &str) -> anyhow::Result<()> {
        run(&format!("ip netns add {name}"))?;
        self.names.push(name.to_owned());
        run(&format!("ip -n {name} link set lo up"))
    }

    /// Where the client is.
    pub(crate) fn client(&self) -> Place {
        Place { host: Some(exec(&self.client)), address: at(0, 1) }
    }

    /// Where a server is.
    pub(crate) fn server(&self, index: usize) -> Place {
        Place { host: Some(exec(&self.names[index + 1])), address: address(index) }
    }

    /// Gives the links their rates and queues, the same in both directions.
    pub(crate) fn limit(&self, shapes: &[Shape]) -> anyhow::Result<()> {
        for (index, shape) in shapes.iter().enumerate() {
            let rate = shape.rate.unwrap_or_default();
            let tbf = format!("root tbf rate {rate}bit burst {BURST}b limit {}b", shape.queue);
            run(&format!("tc -n {} qdisc add dev to{index} {tbf}", self.client))?;
            run(&format!("tc -n {} qdisc add dev eth0 {tbf}", self.names[index + 1]))?;
        }
        Ok(())
    }

    /// The link of a server carries nothing any more, and closes nothing.
    pub(crate) fn silence(&self, index: usize) -> anyhow::Result<()> {
        run(&format!("ip -n {} link set eth0 down", self.names[index + 1]))
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for name in &self.names {
            // Nothing is left to do about one that stays.
            let _ = run(&format!("ip netns del {name}"));
        }
    }
}

fn exec(host: &str) -> Program {
    Program::new("ip").args(["netns", "exec", host])
}

/// Where it fails, the case is left out: not everybody may make namespaces.
fn run(command: &str) -> anyhow::Result<()> {
    let words: Vec<&str> = command.split(' ').collect();
    let output = Command::new(words[0]).args(&words[1..]).stdin(Stdio::null()).output();
    let said = match output {
        Ok(output) if output.status.success() => return Ok(()),
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(error) => error.to_string(),
    };
    Err(Missing(format!("no network namespaces, which need root: `{command}`: {said}")).into())
}
