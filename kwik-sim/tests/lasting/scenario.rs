//! One download by an application that goes on where it was, and what happens meanwhile.

use std::sync::Arc;
use std::time::Duration;

use kwik_sim::link::LinkConfig;
use kwik_sim::{Action, Event, Lab, Report};

use crate::common::{Local, edge, link, within};
use crate::reader::{Pause, Reader};
use crate::service::{assist, serve};

/// What is downloaded.
pub const SIZE: u64 = 16 << 20;
/// The longest pause while another primary lives.
pub const WITH_ANOTHER: Duration = Duration::from_secs(2);
/// How soon after its return the only primary sends again.
pub const AFTER_RETURN: Duration = Duration::from_secs(1);

/// A primary's name.
pub fn primary(index: usize) -> String {
    format!("primary{index}")
}

/// So many servers, and what is done to them.
pub struct Scenario {
    pub primaries: usize,
    pub secondaries: usize,
    /// What the primaries' own copies are for.
    pub local: Local,
    /// What is done, so long after the reader has so many bytes.
    pub when_read: Vec<(u64, Duration, Action)>,
}

/// How it went.
pub struct Outcome {
    /// How many sessions the bytes came from.
    pub sessions: usize,
    /// When the reader had nothing to read for more than 50 ms.
    pub pauses: Vec<Pause>,
    pub report: Report,
}

impl Scenario {
    /// That many primaries and two secondaries, at 40 Mbit/s and 20 ms each.
    pub fn new(primaries: usize) -> Self {
        Self { primaries, secondaries: 2, local: Local::Share, when_read: Vec::new() }
    }

    /// The same moment of every run but for the seed: a server that dies is caught in another state by each.
    pub fn moment(seed: u64, percent: u64) -> u64 {
        SIZE * percent / 100 + seed.wrapping_mul(37 << 10) % (128 << 10)
    }

    pub fn at(mut self, read: u64, delay: Duration, action: Action) -> Self {
        self.when_read.push((read, delay, action));
        self
    }

    /// Runs it to its end; the seed is named if it does not come.
    pub fn finish(self, seed: u64, bound: Duration) -> Outcome {
        let mut lab = Lab::new(seed);
        let config = LinkConfig { jitter: Duration::from_millis(1), ..link(40, 20) };
        let primaries: Vec<_> = (0..self.primaries).map(primary).collect();
        let edges: Arc<[_]> = (0..self.secondaries).map(edge).collect();
        for name in &primaries {
            let (edges, local) = (edges.clone(), self.local);
            lab.server(name, config, move |host| serve(host, edges.clone(), local));
        }
        for name in edges.iter() {
            let trusted = primaries.clone();
            lab.server(name, config, move |host| assist(host, trusted.clone()));
        }
        let mut when_read = self.when_read;
        when_read.sort_by_key(|(read, ..)| *read);
        let run = lab.run(bound, move |host| Reader::new(host, primaries, when_read)?.read());
        let (read, report) = run.unwrap_or_else(|failure| panic!("{failure}"));
        let outcome = Outcome { sessions: read.sessions, pauses: read.pauses, report };
        outcome.print(seed);
        outcome
    }
}

impl Outcome {
    /// When that was done last.
    pub fn time_of(&self, action: &Action) -> Duration {
        let mut events = self.report.events.iter().rev();
        let found = events.find(|(_, event)| *event == Event::Action(action.clone()));
        found.unwrap_or_else(|| panic!("{action:?} was not done")).0
    }

    /// No pause is longer.
    pub fn assert_pauses(&self, bound: Duration) {
        let longest = self.pauses.iter().map(Pause::length).max().unwrap_or_default();
        within("longest pause", longest, bound);
    }

    /// No pause is longer, but for those that a return ended soon: `back` is what ends a time in which nothing can come.
    pub fn assert_pauses_beyond(&self, back: &Action, bound: Duration) {
        let back = self.time_of(back);
        for pause in &self.pauses {
            let beyond = match pause.start < back {
                true => pause.end.saturating_sub(back),
                false => pause.length(),
            };
            within("pause beyond the return", beyond, bound);
        }
    }

    fn print(&self, seed: u64) {
        if std::env::var_os("KWIK_NOTES").is_some() {
            for (at, event) in &self.report.events {
                match event {
                    Event::Note { host, text } => {
                        println!("{:>6} ms {host}: {text}", at.as_millis())
                    }
                    Event::Action(action) => println!("{:>6} ms {action:?}", at.as_millis()),
                    _ => {}
                }
            }
        }
        let pauses: Vec<_> = self.pauses.iter().map(ToString::to_string).collect();
        println!(
            "seed {seed}: {} ms, {} sessions, pauses: {}",
            self.report.elapsed.as_millis(),
            self.sessions,
            pauses.join(", ")
        );
    }
}
