//! R10.2: what an idle session takes. Alone in its process, since it counts what is allocated.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use allocation_counter::measure;
use kwik_client::{Connect, Session};
use kwik_sim::link::LinkConfig;
use kwik_sim::{Host, Lab, SoftwareError};

const PRIMARY: &str = "primary";
const BOUND: Duration = Duration::from_secs(120);
/// How long sessions are idle here.
const IDLE: Duration = Duration::from_secs(60);

fn lab() -> Lab {
    let mut lab = Lab::new(11);
    let link = LinkConfig { delay: Duration::from_millis(10), ..LinkConfig::default() };
    lab.server(PRIMARY, link, move |host| async move {
        let mut server = host.server()?.with_identity(host.signing_key())?.start()?;
        let mut held = Vec::new();
        while let Some(session) = server.accept().await {
            held.push(session);
        }
        Ok(())
    });
    lab
}

async fn connect(host: &Host, sessions: usize) -> Result<Vec<Session>, SoftwareError> {
    let client = host.client().with_tls(host.pin_of(PRIMARY))?.start()?;
    let mut held = Vec::new();
    for _ in 0..sessions {
        held.push(client.connect(Connect::new(host.address_of(PRIMARY))).await?);
    }
    Ok(held)
}

/// Bytes that both ends of an idle session take together, s2n-quic's own included: 19 KB are a bare connection's with one
/// stream at the server, and as much at the client. Whoever adds to a session adds to all of a server's.
#[test]
fn r10_2_an_idle_session_stays_small() {
    const CAP: u64 = 61_000;
    let peak = |sessions| {
        let run = || {
            let held = lab().run(BOUND, move |host| async move {
                let held = connect(&host, sessions).await?;
                tokio::time::sleep(IDLE).await;
                Ok(held.len())
            });
            assert_eq!(held.unwrap_or_else(|failure| panic!("{failure}")).0, sessions);
        };
        measure(run).bytes_max
    };
    // What all share, and what the handshake of the last one takes, cancels out.
    let each = (peak(60) - peak(10)) / 50;
    println!("{each} bytes");
    assert!(each <= CAP, "{each} bytes");
}
