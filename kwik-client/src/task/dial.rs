//! Secondaries: dialled, proved, closed.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use kwik_core::path::table::Target;
use kwik_io::endpoint::{DialError, Dialled, stagger};
use kwik_io::link::{Inbox, Link};
use kwik_io::sign::ConfirmationKey;
use kwik_io::stream::application;
use kwik_io::tls::{Pin, Trust};
use kwik_io::worker::Worker;
use kwik_proto::frame::{ErrorCode, ServerIdentity, Token};
use kwik_proto::{Epoch, PathId};
use tracing::Instrument;

use super::{DialOutcome, Shared, Task};

/// One try at a secondary.
struct Attempt {
    path: PathId,
    epoch: Epoch,
    target: Target,
    token: Token,
    key: Arc<ConfirmationKey>,
    inbox: Inbox,
    /// The host of the primary.
    primary: IpAddr,
}

/// Why a secondary was not reached.
pub(super) struct Unreached {
    code: ErrorCode,
    /// For this end's log alone.
    detail: String,
    /// An address at which another server is than was named.
    another: Option<SocketAddr>,
    /// Least pause before the next try.
    pause: Duration,
}

/// What became of one address.
enum Failure {
    Dial(DialError),
    /// It has not answered before, and was asked a moment ago.
    TooSoon(SocketAddr, Duration),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dial(error) => error.fmt(f),
            Self::TooSoon(address, pause) => {
                write!(f, "{address} has not answered; it is asked again in {} s", pause.as_secs())
            }
        }
    }
}

impl Task {
    pub(super) fn dial(&mut self, path: PathId, epoch: Epoch, target: Target, token: Token) {
        let (key, inbox) = (self.key.clone(), self.inbox.clone());
        let primary = self.remote.ip();
        let attempt = Attempt { path, epoch, target, token, key, inbox, primary };
        let (shared, dialled) = (self.shared.clone(), self.dialled.clone());
        let worker = shared.workers.next();
        let home = worker.clone();
        let dialling = async move {
            let result = attempt.run(&shared, &home).await;
            // Fails only if the session is gone; the link goes with the outcome.
            let _ = dialled.send(Box::new(DialOutcome { path, epoch, result })).await;
        };
        let task = worker.spawn(dialling.in_current_span());
        if let Some(earlier) = self.dials.insert(path, task.abort_handle()) {
            earlier.abort();
        }
    }

    pub(super) fn handle_dialled(&mut self, outcome: DialOutcome) {
        let DialOutcome { path, epoch, result } = outcome;
        let now = self.shared.env.now();
        self.dials.remove(&path);
        match result {
            Ok((link, proof)) => {
                if let Some(earlier) = self.secondaries.insert(path, link) {
                    earlier.close(application::Error::of_kwik(ErrorCode::PathRemoved));
                }
                self.core.handle_connected(path, epoch, proof, now);
            }
            Err(unreached) => {
                let Unreached { code, detail, another, pause } = unreached;
                tracing::debug!(%path, ?code, detail, "a secondary was not reached");
                self.core.handle_unreached(path, epoch, code, another, pause, now);
            }
        }
    }

    pub(super) fn close_path(&mut self, path: PathId, epoch: Epoch, code: ErrorCode) {
        if let Some(dial) = self.dials.remove(&path) {
            dial.abort();
        }
        if self.secondaries.get(&path).is_some_and(|link| link.epoch() <= epoch)
            && let Some(link) = self.secondaries.remove(&path)
        {
            link.close(application::Error::of_kwik(code));
        }
        let over: Vec<u64> =
            self.controls.range((path, 0)..=(path, u64::MAX)).map(|((_, id), _)| *id).collect();
        over.into_iter().for_each(|carrier| self.forget(path, carrier));
    }
}

impl Attempt {
    async fn run(
        self,
        shared: &Arc<Shared>,
        worker: &Worker,
    ) -> Result<(Link, [u8; 64]), Unreached> {
        let identity = Identity::of(&self.target.identity, shared);
        let end = shared.env.now() + shared.dial_time;
        let primary = self.primary;
        let dial = |address: &SocketAddr| {
            let (shared, worker, address) = (shared.clone(), worker.clone(), *address);
            let Identity { trust, name } = identity.clone();
            async move {
                let begun = shared.dials.begin(address, primary).await;
                let permit = begun.map_err(|pause| Failure::TooSoon(address, pause))?;
                let (endpoints, name) = (&shared.secondaries, name.as_deref());
                // What those before it have left.
                let time = end.since(shared.env.now());
                let dialled = match permit.patience {
                    None => endpoints.connect(&worker, address, &trust, name, time).await,
                    Some(patience) => {
                        let unknown = (time, patience);
                        endpoints.connect_unknown(&worker, address, &trust, name, unknown).await
                    }
                };
                let dialled = dialled.map_err(Failure::Dial)?;
                permit.answered();
                Ok(dialled)
            }
        };
        let dials: Vec<_> = self.target.addresses.iter().map(dial).collect();
        match stagger(dials).await {
            Ok(dialled) => self.start(dialled).await,
            Err(errors) => Err(failure(&errors)),
        }
    }

    async fn start(&self, dialled: Dialled) -> Result<(Link, [u8; 64]), Unreached> {
        let Dialled { mut connection, stats, exporter } = dialled;
        let lost = |error: s2n_quic::connection::Error| Unreached {
            code: ErrorCode::Unreachable,
            detail: error.to_string(),
            another: None,
            pause: Duration::ZERO,
        };
        let control = connection.open_bidirectional_stream().await.map_err(lost)?;
        let inbox = self.inbox.clone();
        let link = Link::start(self.path, self.epoch, connection, control, stats, inbox);
        Ok((link, self.key.prove(&self.token, &exporter)))
    }
}

/// Who a secondary has to be.
#[derive(Clone)]
struct Identity {
    trust: Trust,
    name: Option<String>,
}

impl Identity {
    fn of(identity: &ServerIdentity, shared: &Shared) -> Self {
        match identity {
            ServerIdentity::Pin(pin) => Self { trust: Trust::Pin(Pin(*pin)), name: None },
            ServerIdentity::Name(name) => {
                Self { trust: ca_of(&shared.trust), name: Some(name.clone()) }
            }
        }
    }
}

/// Why none of a secondary's addresses could be reached. Where one was only unreachable that is the path's code: another dial
/// may find it.
fn failure(errors: &[Failure]) -> Unreached {
    let codes = || errors.iter().map(code_of);
    let code = codes().find(|code| *code == ErrorCode::Unreachable).or(codes().next());
    let details: Vec<String> = errors.iter().map(ToString::to_string).collect();
    // One that may be dialled at once is.
    let pauses = errors.iter().map(|error| match error {
        Failure::Dial(_) => Duration::ZERO,
        Failure::TooSoon(_, pause) => *pause,
    });
    Unreached {
        code: code.unwrap_or(ErrorCode::Unreachable),
        detail: details.join("; "),
        another: errors.iter().find_map(|error| match error {
            Failure::Dial(DialError::Identity { target, .. }) => Some(*target),
            _ => None,
        }),
        pause: pauses.min().unwrap_or_default(),
    }
}

/// A pin names the primary's key alone: a secondary that is named needs a CA.
fn ca_of(trust: &Trust) -> Trust {
    match trust {
        Trust::Pin(_) => Trust::System,
        other => other.clone(),
    }
}

fn code_of(error: &Failure) -> ErrorCode {
    match error {
        Failure::Dial(DialError::Identity { .. }) => ErrorCode::IdentityMismatch,
        Failure::Dial(DialError::Alpn { .. }) => ErrorCode::VersionNegotiation,
        Failure::Dial(_) | Failure::TooSoon(..) => ErrorCode::Unreachable,
    }
}
