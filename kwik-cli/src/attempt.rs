//! One attempt to have a server send a content from an offset on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::Context as _;
use kwik_client::Session;
use kwik_client::stream::ReceiveStream;
use tokio::sync::mpsc;

use crate::cause::{Cause, Known};
use crate::connect::Servers;
use crate::continuing::AttemptId;
use crate::inbound::Inbound;
use crate::protocol::{Failed, FailureCode, Found, Get, Message as _, Reply};
use crate::tag::Tag;

/// What an attempt is after.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// The content, if it is known.
    pub(crate) tag: Option<Tag>,
    /// The offset from which the reader needs it: read when the request is sent.
    pub(crate) position: Arc<AtomicU64>,
}

/// An answer, and the bytes that follow it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) session: Session,
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
enum Failure {
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
        let get = Get { path: path.to_string(), offset, length: None, if_tag: wanted.tag };
        match ask(&mut session, &get).await {
            Ok(Asked { inbound, stream, found, reply }) => {
                let answer = Answer { session, inbound, stream, found, reply, began };
                Ok(Told::Ready(Box::new(answer)))
            }
            Err(Failure::TagMismatch) => Ok(Told::OtherContent(ask_tag(&mut session, &get).await?)),
            Err(Failure::Other(error)) => Err(error),
        }
    };
    let told = attempt.await.unwrap_or_else(Told::Failed);
    let _ = tell.send((id, told)).await;
}

/// Which content a server has under its URL.
pub(crate) async fn look_up(servers: Arc<Servers>, server: usize) -> anyhow::Result<Tag> {
    let mut session = servers.connect(server).await?;
    let path = servers.source(server).path.to_string();
    ask_tag(&mut session, &Get { path, offset: 0, length: None, if_tag: None }).await
}

async fn ask_tag(session: &mut Session, get: &Get) -> anyhow::Result<Tag> {
    let get = Get { offset: 0, length: Some(0), if_tag: None, ..get.clone() };
    match ask(session, &get).await {
        Ok(asked) => Ok(asked.found.tag),
        Err(Failure::Other(error)) => Err(error),
        Err(Failure::TagMismatch) => {
            Err(Known::error(Cause::Refused, "the server refuses a request without a condition"))
        }
    }
}

/// Asks for bytes over a session that lasts: what the server has, and the bytes.
pub(crate) async fn ask_bytes(
    session: &mut Session,
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
struct Asked {
    inbound: Inbound<ReceiveStream>,
    stream: u64,
    found: Found,
    reply: u64,
}

async fn ask(session: &mut Session, get: &Get) -> Result<Asked, Failure> {
    let stream = session.open_bidirectional_stream().await.map_err(anyhow::Error::from)?;
    let (receive, mut send) = stream.split();
    let stream = receive.id();
    // A server that has read the request may stop reading before the end was sent: the answer decides.
    if send.send(get.encode()).await.is_ok() {
        let _ = send.finish();
    }
    let mut inbound = Inbound::new(receive);
    let (found, reply) = read_reply(&mut inbound, get).await?;
    Ok(Asked { inbound, stream, found, reply })
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
    };
    let length = get.length.unwrap_or(found.size.saturating_sub(get.offset));
    let as_asked = (found.offset, found.length) == (get.offset, length);
    if !as_asked || get.if_tag.is_some_and(|tag| tag != found.tag) {
        let error = "the server offers something else than was asked for";
        return Err(Known::error(Cause::Integrity, error).into());
    }
    Ok((found, reply))
}

/// What the server said, and what to do about it.
fn refusal(failed: &Failed) -> Failure {
    let Failed { code, message } = failed;
    let (cause, advice) = match code {
        FailureCode::TagMismatch => return Failure::TagMismatch,
        FailureCode::NotFound | FailureCode::BadPath | FailureCode::NotAFile => {
            (Cause::NotFound, "; name a file below the server's root")
        }
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
