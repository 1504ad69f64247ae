//! One connection of a session: its control stream, its carriers, and its end.

mod carriers;

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use kwik_core::throttle::{Class, Pace, RateExceeded, Rates, Throttle, Wait};
use kwik_core::time::Instant;
use kwik_proto::control::Arrived;
use kwik_proto::frame::ControlFrame;
use kwik_proto::{Epoch, PathId};
use s2n_quic::Connection;
use s2n_quic::connection::{Handle, StreamAcceptor};
use s2n_quic::stream::{self, BidirectionalStream};
use tokio::task::JoinSet;
use tracing::Instrument;

use crate::channel::Sender;
use crate::connection::ConnectionStats;
use crate::control::{self, ControlError, ControlReader, ControlSender, PushError};
use crate::pump::CarrierEvent;
use crate::stream::{application, connection};
use crate::turn::Turn;

/// How long the last frames of a control stream may take before its connection is closed over them.
const FAREWELL: Duration = Duration::from_millis(500);
/// How long a connection may outlive its control stream. Shorter: a peer that closes is taken for one that breaks the
/// rules; longer: a path without a control plane is kept.
const ENDING: Duration = Duration::from_secs(1);

/// Something that happened on a connection.
#[derive(Debug)]
pub enum LinkEvent {
    /// A frame on the control stream.
    Frame(ControlFrame),
    /// The peer sends more frames of a class than it may, and is read more slowly. Told once for as long as that lasts.
    Throttled(Class),
    /// The control stream carries what no frame is, or far too many: the path is to be closed.
    BadFrame(ControlError),
    /// The peer opens carriers that bring nothing, more than [`EmptyCarriers`](kwik_core::mapping::empty::EmptyCarriers) allows. No further one is accepted: the path
    /// is to be closed with [`LimitExceeded`](kwik_proto::frame::ErrorCode::LimitExceeded).
    Flood,
    /// QUIC's connection is over. What its pumps still hold follows, then [`Lost`](Self::Lost).
    Closing,
    /// The connection is over.
    Lost(connection::Error),
}

/// Which connection a [`LinkEvent`] is about.
#[derive(Debug)]
pub struct FromLink {
    /// The path.
    pub path: PathId,
    /// Which connection of that path.
    pub epoch: Epoch,
    /// What happened.
    pub event: LinkEvent,
}

/// Where a connection's events go: two bounded channels of the session's task. While one is full, the path waits.
#[derive(Clone, Debug)]
pub struct Inbox {
    /// Control frames and ends.
    pub links: Sender<Box<FromLink>>,
    /// Carriers.
    pub carriers: Sender<Box<CarrierEvent>>,
    /// Most pumps at a time on each connection, see
    /// [`EndpointLimits::most_pumps`](crate::endpoint::EndpointLimits::most_pumps). While there are as many no carrier is
    /// accepted.
    pub most_pumps: usize,
    /// How fast the peer may send control frames.
    pub rates: Arc<Rates>,
}

/// A connection of a session, as its task holds it. Dropping it ends its tasks and, with the last stream handle, the
/// connection.
#[derive(Debug)]
pub struct Link {
    path: PathId,
    epoch: Epoch,
    connection: Handle,
    control: ControlSender,
    stats: Arc<ConnectionStats>,
    tasks: JoinSet<()>,
}

impl Link {
    /// Takes a connection over, on the worker that this is called on. `control` is the first bidirectional stream.
    pub fn start(
        path: PathId,
        epoch: Epoch,
        connection: Connection,
        control: BidirectionalStream,
        stats: Arc<ConnectionStats>,
        inbox: Inbox,
    ) -> Self {
        let (reader, sender, writer) = control::split(control);
        let (connection, acceptor) = connection.split();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            // The reader, or the acceptor, notices why the stream failed.
            let _ = writer.run().await;
        });
        let handle = connection.clone();
        Self::spawn(&mut tasks, (path, epoch), reader, (handle, acceptor), inbox);
        Self { path, epoch, connection, control: sender, stats, tasks }
    }

    /// As [`start`](Self::start), at a server, where the Hello was already read off the control stream.
    pub fn resume(
        path: PathId,
        epoch: Epoch,
        connection: (Handle, StreamAcceptor),
        control: (ControlReader, ControlSender),
        stats: Arc<ConnectionStats>,
        inbox: Inbox,
    ) -> Self {
        let (connection, acceptor) = connection;
        let (reader, sender) = control;
        let mut tasks = JoinSet::new();
        let handle = connection.clone();
        Self::spawn(&mut tasks, (path, epoch), reader, (handle, acceptor), inbox);
        Self { path, epoch, connection, control: sender, stats, tasks }
    }

    fn spawn(
        tasks: &mut JoinSet<()>,
        (path, epoch): (PathId, Epoch),
        reader: ControlReader,
        connection: (Handle, StreamAcceptor),
        inbox: Inbox,
    ) {
        let (links, rates) = (inbox.links.clone(), inbox.rates.clone());
        // Within the session's span, if it is set up in that.
        let span = tracing::info_span!("path", %path, epoch = epoch.0);
        tasks.spawn(read(path, epoch, (reader, rates), links).instrument(span.clone()));
        let (connection, acceptor) = connection;
        tasks.spawn(carriers::accept((path, epoch), connection, acceptor, inbox).instrument(span));
    }

    /// The path.
    pub fn path(&self) -> PathId {
        self.path
    }

    /// Which connection of the path.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Statistics of the connection.
    pub fn stats(&self) -> &ConnectionStats {
        &self.stats
    }

    /// The connection, to open streams on.
    pub fn connection(&self) -> &Handle {
        &self.connection
    }

    /// As [`connection`](Self::connection).
    pub fn connection_mut(&mut self) -> &mut Handle {
        &mut self.connection
    }

    /// Queues a frame.
    ///
    /// # Errors
    /// See [`PushError`].
    pub fn push(&self, frame: &ControlFrame) -> Result<(), PushError> {
        self.control.push(frame)
    }

    /// Closes the connection with `code`, once what was pushed is acknowledged, after half a second at the latest.
    pub fn close(self, code: application::Error) {
        self.close_within(FAREWELL, code);
    }

    /// As [`close`](Self::close), after one probe timeout at the latest: for an end whose program waits for it. A peer that
    /// has not acknowledged by then is dead or has lost the frame, and in that case the connection's code tells the same.
    pub fn close_soon(self, code: application::Error) {
        let patience = self.stats.probe_timeout().map_or(FAREWELL, |time| time.min(FAREWELL));
        self.close_within(patience, code);
    }

    fn close_within(self, patience: Duration, code: application::Error) {
        let Self { connection, control, tasks, .. } = self;
        tokio::spawn(async move {
            let _ = tokio::time::timeout(patience, control.flushed()).await;
            connection.close(code.to_quic());
            drop(tasks);
        });
    }
}

#[expect(clippy::manual_async_fn, reason = "an async fn has its arguments in its future twice")]
fn read(
    path: PathId,
    epoch: Epoch,
    (mut reader, rates): (ControlReader, Arc<Rates>),
    links: Sender<Box<FromLink>>,
) -> impl Future<Output = ()> + Send {
    async move {
        let (mut gauge, mut turn) = (Gauge::new(rates), Turn::default());
        loop {
            turn.pass_on().await;
            let step = {
                let mut receiving = pin!(reader.recv_arrived());
                poll_fn(|cx| {
                    let received = turn.poll(receiving.as_mut(), cx);
                    received.map(|received| Step::of(received, &mut gauge, (path, epoch)))
                })
                .await
            };
            match step {
                Step::Tell(from, wait) => {
                    if let Some(wait) = wait {
                        // What else the peer sent waits in QUIC. Boxed: hardly any path comes here.
                        let told = wait.is_first.then(|| links.clone());
                        Box::pin(hold(path, epoch, wait, gauge.at(wait), told)).await;
                    }
                    // One that is passed over costs its sender as much.
                    let Some(from) = from else { continue };
                    if links.send(from).await.is_err() {
                        return;
                    }
                }
                Step::Last(from) => {
                    let _ = links.send(from).await;
                    return;
                }
                Step::Ended => {
                    // Boxed: hardly any path comes here, and each would have room for it.
                    Box::pin(tokio::time::sleep(ENDING)).await;
                    let event = LinkEvent::BadFrame(ControlError::Ended);
                    let _ = links.send(Box::new(FromLink { path, epoch, event })).await;
                    return;
                }
                Step::Over => return,
            }
        }
    }
}

/// What a control stream's reader does with what it received. Small: its future keeps room for it while it waits.
enum Step {
    /// It is handed on, unless it is to be passed over, after a while if the peer is too fast.
    Tell(Option<Box<FromLink>>, Option<Wait>),
    /// It is handed on, and nothing after it.
    Last(Box<FromLink>),
    /// The stream has ended. The end of the connection may be under way; then the reader ends with it.
    Ended,
    /// The acceptor learns of the connection's end.
    Over,
}

impl Step {
    fn of(
        received: Result<Option<Arrived>, ControlError>,
        gauge: &mut Gauge,
        (path, epoch): (PathId, Epoch),
    ) -> Self {
        let boxed = |event| Box::new(FromLink { path, epoch, event });
        match received {
            Ok(Some(Arrived { frame, size })) => match gauge.charge(frame.as_ref(), size) {
                Ok(pace) => {
                    let wait = match pace {
                        Pace::Now => None,
                        Pace::Wait(wait) => Some(wait),
                    };
                    Self::Tell(frame.map(|frame| boxed(LinkEvent::Frame(frame))), wait)
                }
                Err(error) => Self::Last(boxed(LinkEvent::BadFrame(error.into()))),
            },
            Err(ControlError::Stream(stream::Error::ConnectionError { .. })) => Self::Over,
            Ok(None) | Err(ControlError::Stream(_)) => Self::Ended,
            Err(error) => Self::Last(boxed(LinkEvent::BadFrame(error))),
        }
    }
}

/// The core's [`Throttle`], with a clock.
struct Gauge {
    throttle: Throttle,
    start: tokio::time::Instant,
}

impl Gauge {
    fn new(rates: Arc<Rates>) -> Self {
        Self { throttle: Throttle::new(rates), start: tokio::time::Instant::now() }
    }

    fn charge(&mut self, frame: Option<&ControlFrame>, size: usize) -> Result<Pace, RateExceeded> {
        let now = Instant::from_start(self.start.elapsed());
        self.throttle.charge(frame, size, now)
    }

    fn at(&self, wait: Wait) -> tokio::time::Instant {
        self.start + wait.until.elapsed()
    }
}

/// Waits until a frame's time has come, and tells that if it is news.
async fn hold(
    path: PathId,
    epoch: Epoch,
    wait: Wait,
    until: tokio::time::Instant,
    told: Option<Sender<Box<FromLink>>>,
) {
    if let Some(links) = told {
        tracing::info!(class = ?wait.class, "too many control frames");
        let event = LinkEvent::Throttled(wait.class);
        let _ = links.send(Box::new(FromLink { path, epoch, event })).await;
    }
    tokio::time::sleep_until(until).await;
}
