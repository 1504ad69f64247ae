//! The event stream of a server's page, read over HTTP.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, HOST};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::cause::{Cause, Known};
use crate::live::view::Snapshot;

/// How long connection and answer may take.
const ANSWER: Duration = Duration::from_secs(5);
/// How long nothing may come: a server says something every ten seconds.
const SILENCE: Duration = Duration::from_secs(30);
/// Pause before it is connected again.
const AGAIN: Duration = Duration::from_secs(1);
/// The longest event that is read, in bytes: what a server sends is far below it.
const MOST_EVENT: usize = 4 << 20;

/// Snapshots as they come. It connects again by itself.
pub(super) struct Feed {
    address: SocketAddr,
    body: Option<Incoming>,
    /// What came of the next event.
    held: BytesMut,
}

impl Feed {
    pub(super) async fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let body = Some(open(address).await?);
        Ok(Self { address, body, held: BytesMut::new() })
    }

    /// The next snapshot, or why there is none just now. Cancel safe, but for the pause before a further connection.
    pub(super) async fn next(&mut self) -> Result<Snapshot, String> {
        loop {
            if let Some(event) = self.take_event() {
                match event.strip_prefix(b"data: ") {
                    Some(json) => {
                        return serde_json::from_slice(json)
                            .map_err(|_| self.lose("the server sends events of another kind"));
                    }
                    // A comment.
                    None => continue,
                }
            }
            if self.held.len() > MOST_EVENT {
                return Err(self.lose("the server sends events without end"));
            }
            let Some(body) = &mut self.body else {
                tokio::time::sleep(AGAIN).await;
                match open(self.address).await {
                    Ok(body) => self.body = Some(body),
                    Err(error) => return Err(format!("{error:#}")),
                }
                continue;
            };
            match timeout(SILENCE, body.frame()).await {
                Ok(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        self.held.extend_from_slice(&data);
                    }
                }
                Ok(_) => return Err(self.lose("the server has closed the connection")),
                Err(_) => return Err(self.lose("the server is silent")),
            }
        }
    }

    /// An event ends with an empty line.
    fn take_event(&mut self) -> Option<Bytes> {
        let end = self.held.windows(2).position(|pair| pair == b"\n\n")?;
        let event = self.held.split_to(end + 2).freeze();
        Some(event.slice(..end))
    }

    fn lose(&mut self, why: &str) -> String {
        self.body = None;
        self.held.clear();
        why.to_owned()
    }
}

/// Asks for the events.
async fn open(address: SocketAddr) -> anyhow::Result<Incoming> {
    let advice = "start `kwik serve --live` there, and give the address that it prints";
    let unreachable = |why: String| {
        Known::error(Cause::Unreachable, format!("no live page at {address}: {why}; {advice}"))
    };
    let asked = async {
        let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        tokio::spawn(connection);
        let request = Request::get("/events")
            .header(HOST, address.to_string())
            .header(ACCEPT, "text/event-stream")
            .body(Empty::<Bytes>::new())
            .expect("the request is well-formed");
        sender.send_request(request).await.map_err(|error| error.to_string())
    };
    let answer = timeout(ANSWER, asked).await;
    let answer = answer.map_err(|_| unreachable("it does not answer".to_owned()))?;
    let answer = answer.map_err(unreachable)?;
    let is_events = answer
        .headers()
        .get(hyper::header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
    match answer.status() {
        StatusCode::OK if is_events => Ok(answer.into_body()),
        StatusCode::OK => Err(unreachable("what is there is no such page".to_owned())),
        StatusCode::SERVICE_UNAVAILABLE => {
            let text = format!("{address} has as many viewers as it takes; close one of them");
            Err(Known::error(Cause::Refused, text))
        }
        status => Err(unreachable(format!("it answers {status}"))),
    }
}
