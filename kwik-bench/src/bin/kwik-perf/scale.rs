//! `kwik-perf scale`: cost per byte and stream as streams, sessions and paths grow.

use serde_json::json;

use crate::cast::Cast;
use crate::child::Child;
use crate::cli::Options;
use crate::client::{Transfer, Work};
use crate::report::{Report, Target, rounded};
use crate::role::{Listening, Role, Server, Stack, start};
use crate::statistics::median;

/// What grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Series {
    /// Streams of one session that are open at a time, each a short question and answer: cost per stream.
    Streams,
    /// The same, each of 64 KiB: cost per byte.
    StreamBytes,
    /// Sessions of two paths at a time, whose streams of 512 KiB the secondary sends: cost per byte.
    Sessions,
    /// The rival of that: pairs of bare connections, of which one is idle and the other's server sends.
    NativeSessions,
    /// Secondary paths of one session that share out one stream: cost per byte.
    Paths,
}

impl Series {
    const ALL: [Self; 5] =
        [Self::Streams, Self::StreamBytes, Self::Sessions, Self::NativeSessions, Self::Paths];

    fn name(self) -> &'static str {
        match self {
            Self::Streams => "streams",
            Self::StreamBytes => "stream_bytes",
            Self::Sessions => "sessions",
            Self::NativeSessions => "native_sessions",
            Self::Paths => "paths",
        }
    }

    fn unit(self) -> &'static str {
        match self {
            Self::Streams => "cpu_us_per_stream",
            _ => "cpu_ns_per_byte",
        }
    }

    fn points(self, options: &Options) -> &'static [u64] {
        match (self, options.is_full()) {
            (Self::Streams, true) => &[1, 10, 100, 1_000, 10_000],
            (Self::StreamBytes, true) => &[1, 100, 10_000],
            (Self::Sessions | Self::NativeSessions, true) => &[1, 10, 100, 1_000],
            (Self::Paths, true) => &[1, 2, 4, 8, 16],
            (_, false) => &[1, 2],
        }
    }
}

/// Costs are CPU seconds of all processes. A point takes seconds, and they vary less than speeds do: a quarter of the
/// runs will do.
pub(crate) fn run(options: &Options) -> anyhow::Result<Report> {
    let runs = options.runs.div_ceil(4);
    let cast = Cast::new()?;
    let mut report = Report::new("scale");
    let (mut points, mut worst, mut most_sessions) = (Vec::new(), 0f64, Vec::new());
    for series in Series::ALL {
        let sizes = series.points(options);
        let mut costs = vec![Vec::new(); sizes.len()];
        for run in 0..runs {
            for index in 0..sizes.len() {
                let index = if run % 2 == 0 { index } else { sizes.len() - 1 - index };
                costs[index].push(cost(&cast, series, sizes[index], options)?);
            }
        }
        let costs: Vec<f64> = costs.iter().map(|samples| median(samples)).collect();
        for (size, cost) in sizes.iter().zip(&costs) {
            let (name, unit) = (series.name(), series.unit());
            points.push(json!({ "series": name, "n": size, unit: rounded(*cost) }));
        }
        // How much dearer anything is than with one.
        let growth = costs.iter().map(|cost| cost / costs[0]).fold(0.0, f64::max);
        let flatness = format!("flatness_{}", series.name());
        match series {
            Series::Sessions => report.aim_value(&flatness, growth, Target::AtMost(1.5)),
            _ => report.value(&flatness, rounded(growth)),
        }
        if series != Series::NativeSessions {
            worst = worst.max(growth);
        }
        if let (Series::Sessions | Series::NativeSessions, Some(last)) = (series, costs.last()) {
            most_sessions.push(*last);
        }
    }
    if let [ours, native] = most_sessions[..] {
        // What the most sessions cost beside as many pairs of bare connections.
        report.aim_value("sessions_over_native", ours / native, Target::AtMost(1.25));
    }
    report.aim_value("flatness", worst, Target::AtMost(1.5));
    report.value("points", points);
    Ok(report)
}

/// What one point costs, in the unit of its series. Along a series only the number at a time changes: the sizes of streams
/// and their number in all are the same at each point.
fn cost(cast: &Cast, series: Series, size: u64, options: &Options) -> anyhow::Result<f64> {
    let streams = options.amount(10_000, 20);
    let limit = u32::try_from(size.max(100))?;
    let primary = Server { streams: limit, ..cast.primary(Vec::new()) };
    let sessions = options.amount(1_000, 2);
    let (work, secondaries) = match series {
        Series::NativeSessions => {
            let found = pairs(cast, (size, sessions / size, 512 << 10))?;
            return Ok(found.cpu_seconds / found.bytes as f64 * 1e9);
        }
        Series::Streams => (Work::Streams { at_once: size, total: streams, length: 1 << 10 }, 0),
        Series::StreamBytes => {
            (Work::Streams { at_once: size, total: streams, length: 64 << 10 }, 0)
        }
        Series::Sessions => {
            (Work::Sessions { count: size, streams: sessions / size, length: 512 << 10 }, 1)
        }
        Series::Paths => {
            let length = options.amount(512 << 20, 4 << 20);
            (Work::Sessions { count: 1, streams: 1, length }, usize::try_from(size)?)
        }
    };
    let found = measure(cast, &primary, work, secondaries)?;
    Ok(match series {
        Series::Streams => found.cpu_seconds / streams as f64 * 1e6,
        _ => found.cpu_seconds / found.bytes as f64 * 1e9,
    })
}

/// The same bytes over pairs of bare connections, to two processes.
fn pairs(cast: &Cast, (count, streams, length): (u64, u64, u64)) -> anyhow::Result<Transfer> {
    let bare = Server { stack: Stack::Native, ..cast.primary(Vec::new()) };
    let (sender, listening) = start(&Role::Server(bare.clone()))?;
    let work = Work::Pairs { count, streams, length, sender: listening.address };
    let (idle, listening) = start(&Role::Server(bare.clone()))?;
    run_client(&cast.client(&bare, &listening, work), vec![sender, idle])
}

/// What the client found, with the CPU seconds of all processes. All secondaries are one process.
fn measure(
    cast: &Cast,
    primary: &Server,
    work: Work,
    secondaries: usize,
) -> anyhow::Result<Transfer> {
    let mut others = Vec::new();
    let mut primary = primary.clone();
    if secondaries > 0 {
        let mut process = Child::start(&cast.secondary(secondaries))?;
        for _ in 0..secondaries {
            primary.secondaries.push(process.hear::<Listening>()?);
        }
        others.push(process);
    }
    let (server, listening) = start(&Role::Server(primary.clone()))?;
    others.push(server);
    run_client(&cast.client(&primary, &listening, work), others)
}

fn run_client(client: &Role, mut others: Vec<Child>) -> anyhow::Result<Transfer> {
    let mut client = Child::start(client)?;
    client.ready()?;
    let mut cpu = 0.0;
    for other in &mut others {
        cpu -= other.usage()?.cpu_seconds;
    }
    client.go()?;
    let transfer: Transfer = client.hear()?;
    for other in &mut others {
        cpu += other.usage()?.cpu_seconds;
    }
    Ok(Transfer { cpu_seconds: transfer.cpu_seconds + cpu, ..transfer })
}
