//! Limits whose defaults only simulated time shows.
use std::time::Duration;

use kwik_client::{Connect, ConnectError, Limits};
use kwik_sim::Lab;
use kwik_sim::link::{LinkConfig, Rate};

const SERVER: &str = "server";

fn link() -> LinkConfig {
    let (rate, delay) = (Some(Rate::mbit(100)), Duration::from_millis(10));
    LinkConfig { rate, delay, queue: 1 << 20, ..LinkConfig::default() }
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
