//! The second file of a session that has fetched one, over an emulated link: how long until its first byte.

use std::time::Instant;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

use super::site::Site;
use super::{Found, in_turn};
use crate::child::{Orders, say};
use crate::cli::Options;
use crate::client::Work;
use crate::link::Shape;
use crate::report::Target;
use crate::role::{Congestion, Stack};
use crate::spread::{Network, Void};
use crate::traffic::{Request, Session, ask, drain};

const RTT_MS: u64 = 20;
/// Of each file.
const LENGTH: u64 = 1 << 20;

/// When the second file's first byte came.
#[derive(Debug, Serialize, Deserialize)]
struct FirstByte {
    ms: f64,
}

pub(super) fn run(_: &Site, options: &Options, found: &mut Found) -> anyhow::Result<()> {
    let (mut ours, mut rival) = (Vec::new(), Vec::new());
    let shape = Shape::new(100, RTT_MS);
    for run in 0..options.runs {
        let get = || Ok((Network::of_kwik(&[shape])?, Stack::Kwik));
        let bare = || Ok((Network::of_bare(shape, Congestion::default())?, Stack::Native));
        let (kwik, native) = in_turn(run, get, bare)?;
        ours.push(once(kwik, &mut found.void)?);
        rival.push(once(native, &mut found.void)?);
    }
    found.report.aim("second_first_byte_ms", &ours, Target::AtMost(RTT_MS as f64 + 1.0));
    found.report.measure("second_native_first_byte_ms", &rival);
    let rtts: Vec<f64> = ours.iter().map(|ms| ms / RTT_MS as f64).collect();
    found.report.measure("second_first_byte_rtts", &rtts);
    let over: Vec<f64> = ours.iter().zip(&rival).map(|(ours, bare)| ours / bare).collect();
    found.report.measure("second_over_native", &over);
    Ok(())
}

fn once((mut network, stack): (Network, Stack), void: &mut Void) -> anyhow::Result<f64> {
    let mut client = network.client(stack, 0, Work::Second)?;
    client.go()?;
    let found: FirstByte = client.hear()?;
    network.check(void)?;
    Ok(found.ms)
}

/// The client's side.
pub(crate) async fn read(session: &mut impl Session, orders: &mut Orders) -> anyhow::Result<()> {
    orders.ready().await;
    let mut found = None;
    for _ in 0..2 {
        let start = Instant::now();
        let mut first = None;
        let mut stream = ask(session, Request::Bulk { length: LENGTH, chunk: 64 << 10 }).await?;
        let bytes = drain(&mut stream, |_| {
            first.get_or_insert_with(|| start.elapsed());
        })
        .await?;
        ensure!(bytes == LENGTH, "{bytes} bytes came of {LENGTH}");
        found = first;
    }
    let first = found.context("bytes came")?;
    say(&FirstByte { ms: first.as_secs_f64() * 1e3 });
    Ok(())
}
