//! Endpoints: shared, measured, closed.

use std::net::SocketAddr;

use kwik_io::endpoint::{BindError, ClientEndpoints, EndpointLimits, Role, ServerEndpoint};
use kwik_io::env::Env;
use kwik_io::tls::Trust;
use kwik_io::worker::{Placement, Workers};

use crate::support::{LONG, Lab, Relay, any_port, bind, certificate, endpoints, worker};

#[tokio::test]
async fn both_ends_export_the_same_secret_and_each_connection_another() {
    let mut lab = Lab::new();
    let (one, one_accepted) = lab.connect().await;
    let (two, two_accepted) = lab.connect().await;
    assert_eq!(one.exporter, one_accepted.exporter);
    assert_eq!(two.exporter, two_accepted.exporter);
    assert_ne!(one.exporter, two.exporter);
}

#[tokio::test]
async fn a_connection_tells_its_round_trip_and_its_last_datagram() {
    let mut lab = Lab::new();
    let (mut dialled, mut accepted) = lab.connect().await;
    let mut stream = dialled.connection.open_send_stream().await.unwrap();
    stream.send(vec![1; 100_000].into()).await.unwrap();
    let mut receive = accepted.connection.accept_receive_stream().await.unwrap().unwrap();
    let reading = async { while let Ok(Some(_)) = receive.receive().await {} };
    let (closed, ()) = tokio::join!(stream.close(), reading);
    closed.unwrap();
    for stats in [&dialled.stats, &accepted.stats] {
        let rtt = stats.smoothed_rtt().unwrap();
        assert!(stats.min_rtt().unwrap() <= rtt && rtt < LONG);
        assert!(stats.rtt_variation().is_some());
        assert!(stats.congestion_window() > 0);
        assert!(stats.received_datagrams() > 0);
        assert!(stats.last_datagram().is_some());
    }
    assert!(accepted.stats.received_bytes() > 100_000);
}

#[tokio::test]
async fn the_last_datagram_is_in_the_time_of_the_world() {
    let env = Env::system();
    let mut lab = Lab::new();
    // The world is to be older than the endpoint by more than a handshake takes.
    for _ in 0..20 {
        lab.connect().await;
    }
    let limits = EndpointLimits::default();
    let endpoints = ClientEndpoints::new(env.clone(), Role::Primary, limits);
    let (trust, before) = (lab.pin(), env.now());
    let (target, accept) = (lab.server.local_addr(), lab.server.accept());
    let dial = endpoints.connect(&lab.worker, target, &trust, None, LONG);
    let (dialled, _accepted) = tokio::join!(dial, accept);
    let last = dialled.unwrap().stats.last_datagram().unwrap();
    assert!(before <= last && last <= env.now(), "{before} {last} {}", env.now());
}

#[tokio::test]
async fn one_trust_family_and_worker_share_an_endpoint() {
    let mut lab = Lab::new();
    let (one, _a) = lab.connect().await;
    let (two, _b) = lab.connect().await;
    assert_eq!(one.connection.local_addr().unwrap(), two.connection.local_addr().unwrap());
    assert_eq!(lab.endpoints.count(), 1);
}

#[tokio::test]
async fn another_trust_or_worker_has_another_endpoint() {
    let workers = Workers::start(Placement::Threads(2)).unwrap();
    let certificate = certificate();
    let server = bind(&workers.next(), &certificate);
    let endpoints = endpoints(Role::Primary);
    let trusts = [Trust::Pin(certificate.pin()), Trust::ca(certificate.certificate_pem())];
    let mut dialled = vec![];
    for worker in workers.iter() {
        for trust in &trusts {
            let target = server.local_addr();
            dialled.push(endpoints.connect(worker, target, trust, None, LONG).await.unwrap());
        }
    }
    assert_eq!(endpoints.count(), 4);
}

#[tokio::test]
async fn ipv6_works_where_there_is_any() {
    let address: SocketAddr = "[::1]:0".parse().unwrap();
    if std::net::UdpSocket::bind(address).is_err() {
        return;
    }
    let worker = worker();
    let certificate = certificate();
    let limits = EndpointLimits::default();
    let mut server =
        ServerEndpoint::bind(&Env::system(), &worker, address, &certificate, limits).unwrap();
    let endpoints = endpoints(Role::Primary);
    let trust = Trust::ca(certificate.certificate_pem());
    let (dialled, accepted) = tokio::join!(
        endpoints.connect(&worker, server.local_addr(), &trust, None, LONG),
        server.accept()
    );
    assert_eq!(dialled.unwrap().exporter, accepted.unwrap().exporter);
}

#[tokio::test]
async fn an_endpoint_closes_when_its_last_connection_is_over() {
    let mut lab = Lab::new();
    let (dialled, accepted) = lab.connect().await;
    drop(dialled);
    drop(accepted);
    lab.endpoints.closed().await;
    assert_eq!(lab.endpoints.count(), 0);
}

#[tokio::test]
async fn a_client_that_is_dropped_whole_says_goodbye() {
    let mut lab = Lab::new();
    let (client, clients) = (worker(), endpoints(Role::Primary));
    let (trust, target) = (lab.pin(), lab.address());
    let dial = clients.connect(&client, target, &trust, None, LONG);
    let (dialled, accepted) = tokio::join!(dial, lab.server.accept());
    drop((dialled, client, clients));
    // Without it the server would wait for its idle timeout, which is longer.
    let end = tokio::time::timeout(LONG, accepted.unwrap().connection.accept()).await;
    assert!(!matches!(end.unwrap(), Ok(Some(_))));
}

#[tokio::test]
async fn when_goodbye_is_said_the_system_has_it() {
    let mut lab = Lab::new();
    let relay = Relay::to(lab.address()).await;
    let (trust, target) = (lab.pin(), relay.address());
    let dial = lab.endpoints.connect(&lab.worker, target, &trust, None, LONG);
    let (dialled, _accepted) = tokio::join!(dial, lab.server.accept());
    let dialled = dialled.unwrap();
    let server = relay.cut().await;
    dialled.connection.close(0u32.into());
    lab.endpoints.said_goodbye().await;
    // The system itself is asked: tokio knows only what its last look showed.
    let system = std::os::fd::AsFd::as_fd(&*server).try_clone_to_owned().unwrap();
    std::net::UdpSocket::from(system).recv(&mut [0; 1_500]).unwrap();
}

#[tokio::test]
async fn no_goodbye_is_owed_where_the_peer_has_said_it_or_there_is_none() {
    let mut lab = Lab::new();
    let silent = std::net::UdpSocket::bind(any_port()).unwrap();
    let (trust, target) = (lab.pin(), silent.local_addr().unwrap());
    let (dialled, accepted) = lab.connect().await;
    accepted.connection.close(0u32.into());
    tokio::select! {
        biased;
        dialled = lab.endpoints.connect(&lab.worker, target, &trust, None, LONG) => {
            panic!("nobody answers: {dialled:?}")
        }
        () = lab.endpoints.said_goodbye() => {}
    }
    drop(dialled);
}

#[tokio::test]
async fn a_goodbye_is_owed_while_a_connection_is_open() {
    let mut lab = Lab::new();
    let (dialled, _accepted) = lab.connect().await;
    let mut saying = std::pin::pin!(lab.endpoints.said_goodbye());
    for _ in 0..16 {
        tokio::select! {
            biased;
            () = &mut saying => panic!("the connection is open"),
            () = tokio::task::yield_now() => {}
        }
    }
    drop(dialled);
    saying.await;
}

#[tokio::test]
async fn an_endpoint_stays_while_a_handle_to_its_connection_does() {
    let mut lab = Lab::new();
    let (dialled, _accepted) = lab.connect().await;
    let mut handle = dialled.connection.handle();
    drop(dialled);
    handle.ping().unwrap();
    assert_eq!(lab.endpoints.count(), 1);
}

#[tokio::test]
async fn a_server_that_is_dropped_gives_its_port_back() {
    let worker = worker();
    let certificate = certificate();
    let server = bind(&worker, &certificate);
    let address = server.local_addr();
    drop(server);
    let limits = EndpointLimits::default();
    // Its socket closes on the worker, a few turns after the drop.
    loop {
        match ServerEndpoint::bind(&Env::system(), &worker, address, &certificate, limits) {
            Ok(server) => return assert_eq!(server.local_addr(), address),
            Err(BindError::PortInUse(_)) => tokio::task::yield_now().await,
            Err(other) => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let lab = Lab::new();
    let bound = ServerEndpoint::bind(
        &Env::system(),
        &lab.worker,
        lab.address(),
        &lab.certificate,
        EndpointLimits::default(),
    );
    let error = bound.unwrap_err();
    assert!(matches!(error, BindError::PortInUse(_)), "{error:?}");
    assert!(error.to_string().contains(&lab.address().port().to_string()), "{error}");
}

#[tokio::test]
async fn a_foreign_address_is_named() {
    let address = "192.0.2.1:0".parse().unwrap();
    let limits = EndpointLimits::default();
    let bound = ServerEndpoint::bind(&Env::system(), &worker(), address, &certificate(), limits);
    let error = bound.unwrap_err();
    assert!(matches!(error, BindError::NotLocal(_)), "{error:?}");
}

#[tokio::test]
async fn the_local_address_has_the_real_port() {
    let lab = Lab::new();
    assert_eq!(lab.address().ip(), any_port().ip());
    assert_ne!(lab.address().port(), 0);
}

#[tokio::test]
async fn a_secondary_may_open_a_thousand_contributions_and_no_bidirectional_stream() {
    let worker = worker();
    let certificate = certificate();
    let mut server = bind(&worker, &certificate);
    let endpoints = endpoints(Role::Secondary);
    let trust = Trust::Pin(certificate.pin());
    let (dialled, accepted) = tokio::join!(
        endpoints.connect(&worker, server.local_addr(), &trust, None, LONG),
        server.accept()
    );
    let (_dialled, mut accepted) = (dialled.unwrap(), accepted.unwrap());
    let mut open = vec![];
    for _ in 0..1_024 {
        open.push(accepted.connection.open_send_stream().await.unwrap());
    }
    let handle = accepted.connection.handle();
    for kind in [s2n_quic::stream::Type::Unidirectional, s2n_quic::stream::Type::Bidirectional] {
        let mut handle = handle.clone();
        let more = std::future::poll_fn(|context| {
            std::task::Poll::Ready(handle.poll_open_stream(kind, context).is_pending())
        });
        assert!(more.await, "{kind:?}");
    }
}

#[tokio::test]
async fn a_primary_path_has_room_for_control_and_public_streams_both_ways() {
    let mut lab = Lab::new();
    let (mut dialled, mut accepted) = lab.connect().await;
    let mut open = vec![];
    for _ in 0..101 {
        open.push(dialled.connection.open_bidirectional_stream().await.unwrap());
    }
    let mut sending = vec![];
    for _ in 0..164 {
        sending.push(accepted.connection.open_send_stream().await.unwrap());
    }
}

#[tokio::test]
async fn shards_share_a_port_and_each_gets_clients() {
    let workers = Workers::start(Placement::Threads(2)).unwrap();
    let certificate = certificate();
    let limits = EndpointLimits::default();
    let shards = ServerEndpoint::bind_shards(
        &Env::system(),
        workers.iter(),
        any_port(),
        &certificate,
        limits,
    );
    let [mut one, mut two] = <[_; 2]>::try_from(shards.unwrap()).unwrap();
    assert_eq!(one.local_addr(), two.local_addr());
    let (target, trust) = (one.local_addr(), Trust::Pin(certificate.pin()));
    let (mut in_one, mut in_two, mut held) = (0, 0, Vec::new());
    // Every client has a port of its own. That 64 of them all hash to one socket happens once in 2^63 times.
    while in_one == 0 || in_two == 0 {
        assert!(held.len() < 64, "{in_one} clients of one shard, {in_two} of the other");
        let client = endpoints(Role::Primary);
        let worker = workers.next();
        let dial = client.connect(&worker, target, &trust, None, LONG);
        let accept = async {
            tokio::select! {
                accepted = one.accept() => { in_one += 1; accepted }
                accepted = two.accept() => { in_two += 1; accepted }
            }
        };
        let (dialled, accepted) = tokio::join!(dial, accept);
        held.push((dialled.unwrap(), accepted.unwrap()));
    }
}

/// What a peer takes of what nobody reads, in MiB: on the connection, on a stream that the other end opened both ways, on one
/// that it opened itself, and on one that goes one way (RFC 9000, 18.2).
type Windows = [u64; 4];

enum Heard {
    /// What the peer said in the handshake, of streams.
    Streams([u64; 3]),
    /// More may not be sent on the connection.
    Blocked(u64),
}

/// An end of a connection that is not KWIK's.
struct Listens(tokio::sync::mpsc::UnboundedSender<Heard>);

impl s2n_quic::provider::event::Subscriber for Listens {
    type ConnectionContext = ();

    fn create_connection_context(
        &mut self,
        _meta: &s2n_quic::provider::event::ConnectionMeta,
        _info: &s2n_quic::provider::event::ConnectionInfo,
    ) -> Self::ConnectionContext {
    }

    fn on_transport_parameters_received(
        &mut self,
        _context: &mut Self::ConnectionContext,
        _meta: &s2n_quic::provider::event::ConnectionMeta,
        event: &s2n_quic::provider::event::events::TransportParametersReceived<'_>,
    ) {
        let said = &event.transport_parameters;
        let _ = self.0.send(Heard::Streams([
            said.initial_max_stream_data_bidi_remote,
            said.initial_max_stream_data_bidi_local,
            said.initial_max_stream_data_uni,
        ]));
    }

    fn on_frame_sent(
        &mut self,
        _context: &mut Self::ConnectionContext,
        _meta: &s2n_quic::provider::event::ConnectionMeta,
        event: &s2n_quic::provider::event::events::FrameSent,
    ) {
        if let s2n_quic::provider::event::events::Frame::DataBlocked { data_limit, .. } =
            event.frame
        {
            let _ = self.0.send(Heard::Blocked(data_limit));
        }
    }
}

/// Sends until the peer, which reads nothing, takes no more.
async fn windows(
    mut connection: s2n_quic::Connection,
    heard: &mut tokio::sync::mpsc::UnboundedReceiver<Heard>,
) -> Windows {
    const MIB: u64 = 1 << 20;
    let mut sending = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let mut stream = connection.open_send_stream().await.unwrap();
        let piece = bytes::Bytes::from(vec![1; MIB as usize]);
        sending.spawn(async move { while stream.send(piece.clone()).await.is_ok() {} });
    }
    let mut said = None;
    loop {
        match heard.recv().await.unwrap() {
            Heard::Streams(windows) => said = Some(windows),
            Heard::Blocked(limit) => {
                let [both, own, one] = said.unwrap();
                return [limit, both, own, one].map(|window| window / MIB);
            }
        }
    }
}

#[tokio::test]
async fn each_end_has_the_windows_of_its_role() {
    use s2n_quic::provider::tls::rustls;
    let certificate = certificate();
    let trust = Trust::Pin(certificate.pin());
    for (role, expected) in [(Role::Primary, [32, 16, 16, 16]), (Role::Secondary, [8; 4])] {
        let (hears, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let tls = kwik_io::tls::server_config(&Env::system(), &certificate).unwrap();
        let mut bare = s2n_quic::Server::builder()
            .with_tls(rustls::Server::from(tls))
            .unwrap()
            .with_event(Listens(hears))
            .unwrap()
            .with_io("127.0.0.1:0")
            .unwrap()
            .start()
            .unwrap();
        let (endpoints, worker) = (endpoints(role), worker());
        let dial = endpoints.connect(&worker, bare.local_addr().unwrap(), &trust, None, LONG);
        let (dialled, accepted) = tokio::join!(dial, bare.accept());
        let _dialled = dialled.unwrap();
        assert_eq!(windows(accepted.unwrap(), &mut heard).await, expected, "{role:?}");
    }
    let (hears, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let mut lab = Lab::with(certificate);
    let (tls, _) = kwik_io::tls::client_config(&Env::system(), &trust).unwrap();
    let bare = s2n_quic::Client::builder()
        .with_tls(rustls::Client::from(tls))
        .unwrap()
        .with_event(Listens(hears))
        .unwrap()
        .with_io("127.0.0.1:0")
        .unwrap()
        .start()
        .unwrap();
    let target = s2n_quic::client::Connect::new(lab.address()).with_server_name("localhost");
    let (dialled, accepted) = tokio::join!(bare.connect(target), lab.server.accept());
    let _accepted = accepted.unwrap();
    assert_eq!(windows(dialled.unwrap(), &mut heard).await, [32, 16, 16, 16], "of a server");
}
