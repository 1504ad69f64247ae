//! A process with a client of the library that lasts as long as the servers. It begins a peer for each `peer KIND SEED FILES`
//! on its standard input, FILES being `NAME:KEY:SIZE`, with commas between; `report` asks what came of them.

use std::collections::VecDeque;
use std::mem::take;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use kwik_client::stream::ReceiveStream;
use kwik_client::{Client, Connect, Handle, Pin, Placement};
use kwik_tests::Content;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use super::fleet::File;
use super::honest::TRIES;
use crate::program::request;
use crate::victim::child::{answer, say};

/// Longest that an exchange may take. Only what hangs takes so long.
const PATIENCE: Duration = Duration::from_secs(120);
/// Messages that are kept until they are asked for.
const MESSAGES: usize = 100;

/// What the peers do.
pub(super) const KINDS: &[&str] = &["whole", "ranges", "slow", "given-up", "left"];

/// Where a peer is counted.
#[derive(Default)]
struct Count {
    running: u64,
    done: u64,
    bytes: u64,
    interrupted: u64,
    retried: VecDeque<String>,
    failed: VecDeque<String>,
}

type Shared = Arc<Mutex<Count>>;

fn lock(count: &Shared) -> MutexGuard<'_, Count> {
    count.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs as that process.
pub(crate) fn run(args: &[&str]) {
    let address: SocketAddr = args[0].parse().unwrap();
    let pin: Pin = args[1].parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let handle = runtime.handle().clone();
    // All tasks of the library are on this runtime: they can be counted.
    std::thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
    let start = || {
        let client = Client::builder().with_tls(pin)?.with_workers(Placement::Current);
        anyhow::Ok(client.start()?)
    };
    let client = {
        let _inside = handle.enter();
        start().unwrap()
    };
    say(&json!({ "ready": true }));
    let count = Shared::default();
    answer(|words| match words {
        ["peer", kind, seed, files] => {
            let files: Vec<File> = files.split(',').map(|file| parse(file).unwrap()).collect();
            let kind = *KINDS.iter().find(|it| *it == kind).unwrap();
            let random = StdRng::seed_from_u64(seed.parse().unwrap());
            let (client, count) = (client.clone(), count.clone());
            lock(&count).running += 1;
            handle.spawn(async move {
                let ended = peer(kind, client, address, files, random, &count).await;
                let mut count = lock(&count);
                count.running -= 1;
                match ended {
                    Ok(()) => count.done += 1,
                    Err(error) => keep(&mut count.failed, format!("{kind}: {error:#}")),
                }
            });
            json!({})
        }
        ["report"] => report(&mut lock(&count), handle.metrics().num_alive_tasks()),
        other => panic!("no such question: {other:?}"),
    });
}

fn report(count: &mut Count, tasks: usize) -> Value {
    // Since the last report, but for those that run.
    json!({
        "running": count.running,
        "done": take(&mut count.done),
        "bytes": take(&mut count.bytes),
        "interrupted": take(&mut count.interrupted),
        "retried": count.retried.drain(..).collect::<Vec<_>>(),
        "failed": count.failed.drain(..).collect::<Vec<_>>(),
        "tasks": tasks,
    })
}

fn keep(messages: &mut VecDeque<String>, message: String) {
    messages.push_back(message);
    if messages.len() > MESSAGES {
        messages.pop_front();
    }
}

/// How a file is written in a question.
pub(super) fn named(file: &File) -> String {
    format!("{}:{}:{}", file.name, file.key, file.size)
}

fn parse(text: &str) -> anyhow::Result<File> {
    let [name, key, size] = text.split(':').collect::<Vec<_>>()[..] else { bail!("{text:?}") };
    Ok(File { name: name.to_owned(), key: key.parse()?, size: size.parse()? })
}

/// A session, in which the peer does what its kind does; again where it fails.
async fn peer(
    kind: &'static str,
    client: Client,
    address: SocketAddr,
    files: Vec<File>,
    mut random: StdRng,
    count: &Shared,
) -> anyhow::Result<()> {
    let mut tries = 1;
    loop {
        let once = once(kind, &client, address, &files, &mut random, count);
        let error = match tokio::time::timeout(PATIENCE, once).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error,
            Err(_) => anyhow::anyhow!("it hangs for {PATIENCE:?}"),
        };
        let message = format!("{error:#}");
        if tries == TRIES || message.contains("WRONG") {
            return Err(error);
        }
        tries += 1;
        keep(&mut lock(count).retried, format!("{kind}: {message}"));
        tokio::time::sleep(Duration::from_millis(random.random_range(50..500))).await;
    }
}

async fn once(
    kind: &str,
    client: &Client,
    address: SocketAddr,
    files: &[File],
    random: &mut StdRng,
    count: &Shared,
) -> anyhow::Result<()> {
    let session = client.connect(Connect::new(address)).await?;
    let handle = session.handle();
    let fetched = |file: &File| lock(count).bytes += file.size;
    match kind {
        // All files at once, in one session.
        "whole" => {
            let all =
                files.iter().map(|file| fetch(handle.clone(), file, 0..file.size, Pace::Fast));
            futures_util::future::try_join_all(all).await?;
            files.iter().for_each(fetched);
        }
        // Parts of a file, side by side.
        "ranges" => {
            let file = &files[0];
            let cut = [0, file.size / 3, file.size / 2, file.size];
            let parts =
                cut.windows(2).map(|cut| fetch(handle.clone(), file, cut[0]..cut[1], Pace::Fast));
            futures_util::future::try_join_all(parts).await?;
            fetched(file);
        }
        "slow" => {
            let file = &files[0];
            fetch(handle, file, 0..file.size, Pace::Slow).await?;
            fetched(file);
        }
        // The stream is given up in the middle, and the session goes on.
        "given-up" => {
            let file = &files[0];
            let after = random.random_range(0..file.size);
            fetch(handle.clone(), file, 0..file.size, Pace::Until(after)).await?;
            lock(count).interrupted += 1;
            fetch(handle, file, 0..file.size.min(1000), Pace::Fast).await?;
        }
        // The session is left in the middle.
        "left" => {
            let file = &files[0];
            let wait = Duration::from_millis(random.random_range(0..300));
            let fetching = fetch(handle, file, 0..file.size, Pace::Fast);
            match tokio::time::timeout(wait, fetching).await {
                Ok(whole) => whole?,
                Err(_) => lock(count).interrupted += 1,
            }
        }
        other => bail!("no such kind: {other}"),
    }
    drop(session);
    Ok(())
}

/// How a stream is read.
#[derive(Clone, Copy)]
enum Pace {
    Fast,
    /// A pause after each chunk, for some seconds.
    Slow,
    /// Given up after so many bytes.
    Until(u64),
}

/// Fetches a range of a file, each byte of which must be right.
async fn fetch(
    mut handle: Handle,
    file: &File,
    range: std::ops::Range<u64>,
    pace: Pace,
) -> anyhow::Result<()> {
    let stream = handle.open_bidirectional_stream().await?;
    let (mut receive, mut send) = stream.split();
    let get = request(file.name.as_bytes()).varint(2, range.start);
    send.send(get.varint(3, range.end - range.start).delimited()).await?;
    send.finish()?;
    let mut rest = found(&mut receive).await.with_context(|| file.name.clone())?;
    let mut at = range.start;
    let mut pauses = 100;
    loop {
        ensure!(Content(file.key).matches(at, &rest), "WRONG bytes of {} from {at}", file.name);
        at += rest.len() as u64;
        match pace {
            Pace::Until(end) if at >= end => return Ok(()),
            Pace::Slow if pauses > 0 => {
                pauses -= 1;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            _ => {}
        }
        match receive.receive().await? {
            Some(chunk) => rest = chunk,
            None => break,
        }
    }
    ensure!(at == range.end, "WRONG: {} ends at {at} instead of {}", file.name, range.end);
    Ok(())
}

/// Reads the head of an answer; bytes of the file that came with it.
async fn found(receive: &mut ReceiveStream) -> anyhow::Result<bytes::Bytes> {
    let mut held = Vec::new();
    loop {
        let chunk = receive.receive().await?.context("the answer has no head")?;
        held.extend_from_slice(&chunk);
        // The head of an answer is shorter than 128 bytes, or a failure.
        let Some(&length) = held.first() else { continue };
        let end = 1 + usize::from(length);
        if held.len() < end {
            continue;
        }
        ensure!(held[1] == 0x0a, "refused: {}", String::from_utf8_lossy(&held[1..end]));
        return Ok(held.split_off(end).into());
    }
}
