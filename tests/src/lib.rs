//! What the acceptance tests share: servers on loopback, content that can be checked, and peers that keep no rule.

pub mod bare;
mod content;
mod rig;
mod seed;
mod wait;

pub use content::{Content, Gated};
pub use rig::{Attached, Rig, SecondaryServer, all_up, contribute, read_until, read_whole, up};
pub use seed::seed;
pub use wait::{eventually, eventually_some, stays_pending};

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use kwik_server::{
    IdentityKey, PathSpec, Pin, PublicKey, RangeSource, SecondaryAcceptor, Server,
    ServerCertificate, ServerIdentity,
};

/// Bytes that any server can make and any reader can check: each depends on its offset alone.
#[derive(Clone, Copy, Debug)]
pub struct Pattern;

impl Pattern {
    /// The byte at `offset`.
    pub fn byte(offset: u64) -> u8 {
        (offset.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
    }

    /// `length` bytes from `offset`.
    pub fn bytes(offset: u64, length: usize) -> Bytes {
        (offset..offset + length as u64).map(Self::byte).collect::<Vec<_>>().into()
    }

    /// Whether `bytes` are those from `offset` on.
    pub fn matches(offset: u64, bytes: &[u8]) -> bool {
        bytes.iter().zip(offset..).all(|(byte, at)| *byte == Self::byte(at))
    }
}

impl RangeSource for Pattern {
    fn read_at(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        Ok(Self::bytes(offset, length))
    }
}

/// A running secondary that sends the pattern for whatever it is ordered.
#[derive(Debug)]
pub struct Secondary {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its certificate's pin.
    pub pin: Pin,
}

impl Secondary {
    /// As a path of a primary.
    pub fn path(&self) -> PathSpec {
        PathSpec {
            addresses: vec![self.address],
            identity: ServerIdentity::Pin(self.pin.0),
            grant_all: false,
        }
    }
}

/// A key for a primary, and its public half.
pub fn identity() -> (IdentityKey, PublicKey) {
    let key = IdentityKey::generate(&Default::default());
    let public = key.public().clone();
    (key, public)
}

/// A certificate for loopback.
pub fn certificate() -> ServerCertificate {
    ServerCertificate::self_signed(["localhost"]).expect("a self-signed certificate can be made")
}

/// A secondary on loopback that trusts `primary`.
pub fn secondary(primary: &PublicKey) -> Secondary {
    let server = Server::builder()
        .with_tls(certificate())
        .and_then(|builder| builder.with_io("127.0.0.1:0"))
        .and_then(|builder| builder.with_trusted_primaries([primary.clone()]))
        .and_then(|builder| builder.start())
        .expect("a server on loopback starts");
    let (address, pin) = (server.local_addr(), server.pin());
    let (_, secondaries) = server.split();
    tokio::spawn(obey(secondaries));
    Secondary { address, pin }
}

async fn obey(mut acceptor: SecondaryAcceptor) {
    while let Some(mut session) = acceptor.accept().await {
        tokio::spawn(async move {
            while let Ok(Some(order)) = session.next_delegation().await {
                tokio::spawn(async move {
                    let range = order.range();
                    let mut contribution = order.accept().await?;
                    let mut at = range.start;
                    while at < range.end {
                        let length = (range.end - at).min(64 * 1024) as usize;
                        contribution.write_at(at, Pattern::bytes(at, length)).await?;
                        at += length as u64;
                    }
                    contribution.finish().await?;
                    anyhow::Ok(())
                });
            }
        });
    }
}

/// The pattern as a local provider.
pub fn local() -> Arc<dyn RangeSource> {
    Arc::new(Pattern)
}
