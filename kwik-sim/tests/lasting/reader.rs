//! The application: it reads one stream, watches its primary, and goes on at its offset with another session when the
//! primary is silent, leaves or is gone. It is the pattern of `kwik_client`'s documentation.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use kwik_client::stream::BidirectionalStream;
use kwik_client::{Client, Connect, PrimaryState, PrimaryWatch, Session, Trust};
use kwik_sim::{Action, Disk, Host, SoftwareError};

use crate::scenario::SIZE;

/// How long an attempt to reach any primary may take. Short: a server that returns is not heard of before the next packet
/// is sent to it, and QUIC doubles the time between those from 1 s on.
const ATTEMPT: Duration = Duration::from_millis(400);
/// Between two attempts.
const BACKOFF: Duration = Duration::from_millis(50);
/// Shorter pauses are not told.
const LEAST_PAUSE: Duration = Duration::from_millis(100);

/// A time in which the reader got nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pause {
    pub(crate) start: Duration,
    pub(crate) end: Duration,
    /// The byte that it waited for.
    pub(crate) offset: u64,
}

impl Pause {
    pub(crate) fn length(&self) -> Duration {
        self.end - self.start
    }
}

impl fmt::Display for Pause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ms, start) = (self.length().as_millis(), self.start.as_millis());
        write!(f, "{ms} ms at {start} ms for {}", self.offset)
    }
}

/// What it found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) sessions: usize,
    pub(crate) pauses: Vec<Pause>,
}

/// A session that sends the content from some offset on.
struct Source {
    stream: BidirectionalStream,
    primary: PrimaryWatch,
    state: PrimaryState,
    /// The content's next byte on the stream.
    at: u64,
    session: Session,
}

/// What a source has to say.
enum Said {
    Data(Bytes),
    State(PrimaryState),
    Broken(String),
}

type Replacement = Pin<Box<dyn Future<Output = (Source, Bytes)> + Send>>;

pub(crate) struct Reader {
    host: Host,
    client: Client,
    primaries: Vec<SocketAddr>,
    when_read: VecDeque<(u64, Duration, Action)>,
    /// Bytes that the application has.
    at: u64,
    /// The same, for attempts that begin later.
    known: Arc<AtomicU64>,
    last: Duration,
    found: Read,
}

impl Reader {
    pub(crate) fn new(
        host: Host,
        primaries: Vec<String>,
        when_read: Vec<(u64, Duration, Action)>,
    ) -> Result<Self, SoftwareError> {
        let certificates: String = primaries.iter().map(|name| host.certificate_of(name)).collect();
        let client = host.client().with_tls(Trust::ca(certificates))?.start()?;
        let primaries = primaries.iter().map(|name| host.address_of(name)).collect();
        let (when_read, last) = (when_read.into(), host.now());
        Ok(Self {
            host,
            client,
            primaries,
            when_read,
            at: 0,
            known: Arc::default(),
            last,
            found: Read::default(),
        })
    }

    /// Reads everything, once and in order.
    pub(crate) async fn read(mut self) -> Result<Read, SoftwareError> {
        let mut source: Option<Source> = None;
        let mut replacement = Some(self.replacement(None));
        while self.at < SIZE {
            tokio::select! {
                biased;
                said = hear(&mut source) => match said {
                    Said::Data(chunk) => {
                        let source = source.as_mut().ok_or("nobody said it")?;
                        self.take(source, &chunk);
                    }
                    Said::State(PrimaryState::Live) => {
                        self.host.note("the primary is back");
                        replacement = None;
                    }
                    Said::State(state) => {
                        self.host.note(format!("the primary: {state:?}"));
                        replacement.get_or_insert_with(|| self.replacement(source.as_ref()));
                    }
                    Said::Broken(error) => {
                        self.host.note(format!("the stream is over: {error}"));
                        replacement.get_or_insert_with(|| self.replacement(source.as_ref()));
                        source = None;
                    }
                },
                (new, first) = arrive(&mut replacement) => {
                    self.host.note(format!("goes on at {} of {}", self.at, SIZE));
                    self.found.sessions += 1;
                    replacement = None;
                    let new = source.insert(new);
                    self.take(new, &first);
                }
            }
        }
        Ok(self.found)
    }

    /// Takes what is new of a chunk.
    fn take(&mut self, source: &mut Source, chunk: &Bytes) {
        let (start, end) = (source.at, source.at + chunk.len() as u64);
        assert!(Disk::is_content(start, chunk), "wrong bytes in {start}..{end}");
        assert!(start <= self.at, "{} to {start} are missing", self.at);
        source.at = end;
        if end <= self.at {
            return;
        }
        let (now, offset) = (self.host.now(), self.at);
        let pause = Pause { start: self.last, end: now, offset };
        if pause.length() > LEAST_PAUSE {
            self.found.pauses.push(pause);
        }
        (self.at, self.last) = (end, now);
        self.known.store(end, Ordering::Relaxed);
        while let Some((_, delay, action)) = self.when_read.pop_front_if(|due| due.0 <= end) {
            self.host.act_in(delay, action);
        }
    }

    /// Asks any primary for the rest, the others first, until one answers.
    fn replacement(&self, old: Option<&Source>) -> Replacement {
        let (host, client, known) = (self.host.clone(), self.client.clone(), self.known.clone());
        let old = old.and_then(|source| source.session.handle().remote_addr().ok());
        let mut targets = self.primaries.clone();
        targets.sort_by_key(|target| Some(*target) == old);
        Box::pin(async move {
            loop {
                // The old session may have brought more since the attempt before.
                let at = known.load(Ordering::Relaxed);
                match tokio::time::timeout(ATTEMPT, ask(&client, &targets, at)).await {
                    Ok(Ok(answered)) => return answered,
                    Ok(Err(error)) => host.note(format!("no primary: {error}")),
                    Err(_) => host.note("no primary answered"),
                }
                tokio::time::sleep(BACKOFF).await;
            }
        })
    }
}

/// Asks the first primary that can be reached for the content from `at` on, and waits for its first bytes.
async fn ask(
    client: &Client,
    targets: &[SocketAddr],
    at: u64,
) -> Result<(Source, Bytes), SoftwareError> {
    let target = |address| Connect::new(address).with_server_name("lab.example");
    let session = client.connect_any(targets.iter().copied().map(target)).await?;
    let mut stream = session.handle().open_bidirectional_stream().await?;
    stream.send(Bytes::copy_from_slice(&at.to_be_bytes())).await?;
    stream.finish()?;
    let first = stream.receive().await?.ok_or("an empty answer")?;
    let primary = session.primary();
    Ok((Source { stream, state: primary.state(), primary, at, session }, first))
}

/// What a source says next; of none, nothing.
async fn hear(source: &mut Option<Source>) -> Said {
    let Some(source) = source else { return std::future::pending().await };
    tokio::select! {
        biased;
        chunk = source.stream.receive() => match chunk {
            Ok(Some(chunk)) => Said::Data(chunk),
            Ok(None) => Said::Broken("an end".to_owned()),
            Err(error) => Said::Broken(error.to_string()),
        },
        state = source.primary.changed(), if source.state != PrimaryState::Gone => {
            source.state = state;
            Said::State(state)
        }
    }
}

/// Waits for a replacement that was asked for.
async fn arrive(replacement: &mut Option<Replacement>) -> (Source, Bytes) {
    match replacement {
        Some(replacement) => replacement.await,
        None => std::future::pending().await,
    }
}
