//! `kwik-perf attach`: from `add_path` to the first byte of a contribution.
//!
//! The primary has nothing of its own to send: the first byte that the client reads is the secondary's. Both processes
//! read the same monotonic clock.

use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;
use kwik_server::{Delegate, PrimarySession};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::child::{Orders, say};
use crate::cli::Options;
use crate::client::Work;
use crate::link::Shape;
use crate::report::{Report, Target};
use crate::role::{Congestion, Identity, Listening, Role, Stack};
use crate::spread::{Links, Network, Void};
use crate::traffic::{Request, ask, drain};

const RTT: Duration = Duration::from_millis(20);
/// What the secondary sends.
const LENGTH: u64 = 64 << 10;

/// When something happened, nanoseconds on the machine's monotonic clock.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Moment {
    nanoseconds: u64,
}

impl Moment {
    fn now() -> Self {
        let now = Duration::try_from(clock_gettime(ClockId::Monotonic)).unwrap_or_default();
        Self { nanoseconds: now.as_nanos() as u64 }
    }

    fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.nanoseconds.saturating_sub(earlier.nanoseconds))
    }
}

pub(crate) fn run(options: &Options) -> anyhow::Result<Report> {
    let (mut rtts, mut void) = (Vec::new(), Void::default());
    for _ in 0..options.runs {
        rtts.push(once(&mut void)?.as_secs_f64() / RTT.as_secs_f64());
    }
    let mut report = Report::new("attach");
    // 2.5 round trips, which the exchange takes, and 10 ms.
    report.aim("first_byte_rtts", &rtts, Target::AtMost(2.5 + 10.0 / RTT.as_millis() as f64));
    let ms: Vec<f64> = rtts.iter().map(|rtts| rtts * RTT.as_secs_f64() * 1e3).collect();
    report.measure("first_byte_ms", &ms);
    void.tell(&mut report);
    Ok(report)
}

fn once(void: &mut Void) -> anyhow::Result<Duration> {
    let shape = Shape::new(100, RTT.as_millis() as u64);
    let shapes = [shape; 2];
    let (links, congestion) = (Links::Own(&shapes), Congestion::default());
    let mut network = Network::with(links, congestion, Identity::new(), Role::Attacher)?;
    let mut client = network.client(Stack::Kwik, 0, Work::Attach)?;
    client.go()?;
    let added: Moment = network.primary().hear()?;
    let read: Moment = client.hear()?;
    network.check(void)?;
    Ok(read.since(added))
}

/// The primary's side: attaches its secondaries when it is asked for bytes, and has them send.
pub(crate) async fn attend(
    mut session: PrimarySession,
    secondaries: Vec<Listening>,
) -> anyhow::Result<()> {
    let stream = session.accept_bidirectional_stream().await?.context("a request comes")?;
    let (_, mut send) = stream.split();
    // Past the handshake's own traffic: the path is added to a session that is at rest.
    tokio::time::sleep(RTT * 5).await;
    let added = Moment::now();
    for secondary in secondaries {
        session.handle().add_path(secondary.spec()?).await?;
    }
    send.delegate(Delegate::new(0..LENGTH, Bytes::copy_from_slice(&0u64.to_be_bytes()))).await?;
    say(&added);
    send.close().await?;
    Ok(())
}

/// The client's side.
pub(crate) async fn read(
    session: &mut kwik_client::Session,
    orders: &mut Orders,
) -> anyhow::Result<()> {
    orders.ready().await;
    let mut stream = ask(session, Request::Delegated { length: LENGTH, rate: 0 }).await?;
    let mut first = None;
    let bytes = drain(&mut stream, |_| {
        first.get_or_insert_with(Moment::now);
    })
    .await?;
    ensure!(bytes == LENGTH, "{bytes} bytes came of {LENGTH}");
    say(&first.context("bytes came")?);
    Ok(())
}
