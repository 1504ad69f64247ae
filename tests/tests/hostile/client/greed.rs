//! More than a peer may have of a client: dials, frames, streams, ranges that nobody ordered, and the terminal.

use std::net::UdpSocket;
use std::time::Duration;

use kwik_client::ErrorCode;
use kwik_proto::frame::{ControlFrame, Ping, Refuse, RemovePath, ServerIdentity};
use kwik_proto::{DelegationId, PathId};
use kwik_server::Event;
use kwik_tests::bare::contribution_header;

use super::addresses::add;
use super::{ByPrimary, BySecondary, Target};
use crate::attack::Outcome::{Closed, Stopped, Throttled};
use crate::attack::{attacks, scaled};
use crate::wire::range;

attacks! { BY_PRIMARIES on ByPrimary;
    /// One victim, under ever new numbers: the datagrams that it gets do not grow with the orders.
    one_victim_again_and_again => Throttled, |arena| {
        let mut peer = arena.session().await?;
        let silent = UdpSocket::bind("127.0.0.1:0")?;
        let addresses = vec![silent.local_addr()?; 8];
        let counting = std::thread::spawn({
            let silent = silent.try_clone()?;
            silent.set_read_timeout(Some(Duration::from_secs(2)))?;
            move || (0..).take_while(|_: &u64| silent.recv(&mut [0; 2048]).is_ok()).count()
        });
        for number in 1..=scaled(400).min(60_000) as u16 {
            let pin = ServerIdentity::Pin([1; 32]);
            peer.send(add(number, addresses.clone(), pin)).await;
            tokio::time::sleep(Duration::from_millis(10)).await;
            peer.send(ControlFrame::RemovePath(RemovePath { path: PathId::new(number), drain_ms: 0 })).await;
        }
        let datagrams = counting.join().unwrap();
        anyhow::ensure!(datagrams <= 200, "{datagrams} datagrams");
        Throttled
    }

    half_a_million_control_frames_at_a_client => Closed(ErrorCode::RateExceeded), |arena| {
        let mut peer = arena.session().await?;
        peer.flood(scaled(500_000), |nonce| ControlFrame::Ping(Ping { nonce })).await;
        peer.verdict().await
    }
}

attacks! { BY_SECONDARIES on BySecondary;
    /// Streams that begin and end, under a grant without end: what the client keeps of each adds up.
    contributions_that_end_at_once within 32 MiB => Throttled, |arena| {
        let Target { stream, mut peer, .. } = arena.target(true).await?;
        let header = contribution_header(stream.id(), None);
        for _ in 0..scaled(20_000) {
            let Some(mut carrier) = peer.carrier(header.clone()).await else { break };
            let _ = carrier.finish();
        }
        let _ = peer.verdict().await;
        Throttled
    }

    half_a_million_control_frames_of_a_secondary => Closed(ErrorCode::RateExceeded), |arena| {
        let (mut peer, _) = arena.attached(true).await?;
        peer.flood(scaled(500_000), |nonce| ControlFrame::Ping(Ping { nonce })).await;
        peer.verdict().await
    }

    /// Under a grant without end, and within it: STREAM-12 has it refused all the same.
    a_delegation_that_nobody_gave_under_a_grant => Stopped(ErrorCode::NotGranted), |arena| {
        let Target { stream, mut peer, .. } = arena.target(true).await?;
        let unknown = Some((DelegationId(1 << 40), range(200, 300)));
        let carrier = peer.carrier(contribution_header(stream.id(), unknown)).await;
        peer.carrier_verdict(carrier).await
    }

    /// What a secondary says of itself reaches the log of whoever shows the primary's events.
    escapes_in_the_primarys_events => Closed(ErrorCode::Busy), |arena| {
        let (mut peer, path) = arena.dialled(true).await?;
        let (code, reason) = (ErrorCode::Busy, "\x1b]0;owned\x07".repeat(20));
        peer.send(ControlFrame::Refuse(Refuse { code, reason, retry_after_ms: None })).await;
        loop {
            match arena.primary.next_event().await {
                Some(Event::PathDown(down, Some(code), detail)) if down == path => {
                    anyhow::ensure!(!detail.contains('\x1b'), "an escape sequence in {detail:?}");
                    break Closed(code);
                }
                Some(_) => {}
                None => anyhow::bail!("the session is over"),
            }
        }
    }
}
