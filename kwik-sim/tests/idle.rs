//! Turns that the tasks of an idle session take. In simulated time, where they can be counted.
#![allow(clippy::unwrap_used)]

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, Once};
use std::time::Duration;

use bytes::Bytes;
use kwik_client::{Connect, Session};
use kwik_sim::link::LinkConfig;
use kwik_sim::{Host, Lab, SoftwareError};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

const PRIMARY: &str = "primary";
const EDGE: &str = "edge";
const BOUND: Duration = Duration::from_secs(120);
/// How long sessions are idle here.
const IDLE: Duration = Duration::from_secs(60);

/// A primary that attaches its secondaries to every session and sends back what comes on a stream.
fn lab(secondaries: &'static [&'static str]) -> Lab {
    let mut lab = Lab::new(11);
    let link = LinkConfig { delay: Duration::from_millis(10), ..LinkConfig::default() };
    lab.server(PRIMARY, link, move |host| async move {
        let mut server = host.server()?.with_identity(host.signing_key())?.start()?;
        while let Some(mut session) = server.accept().await {
            let host = host.clone();
            tokio::spawn(async move {
                for name in secondaries {
                    session.handle().add_path(host.path_to(name)).await?;
                }
                while let Some(mut stream) = session.accept_bidirectional_stream().await? {
                    tokio::spawn(async move {
                        while let Some(message) = stream.receive().await? {
                            stream.send(message).await?;
                        }
                        Ok::<(), SoftwareError>(())
                    });
                }
                Ok::<(), SoftwareError>(())
            });
        }
        Ok(())
    });
    for name in secondaries {
        lab.server(name, link, |host| async move {
            let key = host.public_key_of(PRIMARY);
            let server = host.server()?.with_trusted_primaries([key])?.start()?;
            let (_primaries, mut sessions) = server.split();
            let mut held = Vec::new();
            while let Some(session) = sessions.accept().await {
                held.push(session);
            }
            Ok(())
        });
    }
    lab
}

async fn connect(
    host: &Host,
    sessions: usize,
    paths: usize,
) -> Result<Vec<Session>, SoftwareError> {
    let client = host.client().with_tls(host.pin_of(PRIMARY))?.start()?;
    let mut held = Vec::new();
    for _ in 0..sessions {
        let session = client.connect(Connect::new(host.address_of(PRIMARY))).await?;
        while session.metrics().await?.paths.iter().filter(|path| path.state == "live").count()
            < paths
        {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        held.push(session);
    }
    Ok(held)
}

thread_local! {
    /// Of the laboratory on this thread.
    static TURNS: Cell<u64> = const { Cell::new(0) };
}

/// Counts how often the tasks of sessions are polled: they run in spans of their own. One for the process, since interest
/// in spans is the process's.
#[derive(Default)]
struct Turns {
    names: Mutex<HashMap<u64, &'static str>>,
    spans: AtomicU64,
}

impl Subscriber for Turns {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span()
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let id = self.spans.fetch_add(1, Ordering::Relaxed) + 1;
        self.names.lock().unwrap().insert(id, attributes.metadata().name());
        Id::from_u64(id)
    }

    fn enter(&self, span: &Id) {
        let name = self.names.lock().unwrap()[&span.into_u64()];
        if matches!(name, "session" | "path" | "stream" | "carrier") {
            TURNS.set(TURNS.get() + 1);
        }
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}
    fn exit(&self, _: &Id) {}
}

/// Turns that the tasks of a session take, at both ends, in a time in which nothing happens.
fn turns(secondaries: &'static [&'static str], streams: usize) -> u64 {
    static COUNTED: Once = Once::new();
    COUNTED.call_once(|| tracing::subscriber::set_global_default(Turns::default()).unwrap());
    let run = lab(secondaries).run(BOUND, move |host| async move {
        let mut sessions = connect(&host, 1, 1 + secondaries.len()).await?;
        let mut open = Vec::new();
        for _ in 0..streams {
            let mut stream = sessions[0].open_bidirectional_stream().await?;
            stream.send(Bytes::from_static(b"hello")).await?;
            assert_eq!(&stream.receive().await?.ok_or("it is sent back")?[..], b"hello");
            open.push(stream);
        }
        // Until the last acknowledgements have come, and the word about the few bytes that were read.
        tokio::time::sleep(Duration::from_secs(11)).await;
        let before = TURNS.get();
        assert!(before > 0, "they are counted");
        tokio::time::sleep(IDLE).await;
        Ok(TURNS.get() - before)
    });
    run.unwrap_or_else(|failure| panic!("{failure}")).0
}

#[test]
fn an_idle_session_wakes_nobody() {
    assert_eq!(turns(&[], 0), 0);
}

/// What QUIC measures is told to a client's core every 50 ms while there is a stream or a secondary; to a primary's only
/// while ranges are delegated. While there is a stream the primary is asked every 5 s whether it is there: a Ping takes
/// three turns at each end, of the session's task, of what writes its control stream and of what reads it.
#[test]
fn streams_and_secondaries_that_wait_wake_the_client_alone() {
    let ticks = IDLE.as_millis() as u64 / 50;
    for (secondaries, streams) in [(&[] as &[_], 3), (&[EDGE], 0), (&[EDGE], 3)] {
        let turns = turns(secondaries, streams);
        let pings = if streams > 0 { IDLE.as_secs() / 5 + 1 } else { 0 };
        assert!(
            turns <= ticks + 1 + 6 * pings,
            "{turns} turns with {secondaries:?} and {streams} streams"
        );
    }
}
