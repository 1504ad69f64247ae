//! Servers under attack.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use kwik_server::{
    Delegate, FrameClass, Limits, LocalSupply, PathSpec, PrimaryAcceptor, PrimarySession,
    PublicKey, RangeSource, SecondaryAcceptor, SecondarySession, Server, ServerHandle,
    ServerIdentity,
};
use kwik_tests::{Content, certificate, identity};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::child::{answer, say};
use crate::honest::CONTENT;

/// How long a client may take to its Hello, where the attack is about that.
const HANDSHAKE: Duration = Duration::from_millis(1500);
/// Bytes that a primary which hoards reads of an upload: their windows have grown by then.
const SIP: usize = 8 << 20;
/// Bytes that all uploads to it may have.
pub(crate) const LITTLE: u64 = 16 << 20;

/// A primary that answers each request, of eight bytes, with so many bytes. With `unaccepted` it accepts no sessions, with
/// `streamless` none of their streams; with `delegating` it has a secondary, which nobody has seen, send the answers, and with
/// `proving` it names their hashes too. With `hoarding` it reads the first [`SIP`] of each upload alone, and has [`LITTLE`] memory
/// for them; with `strict` it takes a tenth of the usual control frames.
pub(super) fn primary(runtime: &Runtime, args: &[&str]) {
    let (identity, _) = identity();
    let server = Server::builder()
        .with_tls(certificate())
        .and_then(|builder| builder.with_io("127.0.0.1:0"))
        .and_then(|builder| builder.with_identity(identity))
        .map(|builder| builder.with_limits(limits(args)))
        .and_then(|builder| builder.start())
        .unwrap();
    say(&json!({ "address": server.local_addr(), "pin": server.pin().to_string() }));
    let handle = server.handle();
    let (primaries, _secondaries) = server.split();
    let kept = if args.contains(&"unaccepted") {
        Some(primaries)
    } else {
        runtime.spawn(accept(primaries, Mode::of(args)));
        None
    };
    answer(|_| metrics(&handle));
    drop(kept);
}

fn limits(args: &[&str]) -> Limits {
    let limits = Limits::new().with_handshake_timeout(HANDSHAKE);
    match args {
        ["hoarding", ..] => limits.with_receive_memory(LITTLE),
        ["strict", ..] => limits.with_frame_rate(FrameClass::Any, 20_000),
        _ => limits,
    }
}

/// What a primary does with its clients.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Answers,
    Streamless,
    Hoarding,
    Delegating,
    Proving,
}

impl Mode {
    fn of(args: &[&str]) -> Self {
        match args {
            ["streamless", ..] => Self::Streamless,
            ["hoarding", ..] => Self::Hoarding,
            ["delegating", ..] => Self::Delegating,
            ["proving", ..] => Self::Proving,
            _ => Self::Answers,
        }
    }

    fn delegates(self) -> bool {
        matches!(self, Self::Delegating | Self::Proving)
    }
}

/// The content as a copy on a disk: how many bytes were read is counted.
struct Copied;

static READ: AtomicU64 = AtomicU64::new(0);

impl RangeSource for Copied {
    fn read_at(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        READ.fetch_add(length as u64, Ordering::Relaxed);
        CONTENT.read_at(offset, length)
    }
}

async fn accept(mut primaries: PrimaryAcceptor, mode: Mode) {
    while let Some(session) = primaries.accept().await {
        tokio::spawn(serve(session, mode));
    }
}

async fn serve(mut session: PrimarySession, mode: Mode) {
    if mode == Mode::Streamless {
        // Held until the client goes.
        while session.next_event().await.is_some() {}
        return;
    }
    if mode.delegates() {
        let (addresses, identity) =
            (vec![([127, 0, 0, 1], 9).into()], ServerIdentity::Pin([1; 32]));
        let _ = session.add_path(PathSpec { addresses, identity, grant_all: false }).await;
        let handle = session.handle();
        tokio::spawn(async move { while handle.next_event().await.is_some() {} });
    }
    loop {
        let Ok(Some(stream)) = session.accept().await else { return };
        tokio::spawn(async move {
            match stream {
                kwik_server::stream::PeerStream::Bidirectional(stream) => {
                    let (mut request, mut reply) = stream.split();
                    // To its end: a request that is stopped before is one that fails.
                    let mut asked = Vec::new();
                    while let Ok(Some(chunk)) = request.receive().await {
                        asked.extend_from_slice(&chunk[..chunk.len().min(8)]);
                    }
                    let Some(length) = asked.first_chunk() else { return };
                    let length = u64::from_be_bytes(*length);
                    let mut at = 0;
                    if mode.delegates() {
                        let order = Delegate::new(0..length, CONTENT.resource());
                        let order = order.with_local(Arc::new(Copied), LocalSupply::Fallback);
                        let order = if mode == Mode::Proving { order.with_proof() } else { order };
                        if reply.delegate(order).await.is_err() {
                            return;
                        }
                        at = length;
                    }
                    while at < length {
                        let step = (length - at).min(64 << 10) as usize;
                        if reply.send(CONTENT.bytes(at, step)).await.is_err() {
                            return;
                        }
                        at += step as u64;
                    }
                    let _ = reply.close().await;
                }
                kwik_server::stream::PeerStream::Receive(mut upload) => {
                    let mut read = 0;
                    while let Ok(Some(chunk)) = upload.receive().await {
                        read += chunk.len();
                        if mode == Mode::Hoarding && read >= SIP {
                            // Held until the client goes.
                            return std::future::pending().await;
                        }
                    }
                }
            }
        });
    }
}

fn metrics(handle: &ServerHandle) -> Value {
    let metrics = handle.metrics();
    let refused: serde_json::Map<String, Value> = metrics
        .refused
        .iter()
        .map(|(code, count)| (format!("{code:?}"), (*count).into()))
        .collect();
    json!({
        "primary_sessions": metrics.primary_sessions,
        "secondary_sessions": metrics.secondary_sessions,
        "rejected_handshakes": metrics.rejected_handshakes,
        "refused": refused,
        "read_bytes": READ.load(Ordering::Relaxed),
        "receive_memory_bytes": metrics.receive_memory_bytes,
    })
}

/// A secondary that trusts the primary of that key, and sends the content that orders name. With `idle` it takes no orders.
pub(super) fn secondary(runtime: &Runtime, args: &[&str]) {
    let trusted = args.iter().filter_map(|arg| arg.parse::<PublicKey>().ok());
    let server = Server::builder()
        .with_tls(certificate())
        .and_then(|builder| builder.with_io("127.0.0.1:0"))
        .and_then(|builder| builder.with_trusted_primaries(trusted))
        .map(|builder| builder.with_limits(Limits::new().with_handshake_timeout(HANDSHAKE)))
        .and_then(|builder| builder.start())
        .unwrap();
    say(&json!({ "address": server.local_addr(), "pin": server.pin().to_string() }));
    let handle = server.handle();
    let (primaries, secondaries) = server.split();
    // It is primary to nobody.
    drop(primaries);
    runtime.spawn(attach(secondaries));
    answer(|_| metrics(&handle));
}

async fn attach(mut secondaries: SecondaryAcceptor) {
    while let Some(session) = secondaries.accept().await {
        tokio::spawn(obey(session));
    }
}

async fn obey(mut session: SecondarySession) {
    while let Ok(Some(order)) = session.next_delegation().await {
        tokio::spawn(async move {
            let Ok(key) = order.resource()[..].try_into().map(u64::from_be_bytes) else {
                return order.refuse(kwik_server::Refusal::NotFound);
            };
            let range = order.range();
            let Ok(mut contribution) = order.accept().await else { return };
            let mut at = range.start;
            while at < range.end {
                let length = (range.end - at).min(64 << 10) as usize;
                if contribution.write_at(at, Content(key).bytes(at, length)).await.is_err() {
                    return;
                }
                at += length as u64;
            }
            let _ = contribution.finish().await;
        });
    }
}
