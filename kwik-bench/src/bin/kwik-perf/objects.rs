//! `kwik-perf objects`: many small streams over one session, in requests a second, beside bare s2n-quic's.

use crate::cast::Cast;
use crate::child::Child;
use crate::cli::Options;
use crate::client::{Transfer, Work};
use crate::report::{Report, Target};
use crate::role::{Role, Server, Stack, Threads, start};

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
    for (prefix, threads) in [("", Threads::Default), ("single_", Threads::Single)] {
        for at_once in AT_ONCE {
            let (mut bare, mut kwik) = (Vec::new(), Vec::new());
            for round in 0..options.runs * ROUNDS {
                // Every other round in the opposite order.
                let mut stacks = [Stack::Native, Stack::Kwik];
                stacks.rotate_left(round % 2);
                for stack in stacks {
                    let server = Server { stack, threads, ..cast.primary(Vec::new()) };
                    let rate = rate(&cast, &server, at_once, requests)?;
                    match stack {
                        Stack::Native => bare.push(rate),
                        Stack::Kwik => kwik.push(rate),
                    }
                }
            }
            let ratio: Vec<f64> = kwik.iter().zip(&bare).map(|(ours, bare)| ours / bare).collect();
            let key = format!("{prefix}ratio_{at_once}");
            match threads {
                Threads::Default => report.aim(&key, &ratio, Target::AtLeast(0.8)),
                // What of it are not wake-ups from thread to thread.
                Threads::Single => report.measure(&key, &ratio),
            };
            report.measure(&format!("{prefix}kwik_{at_once}_per_second"), &kwik);
            report.measure(&format!("{prefix}native_{at_once}_per_second"), &bare);
        }
    }
    Ok(report)
}

/// Requests a second, between two new processes.
fn rate(cast: &Cast, server: &Server, at_once: u64, requests: u64) -> anyhow::Result<f64> {
    let (_process, listening) = start(&Role::Server(server.clone()))?;
    let work = Work::Streams { at_once, total: requests, length: LENGTH };
    let mut client = Child::start(&cast.client(server, &listening, work))?;
    client.ready()?;
    client.go()?;
    let transfer: Transfer = client.hear()?;
    Ok(requests as f64 / transfer.seconds)
}
