//! The primary's own copy, which hashes are taken of, hangs or fails: that is not the secondaries' fault, and no stream
//! waits that needs no hash.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use kwik_client::{Connect, SessionMetrics};
use kwik_server::{Delegate, LocalSupply, RangeSource};
use kwik_sim::{Action, Disk, DiskState, Event, Host, Lab, Report, SoftwareError};

use super::common::{PRIMARY, edge, for_seeds, ideal, link, percent_of, send, within};

const SIZE: u64 = 4 << 20;
const BOUND: Duration = Duration::from_secs(20);
const SECONDARIES: usize = 2;
/// All links.
const MBIT: u64 = 40 * SECONDARIES as u64;

/// A copy whose first reads fail.
struct Failing(Disk, AtomicU32);

impl RangeSource for Failing {
    fn read_at(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        let left =
            self.1.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        match left {
            Ok(_) => Err(io::Error::other("a bad sector")),
            Err(_) => self.0.read_at(offset, length),
        }
    }
}

/// Which streams there are: number 0 is delegated with proof, number 1 without.
type Streams = std::ops::Range<usize>;

async fn primary(host: Host, streams: Streams, failures: u32) -> Result<(), SoftwareError> {
    let mut server = host.server()?.with_identity(host.signing_key())?.start()?;
    let mut session = server.accept().await.ok_or("no session")?;
    for index in 0..SECONDARIES {
        session.add_path(host.path_to(&edge(index))).await?;
    }
    let handle = session.handle();
    let noting = host.clone();
    tokio::spawn(async move {
        while let Some(event) = handle.next_event().await {
            noting.note(format!("{event:?}"));
        }
    });
    let copy: Arc<dyn RangeSource> = Arc::new(Failing(host.disk(), AtomicU32::new(failures)));
    let mut sends = Vec::new();
    for number in streams {
        let stream = session.accept_bidirectional_stream().await?.ok_or("no request")?;
        let (_, mut send) = stream.split();
        let order = Delegate::new(0..SIZE, format!("v{number}").into());
        let order = match number {
            0 => order.with_local(copy.clone(), LocalSupply::Fallback).with_proof(),
            _ => order,
        };
        send.delegate(order).await?;
        send.finish()?;
        sends.push(send);
    }
    std::future::pending().await
}

async fn obey(host: Host) -> Result<(), SoftwareError> {
    let primary = host.public_key_of(PRIMARY);
    let (_, mut sessions) = host.server()?.with_trusted_primaries([primary])?.start()?.split();
    let mut session = sessions.accept().await.ok_or("no session")?;
    while let Some(order) = session.next_delegation().await? {
        let disk = host.disk();
        tokio::spawn(async move { send(&disk, order, false, false).await });
    }
    Ok(())
}

/// When each stream was read to its end.
async fn client(
    host: Host,
    streams: usize,
) -> Result<(Vec<Duration>, SessionMetrics), SoftwareError> {
    let client = host.client().with_tls(host.pin_of(PRIMARY))?.start()?;
    let mut session = client.connect(Connect::new(host.address_of(PRIMARY))).await?;
    let mut reads = Vec::new();
    for _ in 0..streams {
        let mut stream = session.open_bidirectional_stream().await?;
        stream.send("x".into()).await?;
        stream.finish()?;
        let host = host.clone();
        reads.push(tokio::spawn(async move {
            let mut at = 0;
            while let Some(chunk) = stream.receive().await? {
                assert!(Disk::is_content(at, &chunk), "wrong bytes from {at} on");
                at += chunk.len() as u64;
            }
            assert_eq!(at, SIZE);
            Ok::<_, SoftwareError>(host.now())
        }));
    }
    let mut ends = Vec::new();
    for read in reads {
        ends.push(read.await??);
    }
    Ok((ends, session.metrics().await?))
}

/// When each stream was read.
fn run(
    seed: u64,
    streams: Streams,
    script: Vec<(Duration, Action)>,
    failures: u32,
) -> (Vec<Duration>, SessionMetrics, Report) {
    let (mut lab, count) = (Lab::new(seed), streams.len());
    lab.server(PRIMARY, link(50, 20), move |host| primary(host, streams.clone(), failures));
    for index in 0..SECONDARIES {
        lab.server(&edge(index), link(40, 20), obey);
    }
    for (at, action) in script {
        lab.at(at, action);
    }
    let ran = lab.run(BOUND, move |host| client(host, count));
    let ((ends, metrics), report) = ran.unwrap_or_else(|failure| panic!("{failure}"));
    (ends, metrics, report)
}

fn disk(state: DiskState) -> Action {
    Action::Disk(PRIMARY.into(), state)
}

/// Nobody but the primary's copy is to blame.
fn assert_unblamed(streams: u64, metrics: &SessionMetrics, report: &Report) {
    let notes = || {
        report.events.iter().filter_map(|(_, event)| match event {
            Event::Note { text, .. } => Some(text.as_str()),
            _ => None,
        })
    };
    assert!(notes().any(|note| note.contains("Unproven")));
    assert!(!notes().any(|note| note.contains("Excluded") || note.contains("reason: Busy")));
    let least = metrics.paths[1..].iter().map(|path| path.bytes).min().unwrap();
    assert!(least > streams * SIZE / 4, "a secondary was left idle: {:?}", metrics.paths);
}

#[test]
fn a_hung_copy_holds_up_its_own_stream_alone_and_for_no_longer_than_it_hangs() {
    for_seeds(|seed, _| {
        let hung = Duration::from_millis(2_500);
        let script =
            vec![(Duration::ZERO, disk(DiskState::Hung)), (hung, disk(DiskState::Healthy))];
        let (alone, ..) = run(seed, 1..2, Vec::new(), 0);
        let (ends, metrics, report) = run(seed, 0..2, script, 0);
        // A round trip and a range of 64 KiB for each of two streams: which source ends with a range more is chance.
        let chance = Duration::from_millis(20) + 2 * ideal(64 << 10, MBIT / SECONDARIES as u64);
        within("without proof", ends[1], alone[0] + chance);
        // The secondaries begin anew, with what is being tried of them.
        within("with proof", ends[0], hung + percent_of(ideal(SIZE, MBIT), 150));
        assert_unblamed(2, &metrics, &report);
    });
}

/// Nobody else can vouch for the bytes, and the copy has not failed: the reader waits for it for longer than a gap timeout.
#[test]
fn a_copy_that_hangs_for_long_is_waited_for() {
    for_seeds(|seed, _| {
        let hung = Duration::from_secs(15);
        let script =
            vec![(Duration::ZERO, disk(DiskState::Hung)), (hung, disk(DiskState::Healthy))];
        let (ends, metrics, report) = run(seed, 0..1, script, 0);
        within("with proof", ends[0], hung + percent_of(ideal(SIZE, MBIT), 150));
        assert_unblamed(1, &metrics, &report);
    });
}

/// Reads that fail: the rest comes from wherever it can, at the first try that works.
#[test]
fn a_copy_that_fails_is_tried_again_and_no_secondary_pauses_for_it() {
    for_seeds(|seed, _| {
        let (ends, metrics, report) = run(seed, 0..2, Vec::new(), 6);
        let both = percent_of(ideal(2 * SIZE, MBIT), 135);
        within("without proof", ends[1], both);
        within("with proof", ends[0], both + Duration::from_millis(2_000));
        assert_unblamed(2, &metrics, &report);
    });
}
