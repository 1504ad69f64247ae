//! Three servers, each behind a link of its own: `kwik get` beside aria2c with three mirrors, both to disk.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use super::hosts::{Hosts, MOST};
use super::program::{Program, need};
use super::site::Site;
use super::{Found, in_turn, ratios};
use crate::child::Child;
use crate::cli::Options;
use crate::link::Shape;
use crate::report::Target;

const EQUAL: [u64; MOST] = [100; MOST];
const MIXED: [u64; MOST] = [100, 60, 15];
const OUTPUT: &str = "copy";
/// The queues are as on links of this round trip, whichever theirs is.
const QUEUE_MS: u64 = 20;
/// The link that falls silent: a secondary's.
const SILENT: usize = 1;
/// What would be there by then, of the whole.
const SHARE: f64 = 0.3;

/// 200 MB over three links of 100 Mbit/s.
pub(super) fn equal(site: &Site, options: &Options, found: &mut Found) -> anyhow::Result<()> {
    spread("equal", EQUAL, options.amount(200_000_000, 2_000_000), site, options, found)
}

/// 300 MB over links of 100, 60 and 15 Mbit/s.
pub(super) fn mixed(site: &Site, options: &Options, found: &mut Found) -> anyhow::Result<()> {
    spread("mixed", MIXED, options.amount(300_000_000, 2_000_000), site, options, found)
}

fn spread(
    name: &str,
    rates: [u64; MOST],
    length: u64,
    site: &Site,
    options: &Options,
    found: &mut Found,
) -> anyhow::Result<()> {
    let file = site.file(length)?;
    let (mut ours, mut rival, mut sums) = (Vec::new(), Vec::new(), Vec::new());
    for run in 0..options.runs {
        let network = Network::new(site, rates, &file)?;
        sums.push(network.sum(rates, length)?);
        let get = || network.timed(&network.get()?, length);
        let aria2c = || network.timed(&network.aria2c()?, length);
        let (get, aria2c) = in_turn(run, get, aria2c)?;
        ours.push(get);
        rival.push(aria2c);
    }
    let of_sum = |seconds: &[f64]| {
        let parts = seconds.iter().zip(&sums).map(|(seconds, sum)| length as f64 / seconds / sum);
        parts.collect::<Vec<_>>()
    };
    let key = |what: &str| format!("{name}_{what}");
    found.report.aim(&key("over_aria2c"), &ratios(&ours, &rival), Target::AtMost(1.0));
    found.report.aim(&key("get_of_sum"), &of_sum(&ours), Target::AtLeast(0.97));
    found.report.measure(&key("aria2c_of_sum"), &of_sum(&rival));
    found.report.measure(&key("get_seconds"), &ours);
    found.report.measure(&key("aria2c_seconds"), &rival);
    let mbps: Vec<f64> = sums.iter().map(|sum| sum * 8.0 / 1e6).collect();
    found.report.measure(&key("sum_mbps"), &mbps);
    Ok(())
}

/// 200 MB over three links of 100 Mbit/s, of which one falls silent at 30 % of the ideal time.
pub(super) fn silent(site: &Site, options: &Options, found: &mut Found) -> anyhow::Result<()> {
    let length = options.amount(200_000_000, 2_000_000);
    let file = site.file(length)?;
    // aria2c waits for a minute and more.
    let rivals = if options.is_full() { options.runs.div_ceil(4) } else { 0 };
    let (mut ours, mut rival) = (Vec::new(), Vec::new());
    for run in 0..options.runs {
        let network = Network::new(site, EQUAL, &file)?;
        let sum = network.sum(EQUAL, length)?;
        let get = network.get()?;
        ours.push(network.broken(&get, length, sum)?);
        if run < rivals {
            drop(network);
            let network = Network::new(site, EQUAL, &file)?;
            rival.push(network.broken(&network.aria2c()?, length, sum)?);
        }
    }
    found.report.aim("silent_over_ideal", &ours, Target::AtMost(1.08));
    if !rival.is_empty() {
        found.report.measure("silent_aria2c_over_ideal", &rival);
    }
    Ok(())
}

/// Servers of both kinds behind the same links, and a client.
struct Network<'a> {
    site: &'a Site,
    file: &'a str,
    // Servers end before their hosts are removed.
    _servers: Vec<Child>,
    nginx: Vec<SocketAddr>,
    primary: SocketAddr,
    hosts: Hosts,
}

impl<'a> Network<'a> {
    fn new(site: &'a Site, rates: [u64; MOST], file: &'a str) -> anyhow::Result<Self> {
        need(&["aria2c"])?;
        let hosts = Hosts::new(MOST)?;
        let (mut servers, mut nginx, mut secondaries) = (Vec::new(), Vec::new(), Vec::new());
        for index in 0..MOST {
            let (server, address) = site.nginx(&hosts.server(index))?;
            servers.push(server);
            nginx.push(address);
        }
        for index in 1..MOST {
            let (server, listening) = site.secondary(&hosts.server(index), index)?;
            servers.push(server);
            secondaries.push(listening);
        }
        let (server, primary) = site.primary(&hosts.server(0), &secondaries)?;
        servers.push(server);
        let primary = primary.address;
        let network = Self { site, file, _servers: servers, nginx, primary, hosts };
        let client = network.hosts.client();
        for address in &network.nginx {
            site.await_nginx(&client, *address)?;
        }
        // All have the file in memory then, and KWIK's servers have hashed it.
        site.get(&client, primary, file, "/dev/null").time()?;
        network.hosts.limit(&rates.map(|rate| Shape::new(rate, QUEUE_MS)))?;
        Ok(network)
    }

    fn get(&self) -> anyhow::Result<Program> {
        let output = self.site.output(OUTPUT)?;
        Ok(self.site.get(&self.hosts.client(), self.primary, self.file, &output))
    }

    fn aria2c(&self) -> anyhow::Result<Program> {
        self.site.output(OUTPUT)?;
        Ok(self.site.aria2c(&self.hosts.client(), &self.nginx, self.file, OUTPUT))
    }

    fn timed(&self, program: &Program, length: u64) -> anyhow::Result<f64> {
        let seconds = program.time()?;
        self.site.check_output(OUTPUT, length)?;
        Ok(seconds)
    }

    /// What curl gets on all links at once, each from its own server, in bytes a second: a quarter of the file.
    fn sum(&self, rates: [u64; MOST], length: u64) -> anyhow::Result<f64> {
        let all: u64 = rates.iter().sum();
        let client = self.hosts.client();
        let each = rates.iter().zip(&self.nginx).map(|(rate, server)| {
            let bytes = length / 4 * rate / all;
            let curl = self.site.curl(&client, *server, self.file, "/dev/null");
            (bytes, curl.arg("--range").arg(format!("0-{}", bytes - 1)))
        });
        let each: Vec<_> = each.collect();
        thread::scope(|scope| {
            let running: Vec<_> = each
                .iter()
                .map(|(bytes, curl)| (bytes, scope.spawn(move || curl.time())))
                .collect();
            running.into_iter().map(|(bytes, curl)| rate(*bytes, curl)).sum()
        })
    }

    /// Time over the ideal, while one link falls silent in the middle. The ideal is all links until then, and those that
    /// are left from then on.
    fn broken(&self, program: &Program, length: u64, sum: f64) -> anyhow::Result<f64> {
        let cut = SHARE * length as f64 / sum;
        let mut silenced = Ok(());
        let hosts = &self.hosts;
        let silence = || silenced = hosts.silence(SILENT);
        let seconds = program.time_with(Duration::from_secs_f64(cut), silence)?;
        silenced?;
        self.site.check_output(OUTPUT, length)?;
        Ok(seconds / ideal(length, sum, cut))
    }
}

fn rate(
    bytes: u64,
    curl: thread::ScopedJoinHandle<'_, anyhow::Result<f64>>,
) -> anyhow::Result<f64> {
    let seconds = curl.join().map_err(|_| anyhow::anyhow!("curl was not timed"))??;
    Ok(bytes as f64 / seconds)
}

/// Seconds at all links' rate until `cut`, then at that of all but one.
fn ideal(length: u64, sum: f64, cut: f64) -> f64 {
    let (all, left) = (MOST as f64, MOST as f64 - 1.0);
    cut + (length as f64 - sum * cut) / (sum * left / all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ideal_uses_every_link_while_it_lasts() {
        // 30 bytes a second for 1 s, then 20 for the other 60.
        assert!((ideal(90, 30.0, 1.0) - 4.0).abs() < 1e-9);
    }
}
