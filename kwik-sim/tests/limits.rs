//! Limits of time, and of tries, which only simulated time shows at their defaults.
#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use kwik_client::connection::Error;
use kwik_client::{Connect, ConnectError, Limits};
use kwik_sim::link::{LinkConfig, Rate};
use kwik_sim::{Action, Lab};

const SERVER: &str = "server";

fn link() -> LinkConfig {
    let (rate, delay) = (Some(Rate::mbit(100)), Duration::from_millis(10));
    LinkConfig { rate, delay, queue: 1 << 20, ..LinkConfig::default() }
}

/// Nothing gets through in either direction any more.
fn without_a_datagram(limits: Limits, idle: Duration) {
    let mut lab = Lab::new(1);
    let ended = Arc::new(Mutex::new(None));
    let told = ended.clone();
    lab.server(SERVER, link(), move |host| {
        let told = told.clone();
        async move {
            let mut server = host.server()?.start()?;
            let mut session = server.accept().await.ok_or("a client comes")?;
            // As with QUIC, the end of accepting does not say why.
            let _ = session.accept_receive_stream().await;
            *told.lock().unwrap() = session.ping().err().map(|error| (error, host.now()));
            std::future::pending().await
        }
    });
    let run = lab.run(3 * idle, move |host| async move {
        let client = host.client().with_tls(host.pin_of(SERVER))?.with_limits(limits).start()?;
        let mut session = client.connect(Connect::new(host.address_of(SERVER))).await?;
        // The Welcome comes meanwhile.
        tokio::time::sleep(Duration::from_secs(1)).await;
        host.act(Action::Partition(SERVER.into()));
        let since = host.now();
        let _ = session.accept_receive_stream().await;
        let at = host.now();
        let error = session.ping().err().ok_or("the session ends")?;
        tokio::time::sleep(idle / 2).await;
        Ok((since, error, at))
    });
    let ((since, error, at), _) = run.unwrap_or_else(|failure| panic!("{failure}"));
    let (other, later) = ended.lock().unwrap().take().expect("the server's session is over too");
    for (error, at) in [(error.to_string(), at), (other.to_string(), later)] {
        assert_eq!(error, Error::IdleTimerExpired.to_string());
        // It counts from the last datagram that came, or from the first that asked for an answer after that (RFC 9000, 10.1),
        // which is sent before the time is over.
        let silent = at - since;
        assert!(silent + Duration::from_secs(1) >= idle && silent <= 2 * idle, "{silent:?}");
    }
}

#[test]
fn a_connection_without_a_datagram_is_over_at_both_ends_after_the_idle_time() {
    without_a_datagram(Limits::new(), Duration::from_secs(30));
    let short = Duration::from_secs(6);
    without_a_datagram(Limits::new().with_idle_timeout(short), short);
}

#[test]
fn of_a_thousand_servers_the_first_64_are_tried() {
    let mut lab = Lab::new(1);
    lab.server(SERVER, link(), |_| std::future::pending());
    let run = lab.run(Duration::from_secs(300), |host| async move {
        let limits = Limits::new().with_dial_timeout(Duration::from_secs(1));
        let client = host.client().with_tls(host.pin_of(SERVER))?.with_limits(limits).start()?;
        let silent = Connect::new(host.address_of(SERVER));
        match client.connect_any(vec![silent; 1_000]).await {
            Err(ConnectError::All(failures)) => Ok(failures.iter().count()),
            other => Err(format!("{other:?}").into()),
        }
    });
    let (tried, _) = run.unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(tried, 64);
}
