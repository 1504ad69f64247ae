//! `kwik-perf throughput`: one public stream, as fast as it goes.

use crate::child::Child;
use crate::cli::Options;
use crate::client::{Client, Transfer, Work};
use crate::report::{Report, Target};
use crate::role::{Certificate, Role, Server, Stack, Threads, start};
use crate::statistics::median;

/// Both are tried with the rival, which gets the better one; KWIK is given the first.
const CHUNKS: [u64; 2] = [64 << 10, 1 << 20];
/// Largest packets on Ethernet, and the largest that both libraries are told to probe for.
const ETHERNET: u16 = 1_500;
const LARGEST: u16 = 9_001;
const GIB: f64 = (1u64 << 30) as f64;

/// What one way of doing it gave, run by run.
#[derive(Default)]
struct Samples {
    gbps: Vec<f64>,
    /// CPU seconds of both processes, per GiB.
    cpu: Vec<f64>,
    /// Bytes of headers per byte.
    header: Vec<f64>,
}

impl Samples {
    fn add(&mut self, (transfer, cpu_seconds): (Transfer, f64)) {
        self.gbps.push(transfer.bytes as f64 * 8.0 / transfer.seconds / 1e9);
        self.cpu.push(cpu_seconds * GIB / transfer.bytes as f64);
        self.header.push(transfer.header_bytes as f64 / transfer.bytes as f64);
    }
}

/// One way of doing it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Way {
    stack: Stack,
    threads: Threads,
    max_mtu: u16,
    chunk: u64,
}

/// What each way gave.
struct Found(Vec<(Way, Samples)>);

/// Each run measures every way in turn, every other run in the opposite order.
pub(crate) fn run(options: &Options) -> anyhow::Result<Report> {
    let length = options.amount(1 << 30, 4 << 20);
    let certificate = Certificate::new()?;
    let mut ways: Vec<(Way, Samples)> = Vec::new();
    for max_mtu in [ETHERNET, LARGEST] {
        for threads in [Threads::Default, Threads::Single] {
            let mut add = |stack, chunk| {
                let way = Way { stack, threads, max_mtu, chunk };
                ways.push((way, Samples::default()));
            };
            add(Stack::Native, CHUNKS[0]);
            add(Stack::Native, CHUNKS[1]);
            add(Stack::Kwik, CHUNKS[0]);
        }
    }
    for run in 0..options.runs {
        for index in 0..ways.len() {
            let index = if run % 2 == 0 { index } else { ways.len() - 1 - index };
            let (way, samples) = &mut ways[index];
            let server = Server::new(way.stack, way.threads, &certificate);
            let server = Server { max_mtu: way.max_mtu, ..server };
            samples.add(transfer(server, length, way.chunk)?);
        }
    }
    Ok(report(&Found(ways)))
}

impl Found {
    /// With the faster of the chunk sizes.
    fn better(&self, stack: Stack, threads: Threads, max_mtu: u16) -> &Samples {
        let of_kind = self
            .0
            .iter()
            .filter(|(way, _)| (way.stack, way.threads, way.max_mtu) == (stack, threads, max_mtu));
        let best = of_kind.max_by(|a, b| median(&a.1.gbps).total_cmp(&median(&b.1.gbps)));
        &best.expect("every stack is measured on every kind of threads with every MTU").1
    }

    /// Rival and KWIK on default threads, then on single ones.
    fn at(&self, max_mtu: u16) -> [&Samples; 4] {
        let better = |stack, threads| self.better(stack, threads, max_mtu);
        [
            better(Stack::Native, Threads::Default),
            better(Stack::Kwik, Threads::Default),
            better(Stack::Native, Threads::Single),
            better(Stack::Kwik, Threads::Single),
        ]
    }
}

fn ratio(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a / b).collect()
}

fn report(found: &Found) -> Report {
    let mut report = Report::new("throughput");
    ethernet(&mut report, found.at(ETHERNET));
    as_found(&mut report, found.at(LARGEST));
    report
}

/// With packets of at most 1,500 bytes.
fn ethernet(
    report: &mut Report,
    [native_default, kwik, native_single, kwik_single]: [&Samples; 4],
) {
    report.measure("native_default_gbps", &native_default.gbps);
    report.measure("native_single_gbps", &native_single.gbps);
    report.measure("kwik_gbps", &kwik.gbps);
    report.measure("kwik_single_gbps", &kwik_single.gbps);
    let default = ratio(&kwik.gbps, &native_default.gbps);
    report.aim("ratio_default", &default, Target::AtLeast(1.8));
    let single = ratio(&kwik_single.gbps, &native_single.gbps);
    report.aim("ratio_single", &single, Target::AtLeast(0.95));
    let cheaper = match median(&native_default.cpu) < median(&native_single.cpu) {
        true => native_default,
        false => native_single,
    };
    report.measure("native_default_cpu_s_per_gib", &native_default.cpu);
    report.measure("native_single_cpu_s_per_gib", &native_single.cpu);
    report.measure("kwik_cpu_s_per_gib", &kwik.cpu);
    report.measure("kwik_single_cpu_s_per_gib", &kwik_single.cpu);
    report.aim("cpu_ratio", &ratio(&kwik.cpu, &cheaper.cpu), Target::AtMost(1.1));
    report.measure("cpu_ratio_single", &ratio(&kwik_single.cpu, &cheaper.cpu));
    report.aim("header_ratio", &kwik.header, Target::AtMost(0.005));
}

/// With the packets that probing finds the path to take.
fn as_found(
    report: &mut Report,
    [native_default, kwik, native_single, kwik_single]: [&Samples; 4],
) {
    report.measure("found_native_default_gbps", &native_default.gbps);
    report.measure("found_native_single_gbps", &native_single.gbps);
    report.aim("found_kwik_gbps", &kwik.gbps, Target::AtLeast(15.0));
    report.measure("found_kwik_single_gbps", &kwik_single.gbps);
    report.measure("found_ratio_default", &ratio(&kwik.gbps, &native_default.gbps));
    let single = ratio(&kwik_single.gbps, &native_single.gbps);
    report.aim("found_ratio_single", &single, Target::AtLeast(0.95));
    report.measure("found_native_default_cpu_s_per_gib", &native_default.cpu);
    report.measure("found_native_single_cpu_s_per_gib", &native_single.cpu);
    report.aim("found_kwik_cpu_s_per_gib", &kwik.cpu, Target::AtMost(0.85));
    report.measure("found_kwik_single_cpu_s_per_gib", &kwik_single.cpu);
}

/// One transfer between two new processes, and the CPU seconds that both took.
pub(crate) fn transfer(server: Server, length: u64, chunk: u64) -> anyhow::Result<(Transfer, f64)> {
    let Server { stack, threads, max_mtu, .. } = server;
    let chain = server.certificate.chain.clone();
    let (mut server, listening) = start(&Role::Server(server))?;
    let mut client = Child::start(&Role::Client(Client {
        stack,
        threads,
        server: listening.address,
        secondaries: 0,
        streams: 100,
        max_mtu,
        chain,
        work: Work::Download { length, chunk },
    }))?;
    measured(&mut server, &mut client)
}

/// Lets a client go; what it found, and the CPU seconds that it and the server took.
pub(crate) fn measured(server: &mut Child, client: &mut Child) -> anyhow::Result<(Transfer, f64)> {
    client.ready()?;
    let before = server.usage()?.cpu_seconds;
    client.go()?;
    let transfer: Transfer = client.hear()?;
    let cpu = server.usage()?.cpu_seconds - before;
    Ok((transfer, cpu + transfer.cpu_seconds))
}
