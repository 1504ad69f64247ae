//! Reads a carrier.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use kwik_core::mapping::empty::Yield;
use kwik_core::stream::{ReceiveError, SourceKey};
use kwik_proto::data::{DataDecoder, DataEvent};
use kwik_proto::frame::{CarrierKind, ErrorCode, StreamHeader};
use kwik_proto::{Epoch, PathId};
use s2n_quic::stream::{Error as QuicError, ReceiveStream, SendStream};
use tokio::sync::oneshot;

use super::CarrierControl;
use super::Outgoing;
use super::allocation::allocation_behind;
use super::event::{
    Carrier, CarrierEnd, CarrierEvent, CarrierFault, CarrierId, Route, RouteRequest,
};
use crate::channel::Sender;
use crate::stream::{Arrivals, Piece, SharedReceive, application, connection};
use crate::turn::Turn;

/// Most chunks that are taken from QUIC at once: with chunks of 64 KiB more than the whole of QUIC's window.
const CHUNKS_PER_BATCH: usize = 64;

thread_local! {
    /// Where QUIC puts a batch, of all pumps of a worker: a thousand contributions at once would have 2 KiB each for it.
    static BATCH: RefCell<[Bytes; CHUNKS_PER_BATCH]> =
        const { RefCell::new([const { Bytes::new() }; CHUNKS_PER_BATCH]) };
}

/// Most pieces that go into a half under one lock. Many tiny frames are cut into several deliveries, so that a peer that
/// sends them makes neither this list long nor the reader wait.
const PIECES_PER_DELIVERY: usize = 1024;

/// Most faults that are kept before they are reported; the peer that causes more waits for the session's task.
const FAULTS_PER_DELIVERY: usize = 16;

/// A carrier's last chunk is copied out of a buffer this many times as large, which it would keep alive: a contribution of
/// 256 KiB ends, for its headers, with a hundred bytes in a buffer of 32 KiB.
const TAIL: usize = 8;

/// Turns of the worker that a reader may be left asleep. One has the socket read, one its packets processed; each costs a
/// few microseconds.
const TURNS: usize = 3;

/// How long a carrier's header may take from the carrier's first byte. A carrier without a byte is one that QUIC made
/// because a higher one came (RFC 9000, 3.2): the peer may not have used it yet. Shorter cuts off peers on lossy links,
/// longer lets a peer hold streams open that mean nothing.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads one carrier: first its header, then frames into the half that the session routes it to.
///
/// Always drains: what has arrived is taken from QUIC whether or not the application reads, so that QUIC's windows never
/// bind before KWIK's. Waits for nobody but the session's task, at the header and when that task's channel is full. Run
/// it on the worker of its endpoint.
///
/// ```no_run
/// # async fn example(carrier: s2n_quic::stream::ReceiveStream,
/// #     events: kwik_io::channel::Sender<Box<kwik_io::pump::CarrierEvent>>) {
/// use kwik_io::pump::ReceivePump;
/// use kwik_proto::{Epoch, PathId};
///
/// tokio::spawn(ReceivePump::new(PathId::new(1), Epoch::FIRST, carrier, events).run());
/// # }
/// ```
#[derive(Debug)]
pub struct ReceivePump {
    quic: ReceiveStream,
    back: Option<Outgoing>,
    /// Dropped when the header was read, for the pump of the other direction.
    unanswered: Option<oneshot::Sender<Infallible>>,
    carrier: Carrier,
    events: Sender<Box<CarrierEvent>>,
    header_timeout: Duration,
    control: CarrierControl,
    decoder: DataDecoder,
    /// Where the next chunk starts in the QUIC stream.
    position: u64,
    /// What is left of the batch; the rest went to the decoder.
    chunks: std::vec::IntoIter<Bytes>,
    arrivals: Arrivals,
    faults: Vec<CarrierFault>,
    destination: Option<(SharedReceive, SourceKey)>,
    /// Bytes of the allocation behind the chunk that was fed last.
    allocation: usize,
    /// QUIC's FIN follows the batch.
    at_fin: bool,
    /// A frame told the final size.
    saw_fin: bool,
    /// Whether a half took bytes, or a final size.
    brought: Yield,
    turn: Turn,
}

/// How long the carrier of a public stream that is closed is read for its end. Its sender heard on the control stream that
/// nobody wants more, and ends it. Only then QUIC is told to stop: s2n-quic 1.91, once it has said so, keeps the place of a
/// stream whose end arrived before other bytes did for as long as the connection lives.
const DRAINED_FOR: Duration = Duration::from_secs(10);

/// Reads to the end of a carrier, and throws away what comes.
async fn drain(carrier: &mut ReceiveStream) {
    while let Ok((_, true)) = poll_fn(|cx| poll_batch(carrier, cx)).await {}
}

impl ReceivePump {
    /// A pump for a carrier that the peer opened, or the incoming direction of one that this end opened.
    pub fn new(
        path: PathId,
        epoch: Epoch,
        carrier: ReceiveStream,
        events: Sender<Box<CarrierEvent>>,
    ) -> Self {
        let id = CarrierId(carrier.id());
        Self {
            quic: carrier,
            back: None,
            unanswered: None,
            carrier: Carrier { path, epoch, id, header: None, source: None },
            events,
            header_timeout: HEADER_TIMEOUT,
            control: CarrierControl::default(),
            decoder: DataDecoder::new(),
            position: 0,
            chunks: Vec::new().into_iter(),
            arrivals: Arrivals::default(),
            faults: Vec::new(),
            destination: None,
            allocation: 0,
            at_fin: false,
            saw_fin: false,
            brought: Yield::Empty,
            turn: Turn::default(),
        }
    }

    /// Hands the outgoing direction of a bidirectional carrier to the session along with the header.
    #[must_use]
    pub fn with_back(mut self, back: SendStream) -> Self {
        self.back = Some(back.into());
        self
    }

    /// Tells the pump that sends on a carrier of this end, by dropping `unanswered`, that the peer knows the carrier.
    pub(super) fn with_opener(mut self, unanswered: oneshot::Sender<Infallible>) -> Self {
        self.unanswered = Some(unanswered);
        self
    }

    /// Lets the header take that long instead of [`HEADER_TIMEOUT`].
    #[must_use]
    pub fn with_header_timeout(mut self, timeout: Duration) -> Self {
        self.header_timeout = timeout;
        self
    }

    /// The session's hold on this pump; it also comes with the [`RouteRequest`].
    pub fn control(&self) -> CarrierControl {
        self.control.clone()
    }

    /// Runs until the carrier ends, and reports how. Gives back what it was good for; one that the session itself ended
    /// early counts as if it had delivered.
    #[expect(
        clippy::manual_async_fn,
        reason = "an async fn has the pump, a kilobyte, in its future twice"
    )]
    pub fn run(mut self) -> impl Future<Output = Yield> + Send {
        async move {
            let Err(end) = self.pump().await;
            if matches!(end, CarrierEnd::Stopped { .. }) && self.destination.is_some() {
                self.brought = Yield::Delivered;
            }
            let stop = stop_code(&end);
            let told = stop == Some(application::Error::of_kwik(ErrorCode::StreamClosed));
            let drains =
                told && self.carrier.header.is_some_and(|it| it.kind == CarrierKind::Public);
            if let Some(code) = stop.filter(|_| !drains) {
                self.stop(code);
            }
            if let Some(back) = self.back.take() {
                back.refuse(end.fault().unwrap_or(ErrorCode::HeaderMissing));
            }
            self.release();
            self.unanswered = None;
            let carrier = self.carrier;
            // Fails only if the session is gone, and then nobody wants to know.
            let _ = self.events.send(Box::new(CarrierEvent::Ended { carrier, end })).await;
            if let Some(code) = stop.filter(|_| drains) {
                // Passes only if the peer is slow to do what the control stream told it.
                let _ = tokio::time::timeout(DRAINED_FOR, drain(&mut self.quic)).await;
                self.stop(code);
            }
            self.brought
        }
    }

    fn stop(&mut self, code: application::Error) {
        // The carrier may be over already: then there is nobody to stop.
        let _ = self.quic.stop_sending(code.to_quic());
    }

    async fn pump(&mut self) -> Result<Infallible, CarrierEnd> {
        while self.chunks.len() == 0 && !self.at_fin {
            self.receive_or_obey().await?;
        }
        let limit = self.header_timeout;
        let header = match tokio::time::timeout(limit, self.read_header()).await {
            Ok(header) => header?,
            Err(_) => return Err(CarrierEnd::HeaderTimeout),
        };
        self.unanswered = None;
        self.route(header).await?;
        loop {
            self.turn.pass_on().await;
            let decoded = self.decode();
            self.deliver().await?;
            match decoded {
                Decoded::Full => {}
                Decoded::All if self.at_fin => return Err(self.end_at_fin()),
                Decoded::All => self.receive_or_obey().await?,
                Decoded::Broken(end) => return Err(end),
            }
        }
    }

    async fn read_header(&mut self) -> Result<StreamHeader, CarrierEnd> {
        loop {
            match self.decoder.poll().map_err(CarrierEnd::Decode)? {
                Some(DataEvent::Header(header)) => return Ok(header),
                Some(_) => {}
                None if self.feed() => {}
                None if self.at_fin => return Err(self.end_at_fin()),
                None => self.receive_or_obey().await?,
            }
        }
    }

    /// Asks the session where the carrier's bytes go.
    async fn route(&mut self, header: StreamHeader) -> Result<(), CarrierEnd> {
        self.carrier.header = Some(header);
        let (reply, answer) = oneshot::channel();
        let request = RouteRequest {
            carrier: self.carrier,
            header,
            back: self.back.take(),
            control: self.control.clone(),
            reply,
        };
        let refused = CarrierEnd::Refused(ErrorCode::SessionClosed);
        let request = Box::new(CarrierEvent::Route(request));
        self.events.send(request).await.map_err(|_| refused.clone())?;
        self.follow(answer.await.map_err(|_| refused)?)
    }

    fn follow(&mut self, route: Route) -> Result<(), CarrierEnd> {
        self.destination = match route {
            Route::Receive { receive, source } => {
                self.decoder.remap(receive.id());
                Some((receive, source))
            }
            Route::Drain => None,
            Route::Refused(code) => return Err(CarrierEnd::Refused(code)),
        };
        self.carrier.source = self.destination.as_ref().map(|(_, source)| *source);
        Ok(())
    }

    /// Waits for the next batch from QUIC, or for an order of the session.
    async fn receive_or_obey(&mut self) -> Result<(), CarrierEnd> {
        let received = match self.receive_at_once().await {
            Some(received) => received,
            None => {
                // Nothing is kept for what may come while nothing does.
                self.arrivals.pieces = Vec::new();
                let Self { quic, control, turn, .. } = self;
                tokio::select! {
                    biased;
                    () = control.ordered() => return self.obey(),
                    received = poll_fn(|cx| poll_batch(quic, cx)) => received,
                    never = turn.wait() => match never {},
                }
            }
        };
        let (chunks, is_open) = received.map_err(end_of)?;
        self.control.add_received(chunks.iter().map(|chunk| chunk.len() as u64).sum());
        self.chunks = chunks.into_iter();
        self.at_fin = !is_open;
        Ok(())
    }

    /// While a reader was left asleep in the middle of many bytes: what comes within a few turns of the worker. If nothing
    /// does the reader is woken.
    async fn receive_at_once(&mut self) -> Option<Result<Batch, QuicError>> {
        let Self { quic, destination: Some((receive, _)), .. } = self else { return None };
        let mut turns = 0;
        while receive.holds() {
            let polled = poll_fn(|cx| Poll::Ready(poll_batch(quic, cx))).await;
            if let Poll::Ready(received) = polled {
                return Some(received);
            }
            if turns == TURNS {
                receive.release();
            } else {
                turns += 1;
                tokio::task::yield_now().await;
            }
        }
        None
    }

    fn obey(&mut self) -> Result<(), CarrierEnd> {
        let orders = self.control.take();
        if let Some(code) = orders.stop {
            return Err(CarrierEnd::Stopped { code });
        }
        orders.route.map_or(Ok(()), |route| self.follow(route))
    }

    /// Gives the decoder the next chunk of the batch. One at a time, so that what comes out is known to lie in it.
    fn feed(&mut self) -> bool {
        let Some(mut chunk) = self.chunks.next() else { return false };
        self.allocation = allocation_behind(self.position);
        self.position += chunk.len() as u64;
        if self.at_fin && self.chunks.len() == 0 && chunk.len() * TAIL <= self.allocation {
            // The end of a carrier, in a buffer that nothing else will fill.
            chunk = Bytes::copy_from_slice(&chunk);
            self.allocation = chunk.len();
        }
        self.decoder.push(chunk);
        true
    }

    /// Decodes what there is, up to the caps of one delivery. A final size ends one: of two in a row the half sees both.
    fn decode(&mut self) -> Decoded {
        while self.arrivals.fin.is_none()
            && self.arrivals.pieces.len() < PIECES_PER_DELIVERY
            && self.faults.len() < FAULTS_PER_DELIVERY
        {
            match self.decoder.poll() {
                Ok(Some(DataEvent::Chunk { offset, payload })) => {
                    let allocation = self.allocation;
                    self.arrivals.pieces.push(Piece { offset, payload, allocation });
                }
                Ok(Some(DataEvent::Fin { final_size })) => {
                    self.arrivals.fin = Some(final_size);
                    self.saw_fin = true;
                }
                Ok(Some(DataEvent::Header(_))) => {}
                Ok(None) if self.feed() => {}
                Ok(None) => return Decoded::All,
                Err(error) if error.is_fatal() => {
                    return Decoded::Broken(CarrierEnd::Decode(error));
                }
                Err(error) => self.faults.push(CarrierFault::Frame(error)),
            }
        }
        Decoded::Full
    }

    /// Puts what was decoded into the half, in one go, and reports what was wrong with it.
    async fn deliver(&mut self) -> Result<(), CarrierEnd> {
        let refused = match &self.destination {
            Some((receive, source)) if !self.arrivals.is_empty() => {
                match receive.insert(*source, &mut self.arrivals) {
                    Ok(conflicts) => {
                        self.brought = Yield::Delivered;
                        self.faults.extend(conflicts.into_iter().map(CarrierFault::Conflict));
                        None
                    }
                    Err(error) => Some(CarrierEnd::Insert(error)),
                }
            }
            _ => None,
        };
        self.arrivals.clear();
        let carrier = self.carrier;
        if !self.faults.is_empty() {
            self.release();
        }
        for fault in self.faults.drain(..) {
            // Fails only if the session is gone; QUIC then ends the carrier.
            let _ = self.events.send(Box::new(CarrierEvent::Fault { carrier, fault })).await;
        }
        refused.map_or(Ok(()), Err)
    }

    /// Wakes the reader, if it was left asleep: this pump looks after it no more.
    fn release(&self) {
        if let Some((receive, _)) = &self.destination {
            receive.release();
        }
    }

    fn end_at_fin(&self) -> CarrierEnd {
        let public = self.carrier.header.is_some_and(|header| header.kind == CarrierKind::Public);
        match self.decoder.finish() {
            Err(error) => CarrierEnd::Decode(error),
            Ok(()) if public && !self.saw_fin => CarrierEnd::NoFinalSize,
            Ok(()) => CarrierEnd::Finished,
        }
    }
}

impl Drop for ReceivePump {
    /// A pump may go with its path at any time.
    fn drop(&mut self) {
        self.release();
    }
}

/// Chunks that came at once, and whether more may come.
type Batch = (Vec<Bytes>, bool);

fn poll_batch(quic: &mut ReceiveStream, cx: &mut Context<'_>) -> Poll<Result<Batch, QuicError>> {
    BATCH.with_borrow_mut(|batch| {
        let (count, is_open) = ready!(quic.poll_receive_vectored(batch, cx))?;
        let chunks = batch[..count].iter_mut().map(std::mem::take).collect();
        Poll::Ready(Ok((chunks, is_open)))
    })
}

/// How far [`ReceivePump::decode`] came.
enum Decoded {
    /// There may be more, beyond the caps.
    Full,
    /// Nothing is left.
    All,
    /// The rest cannot be decoded.
    Broken(CarrierEnd),
}

/// What the peer is told when this end has had enough; `None`: it knows.
fn stop_code(end: &CarrierEnd) -> Option<application::Error> {
    match end {
        CarrierEnd::NoFinalSize => None,
        CarrierEnd::Stopped { code } => Some(*code),
        CarrierEnd::Insert(ReceiveError::SourceRemoved { .. }) => {
            Some(application::Error::of_kwik(ErrorCode::PathRemoved))
        }
        other => other.fault().map(application::Error::of_kwik),
    }
}

fn end_of(error: QuicError) -> CarrierEnd {
    match error {
        QuicError::StreamReset { error, .. } => CarrierEnd::Reset { code: error.into() },
        QuicError::ConnectionError { error, .. } => CarrierEnd::Lost(error.into()),
        _ => CarrierEnd::Lost(connection::Error::Unspecified),
    }
}
