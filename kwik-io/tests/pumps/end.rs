//! Two ends of a session over a real connection, each with a session task that knows just enough: it routes carriers by
//! their header and passes windows, resets and stops to the other end by a call instead of a control stream.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use kwik_core::stream::{ReceiveConfig, ReceiveHalf, SendConfig};
use kwik_core::window::Budget;
use kwik_io::channel::{self, Receiver, Sender};
use kwik_io::env::Env;
use kwik_io::pump::{
    Carrier, CarrierControl, CarrierEnd, CarrierEvent, CarrierFault, ReceivePump, Route,
    RouteRequest, SendEnd, SendPump,
};
use kwik_io::stream::{
    BidirectionalStream, ReceiveStream, SendStream, ServiceList, SharedReceive, SharedSend,
    StreamHalf,
};
use kwik_proto::frame::ErrorCode;
use kwik_proto::{Epoch, PathId, StreamId};
use s2n_quic::connection::{Handle, StreamAcceptor};
use s2n_quic::stream::PeerStream;
use s2n_quic::{Client, Connection, Server};
use tokio::sync::mpsc;

/// What a session task saw.
#[derive(Debug)]
pub(crate) enum Seen {
    Fault(Carrier, CarrierFault),
    Ended(Carrier, CarrierEnd),
    SendEnded(SendEnd),
}

/// One end.
pub(crate) struct End {
    pub(crate) handle: Handle,
    pub(crate) table: Table,
    pub(crate) seen: mpsc::UnboundedReceiver<Seen>,
    pub(crate) events: Sender<Box<CarrierEvent>>,
    _endpoint: Endpoint,
}

pub(crate) enum Endpoint {
    Client(#[allow(dead_code)] Client),
    Server(#[allow(dead_code)] Server),
}

/// The streams of one end.
#[derive(Clone)]
pub(crate) struct Table(Arc<Mutex<Rows>>, ServiceList, Env);

#[derive(Default)]
struct Rows {
    receive: HashMap<StreamId, SharedReceive>,
    send: HashMap<StreamId, SharedSend>,
    controls: Vec<CarrierControl>,
    header_timeout: Option<Duration>,
    drain: bool,
}

impl Table {
    fn new() -> Self {
        Self(Arc::default(), ServiceList::default(), Env::system())
    }

    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.0.lock().unwrap()
    }

    pub(crate) fn receive(&self, id: u64, window: u64) -> SharedReceive {
        let id = StreamId::from_wire(id).unwrap();
        let config = ReceiveConfig { initial_window: window, ..ReceiveConfig::default() };
        let half = ReceiveHalf::new(config);
        let receive = SharedReceive::new(id, half, &self.1, self.2.clone());
        self.rows().receive.insert(id, receive.clone());
        receive
    }

    pub(crate) fn send(&self, id: u64, window: u64) -> SharedSend {
        let id = StreamId::from_wire(id).unwrap();
        let config = SendConfig { initial_window: window, ..SendConfig::default() };
        let send = SharedSend::new(id, config, &self.1);
        self.rows().send.insert(id, send.clone());
        send
    }

    pub(crate) fn set_header_timeout(&self, timeout: Duration) {
        self.rows().header_timeout = Some(timeout);
    }

    /// Carriers are routed nowhere from now on.
    pub(crate) fn drain(&self) {
        self.rows().drain = true;
    }

    /// The session's holds on carriers, in the order of their headers.
    pub(crate) fn controls(&self) -> Vec<CarrierControl> {
        self.rows().controls.clone()
    }

    fn find_receive(&self, id: StreamId) -> Option<SharedReceive> {
        self.rows().receive.get(&id).cloned()
    }

    pub(crate) fn find_send(&self, id: StreamId) -> Option<SharedSend> {
        self.rows().send.get(&id).cloned()
    }
}

impl End {
    pub(crate) async fn seen(&mut self) -> Seen {
        self.seen.recv().await.unwrap()
    }

    /// How the next carrier ended; what else was seen before is skipped.
    pub(crate) async fn ended(&mut self) -> (Carrier, CarrierEnd) {
        loop {
            if let Seen::Ended(carrier, end) = self.seen().await {
                return (carrier, end);
            }
        }
    }

    pub(crate) async fn send_ended(&mut self) -> SendEnd {
        loop {
            if let Seen::SendEnded(end) = self.seen().await {
                return end;
            }
        }
    }

    /// Opens a public stream of this end, with windows of that many bytes to begin with.
    pub(crate) async fn open(&mut self, id: u64, window: u64) -> BidirectionalStream {
        let (receive, send) = (self.table.receive(id, window), self.table.send(id, window));
        let carrier = self.handle.open_bidirectional_stream().await.unwrap();
        let (incoming, outgoing) = carrier.split();
        self.pump_in(incoming);
        tokio::spawn(SendPump::new(send.clone(), outgoing, self.events.clone()).run());
        BidirectionalStream::new(receive, send)
    }

    /// As [`open`](Self::open), and as a session does it: the pumps of both directions know of each other.
    pub(crate) async fn open_for_answer(&mut self, id: u64, window: u64) -> BidirectionalStream {
        let (receive, send) = (self.table.receive(id, window), self.table.send(id, window));
        let carrier = self.handle.open_bidirectional_stream().await.unwrap();
        let (incoming, outgoing) = carrier.split();
        let events = || self.events.clone();
        let back = ReceivePump::new(PathId::PRIMARY, Epoch::FIRST, incoming, events());
        let (pump, back) = SendPump::new(send.clone(), outgoing, events()).opening(back);
        tokio::spawn(pump.run());
        tokio::spawn(back.run());
        BidirectionalStream::new(receive, send)
    }

    fn pump_in(&self, carrier: s2n_quic::stream::ReceiveStream) {
        let events = self.events.clone();
        tokio::spawn(ReceivePump::new(PathId::PRIMARY, Epoch::FIRST, carrier, events).run());
    }
}

/// A connected pair: client and server.
pub(crate) async fn pair() -> (End, End) {
    pair_with(s2n_quic::provider::limits::Limits::default()).await
}

pub(crate) async fn pair_with(client_limits: s2n_quic::provider::limits::Limits) -> (End, End) {
    let key = rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap();
    let (cert, private) = (key.cert.pem(), key.signing_key.serialize_pem());
    let mut server = Server::builder()
        .with_tls((cert.as_str(), private.as_str()))
        .unwrap()
        .with_io("127.0.0.1:0")
        .unwrap()
        .start()
        .unwrap();
    let client = Client::builder()
        .with_tls(cert.as_str())
        .unwrap()
        .with_io("127.0.0.1:0")
        .unwrap()
        .with_limits(client_limits)
        .unwrap()
        .start()
        .unwrap();
    let connect =
        s2n_quic::client::Connect::new(server.local_addr().unwrap()).with_server_name("localhost");
    let (near, far) = tokio::join!(client.connect(connect), server.accept());
    let (near, far) = (near.unwrap(), far.unwrap());
    let tables = (Table::new(), Table::new());
    let client = start(near, tables.0.clone(), tables.1.clone(), Endpoint::Client(client));
    let server = start(far, tables.1, tables.0, Endpoint::Server(server));
    (client, server)
}

fn start(mut connection: Connection, table: Table, peer: Table, endpoint: Endpoint) -> End {
    connection.keep_alive(true).unwrap();
    let (handle, acceptor) = connection.split();
    let (events, inbox) = channel::bounded(64);
    let (log, seen) = mpsc::unbounded_channel();
    tokio::spawn(accept(acceptor, table.clone(), events.clone()));
    let task = Task { table: table.clone(), peer, events: events.clone(), log };
    tokio::spawn(task.run(inbox));
    End { handle, table, seen, events, _endpoint: endpoint }
}

async fn accept(mut acceptor: StreamAcceptor, table: Table, events: Sender<Box<CarrierEvent>>) {
    while let Ok(Some(stream)) = acceptor.accept().await {
        let (incoming, back, path) = match stream {
            PeerStream::Receive(incoming) => (incoming, None, PathId::new(1)),
            PeerStream::Bidirectional(both) => {
                let (incoming, back) = both.split();
                (incoming, Some(back), PathId::PRIMARY)
            }
        };
        let mut pump = ReceivePump::new(path, Epoch::FIRST, incoming, events.clone());
        if let Some(timeout) = table.rows().header_timeout {
            pump = pump.with_header_timeout(timeout);
        }
        if let Some(back) = back {
            pump = pump.with_back(back);
        }
        tokio::spawn(pump.run());
    }
}

struct Task {
    table: Table,
    peer: Table,
    events: Sender<Box<CarrierEvent>>,
    log: mpsc::UnboundedSender<Seen>,
}

impl Task {
    async fn run(self, mut inbox: Receiver<Box<CarrierEvent>>) {
        let mut budget = Budget::new(Budget::DEFAULT_TOTAL, 100);
        let mut due = Vec::new();
        loop {
            tokio::select! {
                event = inbox.recv() => match event {
                    Some(event) => self.take(*event),
                    None => return,
                },
                () = self.table.1.wait(&mut due) => {
                    due.drain(..).for_each(|half| self.serve(half, &mut budget));
                }
            }
        }
    }

    fn take(&self, event: CarrierEvent) {
        // The test that would read the log may be over.
        let _ = match event {
            CarrierEvent::Route(request) => return self.route(request),
            CarrierEvent::Fault { carrier, fault } => self.log.send(Seen::Fault(carrier, fault)),
            CarrierEvent::Ended { carrier, end } => self.log.send(Seen::Ended(carrier, end)),
            CarrierEvent::SendEnded { end, .. } => self.log.send(Seen::SendEnded(end)),
            _ => return,
        };
    }

    fn route(&self, request: RouteRequest) {
        let id = request.header.stream;
        self.table.rows().controls.push(request.control.clone());
        if let (Some(back), Some(send)) = (request.back, self.table.find_send(id)) {
            tokio::spawn(SendPump::new(send, back, self.events.clone()).run());
        }
        let route = match self.table.find_receive(id) {
            _ if self.table.rows().drain => Route::Drain,
            Some(receive) => {
                let path = request.carrier.path;
                let source = receive
                    .update(|half| half.add_source(path, request.header.promised.map(Into::into)));
                Route::Receive { receive, source }
            }
            None => Route::Refused(ErrorCode::Mapping),
        };
        request.reply.send(route).unwrap();
    }

    fn serve(&self, half: StreamHalf, budget: &mut Budget) {
        match half {
            StreamHalf::Receive(id) => {
                let Some(receive) = self.table.find_receive(id) else { return };
                let now = self.table.2.now();
                let loop_time = Duration::from_millis(20);
                let window = receive.service(|half| half.update_window(now, loop_time, budget));
                let Some(send) = self.peer.find_send(id) else { return };
                if let Some(window) = window {
                    send.extend_window(window);
                }
                if let Some(code) = receive.stop_code() {
                    send.handle_stop(code.into());
                }
            }
            StreamHalf::Send(id) => {
                let Some(send) = self.table.find_send(id) else { return };
                let status = send.status();
                let (Some(code), Some(size)) = (status.reset, status.final_size) else { return };
                if let Some(receive) = self.peer.find_receive(id) {
                    let _ = receive.update(|half| half.handle_reset(code.into(), size));
                }
            }
        }
    }
}

/// The application's ends of a stream that the peer opens, made in advance.
pub(crate) fn expect(end: &End, id: u64, window: u64) -> (ReceiveStream, SendStream) {
    let (receive, send) = (end.table.receive(id, window), end.table.send(id, window));
    (ReceiveStream::new(receive), SendStream::new(send))
}
