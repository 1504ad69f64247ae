//! `kwik-perf memory`: a thousand contributions at once, and a thousand idle sessions.

use crate::cast::Cast;
use crate::child::Child;
use crate::cli::Options;
use crate::hold::{Pieces, Received, What};
use crate::report::{Report, Target};
use crate::role::{Listening, Role, Server, Stack, start};

/// What a stream's window is from its start, if the budget has room: see `kwik_core::window::Budget`.
const WINDOW: u64 = 4 << 20;
const SECONDARIES: u64 = 4;
/// What a contribution may take beside its bytes, while its range is at most 64 KiB.
const SMALL_EXTRA: u64 = 16 << 10;
/// What a contribution with a larger range may take beyond what a bare stream takes that holds as much.
const LARGE_EXTRA: u64 = 4 << 10;

/// Memory hardly varies: a quarter of the runs will do.
pub(crate) fn run(options: &Options) -> anyhow::Result<Report> {
    let runs = options.runs.div_ceil(4);
    let count = options.amount(1000, 16);
    let cast = Cast::new()?;
    let small = Shape { count, length: 64 << 10 };
    let large = Shape { count, length: 256 << 10 };
    let [mut held, mut large_held, mut large_bare, mut idle, mut idle_bare] =
        [const { Vec::new() }; 5];
    for _ in 0..runs {
        held.push(small.contributions(&cast)?);
        large_bare.push(large.unread(&cast)?);
        large_held.push(large.contributions(&cast)?);
        idle_bare.push(idle_sessions(&cast, Stack::Native, count)?);
        idle.push(idle_sessions(&cast, Stack::Kwik, count)?);
    }
    let mut report = Report::new("memory");
    let bound = small.window() + count * SMALL_EXTRA;
    report.aim("rss_bytes", &held, Target::AtMost(bound as f64));
    report.value("rss_bound_bytes", bound);
    report.value("contributions", count);
    let bare = report.measure("large_native_rss_bytes", &large_bare);
    let bound = bare + (count * LARGE_EXTRA) as f64;
    report.aim("large_rss_bytes", &large_held, Target::AtMost(bound));
    report.value("large_rss_bound_bytes", bound);
    report.measure("idle_session_native_bytes", &per(&idle_bare, count));
    report.measure("idle_session_bytes", &per(&idle, count));
    let ratio: Vec<f64> = idle.iter().zip(&idle_bare).map(|(ours, bare)| ours / bare).collect();
    report.aim("idle_session_ratio", &ratio, Target::AtMost(1.45));
    Ok(report)
}

fn per(samples: &[f64], count: u64) -> Vec<f64> {
    samples.iter().map(|sample| sample / count as f64).collect()
}

/// Contributions that are held at a time.
#[derive(Clone, Copy)]
struct Shape {
    count: u64,
    length: u64,
}

impl Shape {
    /// Streams that have room for all of them within their windows, the missing heads included.
    fn streams(self) -> u64 {
        self.count.div_ceil(WINDOW / self.length - 1)
    }

    /// The windows of these streams together.
    fn window(self) -> u64 {
        self.streams() * WINDOW
    }

    /// The most that a client's memory grows when contributions come that can't be read yet.
    fn contributions(self, cast: &Cast) -> anyhow::Result<f64> {
        let shares = (0..SECONDARIES).map(|index| {
            let place = |index| index * self.count / SECONDARIES;
            let (first, end) = (place(index), place(index + 1));
            Pieces { streams: self.streams(), length: self.length, first, end }
        });
        let started: anyhow::Result<Vec<_>> =
            shares.map(|pieces| start(&cast.contributor(pieces))).collect();
        let (mut senders, attached): (Vec<_>, Vec<_>) = started?.into_iter().unzip();
        let primary = Server { grant_all: true, ..cast.primary(attached) };
        let (_primary, listening) = start(&Role::Server(primary))?;
        let what =
            What::Streams { streams: self.streams(), secondaries: usize::try_from(SECONDARIES)? };
        self.growth(cast.holder(&listening, what), &mut senders)
    }

    /// The same for streams of a bare connection that nobody reads.
    fn unread(self, cast: &Cast) -> anyhow::Result<f64> {
        let (sender, listening) = start(&cast.sender(self.count, self.length))?;
        let what = What::Unread { streams: self.count, bytes: self.count * self.length };
        self.growth(cast.holder(&listening, what), &mut [sender])
    }

    fn growth(self, holder: Role, senders: &mut [Child]) -> anyhow::Result<f64> {
        let mut client = Child::start(&holder)?;
        client.ready()?;
        for sender in &mut *senders {
            sender.ready()?;
        }
        let before = client.usage()?.rss;
        client.go()?;
        for sender in &mut *senders {
            sender.go()?;
        }
        let mut bytes = 0;
        for sender in senders {
            bytes += sender.hear::<Received>()?.bytes;
        }
        anyhow::ensure!(bytes == self.count * self.length, "only {bytes} bytes were received");
        let after = client.usage()?;
        Ok(after.peak_rss.saturating_sub(before) as f64)
    }
}

/// How much a server's memory grows with that many sessions.
fn idle_sessions(cast: &Cast, stack: Stack, count: u64) -> anyhow::Result<f64> {
    let (mut server, listening): (Child, Listening) =
        start(&Role::Server(Server { stack, ..cast.primary(Vec::new()) }))?;
    // The first session pays for what all share.
    let first = cast.holder(&listening, What::Sessions { stack, count: 1 });
    let mut first = Child::start(&first)?;
    first.ready()?;
    let before = server.usage()?.rss;
    let mut client = Child::start(&cast.holder(&listening, What::Sessions { stack, count }))?;
    client.ready()?;
    let after = server.usage()?.rss;
    Ok(after.saturating_sub(before) as f64)
}
