//! `kwik-perf objects`: many small streams over one session, in requests a second, beside bare s2n-quic's.

use crate::cast::Cast;
use crate::child::Child;
use crate::cli::Options;
use crate::client::{Transfer, Work};
use crate::report::{Report, Target};
use crate::role::{Role, Server, Stack, start};

/// Requests over one session, and bytes of each answer.
const REQUESTS: u64 = 1_000;
const LENGTH: u64 = 10_000;
/// How many are open at a time.
const AT_ONCE: [u64; 3] = [1, 16, 100];

/// One measurement lasts tens of milliseconds: each run takes so many of each, in turn.
const ROUNDS: usize = 5;

pub(crate) fn run(options: &Options) -> anyhow::Result<Report> {
    let requests = options.amount(REQUESTS, 20);
    let cast = Cast::new()?;
    let mut report = Report::new("objects");
    for at_once in AT_ONCE {
        let (mut bare, mut kwik) = (Vec::new(), Vec::new());
        for round in 0..options.runs * ROUNDS {
            let mut rival =
                || anyhow::Ok(bare.push(rate(&cast, Stack::Native, at_once, requests)?));
            let mut ours = || anyhow::Ok(kwik.push(rate(&cast, Stack::Kwik, at_once, requests)?));
            if round % 2 == 0 {
                rival()?;
                ours()?;
            } else {
                ours()?;
                rival()?;
            }
        }
        let ratio: Vec<f64> = kwik.iter().zip(&bare).map(|(ours, bare)| ours / bare).collect();
        report.aim(&format!("ratio_{at_once}"), &ratio, Target::AtLeast(0.8));
        report.measure(&format!("kwik_{at_once}_per_second"), &kwik);
        report.measure(&format!("native_{at_once}_per_second"), &bare);
    }
    Ok(report)
}

/// Requests a second, between two new processes.
fn rate(cast: &Cast, stack: Stack, at_once: u64, requests: u64) -> anyhow::Result<f64> {
    let server = Server { stack, ..cast.primary(Vec::new()) };
    let (_process, listening) = start(&Role::Server(server.clone()))?;
    let work = Work::Streams { at_once, total: requests, length: LENGTH };
    let mut client = Child::start(&cast.client(&server, &listening, work))?;
    client.ready()?;
    client.go()?;
    let transfer: Transfer = client.hear()?;
    Ok(requests as f64 / transfer.seconds)
}
