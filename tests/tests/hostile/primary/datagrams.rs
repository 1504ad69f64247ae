//! Games with datagrams, their sizes and their addresses, between an honest client and a primary.

use std::time::Duration;

use anyhow::ensure;
use kwik_client::{Client, Connect, Limits};

use super::Primary;
use super::relay::{Game, Relay};
use crate::attack::Outcome::{Ignored, Transport};
use crate::attack::{Outcome, attacks, scaled};
use crate::honest::Honest;

/// What a client has of so many exchanges across that game: all bytes, or an end with a name.
async fn played(arena: &Primary, game: Game, exchanges: u64) -> anyhow::Result<Outcome> {
    across(arena, &Relay::start(arena.address, game)?, exchanges).await
}

/// The same across a relay that is there.
async fn across(arena: &Primary, relay: &Relay, exchanges: u64) -> anyhow::Result<Outcome> {
    let limits = Limits::new().with_idle_timeout(Duration::from_secs(3));
    let client = Client::builder().with_tls(arena.pin)?.with_limits(limits).start()?;
    let session = client.connect(Connect::new(relay.address)).await?;
    let mut across = Honest::Asks { session, _client: client };
    match across.pace(scaled(exchanges) as u32).await {
        Ok(_) => Ok(Ignored),
        Err(error) if error.is::<kwik_client::stream::Error>() => Ok(Transport),
        Err(error) => Err(error),
    }
}

/// As [`played`], for a game in which each datagram, of either end, comes from other ports too: so many copies of each.
async fn copied(arena: &Primary, game: Game, copies: usize) -> anyhow::Result<Outcome> {
    let relay = Relay::start(arena.address, game)?;
    let outcome = across(arena, &relay, 20).await?;
    // 20 exchanges are at least 20 datagrams in each direction.
    let sent = relay.copied();
    ensure!(sent >= 40 * copies, "{sent} copies were sent");
    Ok(outcome)
}

attacks! { ATTACKS on Primary;
    /// Large datagrams are lost once QUIC has found out that they arrive (RFC 8899, 4.3: a black hole).
    a_path_that_becomes_narrow => Ignored, |arena| {
        played(arena, Game::Narrows(1252), 20).await?
    }

    large_datagrams_that_are_cut => Ignored, |arena| {
        played(arena, Game::Cuts(1252), 20).await?
    }

    each_datagram_a_hundred_times => Ignored, |arena| {
        played(arena, Game::Repeats(100), 5).await?
    }

    /// As behind a NAT that forgets: s2n-quic knows five addresses of a peer, and hears no sixth.
    a_port_that_moves_every_sixty_datagrams => Transport, |arena| {
        played(arena, Game::Moves(60), 300).await?
    }

    /// Whoever sees a session's datagrams has them come from elsewhere too: the session stays where it is.
    each_datagram_from_sixty_other_ports => Ignored, |arena| {
        copied(arena, Game::Copies(60), 60).await?
    }

    each_datagram_from_another_of_sixty_ports => Ignored, |arena| {
        copied(arena, Game::CopiesInTurn(60), 1).await?
    }
}
