//! Carriers that the peer of a connection opens: a pump for each.

use kwik_core::mapping::empty::{EmptyCarriers, Verdict, Yield};
use kwik_core::time::Instant;
use kwik_proto::{Epoch, PathId};
use s2n_quic::connection::{Handle, StreamAcceptor};
use s2n_quic::stream::PeerStream;
use tokio::task::{JoinError, JoinSet};
use tracing::Instrument;

use super::{FromLink, Inbox, LinkEvent};
use crate::channel::Sender;
use crate::pump::{CarrierEvent, ReceivePump};
use crate::stream::connection;

/// The pumps of one connection. They go with their path.
struct Pumps {
    running: JoinSet<Yield>,
    /// Most at a time.
    most: usize,
    empty: EmptyCarriers,
    /// The clock of `empty` starts here.
    start: tokio::time::Instant,
}

impl Pumps {
    fn new(most: usize) -> Self {
        let (running, empty) = (JoinSet::new(), EmptyCarriers::default());
        Self { running, most, empty, start: tokio::time::Instant::now() }
    }

    fn has_room(&self) -> bool {
        self.running.len() < self.most
    }

    fn handle_ended(&mut self, brought: Result<Yield, JoinError>) -> Verdict {
        let now = Instant::from_start(self.start.elapsed());
        brought.map_or(Verdict::Within, |brought| self.empty.handle_ended(brought, now))
    }

    /// Forgets all that are over. tokio keeps the memory of a task until it is joined, and QUIC gives the credit for its
    /// stream back before: unless as many are joined as accepted, a peer that opens and ends streams fills the memory.
    fn join_ended(&mut self) -> Verdict {
        while let Some(ended) = self.running.try_join_next() {
            if self.handle_ended(ended) == Verdict::Exceeded {
                return Verdict::Exceeded;
            }
        }
        Verdict::Within
    }

    /// Waits until one is over; for ever while there is none.
    async fn ended(&mut self) -> Verdict {
        match self.running.join_next().await {
            Some(ended) => self.handle_ended(ended),
            None => std::future::pending().await,
        }
    }
}

#[expect(clippy::manual_async_fn, reason = "an async fn has its arguments in its future twice")]
pub(super) fn accept(
    (path, epoch): (PathId, Epoch),
    mut connection: Handle,
    mut acceptor: StreamAcceptor,
    inbox: Inbox,
) -> impl Future<Output = ()> + Send {
    async move {
        let mut pumps = Pumps::new(inbox.most_pumps);
        let tell = |event| inbox.links.send(Box::new(FromLink { path, epoch, event }));
        let error = loop {
            let has_room = pumps.has_room();
            let verdict = tokio::select! {
                biased;
                verdict = pumps.ended() => verdict,
                accepted = acceptor.accept(), if has_room => match accepted {
                    Ok(Some(stream)) => {
                        let span = tracing::debug_span!("carrier", id = stream.id());
                        let pump = pump_of(path, epoch, stream, inbox.carriers.clone());
                        pumps.running.spawn(pump.run().instrument(span));
                        pumps.join_ended()
                    }
                    Ok(None) => break reason(&mut connection),
                    Err(error) => break error.into(),
                },
            };
            if verdict == Verdict::Exceeded {
                let _ = tell(LinkEvent::Flood).await;
                // Until the path is closed: QUIC ends a connection without a code once nobody holds on to any part of it.
                return std::future::pending().await;
            }
            // Accepting costs none of tokio's budget by itself, and would keep the pumps from running.
            tokio::task::consume_budget().await;
        };
        // Fails only if the session is gone, and then nobody wants to know.
        let _ = tell(LinkEvent::Closing).await;
        // Pumps deliver what QUIC still holds for them before the session hears of the end.
        while pumps.running.join_next().await.is_some() {}
        let _ = tell(LinkEvent::Lost(error)).await;
    }
}

/// The acceptor ends in the same way whether the peer closed or was not heard of any more; other calls tell them apart.
fn reason(connection: &mut Handle) -> connection::Error {
    match connection.ping() {
        Err(error) => error.into(),
        Ok(()) => connection::Error::closed(connection::Location::Remote),
    }
}

fn pump_of(
    path: PathId,
    epoch: Epoch,
    stream: PeerStream,
    events: Sender<Box<CarrierEvent>>,
) -> ReceivePump {
    match stream {
        PeerStream::Receive(receive) => ReceivePump::new(path, epoch, receive, events),
        PeerStream::Bidirectional(stream) => {
            let (receive, back) = stream.split();
            ReceivePump::new(path, epoch, receive, events).with_back(back)
        }
    }
}
