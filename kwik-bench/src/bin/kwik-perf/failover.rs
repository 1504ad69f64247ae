//! `kwik-perf failover`: one of three links goes silent at 30 %.

use crate::cli::Options;
use crate::link::Shape;
use crate::report::{Report, Target};
use crate::spread::{Network, Outcome, Own, Spread, Void, bare, spread};

/// Links of 100 Mbit/s; the primary's is one of them.
const LINKS: usize = 3;
/// The link that goes silent: a secondary's. Nothing closes on it.
const SILENT: usize = 1;
/// What the client has read by then, of the whole.
const SHARE: f64 = 0.3;
const LENGTH: u64 = 96 << 20;

pub(crate) fn run(options: &Options) -> anyhow::Result<Report> {
    let length = options.amount(LENGTH, 6 << 20);
    let shape = Shape::new(100, 20);
    let mut void = Void::default();
    let (mut kwik, mut native) = (Vec::new(), Vec::new());
    for run in 0..options.runs {
        if run % 2 == 1 {
            kwik.push(broken(length, shape, &mut void)?);
        }
        // Each of the links alone is the same link: a third of the bytes over one of them.
        let alone = bare(shape, length / LINKS as u64, &mut void)?;
        native.push(alone.bytes as f64 / alone.seconds);
        if run % 2 == 0 {
            kwik.push(broken(length, shape, &mut void)?);
        }
    }
    Ok(report(length, &kwik, &native, void))
}

fn broken(length: u64, shape: Shape, void: &mut Void) -> anyhow::Result<Outcome> {
    let mut network = Network::of_kwik(&[shape; LINKS])?;
    let notice = Some((length as f64 * SHARE) as u64);
    let stream = Spread { length, own: Own::Share, notice, pace: None };
    let outcome = spread(&mut network, stream, |network| network.link(SILENT).silence())?;
    network.check(void)?;
    Ok(outcome)
}

/// Seconds that the bytes take at the rates of bare connections, all of them until one falls silent, then the others.
fn ideal(length: u64, rate: f64) -> f64 {
    let (all, left) = (LINKS as f64, LINKS as f64 - 1.0);
    length as f64 / rate * (SHARE / all + (1.0 - SHARE) / left)
}

fn report(length: u64, kwik: &[Outcome], native: &[f64], void: Void) -> Report {
    let mut report = Report::new("failover");
    let ideals: Vec<f64> = native.iter().map(|rate| ideal(length, *rate)).collect();
    let over = kwik.iter().zip(&ideals).map(|(outcome, ideal)| outcome.seconds / ideal);
    report.aim("time_over_ideal", &over.collect::<Vec<_>>(), Target::AtMost(1.08));
    let each = |pick: fn(&Outcome) -> f64| kwik.iter().map(pick).collect::<Vec<f64>>();
    let stalls = each(|outcome| outcome.longest_stall_ms);
    report.aim("longest_stall_ms", &stalls, Target::AtMost(500.0));
    let redundant = kwik.iter().map(|outcome| outcome.redundant_bytes as f64 / length as f64);
    report.aim("redundant_ratio", &redundant.collect::<Vec<_>>(), Target::AtMost(0.03));
    report.measure("seconds", &each(|outcome| outcome.seconds));
    report.measure("ideal_seconds", &ideals);
    report.measure("repairs", &each(|outcome| outcome.repairs as f64));
    report.measure("peak_buffer_bytes", &each(|outcome| outcome.peak_buffer_bytes as f64));
    void.tell(&mut report);
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ideal_uses_every_link_while_it_lasts() {
        // 3 links of 10 bytes a second: 30 of 100 bytes in 1 s, 70 over the two that are left in 3.5 s.
        assert!((ideal(100, 10.0) - 4.5).abs() < 1e-9);
    }
}
