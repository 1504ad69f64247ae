//! What a seed stands for.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use kwik_client::ConflictPolicy;
use kwik_sim::link::LinkConfig;
use kwik_sim::{Action, CLIENT, DiskState};

use crate::common::{Local, Manner, PRIMARY, edge};
use crate::dice::{Dice, least_rate};

/// When all that was broken works again.
pub const MENDED: Duration = Duration::from_secs(4);
/// The reader's patience with one byte, KWIK's default: what waits longer fails, and this test with it.
pub const GAP_TIMEOUT: Duration = Duration::from_secs(10);
/// Most streams that are of several MiB.
const LARGE: usize = 2;
/// What the floors of 20 streams leave of it is a window of 2 MiB for all.
const SMALL_BUDGET: u64 = 6 << 20;

/// How a stream half ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All of it arrives.
    Finished,
    /// Its sender resets it so long after its start, unless it is over.
    Reset(Duration),
    /// Its receiver stops it once so many bytes are read, unless it is over.
    Stopped(u64),
}

/// Who sends a part of a download.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    Primary,
    Order,
}

/// One half of a stream.
#[derive(Clone, Debug)]
pub struct Half {
    pub size: u64,
    pub end: End,
    /// Bytes per second that its reader takes.
    pub pace: Option<u64>,
}

/// A bidirectional stream that the client opens.
#[derive(Clone, Debug)]
pub struct StreamPlan {
    /// When, after the one before it.
    pub after: Duration,
    pub upload: Half,
    pub download: Half,
    /// The download's parts in order, each with its end.
    pub parts: Vec<(u64, By)>,
}

#[derive(Debug)]
pub struct Plan {
    pub primary: LinkConfig,
    pub edges: Vec<(LinkConfig, Manner)>,
    pub streams: Arc<[StreamPlan]>,
    pub local: Local,
    /// Whether the primary names the hash of each range: what makes liars harmless. Without it there are none.
    pub proof: bool,
    pub policy: ConflictPolicy,
    pub budget: Option<u64>,
    pub script: Vec<(Duration, Action)>,
}

impl Half {
    fn new(dice: &mut Dice, size: u64) -> Self {
        let end = match dice.below(10) {
            0 => End::Reset(dice.millis(1..1_500)),
            1 => End::Stopped(dice.below(size + 1)),
            _ => End::Finished,
        };
        let pace = dice.happens(20).then(|| {
            let seconds = dice.millis(200..3_000).as_secs_f64();
            ((size as f64 / seconds) as u64).max(1)
        });
        Self { size, end, pace }
    }

    /// How long its reader takes on purpose.
    fn reading(&self) -> Duration {
        let seconds = self.pace.map_or(0.0, |pace| self.size as f64 / pace as f64);
        Duration::from_secs_f64(seconds)
    }
}

impl StreamPlan {
    fn new(dice: &mut Dice, large: &mut usize) -> Self {
        let size = match dice.below(20) {
            0..=1 => 0,
            2..=5 => dice.within(1..2_000),
            6..=9 => dice.within(2_000..128 << 10),
            10..=17 => dice.within(128 << 10..1 << 20),
            _ if *large >= LARGE => dice.within(1..1 << 20),
            _ => {
                *large += 1;
                dice.within(1 << 20..4 << 20)
            }
        };
        let download = Half::new(dice, size);
        let size = match dice.below(10) {
            0..=3 => 0,
            4..=6 => dice.within(1..2_000),
            7..=8 => dice.within(2_000..256 << 10),
            _ => dice.within(256 << 10..1 << 20),
        };
        let upload = Half::new(dice, size);
        let after = if dice.happens(50) { Duration::ZERO } else { dice.millis(0..600) };
        let parts = parts(dice, download.size);
        Self { after, upload, download, parts }
    }
}

/// Mostly a head of the primary's and one order; else up to four parts in turn.
fn parts(dice: &mut Dice, size: u64) -> Vec<(u64, By)> {
    let head = (16 << 10).min(size);
    let mut parts = vec![(head, By::Primary)];
    let mut by = By::Order;
    if dice.happens(30) {
        for _ in 0..dice.within(1..3) {
            let start = parts.last().map_or(0, |(end, _)| *end);
            parts.push((start + dice.below(size - start + 1), by));
            by = if by == By::Order { By::Primary } else { By::Order };
        }
    }
    parts.push((size, by));
    parts
}

impl Plan {
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let count = dice.within(1..6) as usize;
        let manner = |dice: &mut Dice| match dice.below(6) {
            0 => Manner::Backwards,
            1 => Manner::BreaksOff(dice.within(2..6)),
            _ => Manner::Honest,
        };
        let edges = (0..count).map(|_| (dice.link(), manner(&mut dice))).collect();
        let mut large = 0;
        let streams =
            (0..dice.within(1..7)).map(|_| StreamPlan::new(&mut dice, &mut large)).collect();
        let local = if dice.happens(50) { Local::Fallback } else { Local::Share };
        let proof = dice.happens(60);
        let policies =
            [ConflictPolicy::FirstWins, ConflictPolicy::PrimaryWins, ConflictPolicy::Reject];
        let policy = policies[dice.below(3) as usize];
        let budget = dice.happens(15).then_some(SMALL_BUDGET);
        let mut script: Vec<_> =
            (0..dice.below(7)).flat_map(|_| fault(&mut dice, count, proof)).collect();
        // Hosts that were frozen or cut off by two faults at a time are free again.
        if !script.is_empty() {
            let hosts =
                [CLIENT.to_owned(), PRIMARY.to_owned()].into_iter().chain((0..count).map(edge));
            script.extend(hosts.map(|host| (MENDED, Action::Heal(host))));
        }
        script.sort_by_key(|(at, _)| *at);
        Self { primary: dice.link(), edges, streams, local, proof, policy, budget, script }
    }

    /// Until when things break.
    pub fn mended(&self) -> Duration {
        self.script.last().map_or(Duration::ZERO, |(at, _)| *at)
    }

    /// What everything must be read in: while something is broken; as long again, for QUIC tries again at most as long
    /// after an outage as the outage took; the patience that KWIK has with one byte; what slow readers take on purpose; and
    /// the time in which one server alone could send it all: the primary if it shares from the start, else the worst, for
    /// a primary that is the last resort leaves the work to others as long as they are any good.
    pub fn bound(&self) -> Duration {
        let bytes: u64 = self.streams.iter().map(|one| one.download.size + one.upload.size).sum();
        let changed = self.script.iter().filter_map(|(_, action)| match action {
            Action::Link(host, link) => Some((host == PRIMARY, link)),
            _ => None,
        });
        let edges = self.edges.iter().map(|(link, _)| (false, link));
        let links = edges.chain(changed).chain([(true, &self.primary)]);
        let relied_on = links.filter(|(primary, _)| *primary || self.local == Local::Fallback);
        let rate = relied_on.map(|(_, link)| least_rate(link)).fold(f64::INFINITY, f64::min);
        let opening: Duration = self.streams.iter().map(|stream| stream.after).sum();
        let halves = self.streams.iter().flat_map(|stream| [&stream.download, &stream.upload]);
        let reading = halves.map(Half::reading).max().unwrap_or_default();
        let sending = Duration::from_secs_f64(bytes as f64 / rate);
        2 * self.mended() + GAP_TIMEOUT + opening + reading + sending
    }

    /// The secondaries to which that was done at any time.
    pub fn touched(&self, what: impl Fn(&Action) -> bool) -> BTreeSet<String> {
        let done = self.script.iter().filter(|(_, action)| what(action));
        done.map(|(_, action)| host(action).to_owned()).collect()
    }

    /// The servers whose process is gone when all is over.
    pub fn down(&self) -> BTreeSet<String> {
        let mut down = BTreeSet::new();
        for (_, action) in &self.script {
            match action {
                Action::Crash(host) => down.insert(host.clone()),
                Action::Restart(host) => down.remove(host),
                _ => continue,
            };
        }
        down
    }
}

/// The host that something is done to.
fn host(action: &Action) -> &str {
    match action {
        Action::Crash(host)
        | Action::Restart(host)
        | Action::Corrupt(host)
        | Action::Revoke(host)
        | Action::Disk(host, _) => host,
        _ => "",
    }
}

/// Something that breaks at a time, and what mends it.
fn fault(dice: &mut Dice, edges: usize, proof: bool) -> Vec<(Duration, Action)> {
    let at = dice.millis(20..2_500);
    let until = at + dice.millis(50..1_400);
    let name = edge(dice.below(edges as u64) as usize);
    let (client, primary) = (CLIENT.to_owned(), PRIMARY.to_owned());
    let (broken, mended) = match dice.below(16) {
        0..=1 => (Action::Crash(name.clone()), Some(Action::Restart(name))),
        2 => (Action::Crash(name), None),
        3 => (Action::Freeze(name.clone()), Some(Action::Thaw(name))),
        4 => (Action::Partition(name.clone()), Some(Action::Heal(name))),
        5 => (Action::Partition(client.clone()), Some(Action::Heal(client))),
        6 => (Action::Link(name, dice.link()), None),
        7..=8 => (
            Action::Disk(name.clone(), DiskState::Hung),
            Some(Action::Disk(name, DiskState::Healthy)),
        ),
        9 => (Action::Disk(name, DiskState::Stale), None),
        10 if proof => (Action::Disk(name, DiskState::Lying), None),
        10 | 11 => (Action::Corrupt(name.clone()), dice.happens(50).then_some(Action::Mend(name))),
        12 => (
            Action::Disk(primary.clone(), DiskState::Hung),
            Some(Action::Disk(primary, DiskState::Healthy)),
        ),
        13 => match dice.below(3) {
            0 => (Action::Freeze(client.clone()), Some(Action::Thaw(client))),
            1 => (Action::Freeze(primary.clone()), Some(Action::Thaw(primary))),
            _ => (Action::Partition(primary.clone()), Some(Action::Heal(primary))),
        },
        14 => (Action::Link(primary, dice.link()), None),
        _ => (Action::Revoke(name), None),
    };
    [Some((at, broken)), mended.map(|action| (until, action))].into_iter().flatten().collect()
}
