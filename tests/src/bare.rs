//! Peers made of QUIC streams and frames alone: they can break every rule.

use bytes::{Buf, Bytes, BytesMut};
use kwik_core::admission::Claims;
use kwik_io::control::{self, ControlReader, ControlSender};
use kwik_io::endpoint::{
    ClientEndpoints, DialError, Dialled, EndpointLimits, Role, ServerEndpoint,
};
use kwik_io::env::Env;
use kwik_io::key::{PublicKey, TrustedKeys};
use kwik_io::sign::ConfirmationKey;
use kwik_io::stream::application;
use kwik_io::tls::{ServerCertificate, Trust};
use kwik_io::token;
use kwik_io::worker::{Placement, Workers};
use kwik_proto::data::{self, DataHeader};
use kwik_proto::frame::{
    Admission, CarrierKind, ControlFrame, ErrorCode, Hello, Limits, Order, Orders, StreamHeader,
    Welcome,
};
use kwik_proto::{ByteRange, DelegationId, Offset, SessionId, StreamId, VERSION};
use kwik_server::{PathSpec, Pin, ServerIdentity};
use s2n_quic::connection::{Handle, StreamAcceptor};
use s2n_quic::stream::SendStream;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::time::Duration;

use crate::{certificate, eventually_some};

mod message;
mod narrow;
mod raw;

pub use message::{Message, length_prefix};
pub use narrow::NarrowServer;
pub use raw::{RawPeer, Verdict, claims_of, verdict_of};

/// What bare peers say that they take.
pub const LIMITS: Limits = Limits {
    max_bidirectional_streams: 100,
    max_unidirectional_streams: 100,
    initial_window: 64 * 1024,
};

/// A server that does nothing by itself. It lives on the test's own runtime.
pub struct BareServer {
    endpoint: ServerEndpoint,
    certificate: ServerCertificate,
}

/// One connection of a bare peer, with its control stream.
pub struct BareConnection {
    /// To open streams.
    pub handle: Handle,
    /// To accept streams.
    pub acceptor: StreamAcceptor,
    /// Frames that arrive.
    pub reader: ControlReader,
    /// Frames that are sent.
    pub sender: ControlSender,
    /// The connection's keying material.
    pub exporter: [u8; 32],
    orders: Vec<Order>,
}

impl BareServer {
    /// Starts one on loopback.
    pub fn start() -> Self {
        Self::with(certificate())
    }

    /// Starts one on loopback, with that certificate.
    pub fn with(certificate: ServerCertificate) -> Self {
        let worker = Workers::start(Placement::Current).expect("within a runtime").next();
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let limits = EndpointLimits::default();
        let endpoint = ServerEndpoint::bind(&Env::system(), &worker, address, &certificate, limits)
            .expect("a port of loopback is free");
        Self { endpoint, certificate }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.endpoint.local_addr()
    }

    /// Its certificate's pin.
    pub fn pin(&self) -> Pin {
        self.certificate.pin()
    }

    /// As a path of a primary, with a grant for every stream if `grant_all`.
    pub fn spec(&self, grant_all: bool) -> PathSpec {
        let identity = ServerIdentity::Pin(self.pin().0);
        PathSpec { addresses: vec![self.address()], identity, grant_all }
    }

    /// The next connection, and the control stream on it.
    pub async fn accept(&mut self) -> BareConnection {
        let accepted = self.endpoint.accept().await.expect("the endpoint runs");
        let (handle, mut acceptor) = accepted.connection.split();
        let stream = acceptor.accept_bidirectional_stream().await;
        let stream = stream.expect("the client opens the control stream").expect("it stays");
        let (reader, sender, writer) = control::split(stream);
        tokio::spawn(writer.run());
        let exporter = accepted.exporter;
        BareConnection { handle, acceptor, reader, sender, exporter, orders: Vec::new() }
    }

    /// The next connection, accepted as a primary accepts a client.
    pub async fn accept_as_primary(&mut self) -> (BareConnection, Hello) {
        let mut connection = self.accept().await;
        let hello = connection.hello().await;
        connection.welcome(SessionId([7; 16]));
        (connection, hello)
    }

    /// The next connection, accepted as a secondary of `primary` accepts a client.
    pub async fn accept_as_secondary(&mut self, primary: &PublicKey) -> (BareConnection, Claims) {
        let mut connection = self.accept().await;
        let hello = connection.hello().await;
        let admission = hello.admission.expect("a client shows its token to a secondary");
        let keys = TrustedKeys::from_iter([primary.clone()]);
        let claims = token::verify(&keys, &admission.token).expect("the primary signed it").claims;
        connection.welcome(claims.session);
        (connection, claims)
    }
}

/// A connection to a server, without so much as a control stream.
pub async fn dial(server: SocketAddr, pin: Pin) -> Dialled {
    dial_as(Role::Secondary, server, pin).await
}

/// As [`dial`], where the server may close the connection before it is there.
///
/// # Errors
/// Why there is none.
pub async fn try_dial(server: SocketAddr, pin: Pin) -> Result<Dialled, DialError> {
    try_dial_as(Role::Secondary, server, pin).await
}

/// As [`dial`]; of a primary it takes bidirectional streams too.
async fn dial_as(role: Role, server: SocketAddr, pin: Pin) -> Dialled {
    try_dial_as(role, server, pin).await.expect("loopback connects")
}

async fn try_dial_as(role: Role, server: SocketAddr, pin: Pin) -> Result<Dialled, DialError> {
    let endpoints = ClientEndpoints::new(Env::system(), role, EndpointLimits::default());
    let worker = Workers::start(Placement::Current).expect("within a runtime").next();
    let wait = Duration::from_secs(20);
    endpoints.connect(&worker, server, &Trust::Pin(pin), None, wait).await
}

/// Connects to a server as a client that only speaks when it is told to.
pub async fn connect(server: SocketAddr, pin: Pin) -> BareConnection {
    begin(dial(server, pin).await).await
}

/// As [`connect`], and takes the bidirectional streams that the server opens.
pub async fn connect_to_primary(server: SocketAddr, pin: Pin) -> BareConnection {
    begin(dial_as(Role::Primary, server, pin).await).await
}

async fn begin(mut dialled: Dialled) -> BareConnection {
    let stream = dialled.connection.open_bidirectional_stream().await.expect("it stays");
    let (reader, sender, writer) = control::split(stream);
    tokio::spawn(writer.run());
    let (handle, acceptor) = dialled.connection.split();
    let exporter = dialled.exporter;
    BareConnection { handle, acceptor, reader, sender, exporter, orders: Vec::new() }
}

/// The code of KWIK's with which the peer closed the connection. QUIC's close may overtake the control frame that says
/// why, for QUIC throws away what was not read; it has the same code.
pub fn closing_code(error: s2n_quic::stream::Error) -> ErrorCode {
    use s2n_quic::{connection, stream};
    let code = match error {
        stream::Error::ConnectionError {
            error: connection::Error::Application { error, .. },
            ..
        } => application::Error::new(error.into()).expect("QUIC's codes are varints").kwik_code(),
        other => panic!("expected a close, not {other}"),
    };
    code.expect("the code is one of KWIK's")
}

/// The Hello of a client.
pub fn hello() -> Hello {
    Hello {
        versions: vec![VERSION],
        features: Vec::new(),
        limits: LIMITS,
        confirmation_key: None,
        admission: None,
    }
}

impl BareConnection {
    /// The next frame of the control stream.
    pub async fn next(&mut self) -> ControlFrame {
        let frame = self.reader.recv().await.expect("the control stream lasts");
        frame.expect("the control stream is not finished")
    }

    /// The code with which the peer refuses this end.
    pub async fn refusal(&mut self) -> ErrorCode {
        match self.reader.recv().await {
            Ok(Some(ControlFrame::Refuse(refuse))) => refuse.code,
            Err(control::ControlError::Stream(error)) => closing_code(error),
            other => panic!("expected a refusal, not {other:?}"),
        }
    }

    /// Sends a frame.
    pub fn send(&self, frame: ControlFrame) {
        self.sender.push(&frame).expect("the control stream takes a frame");
    }

    /// Reads the Hello.
    pub async fn hello(&mut self) -> Hello {
        match self.next().await {
            ControlFrame::Hello(hello) => hello,
            other => panic!("expected a Hello, not {other:?}"),
        }
    }

    /// Says Welcome.
    pub fn welcome(&self, session: SessionId) {
        let (version, features, limits) = (VERSION, Vec::new(), LIMITS);
        self.send(ControlFrame::Welcome(Welcome { version, features, limits, session }));
    }

    /// The next order of the primary. Other frames are passed over.
    pub async fn next_order(&mut self) -> Order {
        while self.orders.is_empty() {
            if let ControlFrame::Orders(signed) = self.next().await {
                let orders = Orders::decode(&signed.body).expect("a primary's orders are whole");
                self.orders = orders.orders;
            }
        }
        self.orders.remove(0)
    }

    /// The next delegation.
    pub async fn next_delegation(&mut self) -> kwik_proto::frame::Delegation {
        loop {
            if let Order::Delegation(delegation) = self.next_order().await {
                return delegation;
            }
        }
    }

    /// Waits for a grant on `stream`.
    pub async fn granted(&mut self, stream: u64) {
        loop {
            if let Order::Grant(grant) = self.next_order().await
                && grant.stream.value() == stream
            {
                return;
            }
        }
    }

    /// Opens a unidirectional stream.
    pub async fn open(&mut self) -> Carrier {
        let stream = self.handle.open_send_stream().await.expect("the client has credit");
        Carrier(stream)
    }

    /// Opens a contribution and sends its header.
    pub async fn contribute(&mut self, stream: u64) -> Carrier {
        let mut carrier = self.open().await;
        carrier.write(contribution_header(stream, None)).await;
        carrier
    }

    /// Opens a contribution and sends its header with `frame` behind it, in one write: what the client refuses for its
    /// header may be stopped before a second one.
    pub async fn contribute_at_once(&mut self, stream: u64, frame: Bytes) -> Carrier {
        let mut carrier = self.open().await;
        let bytes = [contribution_header(stream, None), frame].concat();
        carrier.write(bytes.into()).await;
        carrier
    }
}

/// A QUIC stream that takes any bytes.
pub struct Carrier(pub SendStream);

impl Carrier {
    /// Its QUIC id.
    pub fn id(&self) -> u64 {
        self.0.id()
    }

    /// Sends bytes.
    pub async fn write(&mut self, bytes: Bytes) {
        self.0.send(bytes).await.expect("the carrier takes bytes");
    }

    /// Waits until the client has stopped the carrier, and returns the code that it gave.
    pub async fn refusal(&mut self) -> ErrorCode {
        let code = eventually_some("the client stops the carrier", || {
            let ready = poll_fn(|cx| self.0.poll_send_ready(cx));
            let ready = std::pin::pin!(ready);
            let looked = futures_now(ready);
            async move { looked }
        })
        .await;
        code.kwik_code().expect("the code is one of KWIK's")
    }

    /// Waits until the client's QUIC has everything, and ends the carrier.
    pub async fn finish(&mut self) {
        self.0.close().await.expect("the client takes it to the end");
    }
}

/// What a poll says now: the code of a stopped stream.
fn futures_now(
    future: std::pin::Pin<&mut impl Future<Output = s2n_quic::stream::Result<usize>>>,
) -> Option<application::Error> {
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    match future.poll(&mut cx) {
        std::task::Poll::Ready(Err(s2n_quic::stream::Error::StreamReset { error, .. })) => {
            Some(error.into())
        }
        std::task::Poll::Ready(Err(error)) => panic!("the carrier was not stopped: {error}"),
        _ => None,
    }
}

fn id(stream: u64) -> StreamId {
    StreamId::from_wire(stream).expect("below 2^62")
}

/// The header of a contribution; with a delegation and the range that is promised.
pub fn contribution_header(stream: u64, promised: Option<(DelegationId, ByteRange)>) -> Bytes {
    let (stream, kind) = (id(stream), CarrierKind::Contribution);
    let (delegation, promised) = promised.unzip();
    encoded(&StreamHeader { stream, kind, delegation, promised })
}

/// The header of a public stream.
pub fn public_header(stream: u64) -> Bytes {
    let (stream, kind) = (id(stream), CarrierKind::Public);
    encoded(&StreamHeader { stream, kind, delegation: None, promised: None })
}

fn encoded(header: &StreamHeader) -> Bytes {
    let mut out = BytesMut::new();
    data::encode_stream_header(header, &mut out);
    out.freeze()
}

/// A frame of a contribution, with its checksum.
pub fn contribution_frame(stream: u64, offset: u64, payload: &[u8]) -> Bytes {
    let (stream, offset) = (id(stream), Offset::new(offset).expect("below 2^62"));
    let crc32c = data::checksum(stream, offset, false, payload.len(), [payload]);
    frame(
        DataHeader { stream, offset, fin: false, length: payload.len(), crc32c: Some(crc32c) },
        payload,
    )
}

/// A frame of a public stream.
pub fn public_frame(stream: u64, offset: u64, payload: &[u8], fin: bool) -> Bytes {
    let (stream, offset) = (id(stream), Offset::new(offset).expect("below 2^62"));
    frame(DataHeader { stream, offset, fin, length: payload.len(), crc32c: None }, payload)
}

fn frame(header: DataHeader, payload: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    header.encode(&mut out);
    out.extend_from_slice(payload);
    out.freeze()
}

/// A client between a real primary and a real secondary that sees every byte which the secondary sends.
pub struct Intermediary {
    /// Its connection to the primary.
    pub primary: BareConnection,
    /// Its connection to the secondary.
    pub secondary: BareConnection,
}

impl Intermediary {
    /// Connects to `primary`, and to the secondary that `primary` then orders it to.
    pub async fn connect(primary: SocketAddr, pin: Pin) -> Self {
        let mut primary = connect(primary, pin).await;
        let key = ConfirmationKey::generate(&Env::system());
        let confirmation_key = Some(key.public());
        primary.send(ControlFrame::Hello(Hello { confirmation_key, ..hello() }));
        let add = loop {
            if let ControlFrame::AddPath(add) = primary.next().await {
                break add;
            }
        };
        let ServerIdentity::Pin(pin) = add.identity else { panic!("secondaries here have pins") };
        let secondary = connect(add.addresses[0], Pin(pin)).await;
        let proof = key.prove(&add.token, &secondary.exporter);
        let admission = Some(Admission { token: add.token, proof });
        secondary.send(ControlFrame::Hello(Hello { admission, ..hello() }));
        let mut intermediary = Self { primary, secondary };
        match intermediary.secondary.next().await {
            ControlFrame::Welcome(_) => intermediary,
            other => panic!("the secondary does not welcome its client: {other:?}"),
        }
    }

    /// Passes one batch of orders on, which must be the primary's next frame of weight.
    pub async fn pass_orders(&mut self) {
        loop {
            if let ControlFrame::Orders(signed) = self.primary.next().await {
                return self.secondary.send(ControlFrame::Orders(signed));
            }
        }
    }

    /// Every byte of the next carrier of the secondary.
    pub async fn next_carrier(&mut self) -> (u64, Bytes) {
        let accepted = self.secondary.acceptor.accept_receive_stream().await;
        let mut carrier = accepted.expect("the connection lasts").expect("a carrier comes");
        let mut bytes = BytesMut::new();
        while let Some(chunk) = carrier.receive().await.expect("the carrier lasts") {
            bytes.extend_from_slice(&chunk);
        }
        (carrier.id(), bytes.freeze())
    }
}

/// One field of a protobuf message, read by the rules of protobuf alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its number.
    pub number: u64,
    /// Its value: a number's, or the length of what it holds.
    pub value: u64,
    /// What it holds, if it is length-delimited.
    pub bytes: Bytes,
}

/// The length-delimited messages of a carrier, as any protobuf tool reads them.
///
/// # Panics
/// If they are not protobuf.
pub fn messages(mut carrier: Bytes) -> Vec<Vec<Field>> {
    let mut messages = Vec::new();
    while !carrier.is_empty() {
        let length = varint(&mut carrier) as usize;
        messages.push(fields(carrier.split_to(length)));
    }
    messages
}

fn fields(mut message: Bytes) -> Vec<Field> {
    let mut fields = Vec::new();
    while !message.is_empty() {
        let tag = varint(&mut message);
        let (value, bytes) = match tag & 7 {
            0 => (varint(&mut message), Bytes::new()),
            2 => {
                let length = varint(&mut message);
                (length, message.split_to(length as usize))
            }
            5 => (message.get_u32_le().into(), Bytes::new()),
            wire => panic!("wire type {wire} is not KWIK's"),
        };
        fields.push(Field { number: tag >> 3, value, bytes });
    }
    fields
}

fn varint(bytes: &mut Bytes) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = bytes.get_u8();
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return value;
        }
    }
    panic!("a varint has at most ten bytes")
}
