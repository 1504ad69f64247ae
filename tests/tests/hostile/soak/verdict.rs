//! What was held in the end, against what was held after the first minute.

use std::process::ExitCode;

use super::load::{Account, Window};

/// How much more of something may be held later, and why.
struct Bound {
    name: &'static str,
    /// At rest: times the reference, and more.
    rest: (f64, f64),
    /// Under load.
    load: (f64, f64),
}

/// What is bounded.
///
/// At rest nothing is open, so that what counts things is as it was: one descriptor is a connection of the metrics that is
/// just being closed, one task what serves it. Threads are those for blocking calls, which end ten seconds after the last.
/// Under load the numbers are medians of random load: the sessions that are open at a time vary, and each has a few tasks. How many
/// threads block at a time is the machine's affair, up to the limits: 160 of the program, 64 of each of two workers, and what is always there.
///
/// Memory: the allocator (glibc's) keeps what was freed in arenas, eight for each core, and gives back what lies at their end
/// only. Threads for blocking calls come and go and use all of them; each arena grows to what its busiest moment took, a
/// few reads of 256 KiB, and which one that is is chance: seen were 1.5 MiB in each of 15, reached after some ten minutes. Hence
/// 32 MiB. The quarter is for caches that fill, each with a cap of its own: hashes, orders, tokens, TLS tickets. A leak of 10 KiB
/// a session is beyond that within the hour, and one of a descriptor or a task is seen by itself.
const BOUNDS: &[Bound] = &[
    Bound { name: "descriptors", rest: (1.0, 1.0), load: (1.0, 10.0) },
    Bound { name: "threads", rest: (1.0, 1.0), load: (0.0, 296.0) },
    Bound { name: "kwik_tasks", rest: (1.0, 1.0), load: (1.25, 40.0) },
    Bound { name: "resident MiB", rest: (1.25, 32.0), load: (1.25, 48.0) },
    // Nothing is left.
    Bound { name: "kwik_sessions", rest: (0.0, 0.0), load: (1.25, 10.0) },
    Bound { name: "kwik_open_files", rest: (0.0, 0.0), load: (1.25, 10.0) },
    Bound { name: "kwik_send_memory_bytes", rest: (0.0, 0.0), load: (1.25, 64e6) },
    Bound { name: "kwik_receive_memory_bytes", rest: (0.0, 0.0), load: (1.25, 64e6) },
];

/// What came of a soak.
pub(super) struct Verdict {
    account: Account,
    rows: Vec<String>,
}

impl Verdict {
    pub(super) fn of(mut account: Account, load: [Window; 2], rest: [Window; 2]) -> Self {
        let mut rows = Vec::new();
        let names: Vec<_> = rest[1].keys().copied().collect();
        for (process, name) in names {
            let median =
                |window: &Window| window.get(&(process, name)).map_or(0.0, |it| median(it));
            let [before, after] = load.each_ref().map(median);
            let [reference, left] = rest.each_ref().map(median);
            let bound = BOUNDS.iter().find(|bound| bound.name == name);
            let state = bound.map_or("-", |bound| {
                let within =
                    |(times, more): (f64, f64), was: f64, is: f64| is <= was * times + more;
                let holds =
                    within(bound.rest, reference, left) && within(bound.load, before, after);
                if holds { "ok" } else { "FAILED" }
            });
            let row = format!(
                "| {process} | {name} | {before:.0} | {after:.0} | {reference:.0} | {left:.0} | {state} |"
            );
            if state == "FAILED" {
                account.faults.push(row.clone());
            }
            rows.push(row);
        }
        Self { account, rows }
    }

    /// Prints the table and everything else that was seen.
    pub(super) fn print(&self) -> ExitCode {
        let Account { honest, bytes, interrupted, retried, hostile, faults } = &self.account;
        println!("| process | holds | load, first | load, last | rest, reference | rest, end | |");
        println!("|---|---|---|---|---|---|---|");
        self.rows.iter().for_each(|row| println!("{row}"));
        println!("\n{honest} honest peers, {} MiB, {interrupted} interrupted", bytes >> 20);
        println!("{} attacks, {} of a kind", hostile.values().sum::<u64>(), hostile.len());
        for (reason, count) in retried {
            println!("tried again {count} times: {reason}");
        }
        for fault in faults {
            println!("FAILED: {fault}");
        }
        if faults.is_empty() {
            println!("ok");
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

fn median(series: &[f64]) -> f64 {
    let mut sorted = series.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}
