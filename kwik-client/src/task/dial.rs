//! Secondaries: dialled, proved, closed.

use std::net::SocketAddr;
use std::sync::Arc;

use kwik_core::path::table::Target;
use kwik_io::endpoint::{DialError, Dialled};
use kwik_io::link::{Inbox, Link};
use kwik_io::sign::ConfirmationKey;
use kwik_io::stream::application;
use kwik_io::tls::{Pin, Trust};
use kwik_io::worker::Worker;
use kwik_proto::frame::{ErrorCode, ServerIdentity};
use kwik_proto::{Epoch, PathId};
use tracing::Instrument;

use super::{DialOutcome, Shared, Task};

/// One try at a secondary.
struct Attempt {
    path: PathId,
    epoch: Epoch,
    target: Target,
    token: String,
    key: Arc<ConfirmationKey>,
    inbox: Inbox,
}

impl Task {
    pub(super) fn dial(&mut self, path: PathId, epoch: Epoch, target: Target, token: String) {
        let (key, inbox) = (self.key.clone(), self.inbox.clone());
        let attempt = Attempt { path, epoch, target, token, key, inbox };
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
            Err((code, detail)) => self.core.handle_lost(path, epoch, code, &detail, now),
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
        shared: &Shared,
        worker: &Worker,
    ) -> Result<(Link, [u8; 64]), (ErrorCode, String)> {
        let mut last = (ErrorCode::Unreachable, "no address".to_owned());
        for address in &self.target.addresses {
            match self.connect(shared, worker, *address).await {
                Ok(dialled) => return self.start(dialled).await,
                Err(error) => last = (code_of(&error), error.to_string()),
            }
        }
        Err(last)
    }

    async fn connect(
        &self,
        shared: &Shared,
        worker: &Worker,
        address: SocketAddr,
    ) -> Result<Dialled, DialError> {
        let (trust, name) = match &self.target.identity {
            ServerIdentity::Pin(pin) => (Trust::Pin(Pin(*pin)), None),
            ServerIdentity::Name(name) => (ca_of(&shared.trust), Some(name.as_str())),
        };
        shared.secondaries.connect(worker, address, &trust, name, shared.dial_time).await
    }

    async fn start(&self, dialled: Dialled) -> Result<(Link, [u8; 64]), (ErrorCode, String)> {
        let Dialled { mut connection, stats, exporter } = dialled;
        let lost = |error: s2n_quic::connection::Error| (ErrorCode::Unreachable, error.to_string());
        let control = connection.open_bidirectional_stream().await.map_err(lost)?;
        let inbox = self.inbox.clone();
        let link = Link::start(self.path, self.epoch, connection, control, stats, inbox);
        Ok((link, self.key.prove(&self.token, &exporter)))
    }
}

/// A pin names the primary's key alone: a secondary that is named needs a CA.
fn ca_of(trust: &Trust) -> Trust {
    match trust {
        Trust::Pin(_) => Trust::System,
        other => other.clone(),
    }
}

fn code_of(error: &DialError) -> ErrorCode {
    match error {
        DialError::Identity { .. } => ErrorCode::IdentityMismatch,
        DialError::Alpn { .. } => ErrorCode::VersionNegotiation,
        _ => ErrorCode::Unreachable,
    }
}
