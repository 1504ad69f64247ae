//! Primaries that break the rules.

use super::*;

/// A client's session with a primary that keeps no rule, and one stream of it.
pub(super) async fn with_bare_primary() -> (kwik_client::Session, BareConnection, Carrier, Client) {
    let mut server = BareServer::start();
    let client = Client::builder().with_tls(server.pin()).unwrap().start().unwrap();
    let connecting = client.connect(Connect::new(server.address()));
    let (session, (mut primary, _)) = tokio::join!(connecting, server.accept_as_primary());
    let mut carrier = primary.open().await;
    carrier.write(public_header(3)).await;
    carrier.write(public_frame(3, 0, &CONTENT.bytes(0, 100), false)).await;
    // The server has to last as long as its connection.
    tokio::spawn(async move {
        server.accept().await;
    });
    (session.unwrap(), primary, carrier, client)
}

async fn result(primary: &mut BareConnection) -> AddPathResult {
    loop {
        if let ControlFrame::AddPathResult(result) = primary.next().await {
            return result;
        }
    }
}

fn add(path: u16, address: SocketAddr, identity: ServerIdentity) -> ControlFrame {
    let (path, epoch, addresses) = (PathId::new(path), Epoch::FIRST, vec![address]);
    ControlFrame::AddPath(AddPath { path, epoch, addresses, identity, token: "v4.public.x".into() })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_floods_with_paths_gets_sixteen() {
    // Within what a primary may send at once: more would come slowly.
    const FLOOD: u16 = 300;
    let (mut session, mut primary, mut carrier, _client) = with_bare_primary().await;
    let mut public = session.accept_receive_stream().await.unwrap().unwrap();
    // Nobody answers there, so that the sixteen keep their places.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    for path in 1..=FLOOD {
        primary.send(add(path, address, ServerIdentity::Pin([1; 32])));
        if path % 100 == 0 {
            primary.sender.flushed().await.unwrap();
        }
    }
    for _ in 16..FLOOD {
        let refused = result(&mut primary).await;
        assert!(refused.path.value() > 16, "{refused:?}");
        assert_eq!(refused.code, ErrorCode::LimitExceeded);
    }
    let metrics = session.metrics().await.unwrap();
    assert_eq!(metrics.paths.len(), 1 + 16);
    let faults: Vec<_> = metrics.faults.iter().map(|it| (it.address, it.code, it.count)).collect();
    let refused = u64::from(FLOOD) - 16;
    assert_eq!(faults, [(metrics.paths[0].address, ErrorCode::LimitExceeded, refused)]);
    carrier.write(public_frame(3, 100, &CONTENT.bytes(100, 100), true)).await;
    assert_eq!(read_whole(&mut public, CONTENT).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_and_names_that_the_policy_forbids_are_never_dialled() {
    let (mut session, mut primary, mut carrier, _client) = with_bare_primary().await;
    let mut public = session.accept_receive_stream().await.unwrap().unwrap();
    let pin = ServerIdentity::Pin([1; 32]);
    let name = |name: &str| ServerIdentity::Name(name.to_owned());
    let local: SocketAddr = "127.0.0.1:4433".parse().unwrap();
    let forbidden = [
        ("0.0.0.0:4433".parse().unwrap(), pin.clone()),
        ("224.0.0.1:4433".parse().unwrap(), pin.clone()),
        ("255.255.255.255:4433".parse().unwrap(), pin.clone()),
        ("[ff02::1]:4433".parse().unwrap(), pin),
        (local, name("edge\0.example")),
        (local, name("-edge.example")),
        (local, name("edge..example")),
        (local, name("1.2.3.4.5")),
    ];
    let count = forbidden.len() as u64;
    for (path, (address, identity)) in (1..).zip(forbidden) {
        primary.send(add(path, address, identity.clone()));
        let refused = result(&mut primary).await;
        let expected = (path, ErrorCode::PathPolicy);
        assert_eq!((refused.path.value(), refused.code), expected, "{address} {identity:?}");
    }
    let metrics = session.metrics().await.unwrap();
    assert_eq!(metrics.paths.len(), 1, "no path came of it");
    assert_eq!((metrics.faults[0].code, metrics.faults[0].count), (ErrorCode::PathPolicy, count));
    carrier.write(public_frame(3, 100, &CONTENT.bytes(100, 100), true)).await;
    assert_eq!(read_whole(&mut public, CONTENT).await, 200);
}

/// Takes what comes and answers nothing; counts it.
struct Victim(std::net::UdpSocket);

impl Victim {
    fn new() -> Self {
        let socket = std::net::UdpSocket::bind("127.0.0.2:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        Self(socket)
    }

    fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    /// The sizes of the datagrams that have come so far.
    fn received(&self) -> Vec<usize> {
        let mut bytes = [0; 2048];
        std::iter::from_fn(|| self.0.recv(&mut bytes).ok()).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_does_not_answer_gets_three_datagrams_whatever_a_primary_says() {
    let (_session, mut primary, _carrier, _client) = with_bare_primary().await;
    let victim = Victim::new();
    // The first is dialled. No other is, whatever its number, epoch or name: each is answered in the same words.
    for round in 0..40 {
        let (path, epoch) = (1 + round % 8, Epoch(1 + u32::from(round) / 8));
        let addresses = vec![victim.address()];
        let identity = ServerIdentity::Pin([u8::try_from(path).unwrap(); 32]);
        let (path, token) = (PathId::new(path), "v4.public.x".into());
        primary.send(ControlFrame::AddPath(AddPath { path, epoch, addresses, identity, token }));
        let refused = result(&mut primary).await;
        assert_eq!((refused.path, refused.epoch), (path, epoch));
        if round < 16 {
            assert_eq!(refused.code, ErrorCode::Unreachable, "{refused:?}");
        }
        assert!(!refused.detail.contains("127."), "{refused:?}");
    }
    let received = victim.received();
    assert!((1..=3).contains(&received.len()), "{received:?}");
    assert!(received.iter().sum::<usize>() <= 4096, "{received:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secondary_on_a_system_port_needs_a_primary_on_one() {
    let (_session, mut primary, _carrier, _client) = with_bare_primary().await;
    let address = "127.0.0.1:53".parse().unwrap();
    primary.send(add(1, address, ServerIdentity::Pin([1; 32])));
    assert_eq!(result(&mut primary).await.code, ErrorCode::PathPolicy);
}
