//! What an application asks of its session's task, whichever end it is.

mod ending;
mod handle;
mod upkeep;

use kwik_proto::StreamKind;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::oneshot;

use crate::channel::{self, Receiver, Sender};
use crate::stream::{application, connection};
use crate::table::Halves;
use upkeep::{Chore, Upkeep};

pub use ending::{Closing, Ending};
pub use handle::{SessionHandle, SessionInfo};

/// Requests of one application that wait for its session's task, at most. The application waits beyond it.
const MAX_REQUESTS: usize = 256;
/// Opens that wait for the peer's stream limit, at most. Beyond it an open fails with `StreamIdExhausted`.
const MAX_WAITING_OPENS: usize = 4096;

/// A request; `X` is what only one kind of session knows.
#[derive(Debug)]
pub enum Request<X> {
    /// Open a stream.
    Open(Open),
    /// Have QUIC send a PING.
    Ping,
    /// Have QUIC keep the connection alive, or no more.
    KeepAlive(bool),
    /// Something else.
    Other(X),
}

/// A stream that the application wants.
#[derive(Debug)]
pub struct Open {
    /// Which kind.
    pub kind: StreamKind,
    reply: oneshot::Sender<Result<Opened, connection::Error>>,
}

/// A stream on its way to the application. Lost on the way, it is as if it was opened and dropped.
#[derive(Debug)]
struct Opened(Option<Halves>);

impl Drop for Opened {
    fn drop(&mut self) {
        if let Some(halves) = self.0.take() {
            halves.abandon();
        }
    }
}

/// The application's side of a session's task. Cheap to clone; the session closes when all are dropped and no stream is
/// open.
#[derive(Debug)]
pub struct Asker<X> {
    requests: Sender<Box<Request<X>>>,
    upkeep: Arc<Upkeep>,
    ending: Ending,
}

impl<X> Clone for Asker<X> {
    fn clone(&self) -> Self {
        let (requests, upkeep) = (self.requests.clone(), self.upkeep.clone());
        Self { requests, upkeep, ending: self.ending.clone() }
    }
}

/// The task's side.
#[derive(Debug)]
pub struct Requests<X> {
    /// What the application wants.
    pub wishes: Wishes<X>,
    /// The code that the application closed with.
    pub close: Closing,
    /// To be set when the session ends.
    pub ending: Ending,
    waiting: VecDeque<Open>,
}

/// Requests in the order in which the task serves them.
#[derive(Debug)]
pub struct Wishes<X> {
    requests: Receiver<Box<Request<X>>>,
    upkeep: Arc<Upkeep>,
}

impl<X> Wishes<X> {
    /// The next request: PINGs and keep-alive first, then what was told, then what was asked. `None`: all askers are gone.
    /// Nothing is lost when the call is given up.
    pub async fn next(&mut self) -> Option<Request<X>> {
        tokio::select! {
            biased;
            chore = self.upkeep.next() => Some(match chore {
                Chore::Ping => Request::Ping,
                Chore::KeepAlive(enabled) => Request::KeepAlive(enabled),
            }),
            request = self.requests.recv() => request.map(|request| *request),
        }
    }
}

/// Both sides of a session's requests.
///
/// ```
/// use kwik_io::session::{Request, requests};
/// use kwik_io::stream::connection;
/// use kwik_proto::StreamKind;
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let (asker, mut task) = requests::<()>();
/// let open = tokio::spawn(async move { asker.open(StreamKind::Bidirectional).await });
/// let Some(Request::Open(open_request)) = task.wishes.next().await else { panic!() };
/// let error = connection::Error::IdleTimerExpired;
/// open_request.refuse(error);
/// assert_eq!(open.await.unwrap().unwrap_err(), error);
/// # });
/// ```
pub fn requests<X>() -> (Asker<X>, Requests<X>) {
    let (sender, receiver) = channel::bounded(MAX_REQUESTS);
    let ending = Ending::default();
    let close = Closing::of(&ending);
    let upkeep = Arc::<Upkeep>::default();
    let asker = Asker { requests: sender, upkeep: upkeep.clone(), ending: ending.clone() };
    let (wishes, waiting) = (Wishes { requests: receiver, upkeep }, VecDeque::new());
    let requests = Requests { wishes, close, ending, waiting };
    (asker, requests)
}

impl<X> Asker<X> {
    /// Opens a stream; waits while the peer's limit is reached.
    ///
    /// # Errors
    /// Why the session is over.
    pub async fn open(&self, kind: StreamKind) -> Result<Halves, connection::Error> {
        let (reply, answer) = oneshot::channel();
        self.send(Request::Open(Open { kind, reply })).await?;
        let opened = answer.await.map_err(|_| self.ending.or_vanished())??.0.take();
        opened.ok_or_else(|| self.ending.or_vanished())
    }

    /// Asks for something else, answered through a channel in `request`.
    ///
    /// # Errors
    /// Why the session is over.
    pub async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<T>) -> X,
    ) -> Result<T, connection::Error> {
        let (reply, answer) = oneshot::channel();
        self.send(Request::Other(request(reply))).await?;
        answer.await.map_err(|_| self.ending.or_vanished())
    }

    async fn send(&self, request: Request<X>) -> Result<(), connection::Error> {
        if let Some(error) = self.ending.error() {
            return Err(error);
        }
        self.requests.send(Box::new(request)).await.map_err(|_| self.ending.or_vanished())
    }

    /// Leaves a request without an answer, from where nothing can be awaited; lost only if the session is over.
    ///
    /// Only for what answers something that the session handed out (a message taken, a delegation refused): then as many
    /// wait as the session let the application have. Everything else is to be [asked](Self::ask).
    pub fn tell(&self, request: X) {
        let _ = self.requests.push(Box::new(Request::Other(request)));
    }

    /// Closes the session with the application's code. Every stream fails, on this end at once.
    pub fn close(&self, code: application::Error) {
        self.ending.set(connection::Error::application(code, connection::Location::Local));
        self.ending.close(code);
    }

    /// Waits until the session is over; why it is.
    pub async fn closed(&self) -> connection::Error {
        self.requests.closed().await;
        self.ending.or_vanished()
    }

    /// Why the session is over, where the session's task is known to be gone.
    pub fn ended(&self) -> connection::Error {
        self.ending.or_vanished()
    }

    /// Why the session is over; `None` while it is not.
    pub fn error(&self) -> Option<connection::Error> {
        self.ending.error()
    }
}

impl<X> Requests<X> {
    /// Whether an open of that kind waits already: then a later one must not overtake it.
    pub fn must_wait(&self, kind: StreamKind) -> bool {
        self.waiting.iter().any(|open| open.kind == kind)
    }

    /// Keeps an open until [`retry`](Self::retry).
    pub fn wait(&mut self, open: Open) {
        if self.waiting.len() >= MAX_WAITING_OPENS {
            self.waiting.retain(|open| !open.is_forgotten());
        }
        if self.waiting.len() < MAX_WAITING_OPENS {
            self.waiting.push_back(open);
        } else {
            open.refuse(connection::Error::StreamIdExhausted);
        }
    }

    /// The session can't open streams any more: nobody waits for one.
    pub fn fail_waiting(&mut self, error: connection::Error) {
        self.waiting.drain(..).for_each(|open| open.refuse(error));
    }

    /// The first open of that kind that waits, if its application still does.
    pub fn retry(&mut self, kind: StreamKind) -> Option<Open> {
        self.waiting.retain(|open| !open.is_forgotten());
        let index = self.waiting.iter().position(|open| open.kind == kind)?;
        self.waiting.remove(index)
    }

    /// Puts an open back that could still not be served.
    pub fn put_back(&mut self, open: Open) {
        self.waiting.push_front(open);
    }
}

impl Open {
    /// Whether the application does not wait for it any more.
    pub fn is_forgotten(&self) -> bool {
        self.reply.is_closed()
    }

    /// Hands a stream to the application; if it is gone, as if it was opened and dropped.
    pub fn answer(self, halves: Halves) {
        // What cannot be sent is dropped, and so abandoned.
        let _ = self.reply.send(Ok(Opened(Some(halves))));
    }

    /// Tells the application why there is no stream.
    pub fn refuse(self, error: connection::Error) {
        // An application that went away needs no answer.
        let _ = self.reply.send(Err(error));
    }
}

#[cfg(test)]
mod tests;
