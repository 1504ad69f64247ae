//! Primaries that send the client somewhere.

use std::net::{SocketAddr, UdpSocket};

use kwik_client::ErrorCode;
use kwik_proto::frame::{AddPath, ControlFrame, RemovePath, ServerIdentity};
use kwik_proto::{Epoch, PathId};
use kwik_tests::bare::{RawPeer, Verdict};

use super::ByPrimary;
use crate::attack::Outcome::{Closed, Ignored, Stopped, Throttled};
use crate::attack::{Outcome, attacks, scaled};

pub(super) fn add(path: u16, addresses: Vec<SocketAddr>, identity: ServerIdentity) -> ControlFrame {
    let (path, epoch, token) = (PathId::new(path), Epoch::FIRST, "v4.public.x".into());
    ControlFrame::AddPath(AddPath { path, epoch, addresses, identity, token })
}

/// The code of the next result.
pub(super) async fn result(peer: &RawPeer) -> Result<ErrorCode, Verdict> {
    peer.find(|frame| match frame {
        ControlFrame::AddPathResult(result) => Some(result.code),
        _ => None,
    })
    .await
}

/// What the client answers to a path with that address and name.
async fn judged(
    arena: &mut ByPrimary,
    address: &str,
    identity: ServerIdentity,
) -> anyhow::Result<Outcome> {
    let mut peer = arena.session().await?;
    peer.send(add(1, vec![address.parse()?], identity)).await;
    match result(&peer).await {
        Ok(code) => {
            arena.counts(code, 1).await?;
            assert_eq!(peer.verdict().await, Verdict::Alive);
            Ok(Stopped(code))
        }
        Err(end) => Ok(end.into()),
    }
}

const PIN: ServerIdentity = ServerIdentity::Pin([1; 32]);

fn named(name: &str) -> ServerIdentity {
    ServerIdentity::Name(name.to_owned())
}

attacks! { ATTACKS on ByPrimary;
    a_path_to_everybody => Stopped(ErrorCode::PathPolicy), |arena| {
        judged(arena, "255.255.255.255:4433", PIN).await?
    }

    a_path_to_a_group => Stopped(ErrorCode::PathPolicy), |arena| {
        judged(arena, "224.0.0.251:5353", PIN).await?
    }

    a_path_to_nowhere => Stopped(ErrorCode::PathPolicy), |arena| {
        judged(arena, "0.0.0.0:4433", PIN).await?
    }

    a_path_to_a_group_of_ipv6 => Stopped(ErrorCode::PathPolicy), |arena| {
        judged(arena, "[ff02::fb]:5353", PIN).await?
    }

    a_path_to_everybody_in_ipv6_clothes => Stopped(ErrorCode::PathPolicy), |arena| {
        judged(arena, "[::ffff:255.255.255.255]:4433", PIN).await?
    }

    a_name_with_a_zero_byte => Stopped(ErrorCode::PathPolicy), |arena| {
        judged(arena, "127.0.0.1:4433", named("edge\0.example")).await?
    }

    a_name_with_escapes => Stopped(ErrorCode::PathPolicy), |arena| {
        judged(arena, "127.0.0.1:4433", named("\x1b]0;owned\x07.example")).await?
    }

    a_name_of_253_letters => Stopped(ErrorCode::PathPolicy), |arena| {
        judged(arena, "127.0.0.1:4433", named(&"a".repeat(253))).await?
    }

    the_primarys_own_number => Closed(ErrorCode::FrameEncoding), |arena| {
        let message = kwik_tests::bare::Message::new();
        let mut peer = arena.session().await?;
        // Path 0, epoch 1, with no address at all: the number alone is wrong already.
        let add = message.varint(2, 1).bytes(5, b"x");
        peer.write(kwik_tests::bare::Message::frame(5, true, add)).await;
        peer.end().await
    }

    /// More paths than a session may have.
    /// Within what a primary may send at once: more would come slowly.
    hundreds_of_paths => Throttled, |arena| {
        let mut peer = arena.session().await?;
        let silent = UdpSocket::bind("127.0.0.1:0")?;
        let address = silent.local_addr()?;
        let paths = scaled(300).min(380);
        peer.flood(paths, |number| add(1 + number as u16, vec![address], PIN)).await;
        for _ in 16..paths {
            assert_eq!(result(&peer).await, Ok(ErrorCode::LimitExceeded));
        }
        arena.counts(ErrorCode::LimitExceeded, paths - 16).await?;
        assert_eq!(peer.verdict().await, Verdict::Alive);
        Throttled
    }

    /// Paths that are added and removed: what is remembered of them is bounded.
    paths_added_and_removed => Ignored, |arena| {
        let mut peer = arena.session().await?;
        let silent = UdpSocket::bind("127.0.0.1:0")?;
        let address = silent.local_addr()?;
        for number in 1..=scaled(500).min(60_000) as u16 {
            peer.send(add(number, vec![address], PIN)).await;
            peer.send(ControlFrame::RemovePath(RemovePath { path: PathId::new(number), drain_ms: 0 })).await;
        }
        peer.verdict().await
    }

    removals_of_paths_that_never_were => Closed(ErrorCode::RateExceeded), |arena| {
        let mut peer = arena.session().await?;
        peer.flood(scaled(20_000), |number| {
            let path = PathId::new(1 + number as u16 % 60_000);
            ControlFrame::RemovePath(RemovePath { path, drain_ms: 5000 })
        })
        .await;
        peer.verdict().await
    }

    /// The epoch goes up and up: each is a new connection.
    epochs_that_count_up => Ignored, |arena| {
        let mut peer = arena.session().await?;
        let silent = UdpSocket::bind("127.0.0.1:0")?;
        let address = silent.local_addr()?;
        for epoch in 1..=scaled(500) as u32 {
            let ControlFrame::AddPath(mut add) = add(1, vec![address], PIN) else { unreachable!() };
            add.epoch = Epoch(epoch);
            peer.send(ControlFrame::AddPath(add)).await;
        }
        peer.verdict().await
    }

    /// One victim, named again and again: what it is sent by one client is little.
    one_victim_under_sixteen_numbers => Throttled, |arena| {
        let mut peer = arena.session().await?;
        let silent = UdpSocket::bind("127.0.0.1:0")?;
        let addresses = vec![silent.local_addr()?; 8];
        for path in 1..=16 {
            peer.send(add(path, addresses.clone(), PIN)).await;
        }
        let mut datagrams = 0;
        for path in 1..=16 {
            if result(&peer).await.is_err() {
                anyhow::bail!("path {path} has no result");
            }
        }
        silent.set_nonblocking(true)?;
        while silent.recv(&mut [0; 2048]).is_ok() {
            datagrams += 1;
        }
        // One dial: an Initial, and what is repeated of it within the patience.
        assert!((1..=3).contains(&datagrams), "{datagrams} datagrams");
        Throttled
    }
}
