//! Paths whose largest packet is not what an endpoint would like to send: probing for more costs nothing that a reader
//! notices, and a path that carries less from some moment on is found out.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use kwik_client::Connect;
use kwik_sim::link::{LinkConfig, Rate};
use kwik_sim::{Action, Disk, Event, Host, Lab, SoftwareError, for_each_seed};

const SERVER: &str = "server";
const ETHERNET: u16 = 1_500;
const JUMBO: u16 = 9_001;

/// A path of that rate with a queue of one bandwidth-delay product, RTT 20 ms.
fn link(mbit: u64, mtu: u16) -> LinkConfig {
    let (rate, rtt) = (Rate::mbit(mbit), Duration::from_millis(20));
    let queue = rate.bytes_in(rtt).max(64 << 10) as usize;
    LinkConfig { rate: Some(rate), delay: rtt / 2, queue, mtu, ..LinkConfig::default() }
}

async fn serve(host: Host, size: u64, max_mtu: u16) -> Result<(), SoftwareError> {
    let mut server = host.server()?.with_max_mtu(max_mtu).start()?;
    while let Some(mut session) = server.accept().await {
        let mut stream = session.open_send_stream().await?;
        let mut at = 0;
        while at < size {
            let chunk = Disk::content(at, (size - at).min(64 << 10) as usize);
            at += chunk.len() as u64;
            stream.send(chunk).await?;
        }
        stream.close().await?;
    }
    Ok(())
}

/// A download's time from the first byte to the last, and the datagrams that the server sent.
fn download(
    seed: u64,
    size: u64,
    link: LinkConfig,
    max_mtu: u16,
    at: &[(u64, LinkConfig)],
) -> (Duration, usize) {
    let mut lab = Lab::new(seed);
    lab.server(SERVER, link, move |host| serve(host, size, max_mtu));
    let changes = at.to_vec();
    let run = lab.run(Duration::from_secs(100), move |host| async move {
        let mut changes = changes.into_iter().peekable();
        let client = host.client().with_tls(host.pin_of(SERVER))?.with_max_mtu(max_mtu).start()?;
        let mut session = client.connect(Connect::new(host.address_of(SERVER))).await?;
        let mut stream = session.accept_receive_stream().await?.ok_or("no stream")?;
        let (mut at, mut first) = (0, None);
        while let Some(chunk) = stream.receive().await? {
            first.get_or_insert_with(tokio::time::Instant::now);
            assert_eq!(chunk, Disk::content(at, chunk.len()), "at {at}");
            at += chunk.len() as u64;
            while let Some((_, link)) = changes.next_if(|(from, _)| *from <= at) {
                host.act(Action::Link(SERVER.into(), link));
            }
        }
        assert_eq!(at, size);
        Ok((first.ok_or("no byte")?.elapsed(), host.address_of(SERVER)))
    });
    let ((elapsed, server), report) = run.unwrap_or_else(|failure| panic!("{failure}"));
    let sent = report.events.iter();
    let sent =
        sent.filter(|(_, event)| matches!(event, Event::Sent { from, .. } if *from == server));
    (elapsed, sent.count())
}

/// What 10, 100 and 1,000 Mbit/s carry in a second.
#[test]
fn probes_that_a_path_drops_cost_the_first_second_nothing() {
    for mbit in [10, 100, 1_000] {
        for_each_seed(3, |seed| {
            let size = mbit * 125_000;
            let (plain, _) = download(seed, size, link(mbit, ETHERNET), ETHERNET, &[]);
            let (probing, _) = download(seed, size, link(mbit, ETHERNET), JUMBO, &[]);
            println!("{mbit} Mbit/s: {plain:?} without, {probing:?} with probes above 1,500 bytes");
            assert!(probing < plain + plain / 50, "{mbit} Mbit/s: {plain:?} and {probing:?}");
        });
    }
}

#[test]
fn large_packets_are_found_where_the_path_carries_them() {
    let size = 32 << 20;
    let (_, small) = download(1, size, link(1_000, JUMBO), ETHERNET, &[]);
    let (_, large) = download(1, size, link(1_000, JUMBO), JUMBO, &[]);
    assert!(large * 4 < small, "{large} datagrams instead of {small}");
}

/// A route that changes to one of Ethernet, without a word: packets that are too large vanish.
#[test]
fn a_path_that_carries_less_from_now_on_is_found_out() {
    for_each_seed(5, |seed| {
        let change = [(8 << 20, link(100, ETHERNET))];
        let (elapsed, _) = download(seed, 16 << 20, link(100, JUMBO), JUMBO, &change);
        // 1.4 s are the link's. The rest is what four losses in a row take, each found by a timer (RFC 9002, 6.2), before
        // s2n-quic goes back to QUIC's smallest packet.
        assert!(elapsed < Duration::from_secs(4), "{elapsed:?}");
    });
}
