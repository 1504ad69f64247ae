//! The public streams of a session, as its task keeps them.

use std::collections::BTreeMap;

use kwik_core::session::StreamAction;
use kwik_core::stream::ReceiveHalf;
use kwik_proto::{StreamId, StreamKind};
use tokio::sync::mpsc;

use crate::env::Env;
use crate::pump::Carrier;
use crate::stream::{
    BidirectionalStream, ReceiveStream, SendStream, ServiceList, SharedReceive, SharedSend,
    connection,
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
    /// The application's handle, where there are both halves.
    pub fn bidirectional(&self) -> Option<BidirectionalStream> {
        let (receive, send) = (self.receive.clone()?, self.send.clone()?);
        Some(BidirectionalStream::new(receive, send))
    }
}

/// A stream that the peer opened, for whoever accepts.
#[derive(Debug)]
pub struct Incoming {
    /// The stream.
    pub id: StreamId,
    /// Its halves.
    pub halves: Halves,
}

/// Where accepted streams come out, in the order of their ids. Never more than the limits allow the peer.
#[derive(Debug)]
pub struct Incomings {
    /// Bidirectional ones.
    pub bidirectional: mpsc::UnboundedReceiver<Incoming>,
    /// Unidirectional ones.
    pub unidirectional: mpsc::UnboundedReceiver<Incoming>,
}

/// The public streams of one session. Carries out what the core says about them.
#[derive(Debug)]
pub struct StreamTable {
    env: Env,
    services: ServiceList,
    halves: BTreeMap<StreamId, Halves>,
    bidirectional: mpsc::UnboundedSender<Incoming>,
    unidirectional: mpsc::UnboundedSender<Incoming>,
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
}

impl StreamTable {
    /// No stream, and where those come out that the peer opens.
    pub fn new(env: Env, services: ServiceList) -> (Self, Incomings) {
        let (bidirectional, bidirectional_out) = mpsc::unbounded_channel();
        let (unidirectional, unidirectional_out) = mpsc::unbounded_channel();
        let table = Self { env, services, halves: BTreeMap::new(), bidirectional, unidirectional };
        let incomings =
            Incomings { bidirectional: bidirectional_out, unidirectional: unidirectional_out };
        (table, incomings)
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

    /// Every open stream.
    pub fn iter(&self) -> impl Iterator<Item = (StreamId, &Halves)> {
        self.halves.iter().map(|(id, halves)| (*id, halves))
    }

    /// Carries out one action of the core.
    pub fn apply(&mut self, action: StreamAction) -> Left {
        match action {
            StreamAction::Open { id, receive, send } => {
                let receive = receive.map(|config| {
                    let half = ReceiveHalf::new(config);
                    SharedReceive::new(id, half, &self.services, self.env.clone())
                });
                let send = send.map(|config| SharedSend::new(id, config, &self.services));
                self.halves.insert(id, Halves { receive, send });
                Left::Nothing
            }
            StreamAction::Accept(id) => self.accept(id),
            StreamAction::Reset(id, error_code, final_size) => {
                if let Some(receive) = self.receive(id) {
                    // A final size that contradicts bytes that came is the sender's affair: the stream ends anyhow.
                    let _ = receive.update(|half| half.handle_reset(error_code, final_size));
                }
                Left::Service(id)
            }
            StreamAction::Fail(id, failure) => {
                if let Some(receive) = self.receive(id) {
                    receive.update(|half| half.fail(failure));
                }
                Left::Service(id)
            }
            StreamAction::Isolate(id, path) => {
                if let Some(receive) = self.receive(id) {
                    receive.update(|half| half.isolate(path));
                }
                Left::Service(id)
            }
            StreamAction::Remove(id) => {
                self.halves.remove(&id).map_or(Left::Nothing, |halves| Left::Removed(id, halves))
            }
            StreamAction::Available(kind) => Left::Available(kind),
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
            StreamAction::PeerDone(id, complete) => {
                (*id, &|send| send.update(|half| half.handle_closed(*complete)))
            }
            _ => return,
        };
        if let Some(send) = self.send(id) {
            act(send);
        }
    }

    fn accept(&self, id: StreamId) -> Left {
        if let Some(halves) = self.halves.get(&id) {
            let incoming = Incoming { id, halves: halves.clone() };
            let queue = match id.kind() {
                StreamKind::Bidirectional => &self.bidirectional,
                StreamKind::Unidirectional => &self.unidirectional,
            };
            if let Err(refused) = queue.send(incoming) {
                // Nobody accepts any more: as if it was accepted and dropped.
                drop_halves(&refused.0.halves);
            }
        }
        Left::Nothing
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

fn drop_halves(halves: &Halves) {
    drop(halves.receive.clone().map(ReceiveStream::new));
    drop(halves.send.clone().map(SendStream::new));
}
