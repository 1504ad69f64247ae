//! More than one client may have of `kwik serve`, and files that others put in its way.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use kwik_proto::Epoch;
use kwik_proto::frame::{ControlFrame, PathState, PathStatus, Ping};
use kwik_tests::bare::{RawPeer, Verdict, hello, public_frame, public_header};

use super::downloads::{answered, found, tag};
use super::{Program, kwik, request, run};
use crate::attack::Outcome::{Fails, Ignored, Throttled};
use crate::attack::{attacks, scaled};
use crate::honest::{CONTENT, Held};
use crate::wire::{LAST, window};

/// A file of zeros that takes no space.
fn sparse(arena: &Program, name: &str, size: u64) -> anyhow::Result<()> {
    Ok(fs::File::create(arena.root().join(name))?.set_len(size)?)
}

/// Processor time that a process has used, in clock ticks of 10 ms.
pub(crate) fn ticks(process: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum()
}

/// A process may have so many descriptors from now on.
fn limit_descriptors(process: u32, most: usize) -> anyhow::Result<()> {
    let process = rustix::process::Pid::from_raw(process.try_into()?).context("it runs")?;
    let most = Some(most as u64);
    let limit = rustix::process::Rlimit { current: most, maximum: most };
    rustix::process::prlimit(Some(process), rustix::process::Resource::Nofile, limit)?;
    Ok(())
}

/// Bytes that a process has asked the system to read, from whatever it was.
fn bytes_read(process: u32) -> anyhow::Result<u64> {
    let counts = fs::read_to_string(format!("/proc/{process}/io"))?;
    let read = counts.lines().find_map(|line| line.strip_prefix("rchar: "));
    Ok(read.context("how many bytes were read")?.parse()?)
}

/// Asks a hundred times for that file, with room for all of it, and reads nothing.
async fn ask_for_a_hundred(peer: &mut RawPeer) -> Vec<Held> {
    let mut held: Vec<Held> = Vec::new();
    for number in 0..100 {
        let stream = 4 * number;
        let get = request(b"large").delimited();
        let asked = [public_header(stream), public_frame(stream, 0, &get, true)].concat();
        if let Some(request) = peer.request(asked).await {
            held.push(Box::new(request));
        }
        peer.send(window(stream, LAST)).await;
    }
    held
}

attacks! { ATTACKS on Program;
    /// A hundred requests for a large file, of which nothing is read: the session's 64 MiB, and what a hundred streams have beside
    /// it.
    a_hundred_files_that_nobody_reads within 96 MiB => Throttled, |arena| {
        sparse(arena, "large", 64 << 20)?;
        let before = arena.process().descriptors();
        let mut peer = arena.peer().await;
        let _held = ask_for_a_hundred(&mut peer).await;
        tokio::time::sleep(Duration::from_secs(4)).await;
        let after = arena.process().descriptors();
        ensure!(after <= before + 40, "{before} descriptors, then {after}");
        Throttled
    }

    /// Three clients, each of which asks for a hundred files and reads none, where the system gives 256 descriptors: one beside
    /// them gets what it asks for.
    three_hundred_files_at_256_descriptors => Throttled, |arena| {
        sparse(arena, "large", 64 << 20)?;
        let dir = arena.dir.path().to_owned();
        let args = ["--state", "other"];
        let (mut server, address, pin) = Program::serve(&dir, &args, Some("ulimit -n 256")).await?;
        let mut held = Vec::new();
        for _ in 0..3 {
            let mut peer = RawPeer::client(address, pin).await;
            held.extend(ask_for_a_hundred(&mut peer).await);
            assert_eq!(peer.verdict().await, Verdict::Alive);
            held.push(Box::new(peer));
        }
        let (_client, mut session) = super::session(address, pin).await?;
        for _ in 0..50 {
            super::fetch(&mut session).await?;
            let open = server.descriptors();
            ensure!(open <= 128, "{open} descriptors");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        ensure!(server.runs() && server.panics().is_empty());
        Throttled
    }

    /// Two requests for large files that were never hashed, whose clients are gone: nobody goes on hashing.
    hashing_for_clients_that_are_gone => Ignored, |arena| {
        let process = arena.process().id();
        for name in ["one", "two"] {
            sparse(arena, name, 200 << 30)?;
            let mut peer = arena.peer().await;
            let get = request(name.as_bytes()).delimited();
            let _request = peer.request([public_header(0), public_frame(0, 0, &get, true)].concat()).await;
            // The server has begun to hash.
            tokio::time::sleep(Duration::from_millis(500)).await;
            peer.handle.close(7u8.into());
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        let start = bytes_read(process)?;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let read = (bytes_read(process)? - start) >> 20;
        // The honest session has some hundred of them; a core that hashes has thousands.
        ensure!(read < 512, "{read} MiB are read in two seconds");
        Ignored
    }

    /// All descriptors are used up, and the metrics are asked for.
    descriptors_used_up => Throttled, |arena| {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let (name, dir) = (port.to_string(), arena.dir.path().to_owned());
        let args = ["--state", "other", "--metrics", &name];
        let (mut server, address, pin) = Program::serve(&dir, &args, None).await?;
        // Fewer than the port has connections.
        let most = server.descriptors() + 8;
        limit_descriptors(server.id(), most)?;
        let mut held = Vec::new();
        for _ in 0..60 {
            held.extend(TcpStream::connect(port));
        }
        // There is no descriptor for the last of them: it does not ask for one all the time.
        let start = ticks(server.id());
        tokio::time::sleep(Duration::from_secs(2)).await;
        let used = ticks(server.id()) - start;
        ensure!(used < 100, "{used} ticks in two seconds");
        let open = server.descriptors();
        ensure!(open >= most, "{open} descriptors are open, {most} there are");
        let logged = server.log().len();
        ensure!(logged < 64 << 10, "it logged {logged} bytes");
        drop(held);
        tokio::time::sleep(Duration::from_millis(500)).await;
        ensure!(scrape(port)?.starts_with("HTTP/1.1 200"), "the metrics are gone for good");
        let (_client, mut session) = super::session(address, pin).await?;
        super::fetch(&mut session).await?;
        ensure!(server.runs() && server.panics().is_empty());
        Throttled
    }

    /// A name that no file can have, for a terminal to read in the log.
    a_name_of_300_bytes_with_escapes => Fails, |arena| {
        let name = "\x1b]0;owned\x07\x1b[2J".repeat(25);
        let code = arena.fails(request(name.as_bytes())).await?;
        ensure!(code != 0, "{code}");
        ensure!(!arena.process().log().contains('\x1b'), "an escape sequence in the log");
        Fails
    }

    /// More than was announced, at every try: the program asks again and again, and no time limit holds.
    bytes_beyond_the_announced => Fails, |arena| {
        answered(arena, vec![found(1000, &tag(1000), 0, 1000), CONTENT.bytes(0, 5000)]).await?
    }

    /// A byte now and then: never quite nothing.
    a_file_that_drips => Fails, |arena| {
        let ended = arena.get_from(|mut stream| async move {
            let _ = stream.send(found(1 << 20, &[1; 32], 0, 1 << 20)).await;
            for at in 0..100 {
                let _ = stream.send(CONTENT.bytes(at, 1)).await;
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        });
        ended.await?.fails()?;
        Fails
    }

    /// Others may write into the state directory, and so choose the server's key.
    a_state_directory_for_everybody => Fails, |arena| {
        let state = arena.dir.path().join("open");
        fs::create_dir(&state)?;
        fs::set_permissions(&state, fs::Permissions::from_mode(0o777))?;
        arena.must_not_start(&["--state", "open"]).await?.fails()?;
        Fails
    }

    /// A pipe where a file's hash is kept: whoever reads it waits for ever.
    a_pipe_for_a_hash => Ignored, |arena| {
        let file = arena.root().join("g");
        fs::write(&file, b"content")?;
        let metadata = fs::metadata(&file)?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(&metadata.dev().to_le_bytes()).update(&metadata.ino().to_le_bytes());
        let [a, b, ..] = *hasher.finalize().as_bytes();
        let slot = format!("{:04x}", u16::from_le_bytes([a, b]) % (1 << 14));
        let slot = arena.dir.path().join("state/kwik/tags").join(slot);
        let _ = fs::remove_file(&slot);
        ensure!(std::process::Command::new("mkfifo").arg(&slot).status()?.success());
        let mut get = kwik(arena.dir.path())?;
        get.arg("get").arg(format!("kwik://{}/g", arena.address)).arg("--pin").arg(arena.pin.to_string());
        get.args(["-o", "out", "--timeout", "5s"]);
        let ended = run(get).await?;
        ensure!(ended.code == Some(0), "{ended:?}");
        Ignored
    }

    /// A client that says of a secondary that it is up, and gone, and up: each is a line of the log.
    a_path_that_goes_up_and_down => Ignored, |arena| {
        let mut keygen = kwik(arena.dir.path())?;
        keygen.args(["keygen", "--out", "keys"]);
        ensure!(run(keygen).await?.code == Some(0));
        sparse(arena, "large", 4 << 20)?;
        let secondary = format!("127.0.0.1:9#{}", kwik_client::Pin([1; 32]));
        let args = ["--state", "other", "--identity", "keys/primary.key", "--secondary", &secondary];
        let dir = arena.dir.path().to_owned();
        let (mut server, address, pin) = Program::serve(&dir, &args, None).await?;
        let hello = kwik_proto::frame::Hello { confirmation_key: Some([1; 32]), ..hello() };
        let mut peer = RawPeer::client_with(address, pin, hello).await;
        let get = request(b"large").delimited();
        let _request = peer.request([public_header(0), public_frame(0, 0, &get, true)].concat()).await;
        let path = peer.next(|frame| match frame {
            ControlFrame::AddPath(add) => Some(add.path),
            _ => None,
        })
        .await;
        server.mark();
        let status = |state| {
            ControlFrame::PathStatus(PathStatus {
                path,
                epoch: Epoch::FIRST,
                state,
                reason: None,
                smoothed_rtt_us: 1000,
                rtt_variation_us: 100,
                received_bytes: 0,
                busy_us: 0,
            })
        };
        peer.flood(scaled(10_000), |number| {
            status(if number % 2 == 0 { PathState::Live } else { PathState::Gone })
        })
        .await;
        peer.verdict().await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        let logged = server.grown().log;
        ensure!(logged < 64 << 10, "it logged {logged} bytes");
        ensure!(server.runs() && server.panics().is_empty());
        Ignored
    }

    /// Clients that are refused: whoever watches the server sees how many.
    refusals_in_the_metrics => Ignored, |arena| {
        for _ in 0..20 {
            let mut peer = RawPeer::silent_client(arena.address, arena.pin).await;
            peer.send(ControlFrame::Ping(Ping { nonce: 1 })).await;
            peer.end().await;
        }
        let start = std::time::Instant::now();
        while !scrape(arena.metrics)?.lines().any(counts_twenty) {
            ensure!(start.elapsed() < Duration::from_secs(10), "no counter of refusals");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ignored
    }
}

/// What a server's metrics say.
fn scrape(address: std::net::SocketAddr) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// A line of Prometheus's text that says of refusals that there were twenty.
fn counts_twenty(line: &str) -> bool {
    let value = line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok());
    !line.starts_with('#') && line.contains("refus") && value.is_some_and(|value| value >= 20.0)
}
