//! A content as one stream of bytes, from whichever server sends it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::anyhow;
use bytes::Bytes;
use kwik_client::{ErrorCode, connection, stream};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use crate::account::{Account, Reading};
use crate::attempt::{self, Answer, Told, Wanted};
use crate::cause::{Cause, Known};
use crate::connect::Servers;
use crate::continuing::{Action, AttemptId, Continuing, Patience, Reason, Standing, Verdict};
use crate::inbound::Inbound;
use crate::protocol::Found;
use crate::record::Content;
use crate::source::Trouble;
use crate::tag::Tag;
use crate::time_limit::TimeLimit;
use crate::watch::Watch;

/// What attempts may have told before the download hears of it. They wait beyond it.
const INBOX: usize = 16;
/// How long the servers that are not read from have at least to say which content they have: as often the time that the
/// first one took, from dialling to its answer. Less: one that is a little farther is not heard. More: one that is silent
/// holds up the end of a small file.
const LOOK_UP_FACTOR: u32 = 4;
/// Bounds of that. A busy machine may answer once in an instant, and then not for a while.
const LOOK_UP: (Duration, Duration) = (Duration::from_millis(150), Duration::from_millis(500));

/// A download. It begins with [`begin`](Self::begin), and hands out its bytes by [`chunk`](Self::chunk).
///
/// A server that goes silent or away is replaced while its bytes are still read.
#[derive(Debug)]
pub(crate) struct Download {
    servers: Arc<Servers>,
    patience: Patience,
    began: Instant,
    machine: Continuing,
    wanted: Wanted,
    attempts: BTreeMap<AttemptId, (usize, Running)>,
    tell: mpsc::Sender<(AttemptId, Told)>,
    told: mpsc::Receiver<(AttemptId, Told)>,
    current: Option<Current>,
    content: Option<Content>,
    /// Bytes that were handed out, those that were there before included.
    position: u64,
    /// What each server failed with last, and whether that is the last word about it.
    failures: Vec<Option<Known>>,
    refused: BTreeSet<usize>,
    look_ups: JoinSet<(usize, anyhow::Result<Content>)>,
    /// Until when they may hold up the end.
    look_up_until: Instant,
    pub(crate) account: Account,
}

/// What is read from.
#[derive(Debug)]
struct Current {
    server: usize,
    inbound: Inbound<stream::ReceiveStream>,
    /// Id of the stream.
    stream: u64,
    watch: Watch,
    /// The offset in the content of what it sends next.
    offset: u64,
    reading: Reading,
}

/// An attempt's task, ended when it is dropped.
#[derive(Debug)]
struct Running(AbortHandle);

/// How a download begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begun {
    Found(Content),
    /// Another content than was asked for.
    OtherContent,
}

/// A content that is not the one of which there are bytes already.
#[derive(Debug)]
pub(crate) struct Changed(String);

/// Two servers have different contents.
#[derive(Debug)]
pub(crate) struct Disagree(String);

/// Bytes that were handed out are wrong.
#[derive(Debug)]
pub(crate) struct WrongBytes(String);

impl Download {
    /// A download of `wanted` from the `position` on, or of what the servers have.
    pub(crate) fn new(
        servers: Arc<Servers>,
        patience: Patience,
        wanted: Option<(Tag, u64)>,
        began: Instant,
    ) -> Self {
        let (tell, told) = mpsc::channel(INBOX);
        let count = servers.count();
        let seed = std::hash::RandomState::new().build_hasher().finish();
        let position = wanted.map_or(0, |(_, position)| position);
        Self {
            machine: Continuing::new(count, patience, began.elapsed(), seed),
            patience,
            began,
            wanted: Wanted {
                tag: wanted.map(|(tag, _)| tag),
                position: Arc::new(AtomicU64::new(position)),
                end: None,
            },
            attempts: BTreeMap::new(),
            tell,
            told,
            current: None,
            content: None,
            position,
            failures: (0..count).map(|_| None).collect(),
            refused: BTreeSet::new(),
            look_ups: JoinSet::new(),
            look_up_until: began,
            account: Account::new(position),
            servers,
        }
    }

    /// The same of the bytes up to `end` alone, which are not counted as there before.
    pub(crate) fn until(mut self, end: u64, resumed: u64) -> Self {
        self.wanted.end = Some(end);
        self.account = Account::new(resumed);
        self
    }

    /// Where it ends in that content.
    fn end_of(&self, content: Content) -> u64 {
        self.wanted.end.unwrap_or(content.size).min(content.size)
    }

    /// Bytes that are there, handed out or before.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Waits for the first answer.
    pub(crate) async fn begin(&mut self) -> anyhow::Result<Begun> {
        let mut others = BTreeSet::new();
        loop {
            let known = self.wanted.tag.is_some();
            if let Some(content) = self.content {
                self.look_up_others();
                return Ok(Begun::Found(content));
            }
            if let Err(error) = self.act() {
                // Of those that answer none has it any more, and the others may never come back.
                return if known && !others.is_empty() {
                    Ok(Begun::OtherContent)
                } else {
                    Err(error)
                };
            }
            let deadline = self.deadline();
            tokio::select! {
                biased;
                Some((id, told)) = self.told.recv() => {
                    let server = self.attempts.get(&id).map(|(server, _)| *server);
                    if let (Some(server), Told::OtherContent(_)) = (server, &told) {
                        others.insert(server);
                    }
                    // What is there is thrown away when no server has it any more, not when one has something else.
                    if known && others.len() == self.servers.count() {
                        return Ok(Begun::OtherContent);
                    }
                    self.handle_told(id, told);
                }
                () = sleep_until(deadline) => self.machine.handle_time(self.began.elapsed()),
            }
        }
    }

    /// The next bytes; `None` after the last. Cancel safe.
    pub(crate) async fn chunk(&mut self) -> anyhow::Result<Option<Bytes>> {
        loop {
            if self.content.is_some_and(|content| self.end_of(content) == self.position) {
                return self.agree().await.map(|()| None);
            }
            self.act()?;
            let deadline = self.deadline();
            let (inbound, watch) = match &mut self.current {
                Some(Current { inbound, watch, .. }) => (Some(inbound), Some(watch)),
                None => (None, None),
            };
            tokio::select! {
                biased;
                Some((id, told)) = self.told.recv() => self.handle_told(id, told),
                Some(looked) = self.look_ups.join_next(), if !self.look_ups.is_empty() => {
                    self.compare(looked?)?;
                }
                standing = changed(watch) => {
                    self.machine.handle_standing(standing, self.began.elapsed());
                }
                chunk = next(inbound) => {
                    if let Some(bytes) = self.handle_chunk(chunk)? {
                        return Ok(Some(bytes));
                    }
                }
                () = sleep_until(deadline) => self.machine.handle_time(self.began.elapsed()),
            }
        }
    }

    /// Ends it: the goodbyes are said, and the books are closed.
    pub(crate) async fn end(mut self) -> Account {
        self.attempts.clear();
        self.look_ups.abort_all();
        let mut rtt = Duration::ZERO;
        if let Some(Current { mut inbound, reading, .. }) = self.current.take() {
            rtt = reading.rtt().await;
            // Its sender waits until the end of the stream has arrived.
            let over = async { while let Ok(Some(_)) = inbound.chunk().await {} };
            let _ = tokio::time::timeout(rtt, over).await;
            drop(inbound);
            self.account.close(reading).await;
        }
        self.account.settle().await;
        self.servers.say_goodbye(rtt).await;
        self.account
    }

    fn deadline(&self) -> Instant {
        self.began + self.machine.deadline()
    }

    fn act(&mut self) -> anyhow::Result<()> {
        while let Some(action) = self.machine.poll_action(self.began.elapsed()) {
            match action {
                Action::Start(id, server) => {
                    let (servers, wanted) = (Arc::clone(&self.servers), self.wanted.clone());
                    let attempt = attempt::run(servers, server, wanted, id, self.tell.clone());
                    let running = Running(tokio::spawn(attempt).abort_handle());
                    self.attempts.insert(id, (server, running));
                }
                Action::Abandon(id) => drop(self.attempts.remove(&id)),
                Action::GiveUp(reason) => return Err(self.explain(reason)),
            }
        }
        Ok(())
    }

    fn handle_told(&mut self, id: AttemptId, told: Told) {
        // What was abandoned may still have told something.
        let Some((server, _)) = self.attempts.get(&id) else { return };
        let (server, now) = (*server, self.began.elapsed());
        match told {
            Told::Connected => return self.machine.handle_connected(id),
            Told::Ready(answer) if self.contradicts(&answer.found) => {
                let url = &self.servers.source(server).url;
                let size = answer.found.size;
                let text = format!("{url} says that the content has {size} bytes");
                self.failures[server] = Some(Known::of(Cause::Integrity, text));
                self.refused.insert(server);
                self.machine.handle_failed(id, Verdict::Never, now);
            }
            Told::Ready(answer) => {
                if self.machine.handle_ready(id, now) {
                    self.read_from(server, *answer);
                }
            }
            Told::Failed(error) => {
                let verdict = if serves_later(&error) { Verdict::Later } else { Verdict::Again };
                self.failures[server] = Some(Known::keep(&error, format_args!("{error:#}")));
                self.machine.handle_failed(id, verdict, now);
            }
            Told::OtherContent(tag) => {
                let here = self.wanted.tag.unwrap_or(tag);
                let url = &self.servers.source(server).url;
                let text = format!("{url} has the BLAKE3 hash {tag} now, not {here}");
                self.failures[server] = Some(Known::of(Cause::Integrity, text));
                self.refused.insert(server);
                self.machine.handle_failed(id, Verdict::Never, now);
            }
        }
        self.attempts.remove(&id);
    }

    /// Whether a server that names the right content gives it another size.
    fn contradicts(&self, found: &Found) -> bool {
        found.size < found.offset || self.content.is_some_and(|content| content.size != found.size)
    }

    fn read_from(&mut self, server: usize, answer: Answer) {
        let Answer { session, inbound, stream, found, reply, began } = answer;
        let Found { size, tag, offset, .. } = found;
        self.content = Some(Content { tag, size });
        self.wanted.tag = Some(tag);
        let watch = Watch::of(&session);
        let began = began.saturating_duration_since(self.began);
        let own = self.servers.shares().then_some(stream);
        let reading = self.account.open(session, own, reply, offset, began);
        let current = Current { server, inbound, stream, watch, offset, reading };
        if let Some(old) = self.current.replace(current) {
            self.leave(old);
        }
    }

    fn leave(&mut self, old: Current) {
        let Current { inbound, reading, .. } = old;
        drop(inbound);
        self.account.leave(reading);
    }

    /// Cuts off what was there before. `None`: nothing new.
    fn handle_chunk(
        &mut self,
        chunk: anyhow::Result<Option<Bytes>>,
    ) -> anyhow::Result<Option<Bytes>> {
        let end = self.content.map(|content| self.end_of(content));
        let (Some(current), Some(end)) = (&mut self.current, end) else {
            return Ok(None);
        };
        let mut bytes = match chunk {
            Ok(Some(bytes)) => bytes,
            Ok(None) => {
                let left = end.saturating_sub(self.position);
                self.lose(anyhow!("the stream ended {left} bytes before the end"));
                return Ok(None);
            }
            Err(error) => {
                if let Some(wrong @ stream::Error::DataConflict { .. }) = error.downcast_ref() {
                    return Err(WrongBytes(wrong.to_string()).into());
                }
                self.lose(error);
                return Ok(None);
            }
        };
        let start = current.offset;
        current.offset += bytes.len() as u64;
        if current.offset > end {
            self.lose(anyhow!("the server sent more than it announced, beyond offset {end}"));
            return Ok(None);
        }
        let old = self.position.saturating_sub(start).min(bytes.len() as u64);
        let bytes = bytes.split_off(old as usize);
        if bytes.is_empty() {
            return Ok(None);
        }
        current.reading.count(bytes.len() as u64);
        let length = bytes.len() as u64;
        self.account.progress(self.position, length, self.began.elapsed());
        self.position += length;
        self.wanted.position.store(self.position, Ordering::Relaxed);
        self.machine.handle_progress(length, self.began.elapsed());
        Ok(Some(bytes))
    }

    /// Nothing more comes from the server that is read from.
    fn lose(&mut self, error: anyhow::Error) {
        let Some(old) = self.current.take() else { return };
        let address = old.reading.address();
        let at = format!("stream {} stopped at offset {}", old.stream, self.position);
        if !self.refused.contains(&old.server) {
            let text = format!("{}; {at}", what_was_lost(&error, &address));
            self.failures[old.server] = Some(Known::keep(&error, text));
        }
        self.machine.handle_lost(Verdict::Again, self.began.elapsed());
        self.leave(old);
    }

    /// Asks the other servers which content they have: all must have the same.
    fn look_up_others(&mut self) {
        let Some(reading) = self.current.as_ref().map(|current| current.server) else { return };
        let (least, most) = LOOK_UP;
        let time = (self.began.elapsed() * LOOK_UP_FACTOR).clamp(least, most);
        self.look_up_until = Instant::now() + time;
        for server in (0..self.servers.count()).filter(|server| *server != reading) {
            let servers = Arc::clone(&self.servers);
            self.look_ups.spawn(async move { (server, attempt::look_up(servers, server).await) });
        }
    }

    fn compare(&mut self, (server, found): (usize, anyhow::Result<Content>)) -> anyhow::Result<()> {
        match (found, self.content, &self.current) {
            (Ok(Content { tag, .. }), Some(content), Some(current)) if tag != content.tag => {
                let url = |server| self.servers.source(server).url.to_string();
                let (here, there, known) = (url(current.server), url(server), content.tag);
                Err(Disagree(format!("{here} has the BLAKE3 hash {known}, {there} has {tag}"))
                    .into())
            }
            // It is of no use now, and is tried again when it is needed.
            _ => Ok(()),
        }
    }

    /// Waits a moment for the servers that have not said yet which content they have.
    async fn agree(&mut self) -> anyhow::Result<()> {
        let until = tokio::time::Instant::from_std(self.look_up_until);
        while let Ok(Some(looked)) = tokio::time::timeout_at(until, self.look_ups.join_next()).await
        {
            self.compare(looked?)?;
        }
        Ok(())
    }

    /// Why there is nothing more to try.
    fn explain(&self, reason: Reason) -> anyhow::Error {
        let known = || self.failures.iter().flatten();
        let failures = known().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        let names = |server| self.servers.source(server).url.to_string();
        let urls = (0..self.servers.count()).map(names).collect::<Vec<_>>().join(" or ");
        let limit = |time| TimeLimit(time).to_string();
        let (connect, silence) = (limit(self.patience.connect), limit(self.patience.silence));
        let told = if failures.is_empty() { String::new() } else { format!("; {failures}") };
        match (reason, &self.current) {
            (Reason::NoneLeft, _) if self.content.is_some() => Changed(failures).into(),
            (Reason::NoneLeft, _) => Known::all(known(), Cause::Failed, failures),
            (Reason::Unconnected, _) => Known::all(
                known(),
                Cause::Unreachable,
                format!(
                    "no connection to {urls} within {connect}{told}; check the address or give a longer --connect-timeout"
                ),
            ),
            (Reason::Unanswered, _) => Known::error(
                Cause::Timeout,
                format!(
                    "no answer from {urls} for {silence}{told}; a server hashes a file at its first request, so try again or give a longer --timeout"
                ),
            ),
            (Reason::Silent, Some(current)) => Known::all(
                known(),
                Cause::Timeout,
                format!(
                    "no byte came from {} for {silence}, at offset {}{told}",
                    current.reading.address(),
                    self.position
                ),
            ),
            (Reason::Slow, _) => Known::error(
                Cause::Timeout,
                format!(
                    "fewer than {} bytes a second came from {urls} for {silence}, at offset {}{told}; give a smaller --min-rate",
                    self.patience.rate, self.position
                ),
            ),
            (Reason::Silent, None) => Known::all(
                known(),
                Cause::Unreachable,
                format!("no connection to {urls} for {silence}{told}"),
            ),
        }
    }
}

/// What happened to a server.
fn what_was_lost(error: &anyhow::Error, address: &str) -> String {
    match error.downcast_ref::<stream::Error>() {
        Some(stream::Error::ConnectionError { error, .. }) => {
            format!("the connection to {address} is lost: {error}")
        }
        Some(stream::Error::StreamReset { error, .. })
            if let Some(trouble) = Trouble::of_code(**error) =>
        {
            format!("{address} gave up: {trouble}")
        }
        _ => format!("{address} failed: {error:#}"),
    }
}

/// Whether a server has refused for reasons that pass: it goes away and may be back, or is full.
fn serves_later(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let error = match cause.downcast_ref::<stream::Error>() {
            Some(stream::Error::ConnectionError { error, .. }) => Some(error),
            _ => cause.downcast_ref::<connection::Error>(),
        };
        let Some(connection::Error::Application { error, .. }) = error else { return false };
        [ErrorCode::GoingAway, ErrorCode::Busy].map(ErrorCode::quic_code).contains(error)
    })
}

async fn next(
    inbound: Option<&mut Inbound<stream::ReceiveStream>>,
) -> anyhow::Result<Option<Bytes>> {
    match inbound {
        Some(inbound) => inbound.chunk().await,
        None => std::future::pending().await,
    }
}

async fn changed(watch: Option<&mut Watch>) -> Standing {
    match watch {
        Some(watch) => watch.changed().await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(deadline: Instant) {
    tokio::time::sleep_until(deadline.into()).await;
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl fmt::Display for Disagree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the URLs name different contents: {}; leave out the wrong one", self.0)
    }
}

impl std::error::Error for Disagree {}

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the content has changed: {}; run the same command again to start over", self.0)
    }
}

impl std::error::Error for Changed {}

impl fmt::Display for WrongBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; nothing was kept, try again", self.0)
    }
}

impl std::error::Error for WrongBytes {}
