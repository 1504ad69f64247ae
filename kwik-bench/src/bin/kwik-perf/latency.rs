//! `kwik-perf latency`: a message there and back on an open stream.

use crate::child::Child;
use crate::cli::Options;
use crate::client::{Client, Latencies, Load, Work};
use crate::report::{Report, Target};
use crate::role::{
    Certificate, Identity, Listening, Role, Secondary, Server, Stack, Threads, start,
};

const MESSAGE: u64 = 1 << 10;
/// What each of three secondaries delivers meanwhile: 100 Mbit/s, so that all processes have room on two cores.
pub(crate) const BUSY: u64 = 12_500_000;
/// How many secondaries.
pub(crate) const SECONDARIES: usize = 3;

/// Each run measures bare s2n-quic, KWIK, and KWIK with busy secondaries, every other run in the opposite order.
pub(crate) fn run(options: &Options) -> anyhow::Result<Report> {
    let messages = options.amount(5_000, 50);
    let cast = Cast::new()?;
    let mut samples: [Vec<Latencies>; 3] = Default::default();
    for run in 0..options.runs {
        for index in 0..samples.len() {
            let index = if run % 2 == 0 { index } else { samples.len() - 1 - index };
            samples[index].push(match index {
                0 => cast.native(messages)?,
                1 => cast.kwik(messages, 0, None)?,
                _ => cast.kwik(messages, SECONDARIES, Some(Load::Delegated { rate: BUSY }))?,
            });
        }
    }
    Ok(report(&samples))
}

fn report([native, kwik, busy]: &[Vec<Latencies>; 3]) -> Report {
    let of = |samples: &[Latencies], what: fn(&Latencies) -> f64| -> Vec<f64> {
        samples.iter().map(what).collect()
    };
    let added = |samples: &[Latencies], what: fn(&Latencies) -> f64| -> Vec<f64> {
        samples.iter().zip(native).map(|(ours, bare)| what(ours) - what(bare)).collect()
    };
    let p50 = |sample: &Latencies| sample.p50_us;
    let p99 = |sample: &Latencies| sample.p99_us;
    let mut report = Report::new("latency");
    report.measure("native_p50_us", &of(native, p50));
    report.measure("native_p99_us", &of(native, p99));
    report.measure("kwik_p50_us", &of(kwik, p50));
    report.measure("kwik_p99_us", &of(kwik, p99));
    report.aim("added_p50_us", &added(kwik, p50), Target::AtMost(20.0));
    report.aim("added_p99_us", &added(kwik, p99), Target::AtMost(100.0));
    report.measure("busy_p50_us", &of(busy, p50));
    report.measure("busy_p99_us", &of(busy, p99));
    report.measure("busy_load_mbps", &of(busy, |sample| sample.load * 8.0 / 1e6));
    report.aim("busy_added_p99_us", &added(busy, p99), Target::Below(1000.0));
    report
}

/// Certificates and keys of one measurement, and the processes that use them.
pub(crate) struct Cast {
    certificate: Certificate,
    identity: Identity,
}

impl Cast {
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self { certificate: Certificate::new()?, identity: Identity::new() })
    }

    fn native(&self, messages: u64) -> anyhow::Result<Latencies> {
        let server = Server::new(Stack::Native, Threads::Default, &self.certificate);
        self.ping_pong(server, messages, None)
    }

    /// Round trips to a primary with that many secondaries.
    pub(crate) fn kwik(
        &self,
        messages: u64,
        secondaries: usize,
        load: Option<Load>,
    ) -> anyhow::Result<Latencies> {
        let (children, listening) = self.secondaries(secondaries)?;
        let found = self.ping_pong(self.primary(listening), messages, load);
        drop(children);
        found
    }

    /// Starts that many secondaries.
    pub(crate) fn secondaries(&self, count: usize) -> anyhow::Result<(Vec<Child>, Vec<Listening>)> {
        let role = Role::Secondary(Secondary { trusts: self.identity.public.clone() });
        let started: anyhow::Result<Vec<_>> = (0..count).map(|_| start(&role)).collect();
        Ok(started?.into_iter().unzip())
    }

    /// A primary with these secondaries, not yet started.
    pub(crate) fn primary(&self, secondaries: Vec<Listening>) -> Server {
        Server {
            identity: Some(self.identity.secret.clone()),
            secondaries,
            ..Server::new(Stack::Kwik, Threads::Default, &self.certificate)
        }
    }

    /// A client, not yet started.
    pub(crate) fn client(&self, server: &Server, listening: &Listening, work: Work) -> Role {
        Role::Client(Client {
            stack: server.stack,
            threads: server.threads,
            server: listening.address,
            secondaries: server.secondaries.len(),
            chain: self.certificate.chain.clone(),
            work,
        })
    }

    fn ping_pong(
        &self,
        server: Server,
        messages: u64,
        load: Option<Load>,
    ) -> anyhow::Result<Latencies> {
        let (_process, listening) = start(&Role::Server(server.clone()))?;
        let work = Work::PingPong { messages, size: MESSAGE, load };
        let mut client = Child::start(&self.client(&server, &listening, work))?;
        client.ready()?;
        client.go()?;
        client.hear()
    }
}
