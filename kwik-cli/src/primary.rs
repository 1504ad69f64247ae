//! The primary's side of the file service: answers requests and delegates large files.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use kwik_server::stream::{BidirectionalStream, ReceiveStream, SendStream};
use kwik_server::{
    Delegate, Handle, LocalSupply, PathSpec, PathState, PrimarySession, application,
};
use tokio::sync::{OnceCell, watch};

use crate::catalog::{Catalog, Content};
use crate::inbound::Inbound;
use crate::incidents;
use crate::monitor::{self, OpenSession, Role};
use crate::protocol::{Failed, FailureCode, Get, Message as _, Reply, Resource};
use crate::source::{FileSource, ReadAhead};

/// Files up to this size come from the primary alone: attaching secondaries costs round trips.
const SMALL: u64 = 1 << 20;
/// What the primary itself sends of a large file while the secondaries are being attached.
const HEAD: u64 = 512 << 10;
/// A client that opened a stream has this long to say what it wants.
const REQUEST_TIME: Duration = Duration::from_secs(10);
/// The code of a stream that is reset because the rest cannot be read.
pub(crate) const FILE_CHANGED: u8 = 1;

/// Serves files to clients, with the help of secondaries.
#[derive(Clone, Debug)]
pub(crate) struct Primary {
    pub(crate) catalog: Catalog,
    pub(crate) secondaries: Arc<[PathSpec]>,
    pub(crate) share: Share,
    pub(crate) proof: Proof,
    pub(crate) clients: Clients,
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
    /// How many secondaries were attached; set at the first large request.
    attached: OnceCell<usize>,
}

impl Primary {
    /// Answers requests until the session ends.
    pub(crate) async fn serve(self, session: PrimarySession, mut stop: watch::Receiver<()>) {
        let handle = session.handle();
        tokio::select! {
            () = self.answer_all(session) => {}
            () = incidents::tell(&handle) => {}
            // Only ever closed, when the program ends.
            _ = stop.changed() => handle.close(application::Error::UNKNOWN),
        }
    }

    async fn answer_all(self, mut session: PrimarySession) {
        let _open = OpenSession::new(Role::Primary);
        let handle = session.handle();
        let client = Arc::new(Client { primary: self, handle, attached: OnceCell::new() });
        loop {
            match session.accept_bidirectional_stream().await {
                Ok(Some(stream)) => {
                    let client = Arc::clone(&client);
                    tokio::spawn(async move {
                        if let Err(error) = client.answer(stream).await {
                            tracing::debug!(error = format!("{error:#}"), "request failed");
                        }
                    });
                }
                Ok(None) => return,
                Err(error) => return tracing::debug!(%error, "session ended"),
            }
        }
    }
}

impl Client {
    async fn answer(&self, stream: BidirectionalStream) -> anyhow::Result<()> {
        let (receive, mut send) = stream.split();
        let answered = self.reply(Inbound::new(receive), &mut send).await;
        match answered {
            Ok(()) => {
                send.close().await?;
                self.tell_lost().await;
                Ok(())
            }
            Err(error) => {
                // Dropped, the stream would end well, and a short file look complete.
                send.reset(FILE_CHANGED.into())?;
                Err(error)
            }
        }
    }

    async fn reply(
        &self,
        inbound: Inbound<ReceiveStream>,
        send: &mut SendStream,
    ) -> anyhow::Result<()> {
        match self.find(inbound).await? {
            Ok((get, content)) => {
                monitor::request("found");
                self.send(&get, &content, send).await
            }
            Err(failed) => {
                monitor::request("failed");
                Ok(send.send(Reply::Failed(failed).encode()).await?)
            }
        }
    }

    async fn find(
        &self,
        mut inbound: Inbound<ReceiveStream>,
    ) -> anyhow::Result<Result<(Get, Content), Failed>> {
        let request = tokio::time::timeout(REQUEST_TIME, inbound.message::<Get>());
        let get = match request.await.context("no request came")? {
            Ok((get, _)) => get,
            Err(error) => {
                let code = FailureCode::BadRequest;
                return Ok(Err(Failed { code, message: error.to_string() }));
            }
        };
        if self.primary.clients == Clients::Refused {
            let message = "this server is a secondary; name its primary in the URL".to_owned();
            return Ok(Err(Failed { code: FailureCode::BadRequest, message }));
        }
        Ok(self.primary.catalog.find(&get).await.map(|content| (get, content)))
    }

    async fn send(
        &self,
        get: &Get,
        content: &Content,
        send: &mut SendStream,
    ) -> anyhow::Result<()> {
        let reply = Reply::Found(content.found).encode();
        let start = reply.len() as u64;
        let range = start..start + content.found.length;
        let shift = i64::try_from(start)? - i64::try_from(content.found.offset)?;
        let source = FileSource::new(Arc::clone(&content.file), shift);
        send.send(reply).await?;
        if content.found.length <= SMALL || self.attach().await == 0 {
            return send_all(send, source, range).await;
        }
        let head = match self.primary.share {
            Share::Own => range.start + HEAD,
            Share::RepairsOnly => range.start,
        };
        send_all(send, source.clone(), range.start..head).await?;
        let resource = Resource { path: get.path.clone(), tag: content.found.tag, shift };
        let supply = match self.primary.share {
            Share::Own => LocalSupply::Share,
            Share::RepairsOnly => LocalSupply::Fallback,
        };
        let order = Delegate::new(head..range.end, resource.to_wire().into())
            .with_local(Arc::new(source.clone()), supply);
        let order = match self.primary.proof {
            Proof::Named => order.with_proof(),
            Proof::Skipped => order,
        };
        match send.delegate(order).await {
            Ok(_) => Ok(()),
            Err(error) => {
                tracing::warn!(%error, "nothing delegated");
                send_all(send, source, head..range.end).await
            }
        }
    }

    /// Attaches the secondaries, at the first call; how many there are.
    async fn attach(&self) -> usize {
        let attach = async || {
            let mut attached = 0;
            for secondary in &*self.primary.secondaries {
                match self.handle.add_path(secondary.clone()).await {
                    Ok(_) => attached += 1,
                    Err(error) => tracing::warn!(?secondary, %error, "secondary not attached"),
                }
            }
            attached
        };
        *self.attached.get_or_init(attach).await
    }

    /// Logs which secondaries were of no use, for the operator: the client does not tell its user.
    async fn tell_lost(&self) {
        if !self.attached.initialized() {
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

async fn send_all(
    send: &mut SendStream,
    source: FileSource,
    range: Range<u64>,
) -> anyhow::Result<()> {
    let mut ahead = ReadAhead::new(source, range);
    while let Some((_, bytes)) = ahead.next().await.context("reading")? {
        monitor::sent(Role::Primary, bytes.len() as u64);
        send.send(bytes).await?;
    }
    Ok(())
}
