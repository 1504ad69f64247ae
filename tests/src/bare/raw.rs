//! A peer whose control stream is written byte for byte, and read in the background.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kwik_core::admission::Claims;
use kwik_io::endpoint::{Dialled, Role};
use kwik_io::env::Env;
use kwik_io::stream::application;
use kwik_io::tls::{Trust, client_config};
use kwik_io::token;
use kwik_proto::control::ControlDecoder;
use kwik_proto::frame::{ControlFrame, ErrorCode, Hello, Ping, Welcome};
use kwik_proto::{SessionId, VERSION};
use kwik_server::{Pin, PublicKey};
use s2n_quic::connection::{Handle, StreamAcceptor};
use s2n_quic::stream::{BidirectionalStream, ReceiveStream, SendStream};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::{BareServer, LIMITS, dial, dial_as, hello};

/// How long a verdict of the peer is waited for. Only what hangs takes so long.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes that are written to the control stream at a time in a flood.
const BATCH: usize = 16 << 10;
/// Frames that are kept for the test; further ones are counted only.
const MAX_KEPT: usize = 20_000;

/// What a peer does about what it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It still answers a Ping.
    Alive,
    /// It closed the connection, with that code of KWIK's.
    Closed(ErrorCode),
    /// It stopped, or reset, the QUIC stream, with that code of KWIK's.
    Stopped(ErrorCode),
    /// The connection ended otherwise: QUIC's error, or none.
    Lost,
}

/// A connection on which every byte is the test's own. Frames that arrive are read all the time, unless it is deaf.
pub struct RawPeer {
    /// To open streams.
    pub handle: Handle,
    /// To accept streams.
    pub acceptor: StreamAcceptor,
    /// The connection's keying material.
    pub exporter: [u8; 32],
    control: SendStream,
    inbox: Arc<Inbox>,
    reader: Reader,
}

enum Reader {
    Task(AbortHandle),
    /// Kept, so that nobody tells the peer to stop.
    Deaf(#[expect(dead_code, reason = "it is held unread")] ReceiveStream),
}

impl Drop for RawPeer {
    fn drop(&mut self) {
        if let Reader::Task(task) = &self.reader {
            task.abort();
        }
    }
}

#[derive(Default)]
struct Inbox {
    state: Mutex<State>,
    news: Notify,
}

#[derive(Default)]
struct State {
    frames: Vec<ControlFrame>,
    count: u64,
    last_pong: Option<u64>,
    end: Option<Verdict>,
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, frame: ControlFrame) {
        let mut state = self.lock();
        state.count += 1;
        match frame {
            ControlFrame::Pong(pong) => state.last_pong = Some(pong.nonce),
            ControlFrame::SessionClose(close) => {
                state.end.get_or_insert(Verdict::Closed(close.code));
            }
            ControlFrame::Refuse(refuse) => {
                state.end.get_or_insert(Verdict::Closed(refuse.code));
            }
            frame if state.frames.len() < MAX_KEPT => state.frames.push(frame),
            _ => {}
        }
        drop(state);
        self.news.notify_waiters();
    }

    /// The code of a StreamStop that came.
    fn stopped(&self) -> Option<ErrorCode> {
        self.lock().frames.iter().find_map(|frame| match frame {
            ControlFrame::StreamStop(stop) => ErrorCode::from_quic_code(stop.error_code),
            _ => None,
        })
    }

    fn end(&self, verdict: Verdict) {
        self.lock().end.get_or_insert(verdict);
        self.news.notify_waiters();
    }
}

async fn read(mut stream: ReceiveStream, inbox: Arc<Inbox>) {
    let mut decoder = ControlDecoder::new();
    loop {
        match stream.receive().await {
            Ok(Some(chunk)) => decoder.push(chunk),
            Ok(None) => return inbox.end(Verdict::Lost),
            Err(error) => return inbox.end(verdict_of(error)),
        }
        while let Ok(Some(frame)) = decoder.poll() {
            inbox.take(frame);
        }
    }
}

/// What the end of a stream says.
pub fn verdict_of(error: s2n_quic::stream::Error) -> Verdict {
    use s2n_quic::{connection, stream};
    let (code, made): (_, fn(ErrorCode) -> Verdict) = match error {
        stream::Error::ConnectionError {
            error: connection::Error::Application { error, .. },
            ..
        } => (u64::from(error), Verdict::Closed),
        stream::Error::StreamReset { error, .. } => (u64::from(error), Verdict::Stopped),
        _ => return Verdict::Lost,
    };
    let code = application::Error::new(code).ok().and_then(|code| code.kwik_code());
    code.map_or(Verdict::Lost, made)
}

impl RawPeer {
    /// Over a connection whose control stream is open.
    pub(super) fn over(
        (handle, acceptor): (Handle, StreamAcceptor),
        control: BidirectionalStream,
        exporter: [u8; 32],
        reads: Reads,
    ) -> Self {
        let (receive, control) = control.split();
        let inbox = Arc::<Inbox>::default();
        let reader = match reads {
            Reads::All => Reader::Task(tokio::spawn(read(receive, inbox.clone())).abort_handle()),
            Reads::Nothing => Reader::Deaf(receive),
        };
        Self { handle, acceptor, exporter, control, inbox, reader }
    }

    async fn begin(mut dialled: Dialled, reads: Reads) -> Self {
        let control = dialled.connection.open_bidirectional_stream().await.expect("it stays");
        Self::over(dialled.connection.split(), control, dialled.exporter, reads)
    }

    /// A client that has said nothing yet.
    pub async fn silent_client(server: SocketAddr, pin: Pin) -> Self {
        Self::begin(dial_as(Role::Primary, server, pin).await, Reads::All).await
    }

    /// A client whose Hello was sent, and answered.
    pub async fn client(server: SocketAddr, pin: Pin) -> Self {
        Self::client_with(server, pin, hello()).await
    }

    /// The same with another Hello.
    pub async fn client_with(server: SocketAddr, pin: Pin, hello: Hello) -> Self {
        let mut peer = Self::silent_client(server, pin).await;
        peer.send(ControlFrame::Hello(hello)).await;
        peer.next(|frame| matches!(frame, ControlFrame::Welcome(_)).then_some(())).await;
        peer
    }

    /// As [`client`](Self::client), with those limits of QUIC's.
    ///
    /// # Errors
    /// Where there is no connection.
    pub async fn client_within(
        server: SocketAddr,
        pin: Pin,
        limits: s2n_quic::provider::limits::Limits,
    ) -> anyhow::Result<Self> {
        let (config, _) = client_config(&Env::system(), &Trust::Pin(pin))?;
        let tls = s2n_quic::provider::tls::rustls::Client::from(config);
        let client = s2n_quic::Client::builder().with_tls(tls)?.with_limits(limits)?;
        let client = client.with_io("127.0.0.1:0")?.start()?;
        let connect = s2n_quic::client::Connect::new(server).with_server_name("localhost");
        let mut connection = client.connect(connect).await?;
        connection.keep_alive(true)?;
        let control = connection.open_bidirectional_stream().await?;
        let mut peer = Self::over(connection.split(), control, [0; 32], Reads::All);
        peer.send(ControlFrame::Hello(hello())).await;
        peer.next(|frame| matches!(frame, ControlFrame::Welcome(_)).then_some(())).await;
        Ok(peer)
    }

    /// A client whose Hello was sent, and that never reads its control stream.
    pub async fn deaf_client(server: SocketAddr, pin: Pin) -> Self {
        let mut peer = Self::begin(dial(server, pin).await, Reads::Nothing).await;
        peer.send(ControlFrame::Hello(hello())).await;
        peer
    }

    /// Sends a frame. What the peer has closed takes none: [`verdict`](Self::verdict) says so.
    pub async fn send(&mut self, frame: ControlFrame) {
        let mut out = BytesMut::new();
        frame.encode(&mut out);
        self.write(out.freeze()).await;
    }

    /// Sends bytes on the control stream.
    pub async fn write(&mut self, bytes: Bytes) -> bool {
        self.control.send(bytes).await.is_ok()
    }

    /// Sends `count` frames, in batches. Stops when the peer takes no more; how many were sent.
    pub async fn flood(&mut self, count: u64, mut frame: impl FnMut(u64) -> ControlFrame) -> u64 {
        let mut out = BytesMut::new();
        for number in 0..count {
            frame(number).encode(&mut out);
            if out.len() >= BATCH && !self.write(out.split().freeze()).await {
                return number;
            }
        }
        self.write(out.freeze()).await;
        count
    }

    /// Ends the control stream, as QUIC does it: FIN.
    pub fn finish_control(&mut self) {
        let _ = self.control.finish();
    }

    /// Resets the control stream.
    pub fn reset_control(&mut self) {
        let _ = self.control.reset(1u8.into());
    }

    /// What `look` finds among the frames that came, or come; the frame is taken out.
    ///
    /// # Panics
    /// If the connection ends before, or nothing comes.
    pub async fn next<T>(&self, look: impl FnMut(&ControlFrame) -> Option<T>) -> T {
        match self.find(look).await {
            Ok(found) => found,
            Err(end) => panic!("the connection ended with {end:?} before the frame came"),
        }
    }

    /// As [`next`](Self::next); or how the connection ended.
    ///
    /// # Errors
    /// The end.
    pub async fn find<T>(
        &self,
        mut look: impl FnMut(&ControlFrame) -> Option<T>,
    ) -> Result<T, Verdict> {
        self.wait(|state| {
            let found = state.frames.iter().enumerate().find_map(|(at, it)| Some((at, look(it)?)));
            if let Some((at, found)) = found {
                state.frames.remove(at);
                return Some(Ok(found));
            }
            state.end.map(Err)
        })
        .await
    }

    /// Frames that came so far.
    pub fn received(&self) -> u64 {
        self.inbox.lock().count
    }

    /// How the peer takes what it was sent: it answers a Ping that comes behind, or closes.
    pub async fn verdict(&mut self) -> Verdict {
        const NONCE: u64 = 0x5eed_0000;
        let nonce = NONCE + self.received();
        self.send(ControlFrame::Ping(Ping { nonce })).await;
        let seen = self.wait(|state| {
            let answered = state.last_pong == Some(nonce);
            state.end.or_else(|| answered.then_some(Verdict::Alive))
        });
        seen.await
    }

    /// How the connection ends.
    pub async fn end(&mut self) -> Verdict {
        self.wait(|state| state.end).await
    }

    async fn wait<T>(&self, mut look: impl FnMut(&mut State) -> Option<T>) -> T {
        let waiting = async {
            loop {
                // Made before the look, it misses nothing.
                let news = self.inbox.news.notified();
                if let Some(seen) = look(&mut self.inbox.lock()) {
                    return seen;
                }
                news.await;
            }
        };
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(seen) => seen,
            Err(_) => panic!("in {PATIENCE:?} the peer neither answered nor closed"),
        }
    }

    /// Opens a unidirectional stream and sends bytes on it; `None` if the peer has closed.
    pub async fn carrier(&mut self, bytes: impl Into<Bytes>) -> Option<SendStream> {
        let mut stream = self.handle.open_send_stream().await.ok()?;
        stream.send(bytes.into()).await.ok()?;
        Some(stream)
    }

    /// Opens a bidirectional stream and sends bytes on it; `None` if the peer has closed.
    pub async fn request(&mut self, bytes: impl Into<Bytes>) -> Option<BidirectionalStream> {
        let mut stream = self.handle.open_bidirectional_stream().await.ok()?;
        stream.send(bytes.into()).await.ok()?;
        Some(stream)
    }

    /// How the peer takes a carrier: it stops it, or its stream, or closes. Waits until it does one of these.
    pub async fn carrier_verdict(&mut self, carrier: Option<SendStream>) -> Verdict {
        let Some(mut carrier) = carrier else { return self.end().await };
        let stopped = async {
            loop {
                if let Err(error) = poll_fn(|cx| carrier.poll_send_ready(cx)).await {
                    return verdict_of(error);
                }
                if let Some(code) = self.inbox.stopped() {
                    return Verdict::Stopped(code);
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        match tokio::time::timeout(PATIENCE, stopped).await {
            Ok(Verdict::Lost) => self.end().await,
            Ok(verdict) => verdict,
            Err(_) => panic!("in {PATIENCE:?} the peer neither stopped the carrier nor closed"),
        }
    }
}

/// What is read of the control stream.
pub(super) enum Reads {
    All,
    Nothing,
}

impl BareServer {
    /// The next connection, its Hello unread.
    pub async fn accept_raw(&mut self) -> RawPeer {
        loop {
            let accepted = self.endpoint.accept().await.expect("the endpoint runs");
            let (handle, mut acceptor) = accepted.connection.split();
            // A client that was refused by itself, or that only looked, opens none.
            let Ok(Some(control)) = acceptor.accept_bidirectional_stream().await else { continue };
            return RawPeer::over((handle, acceptor), control, accepted.exporter, Reads::All);
        }
    }

    /// The next connection, accepted as a primary accepts a client.
    pub async fn accept_raw_client(&mut self) -> RawPeer {
        let mut peer = self.accept_raw().await;
        peer.hello().await;
        peer.welcome(SessionId([7; 16])).await;
        peer
    }

    /// The next connection, accepted as a secondary of `primary` accepts a client.
    pub async fn accept_raw_as_secondary(&mut self, primary: &PublicKey) -> (RawPeer, Claims) {
        let mut peer = self.accept_raw().await;
        let claims = claims_of(&peer.hello().await, primary);
        peer.welcome(claims.session).await;
        (peer, claims)
    }
}

/// What the token of a client's Hello says.
pub fn claims_of(hello: &Hello, primary: &PublicKey) -> Claims {
    let admission = hello.admission.as_ref().expect("a client shows its token to a secondary");
    let keys = kwik_io::key::TrustedKeys::from_iter([primary.clone()]);
    token::verify(&keys, &admission.token).expect("the primary signed it").claims
}

impl RawPeer {
    /// The client's Hello.
    pub async fn hello(&mut self) -> Hello {
        self.next(|frame| match frame {
            ControlFrame::Hello(hello) => Some(hello.clone()),
            _ => None,
        })
        .await
    }

    /// Says Welcome.
    pub async fn welcome(&mut self, session: SessionId) {
        let (version, features, limits) = (VERSION, Vec::new(), LIMITS);
        self.send(ControlFrame::Welcome(Welcome { version, features, limits, session })).await;
    }
}
