//! Clients, and primaries behind them, that attack a `kwik serve` which is a secondary.

use std::fs;
use std::time::Duration;

use anyhow::ensure;
use kwik_proto::frame::{ControlFrame, Delegation, DelegationState, Order};
use kwik_tests::bare::{Message, Verdict};
use kwik_tests::identity;

use super::Program;
use crate::attack::Outcome::Throttled;
use crate::attack::{attacks, scaled};
use crate::secondary::{self, Secondary};
use crate::wire::range;

const SIZE: u64 = 64 << 20;
const PIECE: u64 = 128 << 10;

attacks! { ATTACKS on Program;
    /// All ranges of a file are ordered on many paths, and nothing of them is read: each path has what may wait for QUIC, and what
    /// QUIC keeps.
    ranges_that_nobody_reads within 128 MiB => Throttled, |arena| {
        fs::File::create(arena.root().join("large"))?.set_len(SIZE)?;
        let tag = blake3::hash(&vec![0; SIZE as usize]);
        let (key, public) = identity();
        fs::write(arena.dir.path().join("primary.pub"), format!("{public}\n"))?;
        let dir = arena.dir.path().to_owned();
        let args = ["--state", "other", "--trust", "primary.pub"];
        let (mut server, address, pin) = Program::serve(&dir, &args, None).await?;
        let before = server.descriptors();
        server.mark();
        let attacker = Secondary::at(server.id(), address, pin, key);
        let resource = Message::new().bytes(1, b"large").bytes(2, tag.as_bytes()).bare();
        let order = |number: u64| {
            let range = range(number * PIECE, (number + 1) * PIECE);
            match secondary::delegation(number, 3, range) {
                Order::Delegation(work) => {
                    Order::Delegation(Delegation { resource: resource.clone(), ..work })
                }
                other => other,
            }
        };
        let mut paths = Vec::new();
        for _ in 0..scaled(8) {
            let mut path = attacker.attach().await;
            for batch in (0..SIZE / PIECE).collect::<Vec<_>>().chunks(128) {
                path.order(&attacker.key, batch.iter().copied().map(order).collect()).await;
            }
            paths.push(path);
        }
        // It works on them.
        for path in &paths {
            let accepted = |frame: &ControlFrame| match frame {
                ControlFrame::DelegationStatus(status) => Some(status.state),
                _ => None,
            };
            let state = path.peer.next(accepted).await;
            ensure!(state == DelegationState::Accepted || state == DelegationState::Pending, "{state:?}");
        }
        tokio::time::sleep(Duration::from_secs(4)).await;
        for path in &mut paths {
            ensure!(path.peer.verdict().await == Verdict::Alive);
        }
        let open = server.descriptors();
        ensure!(open <= before + 40, "{before} descriptors, then {open}");
        let grown = server.grown().resident >> 20;
        ensure!((1..=128).contains(&grown), "it grew by {grown} MiB");
        ensure!(server.runs() && server.panics().is_empty());
        Throttled
    }
}
