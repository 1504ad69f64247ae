//! Streams in an order, or in numbers, that no test over a good link has.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use kwik_client::Connect;
use kwik_server::Limits;
use kwik_sim::link::{Chance, LinkConfig, Rate};
use kwik_sim::{Lab, SoftwareError, for_each_seed};

const SERVER: &str = "server";
/// Streams that may be open at a time: so few that twice as many is what is open early.
const LIMIT: u32 = 8;
const WORKERS: u32 = 2 * LIMIT;
const STREAMS_EACH: u32 = 40;

fn link(loss: Chance) -> LinkConfig {
    let (rate, delay) = (Some(Rate::mbit(20)), Duration::from_millis(10));
    LinkConfig { rate, delay, loss, ..LinkConfig::default() }
}

/// A server that sends back what comes on each stream, so many at a time.
fn echo(seed: u64, loss: Chance, limit: u32) -> Lab {
    let mut lab = Lab::new(seed);
    lab.server(SERVER, link(loss), move |host| async move {
        let limits = Limits::new().with_max_streams(limit, limit);
        let mut server = host.server()?.with_limits(limits).start()?;
        while let Some(mut session) = server.accept().await {
            while let Some(mut stream) = session.accept_bidirectional_stream().await? {
                tokio::spawn(async move {
                    while let Some(chunk) = stream.receive().await? {
                        stream.send(chunk).await?;
                    }
                    stream.finish()?;
                    Ok::<(), SoftwareError>(())
                });
            }
        }
        Ok(())
    });
    lab
}

/// The control stream, which says that streams are over, comes late, and the streams that take their places come before
/// it. No honest peer pays for that.
#[test]
fn short_streams_at_the_limit_survive_a_late_control_stream() {
    for_each_seed(20, |seed| {
        let echoed = echo(seed, Chance::percent(25), LIMIT).run(
            Duration::from_secs(600),
            |host| async move {
                let client = host.client().with_tls(host.pin_of(SERVER))?.start()?;
                let session = client.connect(Connect::new(host.address_of(SERVER))).await?;
                let mut workers = tokio::task::JoinSet::new();
                for _ in 0..WORKERS {
                    let mut handle = session.handle();
                    workers.spawn(async move {
                        let mut echoed = 0;
                        for _ in 0..STREAMS_EACH {
                            let mut stream = handle.open_bidirectional_stream().await?;
                            stream.send(vec![7; 2_000].into()).await?;
                            stream.finish()?;
                            while let Some(chunk) = stream.receive().await? {
                                echoed += chunk.len();
                            }
                        }
                        Ok::<_, SoftwareError>(echoed)
                    });
                }
                let mut echoed = 0;
                while let Some(worker) = workers.join_next().await {
                    echoed += worker??;
                }
                Ok(echoed)
            },
        );
        let (echoed, _) = echoed.unwrap_or_else(|failure| panic!("{failure}"));
        assert_eq!(echoed, WORKERS as usize * STREAMS_EACH as usize * 2_000);
    });
}

/// QUIC makes all streams below one that is used; those may be silent for as long as their application likes.
#[test]
fn a_stream_may_be_opened_first_and_used_last() {
    let run = echo(1, Chance::NEVER, 100).run(Duration::from_secs(100), |host| async move {
        let client = host.client().with_tls(host.pin_of(SERVER))?.start()?;
        let mut session = client.connect(Connect::new(host.address_of(SERVER))).await?;
        let mut first = session.open_bidirectional_stream().await?;
        let mut second = session.open_bidirectional_stream().await?;
        let mut echoes = Vec::new();
        for stream in [&mut second, &mut first] {
            stream.send("hello".into()).await?;
            echoes.push(stream.receive().await?);
            tokio::time::sleep(Duration::from_secs(40)).await;
        }
        Ok(echoes)
    });
    let (echoes, _) = run.unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(echoes, [Some("hello".into()), Some("hello".into())]);
}

/// The places of streams that are over are told by the tenth, and none of them is missed.
#[test]
fn a_few_places_left_are_used_again_and_again() {
    let run = echo(1, Chance::NEVER, 100).run(Duration::from_secs(100), |host| async move {
        let client = host.client().with_tls(host.pin_of(SERVER))?.start()?;
        let mut session = client.connect(Connect::new(host.address_of(SERVER))).await?;
        let mut held = Vec::new();
        for _ in 0..95 {
            let mut stream = session.open_bidirectional_stream().await?;
            stream.send("hold".into()).await?;
            held.push(stream);
        }
        for _ in 0..30 {
            let mut stream = session.open_bidirectional_stream().await?;
            stream.send("short".into()).await?;
            stream.finish()?;
            while stream.receive().await?.is_some() {}
        }
        Ok(held.len())
    });
    let (held, _) = run.unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(held, 95);
}
