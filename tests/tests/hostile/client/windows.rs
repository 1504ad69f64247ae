//! Servers whose QUIC takes next to nothing of a client.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use kwik_client::ErrorCode;
use kwik_proto::SessionId;
use kwik_proto::frame::{ControlFrame, Ping};
use kwik_server::{Event, PathId};
use kwik_tests::bare::{NarrowServer, RawPeer, Verdict, claims_of, verdict_of};
use kwik_tests::up;
use s2n_quic::Connection;
use s2n_quic::provider::limits::Limits;
use serde_json::Value;

use super::{ByPrimary, BySecondary, connect};
use crate::attack::Outcome::{Closed, Ignored, Throttled};
use crate::attack::attacks;

/// Bytes of an upload that come in crumbs.
const LITTLE: usize = 4_000;

/// A connection's window of sixteen bytes, which moves by as many as were read.
fn sixteen_bytes() -> anyhow::Result<Limits> {
    Ok(Limits::new().with_data_window(16)?)
}

/// Windows of one byte for all that the client sends, which move by one.
fn one_byte() -> anyhow::Result<Limits> {
    let limits = Limits::new().with_bidirectional_remote_data_window(1)?;
    Ok(limits.with_unidirectional_data_window(1)?)
}

/// So many streams that go both ways, the control stream among them, and no other; there will never be more.
fn streams(both_ways: u64) -> anyhow::Result<Limits> {
    let limits = Limits::new().with_max_open_remote_unidirectional_streams(0)?;
    Ok(limits.with_max_open_remote_bidirectional_streams(both_ways)?)
}

/// How a client ends a connection on which it can open no stream, or say nothing.
async fn end(connection: Connection) -> Verdict {
    let (_handle, mut acceptor) = connection.split();
    match acceptor.accept_bidirectional_stream().await {
        Err(error) => verdict_of(error.into()),
        Ok(_) => Verdict::Lost,
    }
}

impl ByPrimary {
    /// A session of the client with a primary of those limits.
    async fn narrow(&mut self, limits: Limits) -> anyhow::Result<(NarrowServer, RawPeer)> {
        let mut server = NarrowServer::start(limits)?;
        let (address, pin) = (server.address(), server.pin());
        let connecting = connect(&mut self.victim, address, pin, "read");
        let (said, peer) = tokio::join!(connecting, server.accept_raw());
        let (said, mut peer) = (said?, peer?);
        ensure!(said["session"].is_u64(), "{said}");
        peer.hello().await;
        peer.welcome(SessionId([7; 16])).await;
        Ok((server, peer))
    }

    /// The client sends to that primary, and gets on.
    async fn crumbs(&mut self, limits: Limits) -> anyhow::Result<Verdict> {
        let (_server, mut peer) = self.narrow(limits).await?;
        self.uploads(1).await?;
        let mut upload = peer.acceptor.accept_receive_stream().await?.context("an upload")?;
        let mut read = 0;
        while read < LITTLE {
            read += upload.receive().await?.context("it goes on")?.len();
        }
        // What is not read would leave the control stream no window.
        let draining =
            tokio::spawn(async move { while let Ok(Some(_)) = upload.receive().await {} });
        let verdict = peer.verdict().await;
        draining.abort();
        Ok(verdict)
    }
}

impl BySecondary {
    /// The client is connected to a secondary of those limits.
    async fn narrow(&mut self, limits: Limits) -> anyhow::Result<(NarrowServer, RawPeer)> {
        let mut server = NarrowServer::start(limits)?;
        let path = self.primary.add_path(server.spec()).await?;
        let mut peer = server.accept_raw().await?;
        let claims = claims_of(&peer.hello().await, &self.key);
        peer.welcome(claims.session).await;
        up(&self.primary, path).await;
        Ok((server, peer))
    }

    /// The client passes orders on to that secondary, and goes on.
    async fn ordered(&mut self, limits: Limits) -> anyhow::Result<Verdict> {
        let (_server, mut peer) = self.narrow(limits).await?;
        let mut stream = self.primary.handle().open_send_stream().await?;
        stream.send("first".into()).await?;
        // A grant of everything goes to each secondary that has one.
        peer.next(|frame| matches!(frame, ControlFrame::Orders(_)).then_some(())).await;
        Ok(peer.verdict().await)
    }

    /// With which code the primary is told that a path came to nothing.
    async fn down(&mut self, path: PathId) -> anyhow::Result<ErrorCode> {
        loop {
            match self.primary.next_event().await {
                Some(Event::PathDown(down, Some(code), _)) if down == path => return Ok(code),
                Some(_) => {}
                None => anyhow::bail!("the session is over"),
            }
        }
    }
}

/// The client says what went wrong.
fn named(said: &Value) -> anyhow::Result<()> {
    let error = said["error"].as_str().or(said["ended"].as_str());
    ensure!(error.is_some_and(|error| !error.is_empty()), "no error: {said}");
    Ok(())
}

attacks! { BY_PRIMARIES on ByPrimary;
    a_primary_with_a_window_of_sixteen_bytes => Ignored, |arena| {
        arena.crumbs(sixteen_bytes()?).await?
    }

    a_primary_with_windows_of_one_byte => Ignored, |arena| {
        arena.crumbs(one_byte()?).await?
    }

    /// Not even the control stream can be opened.
    a_primary_that_takes_no_stream => Closed(ErrorCode::HandshakeTimeout), |arena| {
        let mut server = NarrowServer::start(streams(0)?)?;
        let (address, pin) = (server.address(), server.pin());
        let connecting = connect(&mut arena.victim, address, pin, "read");
        let ending = async { end(server.accept().await).await };
        let (said, verdict) = tokio::join!(connecting, ending);
        named(&said?)?;
        verdict
    }

    /// A byte of the Hello is taken, and no further one.
    a_primary_that_takes_one_byte => Closed(ErrorCode::HandshakeTimeout), |arena| {
        let mut server = NarrowServer::start(one_byte()?)?;
        let (address, pin) = (server.address(), server.pin());
        let connecting = connect(&mut arena.victim, address, pin, "read");
        let (said, peer) = tokio::join!(connecting, server.accept_deaf());
        let (said, mut peer) = (said?, peer?);
        ensure!(said["session"].is_u64(), "{said}");
        let verdict = match peer.acceptor.accept_bidirectional_stream().await {
            Err(error) => verdict_of(error.into()),
            Ok(_) => Verdict::Lost,
        };
        named(&arena.victim.ask("session last").await?)?;
        verdict
    }

    /// A hundred uploads, to none of which QUIC gives a stream.
    a_primary_that_takes_no_upload within 96 MiB => Throttled, |arena| {
        let (_server, mut peer) = arena.narrow(streams(1)?).await?;
        arena.uploads(100).await?;
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(peer.verdict().await, Verdict::Alive);
        Throttled
    }

    /// A hundred uploads, of each of which QUIC takes a byte, and then none.
    a_primary_that_takes_a_byte_of_a_hundred_uploads within 96 MiB => Throttled, |arena| {
        let limits = Limits::new().with_unidirectional_data_window(1)?;
        let (_server, mut peer) = arena.narrow(limits).await?;
        arena.uploads(100).await?;
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(peer.verdict().await, Verdict::Alive);
        Throttled
    }
}

attacks! { BY_SECONDARIES on BySecondary;
    a_secondary_with_a_window_of_sixteen_bytes => Ignored, |arena| {
        arena.ordered(sixteen_bytes()?).await?
    }

    a_secondary_with_windows_of_one_byte => Ignored, |arena| {
        arena.ordered(one_byte()?).await?
    }

    a_secondary_that_takes_no_stream => Closed(ErrorCode::Unreachable), |arena| {
        let mut server = NarrowServer::start(streams(0)?)?;
        let path = arena.primary.add_path(server.spec()).await?;
        let _held = server.accept().await;
        Closed(arena.down(path).await?)
    }

    a_secondary_that_takes_one_byte => Closed(ErrorCode::HandshakeTimeout), |arena| {
        let mut server = NarrowServer::start(one_byte()?)?;
        let path = arena.primary.add_path(server.spec()).await?;
        let _held = server.accept_deaf().await?;
        Closed(arena.down(path).await?)
    }

    /// Questions whose answers it does not take: the answers that wait have a bound.
    pings_of_a_secondary_that_takes_one_byte => Closed(ErrorCode::HandshakeTimeout), |arena| {
        let mut server = NarrowServer::start(one_byte()?)?;
        let path = arena.primary.add_path(server.spec()).await?;
        let mut peer = server.accept_deaf().await?;
        peer.flood(1_000, |nonce| ControlFrame::Ping(Ping { nonce })).await;
        Closed(arena.down(path).await?)
    }
}
