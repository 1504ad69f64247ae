//! One attempt to have a server send a content from an offset on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::Context as _;
use kwik_client::connection::Handle;
use kwik_client::stream::ReceiveStream;
use tokio::sync::mpsc;

use crate::cause::{Cause, Known};
use crate::connect::Servers;
use crate::continuing::AttemptId;
use crate::directory::{List, Listed};
use crate::inbound::Inbound;
use crate::protocol::{Failed, FailureCode, Found, Get, Message as _, Reply, Request};
use crate::record::Content;
use crate::tag::Tag;

/// What an attempt is after.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// The content, if it is known.
    pub(crate) tag: Option<Tag>,
    /// The offset from which the reader needs it: read when the request is sent.
    pub(crate) position: Arc<AtomicU64>,
    /// The offset up to which it needs it; `None`: to the end.
    pub(crate) end: Option<u64>,
}

/// An answer, and the bytes that follow it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) session: Handle,
    pub(crate) inbound: Inbound<ReceiveStream>,
    /// Id of the stream.
    pub(crate) stream: u64,
    pub(crate) found: Found,
    /// Bytes of the stream before the content.
    pub(crate) reply: u64,
    /// When the session began.
    pub(crate) began: Instant,
}

/// What an attempt tells.
#[derive(Debug)]
pub(crate) enum Told {
    Connected,
    Ready(Box<Answer>),
    Failed(anyhow::Error),
    /// The server has another content under that name.
    OtherContent(Tag),
}

/// Why a server did not answer as it should.
#[derive(Debug)]
pub(crate) enum Failure {
    TagMismatch,
    Other(anyhow::Error),
}

/// Connects to a server and asks it; tells the outcome last.
pub(crate) async fn run(
    servers: Arc<Servers>,
    server: usize,
    wanted: Wanted,
    id: AttemptId,
    tell: mpsc::Sender<(AttemptId, Told)>,
) {
    let began = Instant::now();
    let attempt = async {
        let mut session = servers.connect(server).await?;
        // Fails only if nobody cares any more.
        let _ = tell.send((id, Told::Connected)).await;
        let path = &servers.source(server).path;
        let offset = wanted.position.load(Ordering::Relaxed);
        let length = wanted.end.map(|end| end.saturating_sub(offset));
        let get = Get { path: path.to_string(), offset, length, if_tag: wanted.tag };
        match ask(&mut session, &get).await {
            Ok(Asked { inbound, stream, found, reply }) => {
                let answer = Answer { session, inbound, stream, found, reply, began };
                Ok(Told::Ready(Box::new(answer)))
            }
            Err(Failure::TagMismatch) => {
                let content = ask_content(&mut session, &get).await?;
                Ok(Told::OtherContent(content.tag))
            }
            Err(Failure::Other(error)) => Err(error),
        }
    };
    let told = attempt.await.unwrap_or_else(Told::Failed);
    let _ = tell.send((id, told)).await;
}

/// Which content a server has under its URL, and its size.
pub(crate) async fn look_up(servers: Arc<Servers>, server: usize) -> anyhow::Result<Content> {
    let mut session = servers.connect(server).await?;
    let path = servers.source(server).path.to_string();
    ask_content(&mut session, &Get { path, offset: 0, length: None, if_tag: None }).await
}

async fn ask_content(session: &mut Handle, get: &Get) -> anyhow::Result<Content> {
    let get = Get { offset: 0, length: Some(0), if_tag: None, ..get.clone() };
    match ask(session, &get).await {
        Ok(Asked { found, .. }) => Ok(Content { tag: found.tag, size: found.size }),
        Err(Failure::Other(error)) => Err(error),
        Err(Failure::TagMismatch) => {
            Err(Known::error(Cause::Refused, "the server refuses a request without a condition"))
        }
    }
}

/// Asks for bytes over a session that lasts: what the server has, and the bytes.
pub(crate) async fn ask_bytes(
    session: &mut Handle,
    get: &Get,
) -> anyhow::Result<(Found, Inbound<ReceiveStream>)> {
    match ask(session, get).await {
        Ok(asked) => Ok((asked.found, asked.inbound)),
        Err(Failure::Other(error)) => Err(error),
        Err(Failure::TagMismatch) => {
            Err(Known::error(Cause::Integrity, "the content has changed meanwhile; try again"))
        }
    }
}

/// An answer on its stream.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) inbound: Inbound<ReceiveStream>,
    stream: u64,
    pub(crate) found: Found,
    reply: u64,
}

/// Asks for bytes over a session.
pub(crate) async fn ask(session: &mut Handle, get: &Get) -> Result<Asked, Failure> {
    let (receive, stream) = request(session, get.encode()).await?;
    let mut inbound = Inbound::new(receive);
    let (found, reply) = read_reply(&mut inbound, get).await?;
    Ok(Asked { inbound, stream, found, reply })
}

/// Sends a request on a stream of its own; where the answer comes, and the id of the stream.
async fn request(
    session: &mut Handle,
    message: bytes::Bytes,
) -> anyhow::Result<(ReceiveStream, u64)> {
    let stream = session.open_bidirectional_stream().await?;
    let (receive, mut send) = stream.split();
    let id = receive.id();
    // A server that has read the request may stop reading before the end was sent: the answer decides.
    if send.send(message).await.is_ok() {
        let _ = send.finish();
    }
    Ok((receive, id))
}

/// Asks for a page of a directory over a session.
pub(crate) async fn list(session: &mut Handle, list: List) -> anyhow::Result<Listed> {
    let (receive, _) = request(session, Request::List(list).encode()).await?;
    let mut inbound = Inbound::new(receive);
    match inbound.message().await.context("no answer to the request")? {
        (Reply::Listed(listed), _) => Ok(listed),
        (Reply::Found(_), _) => Err(contradiction()),
        (Reply::Failed(failed), _) => match refusal(&failed) {
            Failure::Other(error) => Err(error),
            Failure::TagMismatch => Err(contradiction()),
        },
    }
}

fn contradiction() -> anyhow::Error {
    Known::error(Cause::Integrity, "the server offers something else than was asked for")
}

/// Reads the answer; also returns how many bytes of the stream it took.
async fn read_reply<S, E>(inbound: &mut Inbound<S>, get: &Get) -> Result<(Found, u64), Failure>
where
    S: futures_core::Stream<Item = Result<bytes::Bytes, E>> + Unpin,
    E: std::error::Error + Send + Sync + 'static,
{
    let answer = inbound.message().await.context("no answer to the request");
    let (found, reply) = match answer? {
        (Reply::Found(found), len) => (found, len),
        (Reply::Failed(failed), _) => return Err(refusal(&failed)),
        (Reply::Listed(_), _) => return Err(contradiction().into()),
    };
    let length = get.length.unwrap_or(found.size.saturating_sub(get.offset));
    let as_asked = (found.offset, found.length) == (get.offset, length);
    if !as_asked || get.if_tag.is_some_and(|tag| tag != found.tag) {
        return Err(contradiction().into());
    }
    Ok((found, reply))
}

/// What the server said, and what to do about it.
fn refusal(failed: &Failed) -> Failure {
    let Failed { code, message } = failed;
    let (cause, advice) = match code {
        FailureCode::TagMismatch => return Failure::TagMismatch,
        FailureCode::NotFound | FailureCode::BadPath => {
            (Cause::NotFound, "; name a file below the server's root")
        }
        FailureCode::NotAFile => (Cause::NotFound, "; name a file, or fetch a directory with -r"),
        FailureCode::NotADirectory => (Cause::NotFound, "; leave out -r to fetch a file"),
        FailureCode::NotListed => (Cause::Refused, "; name the files"),
        FailureCode::Unreadable => (Cause::Refused, "; ask the server's operator"),
        FailureCode::BadRange => (Cause::Refused, "; the file has changed, ask anew"),
        // The message says it.
        FailureCode::BadRequest => (Cause::Refused, ""),
        FailureCode::Other(_) => (Cause::Refused, "; the server may be newer than this program"),
    };
    let text = format_args!("the server refuses: {message}{advice}");
    Known::with_code(cause, code, text).into()
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Other(error)
    }
}

#[cfg(test)]
mod tests;
