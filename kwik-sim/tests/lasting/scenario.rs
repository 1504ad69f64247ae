//! One download by an application that goes on where it was, and what happens meanwhile.

use std::sync::Arc;
use std::time::Duration;

use kwik_sim::link::LinkConfig;
use kwik_sim::{Action, Event, Lab, Report};

use crate::common::{Local, edge, link, within};
use crate::reader::{Pause, Reader};
use crate::service::{assist, serve};

/// What is downloaded.
pub(crate) const SIZE: u64 = 16 << 20;
/// The longest pause while another primary lives.
pub(crate) const WITH_ANOTHER: Duration = Duration::from_secs(2);
/// How soon after its return the only primary sends again.
pub(crate) const AFTER_RETURN: Duration = Duration::from_secs(1);

/// A primary's name.
pub(crate) fn primary(index: usize) -> String {
    format!("primary{index}")
}

/// So many servers, and what is done to them.
pub(crate) struct Scenario {
    pub(crate) primaries: usize,
    pub(crate) secondaries: usize,
    /// What the primaries' own copies are for.
    pub(crate) local: Local,
    /// What is done, so long after the reader has so many bytes.
    pub(crate) when_read: Vec<(u64, Duration, Action)>,
}

/// How it went.
pub(crate) struct Outcome {
    /// How many sessions the bytes came from.
    pub(crate) sessions: usize,
    /// When the reader had nothing to read for more than 100 ms.
    pub(crate) pauses: Vec<Pause>,
    pub(crate) report: Report,
}

impl Scenario {
    /// That many primaries and two secondaries, at 12 Mbit/s and 20 ms each: the last 1 % is still owed when 99 % are read.
    pub(crate) fn new(primaries: usize) -> Self {
        Self { primaries, secondaries: 2, local: Local::Share, when_read: Vec::new() }
    }

    /// The same moment of every run but for the seed: a server that dies is caught in another state by each.
    pub(crate) fn moment(seed: u64, percent: u64) -> u64 {
        SIZE * percent / 100 + seed.wrapping_mul(37 << 10) % (128 << 10)
    }

    pub(crate) fn at(mut self, read: u64, delay: Duration, action: Action) -> Self {
        self.when_read.push((read, delay, action));
        self
    }

    /// Runs it to its end; the seed is named if it does not come.
    pub(crate) fn finish(self, seed: u64, bound: Duration) -> Outcome {
        let mut lab = Lab::new(seed);
        let config = LinkConfig { jitter: Duration::from_millis(1), ..link(12, 20) };
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
        let run = lab.run(bound, move |host| async move {
            Reader::new(host, primaries, when_read)?.read().await
        });
        let (read, report) = run.unwrap_or_else(|failure| panic!("{failure}"));
        let outcome = Outcome { sessions: read.sessions, pauses: read.pauses, report };
        outcome.print(seed);
        outcome
    }
}

impl Outcome {
    /// When that was done last, if it was: not what was to be done when the reader had everything already.
    pub(crate) fn time_of(&self, action: &Action) -> Option<Duration> {
        let mut events = self.report.events.iter().rev();
        let found = events.find(|(_, event)| *event == Event::Action(action.clone()));
        found.map(|(at, _)| *at)
    }

    /// No pause is longer.
    pub(crate) fn assert_pauses(&self, bound: Duration) {
        let longest = self.pauses.iter().map(Pause::length).max().unwrap_or_default();
        within("longest pause", longest, bound);
    }

    /// No pause is longer, but for those that a return ended soon: `back` is what ends a time in which nothing can come.
    pub(crate) fn assert_pauses_beyond(&self, back: &Action, bound: Duration) {
        let back = self.time_of(back).unwrap_or_default();
        let beyond = |pause: &Pause| match pause.start < back {
            true => pause.end.saturating_sub(back),
            false => pause.length(),
        };
        let longest = self.pauses.iter().map(beyond).max().unwrap_or_default();
        within("longest pause beyond the return", longest, bound);
    }

    /// The host's software came to say so.
    pub(crate) fn assert_noted(&self, name: &str, words: &str) {
        let said = |event: &Event| matches!(event, Event::Note { host, text } if host == name && text == words);
        assert!(self.report.events.iter().any(|(_, event)| said(event)), "{name} never {words}");
    }

    fn print(&self, seed: u64) {
        if std::env::var_os("KWIK_NOTES").is_some() {
            for (at, event) in &self.report.events {
                match event {
                    Event::Note { host, text } => {
                        println!("{:>6} ms {host}: {text}", at.as_millis());
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
