//! Peers that come and go, and what the processes hold meanwhile.

use std::collections::BTreeMap;
use std::fs::File as Output;
use std::io::Write as _;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures_util::FutureExt as _;
use rand::Rng;
use rand::rngs::StdRng;
use tokio::task::JoinSet;

use super::Plan;
use super::clients::{KINDS, named};
use super::fleet::Fleet;
use super::honest::{Interrupt, Met, get};
use super::hostile::{Strike, greedy, strike};
use super::sample::{Holds, Sample, of_metrics, of_process, used};
use crate::attack::said;

/// Longest that what is owed may take to end: a session whose client has vanished lasts as long as its idle timeout, and a
/// stream that nobody reads as long as the server is patient.
const PATIENCE: Duration = Duration::from_secs(240);
/// Looks at processes at rest.
const LOOKS: usize = 10;
/// Seconds between two files that nobody has hashed yet.
const REFRESH: u64 = 5;
/// Attacks at once.
const ATTACKS: usize = 2;

/// What was seen of each process in a time: each series by the process and its name.
pub(super) type Window = BTreeMap<(&'static str, &'static str), Vec<f64>>;

/// What came of all peers.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) honest: u64,
    pub(super) bytes: u64,
    pub(super) interrupted: u64,
    /// Peers that had to try again, by the reason.
    pub(super) retried: BTreeMap<String, u64>,
    pub(super) hostile: BTreeMap<String, u64>,
    pub(super) faults: Vec<String>,
}

/// A peer that has ended.
enum Ended {
    Honest(anyhow::Result<Met>),
    Hostile(String, anyhow::Result<()>),
}

/// The load.
pub(super) struct Load {
    fleet: Fleet,
    random: StdRng,
    peers: usize,
    cores: f64,
    running: JoinSet<Ended>,
    attacks: usize,
    /// Peers in the process with the clients.
    clients: usize,
    /// Attacks that come first.
    first: Vec<Strike>,
    account: Account,
    start: Instant,
    samples: Option<Output>,
}

impl Load {
    pub(super) fn new(fleet: Fleet, plan: &Plan, random: StdRng) -> Self {
        let samples = std::env::var_os("KWIK_SOAK_SAMPLES");
        Self {
            first: greedy(&fleet).unwrap(),
            fleet,
            random,
            peers: plan.peers,
            cores: plan.cores,
            running: JoinSet::new(),
            attacks: 0,
            clients: 0,
            account: Account::default(),
            start: Instant::now(),
            samples: samples.map(|path| Output::create(path).unwrap()),
        }
    }

    /// Peers come and go for so long.
    pub(super) async fn run(&mut self, time: Duration) -> anyhow::Result<Window> {
        let begin = Instant::now();
        let before = self.used();
        let mut looks = tokio::time::interval(Duration::from_secs(1));
        let mut window = Window::new();
        let mut seconds = 0_u64;
        while begin.elapsed() < time {
            tokio::select! {
                _ = looks.tick() => {
                    self.look(&mut window).await?;
                    seconds += 1;
                    if seconds.is_multiple_of(60) {
                        self.progress(&window);
                    }
                    if seconds % REFRESH == 1 {
                        self.fleet.refresh(&mut self.random)?;
                    }
                }
                Some(ended) = self.running.join_next() => self.ended(ended?),
                () = tokio::time::sleep(Duration::from_millis(20)) => {
                    let budget = self.cores * begin.elapsed().as_secs_f64();
                    if self.running.len() + self.clients < self.peers && self.used() - before <= budget {
                        self.begin().await?;
                    }
                }
            }
        }
        Ok(window)
    }

    /// Nobody comes any more. What is held once everything has ended.
    pub(super) async fn rest(&mut self) -> anyhow::Result<Window> {
        let begin = Instant::now();
        let mut window = Window::new();
        let mut still = 0;
        // A worker of the program's own runtime that waits for something to do ends after ten seconds.
        while still < 12 && begin.elapsed() < PATIENCE {
            while let Some(ended) = self.running.try_join_next() {
                self.ended(ended?);
            }
            let before = last(&window);
            window.clear();
            self.look(&mut window).await?;
            let ended = self.running.is_empty() && self.clients == 0 && !anything_held(&window);
            let rests = ended && before == last(&window);
            still = if rests { still + 1 } else { 0 };
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        if still == 0 {
            let what = format!("after {PATIENCE:?} it does not rest: {window:?}");
            self.account.faults.push(what);
        }
        window.clear();
        for _ in 0..LOOKS {
            self.look(&mut window).await?;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        println!("at rest after {:.0} s", begin.elapsed().as_secs_f64());
        Ok(window)
    }

    /// What came of it.
    pub(super) async fn account(mut self) -> anyhow::Result<Account> {
        self.report().await?;
        let mut faults = Vec::new();
        for server in self.fleet.servers() {
            let panics = server.process.panics();
            faults.extend(panics.into_iter().map(|panic| format!("{}: {panic}", server.name)));
        }
        let (honest, hostile) = (self.account.honest, self.account.hostile.values().sum::<u64>());
        println!("{honest} honest peers, {hostile} hostile, {} kinds", self.account.hostile.len());
        self.account.faults.extend(faults);
        Ok(self.account)
    }

    /// A line for whoever watches.
    fn progress(&self, window: &Window) {
        let resident: Vec<_> =
            window.iter().filter(|((_, name), _)| *name == "resident MiB").collect();
        let resident = resident.iter().map(|((process, _), series)| {
            format!("{process} {:.0}", series.last().copied().unwrap_or_default())
        });
        println!(
            "{:.0} s: {} honest, {} hostile, {} faults; MiB: {}",
            self.start.elapsed().as_secs_f64(),
            self.account.honest,
            self.account.hostile.values().sum::<u64>(),
            self.account.faults.len(),
            resident.collect::<Vec<_>>().join(", "),
        );
    }

    fn used(&self) -> f64 {
        let servers = self.fleet.servers().map(|it| it.process.id());
        used(&servers.chain([self.fleet.clients.id()]).collect::<Vec<_>>())
    }

    /// A peer comes.
    async fn begin(&mut self) -> anyhow::Result<()> {
        let hostile = self.random.random_ratio(1, 10) || !self.first.is_empty();
        if hostile && self.attacks < ATTACKS {
            let (name, act) = match self.first.pop() {
                Some(first) => first,
                None => strike(&self.fleet, &mut self.random)?,
            };
            self.attacks += 1;
            self.running.spawn(async move {
                let act = AssertUnwindSafe(act).catch_unwind().await;
                let act = act.unwrap_or_else(|panic| Err(anyhow::anyhow!(said(&*panic))));
                Ended::Hostile(name, act)
            });
        } else if self.random.random_ratio(1, 3) {
            self.get();
        } else {
            let kind = KINDS[self.random.random_range(0..KINDS.len())];
            let count = if kind == "whole" { self.random.random_range(1..6) } else { 1 };
            let files: Vec<_> =
                (0..count).map(|_| named(&self.fleet.pick(&mut self.random))).collect();
            let seed: u64 = self.random.random();
            let question = format!("peer {kind} {seed} {}", files.join(","));
            self.fleet.clients.ask(&question).await?;
            self.clients += 1;
        }
        Ok(())
    }

    fn get(&mut self) {
        let random = &mut self.random;
        let file = self.fleet.pick(random);
        let interrupt = random.random_ratio(1, 3).then(|| Interrupt {
            after: Duration::from_millis(random.random_range(50..1500)),
            signal: if random.random() { "INT" } else { "KILL" },
        });
        let dir = self.fleet.dir.path().to_owned();
        let server = &self.fleet.primary;
        let (url, pin) = (format!("kwik://{}", server.address), server.pin.to_string());
        self.running.spawn_blocking(move || Ended::Honest(get(&dir, &url, &pin, &file, interrupt)));
    }

    fn ended(&mut self, ended: Ended) {
        let account = &mut self.account;
        match ended {
            Ended::Honest(Ok(met)) => {
                account.honest += 1;
                account.bytes += met.bytes;
                account.interrupted += met.interrupted;
                for reason in met.retried {
                    *account.retried.entry(without_numbers(&reason)).or_default() += 1;
                }
            }
            Ended::Honest(Err(error)) => account.faults.push(format!("kwik get: {error:#}")),
            Ended::Hostile(name, beside) => {
                self.attacks -= 1;
                if let Err(error) = beside {
                    account.faults.push(format!("beside {name}: {error:#}"));
                }
                *account.hostile.entry(name).or_default() += 1;
            }
        }
    }

    /// Asks the clients what came of their peers; how many tasks they have.
    async fn report(&mut self) -> anyhow::Result<f64> {
        let said = self.fleet.clients.ask("report").await.context("the clients")?;
        let number = |name: &str| said[name].as_u64().unwrap_or(0);
        let texts = |name: &str| {
            let list = said[name].as_array().into_iter().flatten();
            list.filter_map(|it| it.as_str()).map(str::to_owned).collect::<Vec<_>>()
        };
        self.clients = number("running") as usize;
        let account = &mut self.account;
        for reason in texts("retried") {
            *account.retried.entry(without_numbers(&reason)).or_default() += 1;
        }
        account.faults.extend(texts("failed").into_iter().map(|it| format!("a client: {it}")));
        account.honest += number("done");
        account.bytes += number("bytes");
        account.interrupted += number("interrupted");
        Ok(number("tasks") as f64)
    }

    /// What all hold now.
    async fn look(&mut self, window: &mut Window) -> anyhow::Result<()> {
        let mut sample = Sample::new();
        for server in self.fleet.servers() {
            let metrics = server.metrics;
            let mut holds = of_process(server.process.id());
            holds.extend(tokio::task::spawn_blocking(move || of_metrics(metrics)).await?);
            holds.insert("log KiB", (server.process.logged() >> 10) as f64);
            sample.insert(server.name, holds);
        }
        let mut holds = of_process(self.fleet.clients.id());
        holds.insert("kwik_tasks", self.report().await?);
        sample.insert("clients", holds);
        self.keep(&sample)?;
        for (process, holds) in sample {
            anyhow::ensure!(holds.contains_key("resident MiB"), "{process} has ended");
            for (name, value) in holds {
                window.entry((process, name)).or_default().push(value);
            }
        }
        Ok(())
    }

    fn keep(&mut self, sample: &Sample) -> anyhow::Result<()> {
        let Some(output) = &mut self.samples else { return Ok(()) };
        let at = self.start.elapsed().as_secs_f64();
        let peers = self.running.len() + self.clients;
        let all: BTreeMap<_, &Holds> = sample.iter().collect();
        let line =
            serde_json::json!({ "at": at, "peers": peers, "attacks": self.attacks, "holds": all });
        Ok(writeln!(output, "{line}")?)
    }
}

/// Something is still at work: sessions that wait for their peers, or files that are hashed for clients that may come back,
/// slowly, for a minute. What is never over fails in the end.
fn anything_held(window: &Window) -> bool {
    let works = |name: &str| matches!(name, "kwik_sessions" | "kwik_open_files");
    window.iter().any(|((_, name), it)| works(name) && it.last().is_some_and(|held| *held > 0.0))
}

/// What must stand still before a process rests.
fn last(window: &Window) -> Vec<f64> {
    let still = |name: &str| matches!(name, "descriptors" | "threads") || name.starts_with("kwik_");
    window
        .iter()
        .filter(|((_, name), _)| still(name))
        .filter_map(|(_, it)| it.last().copied())
        .collect()
}

/// A message without its numbers, so that messages can be counted.
fn without_numbers(message: &str) -> String {
    let mut out = String::new();
    for character in message.chars().take(200) {
        let digit = character.is_ascii_digit();
        if !(digit && out.ends_with('0')) {
            out.push(if digit { '0' } else { character });
        }
    }
    out
}
