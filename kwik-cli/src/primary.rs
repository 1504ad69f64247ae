//! The primary's side of the file service: answers requests and delegates large files.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use kwik_server::stream::{BidirectionalStream, ReceiveStream, SendStream};
use kwik_server::{Delegate, Handle, LocalSupply, PathState, PrimarySession};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::Instrument as _;

use crate::access_log::{AccessLog, Request as Logged};
use crate::answered::Account;
use crate::attachments::Attachments;
use crate::catalog::{Catalog, Content};
use crate::directory::Listed;
use crate::inbound::Inbound;
use crate::incidents;
use crate::live::board::{self, Mark};
use crate::monitor::{self, OpenSession, Role};
use crate::protocol::{
    Failed, FailureCode, Get, MAX_MESSAGE, Message as _, Reply, Request, Resource,
};
use crate::roster::Roster;
use crate::source::{Ahead, FileSource, Trouble};

/// Files up to this size come from the primary alone: attaching secondaries costs round trips.
pub(crate) const SMALL: u64 = 1 << 20;
/// What the primary itself sends of a large file while the secondaries are being attached.
const HEAD: u64 = 512 << 10;
/// A client that opened a stream has this long to say what it wants, and to end its half.
const REQUEST_TIME: Duration = Duration::from_secs(10);

/// Serves files to clients, with the help of secondaries.
#[derive(Clone, Debug)]
pub(crate) struct Primary {
    pub(crate) catalog: Catalog,
    pub(crate) roster: Roster,
    /// Where requests are logged.
    pub(crate) log: AccessLog,
    pub(crate) share: Share,
    pub(crate) proof: Proof,
    pub(crate) clients: Clients,
    pub(crate) directories: Directories,
}

/// Whether clients may list directories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Directories {
    Listed,
    /// Files are found by those who know their names.
    Unlisted,
}

/// What a request is answered with.
enum Answer {
    Bytes(Get, Content),
    Page(Listed),
}

/// Whether clients may fetch files from this server by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clients {
    Served,
    /// It only helps other primaries.
    Refused,
}

/// Whether the primary sends parts of large files itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Share {
    /// Along with the secondaries.
    Own,
    /// Only what the secondaries fail to send.
    RepairsOnly,
}

/// Whether what secondaries send is checked against the primary's own copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// Clients drop what has not the hash that the primary names.
    Named,
    /// Secondaries are believed; the hash of the whole file tells at its end.
    Skipped,
}

/// One client's session.
#[derive(Debug)]
struct Client {
    primary: Primary,
    handle: Handle,
    attachments: Attachments,
    /// Closed when the session is over.
    gone: watch::Receiver<()>,
    mark: Mark,
}

impl Primary {
    /// Answers requests until the session ends.
    pub(crate) async fn serve(self, session: PrimarySession) {
        let (handle, roster) = (session.handle(), self.roster.clone());
        let seat = board::primary(session.remote_addr().ok(), &handle);
        tokio::select! {
            () = self.answer_all(session, seat.mark()) => {}
            () = incidents::tell(&handle, &roster) => {}
        }
    }

    async fn answer_all(self, mut session: PrimarySession, mark: Mark) {
        let _open = OpenSession::new(Role::Primary);
        let handle = session.handle();
        // Dropped with this future: nobody waits for a hash on behalf of a client that is gone.
        let (_here, gone) = watch::channel(());
        let attachments = Attachments::new(handle.clone(), self.roster.clone());
        let client = Arc::new(Client { primary: self, handle, attachments, gone, mark });
        let mut following = std::pin::pin!(client.attachments.follow());
        loop {
            let accepted = tokio::select! {
                accepted = session.accept_bidirectional_stream() => accepted,
                () = &mut following => return,
            };
            match accepted {
                Ok(Some(stream)) => {
                    let client = Arc::clone(&client);
                    let answer = async move {
                        if let Err(error) = client.answer(stream).await {
                            tracing::debug!(error = format!("{error:#}"), "request failed");
                        }
                    };
                    tokio::spawn(answer.in_current_span());
                }
                Ok(None) => return,
                Err(error) => return tracing::debug!(%error, "session ended"),
            }
        }
    }
}

impl Client {
    async fn answer(&self, stream: BidirectionalStream) -> anyhow::Result<()> {
        let (receive, send) = stream.split();
        let mut inbound = Inbound::new(receive);
        let patience = Instant::now() + REQUEST_TIME;
        let answered = self.answer_to(&mut inbound, send).await;
        // A client that is still between its request and its end takes a stop for a failure of the request.
        let _ = tokio::time::timeout_at(patience, inbound.ended(MAX_MESSAGE)).await;
        answered
    }

    async fn answer_to(
        &self,
        inbound: &mut Inbound<ReceiveStream>,
        send: SendStream,
    ) -> anyhow::Result<()> {
        let mut account = Account::begin();
        let answered = self.answer_with(inbound, send, &mut account).await;
        if !account.is_refused() {
            self.tell(&account, &answered);
        }
        answered
    }

    /// Logs and counts a request that is over.
    fn tell(&self, account: &Account, answered: &anyhow::Result<()>) {
        let result = account.result(answered);
        let sources = account.sources(|path| self.attachments.name_of(path));
        let client = self.handle.remote_addr().ok();
        let (path, took) = (account.path(), account.took());
        let request = Logged { client, path, sources: &sources, took, result: &result };
        self.primary.log.log(&request);
        monitor::answered(account, &result);
    }

    async fn answer_with(
        &self,
        inbound: &mut Inbound<ReceiveStream>,
        mut send: SendStream,
        account: &mut Account,
    ) -> anyhow::Result<()> {
        let found = match self.request(inbound).await {
            Ok(request) => {
                account.asked_for(request.path());
                self.find(request).await
            }
            Err(failed) => Err(failed),
        };
        let (get, content) = match found {
            Ok(Answer::Bytes(get, content)) => (get, content),
            Ok(Answer::Page(listed)) => {
                monitor::request("listed");
                send.send(Reply::Listed(listed).encode()).await?;
                return Ok(send.close().await?);
            }
            Err(failed) => {
                monitor::request("failed");
                account.refused(failed.code);
                // Who got no file may not stay to say that it knows.
                self.tell(account, &Ok(()));
                send.send(Reply::Failed(failed).encode()).await?;
                return Ok(send.close().await?);
            }
        };
        monitor::request("found");
        let (stream, start) = (send.id(), Instant::now());
        self.mark.stream(stream, &get.path, content.found.length);
        let sent = self.send(&get, &content, &mut send, account).await;
        self.mark.stream_over(stream);
        board::incident(if sent.is_ok() { "done" } else { "failed" }, || {
            let seconds = start.elapsed().as_secs_f64();
            match &sent {
                Ok(()) => {
                    format!("{} bytes of {} in {seconds:.1} s", content.found.length, get.path)
                }
                Err(error) => format!("{}: {error:#}", get.path),
            }
        });
        if let Err(error) = &sent
            && let Some(trouble) = error.downcast_ref::<Trouble>()
        {
            // Dropped, the stream would end well, and a short file look complete.
            send.reset(trouble.code().into())?;
            tracing::warn!(file = ?get.path, error = format!("{error:#}"), "a download was broken off");
        }
        self.tell_lost().await;
        sent
    }

    async fn request(&self, inbound: &mut Inbound<ReceiveStream>) -> Result<Request, Failed> {
        let request = tokio::time::timeout(REQUEST_TIME, inbound.message::<Request>()).await;
        let request = request.map_err(|_| bad(format!("no request came in {REQUEST_TIME:?}")))?;
        let (request, _) = request.map_err(|error| bad(error.to_string()))?;
        Ok(request)
    }

    async fn find(&self, request: Request) -> Result<Answer, Failed> {
        if self.primary.clients == Clients::Refused {
            let message = "this server is a secondary; name its primary in the URL";
            return Err(bad(message.to_owned()));
        }
        let mut gone = self.gone.clone();
        tokio::select! {
            biased;
            answer = self.look_up(request) => answer,
            _ = gone.changed() => Err(bad("the session is over".to_owned())),
        }
    }

    async fn look_up(&self, request: Request) -> Result<Answer, Failed> {
        match request {
            Request::Get(get) => {
                let content = self.primary.catalog.find(&get).await?;
                Ok(Answer::Bytes(get, content))
            }
            Request::List(_) if self.primary.directories == Directories::Unlisted => Err(Failed {
                code: FailureCode::NotListed,
                message: "this server lists no directories".to_owned(),
            }),
            Request::List(list) => self.primary.catalog.list(list).await.map(Answer::Page),
        }
    }

    /// Sends what was found, and waits until the client has it.
    ///
    /// Fails with a [`Trouble`] if the file can't be sent to its end.
    async fn send(
        &self,
        get: &Get,
        content: &Content,
        send: &mut SendStream,
        account: &mut Account,
    ) -> anyhow::Result<()> {
        let reply = Reply::Found(content.found).encode();
        let start = reply.len() as u64;
        let range = start..start + content.found.length;
        let shift = i64::try_from(start)? - i64::try_from(content.found.offset)?;
        let source = FileSource::new(Arc::clone(&content.file), shift);
        send.send(reply).await?;
        account.replied();
        if content.found.length <= SMALL || self.attachments.begin().await == 0 {
            send_all(send, &source, range, account).await?;
            return Ok(send.close().await?);
        }
        let head = match self.primary.share {
            Share::Own => range.start + HEAD,
            Share::RepairsOnly => range.start,
        };
        send_all(send, &source, range.start..head, account).await?;
        let resource = Resource { path: get.path.clone(), tag: content.found.tag, shift };
        let order = self.order(head..range.end, &resource, &source);
        let mut delegated = match send.delegate(order).await {
            Ok(delegated) => delegated,
            Err(error) => {
                tracing::warn!(%error, "nothing delegated");
                send_all(send, &source, head..range.end, account).await?;
                return Ok(send.close().await?);
            }
        };
        account.delegated(&delegated);
        tokio::select! {
            biased;
            closed = send.close() => Ok(closed?),
            error = delegated.source_failed() => Err(in_trouble(&source, error).await),
            () = source.changed() => Err(Trouble::Changed.into()),
        }
    }

    fn order(&self, range: Range<u64>, resource: &Resource, source: &FileSource) -> Delegate {
        let supply = match self.primary.share {
            Share::Own => LocalSupply::Share,
            Share::RepairsOnly => LocalSupply::Fallback,
        };
        let order = Delegate::new(range, resource.to_wire().into())
            .with_local(Arc::new(source.clone()), supply);
        match self.primary.proof {
            Proof::Named => order.with_proof(),
            Proof::Skipped => order,
        }
    }

    /// Logs which secondaries were of no use, for the operator: the client does not tell its user.
    async fn tell_lost(&self) {
        if !self.attachments.have_begun().await {
            return;
        }
        for path in self.handle.paths().await {
            if path.state != PathState::Live {
                let (addresses, state) = (path.addresses, path.state);
                tracing::warn!(?addresses, ?state, "the client has no path to a secondary");
            }
        }
    }
}

fn bad(message: String) -> Failed {
    Failed { code: FailureCode::BadRequest, message }
}

/// Reads what there is room for, and no further: bytes that wait for a client are those that the server's send memory counts.
/// The stream's queue is what is read ahead.
async fn send_all(
    send: &mut SendStream,
    source: &FileSource,
    mut left: Range<u64>,
    account: &mut Account,
) -> anyhow::Result<()> {
    let mut ahead = Ahead::new(left.start);
    while !left.is_empty() {
        let room = std::future::poll_fn(|cx| send.poll_send_ready(cx)).await?;
        let bytes = match source.read(&left, room, &mut ahead).await {
            Ok(bytes) => bytes,
            Err(error) => return Err(in_trouble(source, error).await),
        };
        let length = bytes.len() as u64;
        left.start += length;
        send.send(bytes).await?;
        account.sent(length);
    }
    Ok(())
}

/// What a failed read means.
async fn in_trouble(
    source: &FileSource,
    error: impl std::error::Error + Send + Sync + 'static,
) -> anyhow::Error {
    anyhow::Error::new(error).context(source.trouble().await)
}
