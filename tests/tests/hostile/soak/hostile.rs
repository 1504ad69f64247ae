//! The hostile peers of a soak.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::time::Duration;

use futures_util::FutureExt as _;
use kwik_io::key::PublicKey;
use kwik_proto::frame::{ControlFrame, ErrorCode, Order, Orders, Ping, Refuse};
use kwik_tests::bare::{BareServer, RawPeer, contribution_frame, contribution_header};
use rand::Rng;
use rand::rngs::StdRng;

use super::fleet::Fleet;
use crate::attack::{Arena, Attack, scaled};
use crate::client::{ByPrimary, BySecondary};
use crate::honest::Honest;
use crate::primary::Primary;
use crate::program::{Program, downloads, greed, requests};
use crate::secondary::Secondary;
use crate::{client, primary, secondary as helper};

/// Longest that an attack goes on: most are over in a second, and one whose verdict never comes waits for nothing.
const PATIENCE: Duration = Duration::from_secs(40);

/// Attacks that need a server of their own, or none at all.
const APART: &[&str] = &[
    "sessions_that_nobody_accepts",
    "more_streams_than_may_be_open",
    "uploads_that_nobody_accepts",
    "a_path_of_absurd_rate_that_is_busy",
    "tokens_without_number",
    "orders_beyond_the_rate",
    "three_hundred_files_at_256_descriptors",
    "descriptors_used_up",
    "a_path_that_goes_up_and_down",
    "a_state_directory_for_everybody",
    "a_pipe_for_a_hash",
];

/// A hostile peer: its party and name, and what it does. An error is of an honest peer beside it.
pub(super) type Strike = (String, Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>);

/// A hostile peer, by chance.
pub(super) fn strike(fleet: &Fleet, random: &mut StdRng) -> anyhow::Result<Strike> {
    let server = fleet.servers().nth(random.random_range(0..3)).expect("there are three");
    let (process, from) = (server.process.id(), (server.address, server.pin));
    Ok(match random.random_range(0..6) {
        0 | 1 => {
            let attack = pick(primary::LISTS, random);
            one(attack, server.name, Primary::at(process, server.address, server.pin))
        }
        2 => {
            let attack = pick(helper::LISTS, random);
            let server = &fleet.secondaries[random.random_range(0..2)];
            let (process, key) = (server.process.id(), fleet.key()?);
            one(attack, server.name, Secondary::at(process, server.address, server.pin, key))
        }
        3 => {
            let attack = pick(&[requests::ATTACKS, greed::ATTACKS], random);
            let server = &fleet.primary;
            let (process, from) = (server.process.id(), (server.address, server.pin));
            one(attack, server.name, Program::at(process, from, server.metrics)?)
        }
        4 => {
            let attack = pick(&[downloads::ATTACKS], random);
            one(attack, "kwik get", Program::at(process, from, server.metrics)?)
        }
        _ if random.random_bool(0.5) => {
            beside(pick(client::BY_PRIMARIES, random), Box::pin(ByPrimary::start()))
        }
        _ => beside(pick(client::BY_SECONDARIES, random), Box::pin(BySecondary::start())),
    })
}

/// The attacks for which a server keeps most, all of them.
pub(super) fn greedy(fleet: &Fleet) -> anyhow::Result<Vec<Strike>> {
    let server = &fleet.primary;
    let (process, from) = (server.process.id(), (server.address, server.pin));
    let mut strikes = Vec::new();
    for attack in primary::LISTS.iter().copied().flatten().filter(|it| is_greedy(it)) {
        strikes.push(one(attack, server.name, Primary::at(process, from.0, from.1)));
    }
    for attack in greed::ATTACKS.iter().filter(|it| is_greedy(it)) {
        strikes.push(one(attack, server.name, Program::at(process, from, server.metrics)?));
    }
    Ok(strikes)
}

fn is_greedy<A>(attack: &Attack<A>) -> bool {
    attack.memory > crate::attack::MEMORY && !APART.contains(&attack.name)
}

fn pick<A>(lists: &'static [&'static [Attack<A>]], random: &mut StdRng) -> &'static Attack<A> {
    let all: Vec<_> =
        lists.iter().copied().flatten().filter(|it| !APART.contains(&it.name)).collect();
    all[random.random_range(0..all.len())]
}

/// An attack on a server of the fleet. What comes of it is the suite's matter.
fn one<A: Send + 'static>(attack: &'static Attack<A>, on: &str, mut arena: A) -> Strike {
    let name = format!("{on}: {}", attack.name);
    let act = async move {
        let act = AssertUnwindSafe((attack.act)(&mut arena)).catch_unwind();
        let _ = tokio::time::timeout(PATIENCE, act).await;
        Ok(())
    };
    (name, Box::pin(act))
}

/// An arena that is being set up, with an honest session in it.
type Starting<A> = Pin<Box<dyn Future<Output = anyhow::Result<(A, Honest)>> + Send>>;

/// An attack on a client that has an honest session besides, whose bytes are right.
fn beside<A: Arena + Send + 'static>(attack: &'static Attack<A>, start: Starting<A>) -> Strike {
    let name = format!("{}: {}", A::PARTY, attack.name);
    let act = async move {
        let (mut arena, honest) = start.await?;
        let side = honest.run();
        let act = AssertUnwindSafe((attack.act)(&mut arena)).catch_unwind();
        let _ = tokio::time::timeout(PATIENCE, act).await;
        let _ = side.stop().await?;
        Ok(())
    };
    (name, Box::pin(act))
}

/// A secondary that the primary believes in and that keeps no rule. Each client meets another of its kinds.
pub(super) async fn secondary(mut server: BareServer, primary: PublicKey) {
    for turn in 0_u64.. {
        let peer = server.accept_raw().await;
        let primary = primary.clone();
        tokio::spawn(tokio::time::timeout(PATIENCE, misbehave(turn, peer, primary)));
    }
}

async fn misbehave(turn: u64, mut peer: RawPeer, primary: PublicKey) {
    let hello = peer.hello().await;
    let welcome = kwik_tests::bare::claims_of(&hello, &primary).session;
    match turn % 10 {
        0 => return peer.handle.close(7u8.into()),
        // Never an answer.
        1 => _ = peer.end().await,
        2 => {
            peer.welcome(welcome).await;
            peer.flood(scaled(5_000), |nonce| ControlFrame::Ping(Ping { nonce })).await;
        }
        3 => {
            peer.welcome(welcome).await;
            peer.write(vec![0xff; 4000].into()).await;
        }
        4 => {
            peer.welcome(welcome).await;
            for _ in 0..scaled(500) {
                let Some(mut stream) = peer.carrier(bytes::Bytes::new()).await else { return };
                let _ = stream.finish();
            }
        }
        5 | 6 => {
            peer.welcome(welcome).await;
            wrong_bytes(&mut peer).await;
        }
        // It takes orders, and sends nothing.
        7 => peer.welcome(welcome).await,
        _ => {
            let (code, reason, retry_after_ms) = (ErrorCode::Busy, String::new(), None);
            peer.send(ControlFrame::Refuse(Refuse { code, reason, retry_after_ms })).await;
        }
    }
    peer.end().await;
}

/// Sends other bytes than it was ordered to, with a checksum that holds.
async fn wrong_bytes(peer: &mut RawPeer) {
    let order = peer.find(|frame| match frame {
        ControlFrame::Orders(signed) => Orders::decode(&signed.body).ok().and_then(delegation),
        _ => None,
    });
    let Ok(order) = order.await else { return };
    let (stream, start) = (order.stream.value(), order.range.start().value());
    let length = order.range.len().min(64 << 10) as usize;
    let header = contribution_header(stream, Some((order.id, order.range)));
    let frame = contribution_frame(stream, start, &vec![0xa5; length]);
    let _held = peer.carrier([header, frame].concat()).await;
    peer.end().await;
}

fn delegation(orders: Orders) -> Option<kwik_proto::frame::Delegation> {
    orders.orders.into_iter().find_map(|order| match order {
        Order::Delegation(delegation) => Some(delegation),
        _ => None,
    })
}
