//! R7.5, R10.1 and R10.5, in simulated time: what secondaries cost the primary's streams. Computing takes no time here, so
//! that what shows is queues, timers, windows and round trips; what computing costs is counted in allocations.
#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::time::Duration;

use allocation_counter::measure;
use bytes::Bytes;
use kwik_client::{Connect, Session};
use kwik_server::{Delegate, PrimarySession};
use kwik_sim::link::{LinkConfig, Rate};
use kwik_sim::{Event, Failure, Host, Lab, Report, SoftwareError};

const PRIMARY: &str = "primary";
const SECONDARIES: [&str; 3] = ["edge0", "edge1", "edge2"];
const BOUND: Duration = Duration::from_secs(60);
/// Of a message that is sent back.
const MESSAGE: usize = 1 << 10;
const MESSAGES: usize = 100;
/// More than any run reads.
const ENDLESS: u64 = 1 << 40;

/// What a client asks for: one byte, and a length.
const ECHO: u8 = 0;
const BULK: u8 = 1;
const DELEGATED: u8 = 2;

/// What the secondaries do meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Others {
    /// There are none.
    None,
    /// They are attached, and have nothing to do.
    Idle,
    /// They send another stream, as fast as it is read.
    Flood,
    /// They send another stream, which nobody reads.
    Unread,
}

fn link(mbit: u64) -> LinkConfig {
    let delay = Duration::from_millis(10);
    // No packet is dropped: where one is, by chance of the moment, would hide what the tests look for.
    LinkConfig { rate: Some(Rate::mbit(mbit)), delay, queue: 64 << 20, ..LinkConfig::default() }
}

fn lab(others: Others) -> Lab {
    let mut lab = Lab::new(7);
    lab.server(PRIMARY, link(100), move |host| async move {
        let mut server = host.server()?.with_identity(host.signing_key())?.start()?;
        while let Some(session) = server.accept().await {
            tokio::spawn(attend(host.clone(), session, others));
        }
        Ok(())
    });
    for name in SECONDARIES.iter().take(if others == Others::None { 0 } else { 3 }) {
        lab.server(name, link(100), obey);
    }
    lab
}

async fn attend(
    host: Host,
    mut session: PrimarySession,
    others: Others,
) -> Result<(), SoftwareError> {
    if others != Others::None {
        for name in SECONDARIES {
            session.handle().add_path(host.path_to(name)).await?;
        }
    }
    while let Some(mut stream) = session.accept_bidirectional_stream().await? {
        tokio::spawn(async move {
            let request = stream.receive().await?.ok_or("a request comes")?;
            let length = u64::from_be_bytes(request[1..9].try_into()?);
            match request[0] {
                ECHO => {
                    if request.len() > 9 {
                        stream.send(request.slice(9..)).await?;
                    }
                    while let Some(message) = stream.receive().await? {
                        stream.send(message).await?;
                    }
                }
                BULK => {
                    let data = Bytes::from_static(&[7; 64 << 10]);
                    for _ in 0..length / data.len() as u64 {
                        stream.send(data.clone()).await?;
                    }
                    stream.finish()?;
                }
                _ => {
                    let (_, mut send) = stream.split();
                    send.delegate(Delegate::new(0..length, Bytes::new())).await?;
                    send.close().await?;
                }
            }
            Ok::<(), SoftwareError>(())
        });
    }
    Ok(())
}

async fn obey(host: Host) -> Result<(), SoftwareError> {
    let server = host.server()?.with_trusted_primaries([host.public_key_of(PRIMARY)])?.start()?;
    let (_primaries, mut sessions) = server.split();
    while let Some(mut session) = sessions.accept().await {
        tokio::spawn(async move {
            while let Some(order) = session.next_delegation().await? {
                tokio::spawn(async move {
                    let range = order.range();
                    let mut contribution = order.accept().await?;
                    let data = Bytes::from_static(&[9; 64 << 10]);
                    let mut at = range.start;
                    while at < range.end {
                        let length = (range.end - at).min(data.len() as u64);
                        contribution.write_at(at, data.slice(..length as usize)).await?;
                        at += length;
                    }
                    contribution.finish().await?;
                    Ok::<(), SoftwareError>(())
                });
            }
            Ok::<(), SoftwareError>(())
        });
    }
    Ok(())
}

type Stream = kwik_client::stream::BidirectionalStream;

async fn ask(session: &mut Session, kind: u8, length: u64) -> Result<Stream, SoftwareError> {
    let mut stream = session.open_bidirectional_stream().await?;
    let mut request = vec![kind];
    request.extend_from_slice(&length.to_be_bytes());
    stream.send(request.into()).await?;
    Ok(stream)
}

/// A session whose secondaries do what they are to do.
async fn session(host: &Host, others: Others) -> Result<Session, SoftwareError> {
    let client = host.client().with_tls(host.pin_of(PRIMARY))?.start()?;
    let mut session = client.connect(Connect::new(host.address_of(PRIMARY))).await?;
    let expected = if others == Others::None { 1 } else { 4 };
    while session.metrics().await?.paths.iter().filter(|path| path.state == "live").count()
        < expected
    {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    if matches!(others, Others::Flood | Others::Unread) {
        let mut flood = ask(&mut session, DELEGATED, ENDLESS).await?;
        let reading = tokio::spawn(async move {
            if others == Others::Unread {
                std::future::pending::<()>().await;
            }
            while flood.receive().await?.is_some() {}
            Ok::<(), SoftwareError>(())
        });
        // Past slow start, or until the window is full.
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(!reading.is_finished());
    }
    Ok(session)
}

fn done<T>(run: Result<(T, Report), Failure>) -> (T, Report) {
    run.unwrap_or_else(|failure| panic!("{failure}"))
}

/// The slowest of many round trips of a message on a stream of the primary's.
fn slowest_answer(others: Others) -> Duration {
    let run = lab(others).run(BOUND, move |host| async move {
        let mut session = session(&host, others).await?;
        let mut stream = ask(&mut session, ECHO, 0).await?;
        let mut slowest = Duration::ZERO;
        for _ in 0..MESSAGES {
            let start = host.now();
            stream.send(Bytes::from_static(&[5; MESSAGE])).await?;
            let mut left = MESSAGE;
            while left > 0 {
                left -= stream.receive().await?.ok_or("the stream lasts")?.len();
            }
            slowest = slowest.max(host.now() - start);
            // Not in step with anything else.
            tokio::time::sleep(Duration::from_millis(7)).await;
        }
        let flooded: u64 =
            session.metrics().await?.paths.iter().skip(1).map(|path| path.bytes).sum();
        Ok((slowest, flooded))
    });
    let ((slowest, flooded), _) = done(run);
    assert_eq!(flooded > 10 << 20, others == Others::Flood, "{flooded}");
    slowest
}

/// A stream of the primary's own: how long it took, and how many datagrams the primary's link carried in the run.
fn bulk(others: Others, length: u64) -> (Duration, usize) {
    let run = lab(others).run(BOUND, move |host| async move {
        let mut session = session(&host, others).await?;
        let start = host.now();
        let mut stream = ask(&mut session, BULK, length).await?;
        let mut read = 0;
        while let Some(chunk) = stream.receive().await? {
            read += chunk.len() as u64;
        }
        assert_eq!(read, length);
        Ok((host.now() - start, host.address_of(PRIMARY)))
    });
    let ((time, primary), report) = done(run);
    let over = |event: &Event| match event {
        Event::Sent { from, to, .. } => *from == primary || *to == primary,
        _ => false,
    };
    (time, report.events.iter().filter(|(_, event)| over(event)).count())
}

#[test]
fn r07_5_idle_secondaries_cost_a_stream_of_the_primary_nothing() {
    const SHORT: u64 = 4 << 20;
    const LONG: u64 = 12 << 20;
    // What 8 MiB more cost: what was there before them, handshakes above all, cancels out.
    let marginal = |others| {
        let runs = RefCell::new(Vec::new());
        let run = |length| measure(|| runs.borrow_mut().push(bulk(others, length))).count_total;
        let allocations = run(LONG) - run(SHORT);
        let (long, short) = (runs.borrow()[0], runs.borrow()[1]);
        (long.0 - short.0, long.1 - short.1, allocations)
    };
    let (alone, among) = (marginal(Others::None), marginal(Others::Idle));
    println!("alone {alone:?}, among idle secondaries {among:?}");
    // The window opens by other steps where there are more paths, which moves the start by some milliseconds.
    assert!(among.0 <= alone.0 + alone.0 / 50, "time");
    assert!(among.1 * 100 <= alone.1 * 101, "datagrams");
    assert!(among.2 * 100 <= alone.2 * 102, "allocations");
}

#[test]
fn r10_1_and_5_an_answer_waits_for_no_secondary() {
    let (alone, flooded) = (slowest_answer(Others::Idle), slowest_answer(Others::Flood));
    println!("slowest answer {alone:?}, flooded {flooded:?}");
    assert!(flooded < alone + Duration::from_millis(1));
    // One round trip, a step of the clock at each end, and nothing that is waited for.
    assert!(alone <= Duration::from_millis(22), "{alone:?}");
}

#[test]
fn r10_5_a_flood_takes_nothing_from_a_stream_of_the_primary() {
    const LENGTH: u64 = 8 << 20;
    let (alone, _) = bulk(Others::Idle, LENGTH);
    for others in [Others::Flood, Others::Unread] {
        let (time, _) = bulk(others, LENGTH);
        println!("alone {alone:?}, {others:?} {time:?}");
        assert!(time <= alone + alone / 50, "{others:?}: {time:?}, alone {alone:?}");
    }
}
