//! A client under attack.

use std::collections::BTreeMap;
use std::time::Duration;

use kwik_client::stream::PeerStream;
use kwik_client::{Client, Connect, Handle, Limits, Pin, SessionMetrics};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::child::{answer, say};
use crate::honest::CONTENT;

/// How long a server may take to answer, where the attack is about that.
const DIAL: Duration = Duration::from_millis(1500);

/// A client that connects where it is told to: `connect ADDRESS PIN MODE`. It reads what it is sent, and says so on streams
/// that go both ways; with the mode `hold` it accepts streams and reads nothing, with `ignore` it accepts none.
pub(super) fn client(runtime: &Runtime) {
    let limits = Limits::new().with_dial_timeout(DIAL);
    let client = Client::builder().with_limits(limits);
    let mut clients = BTreeMap::new();
    let mut sessions: Vec<Handle> = Vec::new();
    say(&json!({ "ready": true }));
    answer(|words| match words {
        ["connect", address, pin, mode] => {
            let trusting = || client.clone().with_tls(pin.parse::<Pin>().unwrap()).unwrap().start();
            let client = clients.entry((*pin).to_owned()).or_insert_with(|| trusting().unwrap());
            let connecting = client.connect(Connect::new(address.parse().unwrap()));
            match runtime.block_on(connecting) {
                Ok(session) => {
                    let (handle, acceptor) = session.split();
                    runtime.spawn(take(acceptor, handle.clone(), (*mode).to_owned()));
                    sessions.push(handle);
                    json!({ "session": sessions.len() - 1 })
                }
                Err(error) => json!({ "error": error.to_string() }),
            }
        }
        ["session", number] => {
            let handle = numbered(&sessions, number);
            match runtime.block_on(handle.metrics()) {
                Ok(metrics) => report(&metrics, None),
                Err(error) => {
                    let metrics = runtime.block_on(handle.closed());
                    report(&metrics, Some(error))
                }
            }
        }
        ["open", number, count] => {
            // Uploads that are kept open.
            let mut handle = numbered(&sessions, number).clone();
            let count: usize = count.parse().unwrap();
            for _ in 0..count {
                let mut handle = handle.clone();
                runtime.spawn(async move {
                    let Ok(mut stream) = handle.open_send_stream().await else { return };
                    while stream.send(CONTENT.bytes(0, 64 << 10)).await.is_ok() {}
                });
            }
            let _ = handle.ping();
            json!({ "opened": count })
        }
        other => panic!("no such question: {other:?}"),
    });
}

/// The session of that number, or the `last`.
fn numbered<'s>(sessions: &'s [Handle], number: &str) -> &'s Handle {
    match number {
        "last" => sessions.last().unwrap(),
        number => &sessions[number.parse::<usize>().unwrap()],
    }
}

/// How long an answer may take before the client says on standard error what it knows of its session.
const LONG: Duration = Duration::from_secs(15);

async fn take(mut acceptor: kwik_client::connection::StreamAcceptor, handle: Handle, mode: String) {
    let mut held = Vec::new();
    if mode == "ignore" {
        std::future::pending::<()>().await;
    }
    while let Ok(Some(stream)) = acceptor.accept().await {
        if mode == "hold" {
            held.push(stream);
            continue;
        }
        let handle = handle.clone();
        tokio::spawn(async move {
            match stream {
                PeerStream::Bidirectional(stream) => {
                    let (mut receive, mut send) = stream.split();
                    let mut at = 0;
                    let answer = async {
                        while let Ok(Some(chunk)) = receive.receive().await {
                            if !CONTENT.matches(at, &chunk) {
                                return send.reset(1u8.into()).unwrap_or_default();
                            }
                            at += chunk.len() as u64;
                        }
                        let _ = send.send(at.to_be_bytes().to_vec().into()).await;
                        let _ = send.close().await;
                    };
                    let mut answer = std::pin::pin!(answer);
                    if tokio::time::timeout(LONG, &mut answer).await.is_ok() {
                        return;
                    }
                    eprintln!("a stream takes long: {:?}", handle.metrics().await);
                    answer.await;
                    eprintln!("which is over");
                }
                PeerStream::Receive(mut receive) => {
                    while let Ok(Some(_)) = receive.receive().await {}
                }
            }
        });
    }
}

fn report(metrics: &SessionMetrics, ended: Option<kwik_client::connection::Error>) -> Value {
    let faults: Vec<Value> = metrics
        .faults
        .iter()
        .map(|fault| json!([fault.address, format!("{:?}", fault.code), fault.count]))
        .collect();
    let paths: Vec<Value> = metrics
        .paths
        .iter()
        .map(|path| json!({ "address": path.address, "state": path.state, "carriers": path.carriers }))
        .collect();
    json!({
        "faults": faults,
        "paths": paths,
        "promised": metrics.promised_bytes,
        "peak_buffer": metrics.peak_buffer_bytes,
        "ended": ended.map(|error| error.to_string()),
    })
}
