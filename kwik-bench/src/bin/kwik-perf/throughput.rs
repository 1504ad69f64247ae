//! `kwik-perf throughput`: one public stream, as fast as it goes.

use crate::child::Child;
use crate::cli::Options;
use crate::client::{Client, Transfer, Work};
use crate::report::{Report, Target};
use crate::role::{Certificate, Role, Server, Stack, Threads, start};
use crate::statistics::median;

/// Both are tried with the rival, which gets the better one; KWIK is given the first.
const CHUNKS: [u64; 2] = [64 << 10, 1 << 20];
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

/// Each run measures every way in turn, every other run in the opposite order.
pub(crate) fn run(options: &Options) -> anyhow::Result<Report> {
    let length = options.amount(1 << 30, 4 << 20);
    let certificate = Certificate::new()?;
    let mut ways: Vec<_> = [Threads::Default, Threads::Single]
        .into_iter()
        .flat_map(|threads| {
            [
                (Stack::Native, threads, CHUNKS[0]),
                (Stack::Native, threads, CHUNKS[1]),
                (Stack::Kwik, threads, CHUNKS[0]),
            ]
        })
        .map(|way| (way, Samples::default()))
        .collect();
    for run in 0..options.runs {
        for index in 0..ways.len() {
            let index = if run % 2 == 0 { index } else { ways.len() - 1 - index };
            let ((stack, threads, chunk), samples) = &mut ways[index];
            let server = Server::new(*stack, *threads, &certificate);
            samples.add(transfer(server, length, *chunk)?);
        }
    }
    let samples = |stack, threads| better(&ways, stack, threads);
    Ok(report(
        samples(Stack::Native, Threads::Default),
        samples(Stack::Native, Threads::Single),
        samples(Stack::Kwik, Threads::Default),
        samples(Stack::Kwik, Threads::Single),
    ))
}

type Way = ((Stack, Threads, u64), Samples);

/// The faster of the chunk sizes.
fn better(ways: &[Way], stack: Stack, threads: Threads) -> &Samples {
    let of_kind = ways.iter().filter(|((s, t, _), _)| *s == stack && *t == threads);
    let best = of_kind.max_by(|a, b| median(&a.1.gbps).total_cmp(&median(&b.1.gbps)));
    &best.expect("every stack is measured on every kind of threads").1
}

fn report(
    native_default: &Samples,
    native_single: &Samples,
    kwik: &Samples,
    kwik_single: &Samples,
) -> Report {
    let mut report = Report::new("throughput");
    report.measure("native_default_gbps", &native_default.gbps);
    report.measure("native_single_gbps", &native_single.gbps);
    report.measure("kwik_gbps", &kwik.gbps);
    report.measure("kwik_single_gbps", &kwik_single.gbps);
    let ratio = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a / b).collect::<Vec<_>>();
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
    report
}

/// One transfer between two new processes, and the CPU seconds that both took.
pub(crate) fn transfer(server: Server, length: u64, chunk: u64) -> anyhow::Result<(Transfer, f64)> {
    let (stack, threads) = (server.stack, server.threads);
    let chain = server.certificate.chain.clone();
    let (mut server, listening) = start(&Role::Server(server))?;
    let mut client = Child::start(&Role::Client(Client {
        stack,
        threads,
        server: listening.address,
        secondaries: 0,
        streams: 100,
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
