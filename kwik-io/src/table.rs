//! The public streams of a session, as its task keeps them.

use std::collections::BTreeMap;
use std::task::{Context, Poll, ready};

use kwik_core::session::StreamAction;
use kwik_core::stream::{Failure, ReceiveHalf};
use kwik_proto::frame::ErrorCode;
use kwik_proto::{StreamId, StreamKind};

use crate::channel::{self, Receiver, Sender};
use crate::env::Env;
use crate::pump::Carrier;
use crate::session::{Ending, SessionHandle};
use crate::stream::{
    ReceiveStream, SendShare, SendStream, ServiceList, SharedReceive, SharedSend, connection,
};

/// The halves of one public stream.
#[derive(Clone, Debug)]
pub struct Halves {
    /// Set if this end receives on it.
    pub receive: Option<SharedReceive>,
    /// Set if this end sends on it.
    pub send: Option<SharedSend>,
}

impl Halves {
    /// The application's end of the half that is read.
    ///
    /// # Panics
    /// If there is none: what opens and accepts streams knows their kind.
    pub fn receive_stream(&self) -> ReceiveStream {
        ReceiveStream::new(self.receive.clone().expect("a stream of this kind is read here"))
    }

    /// The application's end of the half that is written.
    ///
    /// # Panics
    /// If there is none: what opens and accepts streams knows their kind.
    pub fn send_stream(&self) -> SendStream {
        SendStream::new(self.send.clone().expect("a stream of this kind is written here"))
    }

    /// As if the application had held the stream and dropped it.
    pub fn abandon(&self) {
        drop(self.receive.clone().map(ReceiveStream::new));
        drop(self.send.clone().map(SendStream::new));
    }
}

/// Where accepted streams come out, in the order of their ids.
#[derive(Debug)]
pub struct Incomings {
    /// Bidirectional ones.
    pub bidirectional: AcceptQueue,
    /// Unidirectional ones.
    pub unidirectional: AcceptQueue,
}

/// Streams of one kind that the peer opened, for whoever accepts. Never more than the limits allow the peer.
#[derive(Debug)]
pub struct AcceptQueue(Receiver<Halves>);

impl AcceptQueue {
    /// The next stream; `None` when the session was closed without an error.
    pub fn poll_accept<X>(
        &mut self,
        session: &SessionHandle<X>,
        cx: &mut Context<'_>,
    ) -> Poll<connection::Result<Option<Halves>>> {
        if let Some(error) = session.ending().refuses_accept() {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(match ready!(self.0.poll_recv(cx)) {
            Some(halves) => {
                if let Some(receive) = &halves.receive {
                    receive.accept();
                }
                Ok(Some(halves))
            }
            None => session.ending().accepted(),
        })
    }
}

/// The public streams of one session. Carries out what the core says about them.
#[derive(Debug)]
pub struct StreamTable {
    env: Env,
    services: ServiceList,
    ending: Ending,
    halves: BTreeMap<StreamId, Halves>,
    bidirectional: Sender<Halves>,
    unidirectional: Sender<Halves>,
    /// The application is gone: whatever the peer opens is dropped.
    abandoned: bool,
    /// Why the streams' own connection is over, once it is.
    orphaned: Option<connection::Error>,
    /// What streams may hold of what they send.
    share: Option<SendShare>,
}

/// What is left to the session's task after an action.
#[derive(Debug)]
pub enum Left {
    /// Nothing.
    Nothing,
    /// Lend the receiving half to the core again.
    Service(StreamId),
    /// A stream is over: its last account is to be taken.
    Removed(StreamId, Halves),
    /// Opening may succeed again.
    Available(StreamKind),
    /// Headers of that stream that wait are to be routed again.
    Admit(StreamId),
    /// The core is to be told what the sending half holds.
    Weigh(StreamId),
}

impl StreamTable {
    /// No stream, and where those come out that the peer opens. `ending` is the session's.
    pub fn new(env: Env, services: ServiceList, ending: Ending) -> (Self, Incomings) {
        let (bidirectional, bidirectional_out) = channel::bounded(0);
        let (unidirectional, unidirectional_out) = channel::bounded(0);
        let halves = BTreeMap::new();
        let (abandoned, orphaned) = (false, None);
        let table = Self {
            env,
            services,
            ending,
            halves,
            bidirectional,
            unidirectional,
            abandoned,
            orphaned,
            share: None,
        };
        let incomings = Incomings {
            bidirectional: AcceptQueue(bidirectional_out),
            unidirectional: AcceptQueue(unidirectional_out),
        };
        (table, incomings)
    }

    /// Has what streams send counted in `share`.
    #[must_use]
    pub fn sharing(mut self, share: SendShare) -> Self {
        self.share = Some(share);
        self
    }

    /// The halves of an open stream.
    pub fn halves(&self, id: StreamId) -> Option<&Halves> {
        self.halves.get(&id)
    }

    /// The half that this end receives.
    pub fn receive(&self, id: StreamId) -> Option<&SharedReceive> {
        self.halves.get(&id)?.receive.as_ref()
    }

    /// The half that this end sends.
    pub fn send(&self, id: StreamId) -> Option<&SharedSend> {
        self.halves.get(&id)?.send.as_ref()
    }

    /// The half that a carrier feeds.
    pub fn receive_of(&self, carrier: &Carrier) -> Option<&SharedReceive> {
        self.receive(carrier.header?.stream)
    }

    /// No stream is open.
    pub fn is_empty(&self) -> bool {
        self.halves.is_empty()
    }

    /// Every open stream.
    pub fn iter(&self) -> impl Iterator<Item = (StreamId, &Halves)> {
        self.halves.iter().map(|(id, halves)| (*id, halves))
    }

    /// Carries out one action of the core.
    pub fn apply(&mut self, action: StreamAction) -> Left {
        match action {
            StreamAction::Open { id, receive, send } => {
                let receive = receive.map(|config| {
                    let mut half = ReceiveHalf::new(config);
                    half.await_accept();
                    SharedReceive::new(id, half, &self.services, self.env.clone())
                        .with_ending(self.ending.clone())
                });
                let send = send.map(|config| {
                    let send = SharedSend::new(id, config, &self.services);
                    let send = send.with_ending(self.ending.clone());
                    match &self.share {
                        Some(share) => send.sharing(share),
                        None => send,
                    }
                });
                self.halves.insert(id, Halves { receive, send });
                Left::Nothing
            }
            StreamAction::Accept(id) => self.accept(id),
            StreamAction::Reset(id, error_code, final_size) => {
                if let Some(receive) = self.receive(id) {
                    receive.update(|half| {
                        // A final size that contradicts what came ends the stream all the same.
                        if half.handle_reset(error_code, final_size).is_err() {
                            half.fail(Failure::Broken { code: ErrorCode::FinalSize });
                        }
                    });
                }
                Left::Service(id)
            }
            StreamAction::Fail(id, failure) => {
                if let Some(receive) = self.receive(id) {
                    match (failure, self.orphaned) {
                        (Failure::SessionEnded, Some(error)) => receive.fail(error),
                        // `fail_all` follows, and knows why.
                        (Failure::SessionEnded, None) => {}
                        (failure, _) => receive.update(|half| half.fail(failure)),
                    }
                }
                Left::Service(id)
            }
            StreamAction::Remove(id) => {
                self.halves.remove(&id).map_or(Left::Nothing, |halves| Left::Removed(id, halves))
            }
            StreamAction::Available(kind) => Left::Available(kind),
            StreamAction::Admit(id) => Left::Admit(id),
            StreamAction::Weigh(id) => Left::Weigh(id),
            action => {
                self.apply_to_sender(action);
                Left::Nothing
            }
        }
    }

    fn apply_to_sender(&self, action: StreamAction) {
        let (id, act): (StreamId, &dyn Fn(&SharedSend)) = match &action {
            StreamAction::ExtendWindow(id, max_offset) => {
                (*id, &|send| send.extend_window(*max_offset))
            }
            StreamAction::Progress(id, progress) => (*id, &|send| {
                let (read, contiguous) = (progress.read_offset, progress.contiguous_end);
                send.update(|half| half.handle_progress(read, contiguous));
            }),
            StreamAction::Stopped(id, code) => (*id, &|send| send.handle_stop(*code)),
            StreamAction::PeerDone(id, complete) => (*id, &|send| send.handle_closed(*complete)),
            _ => return,
        };
        if let Some(send) = self.send(id) {
            act(send);
        }
    }

    fn accept(&self, id: StreamId) -> Left {
        if let Some(halves) = self.halves.get(&id) {
            if self.abandoned {
                halves.abandon();
            }
            let queue = match id.kind() {
                StreamKind::Bidirectional => &self.bidirectional,
                StreamKind::Unidirectional => &self.unidirectional,
            };
            // Where nobody accepts any more, the stream waits unseen for the end of the session, as in s2n-quic.
            let _ = queue.push(halves.clone());
        }
        Left::Nothing
    }

    /// The application dropped all that it held: its streams, those that it never accepted too, are as good as
    /// dropped.
    pub fn abandon(&mut self) {
        self.abandoned = true;
        self.halves.values().for_each(Halves::abandon);
    }

    /// The connection that the streams live on is gone. Nothing can be sent or accepted any more; what arrives by other
    /// ways is still read. A stream that fails with the session from here on fails with `error`.
    pub fn orphan(&mut self, error: connection::Error) {
        self.orphaned = Some(error);
        for send in self.halves.values().filter_map(|halves| halves.send.as_ref()) {
            send.fail(error);
        }
        // Who accepts finds the end of the queue.
        (self.bidirectional, _) = channel::bounded(0);
        (self.unidirectional, _) = channel::bounded(0);
    }

    /// The session is over: every call on its streams fails with `error` once what arrived was read.
    pub fn fail_all(&self, error: connection::Error) {
        for halves in self.halves.values() {
            if let Some(receive) = &halves.receive {
                receive.fail(error);
            }
            if let Some(send) = &halves.send {
                send.fail(error);
            }
        }
    }
}

#[cfg(test)]
mod tests;
