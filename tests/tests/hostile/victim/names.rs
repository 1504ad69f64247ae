//! Downloads by name, in a network where the name service is the test's.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kwik_client::Pin;
use kwik_server::stream::BidirectionalStream;
use kwik_server::{PathSpec, PathState, PrimarySession, Server, ServerIdentity};
use kwik_tests::{certificate, identity};
use serde_json::{Value, json};

use super::child::say;
use crate::honest::CONTENT;
use crate::program::{self, Ended, found, tag};

/// An address of everybody's (RFC 5737), which is this machine's own here.
pub(crate) const PUBLIC: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);
const LOOPBACK: Ipv4Addr = Ipv4Addr::LOCALHOST;
/// Bytes of a download.
const SIZE: usize = 100_000;

/// Plays a scene, and says what was seen.
pub(super) fn names(runtime: &tokio::runtime::Runtime, args: &[&str]) {
    let [scene, dir] = args else { panic!("a scene and a directory") };
    let dir = Path::new(dir);
    let seen = runtime.block_on(async {
        match *scene {
            "rebound" => rebound(dir).await,
            "narrower" => narrower(dir).await,
            "thousand" => thousand(dir).await,
            "nothing" => unanswered(dir, Some(Vec::new())).await,
            "silent" => unanswered(dir, None).await,
            other => panic!("no such scene: {other}"),
        }
    });
    say(&seen.unwrap());
}

/// A name service on port 53, which knows one set of addresses for all names; with `None` it says nothing.
struct Names {
    addresses: Arc<Mutex<Option<Vec<Ipv4Addr>>>>,
    asked: Arc<AtomicU64>,
}

impl Names {
    fn start(addresses: Option<Vec<Ipv4Addr>>) -> anyhow::Result<Self> {
        let names = Self { addresses: Arc::new(Mutex::new(addresses)), asked: Arc::default() };
        let (datagrams, streams) =
            (UdpSocket::bind((LOOPBACK, 53))?, TcpListener::bind((LOOPBACK, 53))?);
        let (addresses, asked) = (names.addresses.clone(), names.asked.clone());
        std::thread::spawn(move || {
            let mut query = [0; 2048];
            while let Ok((length, from)) = datagrams.recv_from(&mut query) {
                asked.fetch_add(u64::from(asks_for_v4(&query[..length])), Ordering::Relaxed);
                let known = addresses.lock().unwrap_or_else(PoisonError::into_inner).clone();
                if let Some(answer) = known.map(|known| answer(&query[..length], &known, 512)) {
                    let _ = datagrams.send_to(&answer, from);
                }
            }
        });
        let addresses = names.addresses.clone();
        std::thread::spawn(move || {
            for mut stream in streams.incoming().flatten() {
                let addresses = addresses.clone();
                std::thread::spawn(move || {
                    let mut length = [0; 2];
                    while stream.read_exact(&mut length).is_ok() {
                        let mut query = vec![0; u16::from_be_bytes(length).into()];
                        let known =
                            addresses.lock().unwrap_or_else(PoisonError::into_inner).clone();
                        let Some(known) = known else { return };
                        if stream.read_exact(&mut query).is_err() {
                            return;
                        }
                        let answer = answer(&query, &known, usize::from(u16::MAX));
                        let length = (answer.len() as u16).to_be_bytes();
                        let _ = stream.write_all(&[&length[..], &answer].concat());
                    }
                });
            }
        });
        Ok(names)
    }

    fn now(&self, address: Ipv4Addr) {
        *self.addresses.lock().unwrap_or_else(PoisonError::into_inner) = Some(vec![address]);
    }

    fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }
}

/// The question of a query (RFC 1035, 4.1.2).
fn question(query: &[u8]) -> &[u8] {
    let name = query.iter().skip(12).position(|byte| *byte == 0).unwrap_or_default();
    query.get(12..12 + name + 5).unwrap_or_default()
}

fn asks_for_v4(query: &[u8]) -> bool {
    question(query).ends_with(&[0, 1, 0, 1])
}

/// The answer to a query; truncated where it is longer than `most`.
fn answer(query: &[u8], known: &[Ipv4Addr], most: usize) -> Vec<u8> {
    let known = if asks_for_v4(query) { known } else { &[] };
    let records = known.iter().flat_map(|address| {
        [&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4][..], &address.octets()].concat()
    });
    let records: Vec<u8> = records.collect();
    let question = question(query);
    let whole = 12 + question.len() + records.len() <= most;
    let (flags, count) = if whole { (0x81, known.len() as u16) } else { (0x83, 0) };
    let mut answer = query[..2].to_vec();
    answer.extend([flags, 0x80, 0, 1]);
    answer.extend(count.to_be_bytes());
    answer.extend([0; 4]);
    answer.extend(question);
    answer.extend(if whole { records } else { Vec::new() });
    answer
}

/// A download by name.
async fn get(dir: &Path, port: u16, pin: Pin) -> anyhow::Result<Ended> {
    let mut command = program::kwik(dir)?;
    command
        .arg("get")
        .arg(format!("kwik://origin.example:{port}/f"))
        .arg("--pin")
        .arg(pin.to_string());
    command.args(["-o", "out", "--timeout", "3s", "--connect-timeout", "3s"]);
    program::run(command).await
}

fn failed(ended: &Ended) -> bool {
    ended.fails().inspect_err(|error| eprintln!("{error:#}")).is_ok()
}

/// Answers a request with the beginning of a file.
async fn send(stream: &mut BidirectionalStream, bytes: usize) {
    let _ = stream.send(found(SIZE as u64, &tag(SIZE), 0, SIZE as u64)).await;
    let _ = stream.send(CONTENT.bytes(0, bytes)).await;
}

fn server(address: Ipv4Addr, port: u16) -> anyhow::Result<Server> {
    let builder = Server::builder().with_tls(certificate())?.with_identity(identity().0)?;
    Ok(builder.with_io(SocketAddr::from((address, port)))?.start()?)
}

/// Passes what comes at a port of this machine on to a server, and what that answers back; how many answers there were.
fn forward(port: u16, server: SocketAddr) -> anyhow::Result<Arc<AtomicU64>> {
    let (front, back) = (UdpSocket::bind((LOOPBACK, port))?, UdpSocket::bind((LOOPBACK, 0))?);
    back.connect(server)?;
    let (replies, answers) = (front.try_clone()?, back.try_clone()?);
    let client = Arc::<Mutex<Option<SocketAddr>>>::default();
    let (seen, count) = (client.clone(), Arc::<AtomicU64>::default());
    let answered = count.clone();
    std::thread::spawn(move || {
        let mut datagram = [0; 2048];
        while let Ok((length, from)) = front.recv_from(&mut datagram) {
            *seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(from);
            let _ = back.send(&datagram[..length]);
        }
    });
    std::thread::spawn(move || {
        let mut datagram = [0; 2048];
        while let Ok(length) = answers.recv(&mut datagram) {
            let client = *client.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(client) = client {
                count.fetch_add(1, Ordering::Relaxed);
                let _ = replies.send_to(&datagram[..length], client);
            }
        }
    });
    Ok(answered)
}

/// A server goes in the middle of a file, and then its name is that of another.
async fn rebound(dir: &Path) -> anyhow::Result<Value> {
    let mut first = server(PUBLIC, 0)?;
    let (port, pin) = (first.local_addr().port(), first.pin());
    let other = server(LOOPBACK, 0)?;
    let answered = forward(port, other.local_addr())?;
    let names = Arc::new(Names::start(Some(vec![PUBLIC]))?);
    let moving = names.clone();
    tokio::spawn(async move {
        let Some(mut session) = first.accept().await else { return };
        let Ok(Some(mut stream)) = session.accept_bidirectional_stream().await else { return };
        send(&mut stream, SIZE / 2).await;
        let _ = stream.flush().await;
        moving.now(LOOPBACK);
        first.close(Duration::ZERO).await;
    });
    let ended = get(dir, port, pin).await?;
    let metrics = other.handle().metrics();
    Ok(json!({
        "failed": failed(&ended),
        "asked": names.asked(),
        "answered": answered.load(Ordering::Relaxed),
        "sessions": metrics.primary_sessions,
    }))
}

/// What comes at a port of this machine.
fn listen() -> anyhow::Result<(SocketAddr, Arc<AtomicU64>)> {
    let socket = UdpSocket::bind((LOOPBACK, 0))?;
    let (address, count) = (socket.local_addr()?, Arc::<AtomicU64>::default());
    let counted = count.clone();
    std::thread::spawn(move || {
        while socket.recv(&mut [0; 2048]).is_ok() {
            counted.fetch_add(1, Ordering::Relaxed);
        }
    });
    Ok((address, count))
}

/// A server whose secondary is on this machine, as one of the world and as one of this machine.
async fn narrower(dir: &Path) -> anyhow::Result<Value> {
    let (inside, datagrams) = listen()?;
    let mut server = server(Ipv4Addr::UNSPECIFIED, 0)?;
    let (port, pin) = (server.local_addr().port(), server.pin());
    let names = Names::start(Some(vec![PUBLIC]))?;
    let seen = datagrams.clone();
    tokio::spawn(async move {
        while let Some(session) = server.accept().await {
            tokio::spawn(serve_beside(session, inside, seen.clone()));
        }
    });
    let public = get(dir, port, pin).await?;
    let public = json!({ "code": public.code, "datagrams": datagrams.load(Ordering::Relaxed) });
    names.now(LOOPBACK);
    std::fs::remove_file(dir.join("out"))?;
    let loopback = get(dir, port, pin).await?;
    let loopback = json!({ "code": loopback.code, "datagrams": datagrams.load(Ordering::Relaxed) });
    Ok(json!({ "public": public, "loopback": loopback }))
}

/// Answers once the client has gone to the secondary, or has said that it will not.
async fn serve_beside(mut session: PrimarySession, inside: SocketAddr, seen: Arc<AtomicU64>) {
    let identity = ServerIdentity::Pin([1; 32]);
    let spec = PathSpec { addresses: vec![inside], identity, grant_all: false };
    let path = session.add_path(spec).await;
    let Ok(Some(mut stream)) = session.accept_bidirectional_stream().await else { return };
    let handle = session.handle();
    while path.is_ok()
        && seen.load(Ordering::Relaxed) == 0
        && handle.paths().await.iter().any(|path| path.state != PathState::Gone)
    {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    send(&mut stream, SIZE).await;
    let _ = stream.close().await;
}

/// A thousand addresses, at which one socket listens: how many connections are begun, told apart by QUIC's first id.
async fn thousand(dir: &Path) -> anyhow::Result<Value> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    let port = socket.local_addr()?.port();
    let begun = Arc::<Mutex<BTreeSet<Vec<u8>>>>::default();
    let ids = begun.clone();
    std::thread::spawn(move || {
        let mut datagram = [0; 2048];
        while let Ok(length) = socket.recv(&mut datagram) {
            if let [first, _, _, _, _, size, rest @ ..] = &datagram[..length]
                && *first >= 0xc0
                && let Some(id) = rest.get(..usize::from(*size))
            {
                ids.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_vec());
            }
        }
    });
    let address = |n: u32| Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 1, 0, 0)) + n);
    let _names = Names::start(Some((1..=1000).map(address).collect()))?;
    let ended = get(dir, port, Pin([1; 32])).await?;
    let connections = begun.lock().unwrap_or_else(PoisonError::into_inner).len();
    Ok(json!({ "failed": failed(&ended), "connections": connections }))
}

/// No address, or no answer.
async fn unanswered(dir: &Path, addresses: Option<Vec<Ipv4Addr>>) -> anyhow::Result<Value> {
    let names = Names::start(addresses)?;
    let ended = get(dir, 4433, Pin([1; 32])).await?;
    Ok(json!({ "failed": failed(&ended), "asked": names.asked() }))
}
