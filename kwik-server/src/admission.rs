//! From a QUIC connection to a session: the Hello, who may attach, and the answer.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kwik_core::admission::{AdmissionError, Claims, ReplayCache, judge};
use kwik_core::session::{PrimarySession, SecondarySession};
use kwik_io::connection::ConnectionStats;
use kwik_io::control::{ControlError, ControlReader, ControlSender};
use kwik_io::endpoint::Accepted;
use kwik_io::env::Env;
use kwik_io::key::{IdentityKey, PublicKey};
use kwik_io::stream::{ReceiveMemory, SendMemory, SendShare};
use kwik_io::{control, sign, token};
use kwik_proto::frame::{Admission, ControlFrame, ErrorCode, Hello};
use kwik_proto::{DecodeError, Problem, SessionId};
use s2n_quic::connection::{Handle, StreamAcceptor};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{OwnedPermit, Sender};

use crate::census::{Census, Resident};
use crate::leaving::Leaving;
use crate::metrics::Counters;
use crate::reads::Reads;
use crate::refused::Refusal;
use crate::settings::{Current, Settings};

/// How long the client may take to acknowledge a refusal.
const FAREWELL: Duration = Duration::from_millis(500);

/// When a client that was refused because the server goes away may ask again: it may be a restart.
const AWAY_MS: u32 = 1000;

/// What the sessions of a server share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) env: Env,
    /// What may change while the server runs.
    pub(crate) settings: Settings,
    /// How long a client may take from the QUIC handshake to its Hello.
    pub(crate) hello: Duration,
    /// Most pumps at a time on one connection.
    pub(crate) most_pumps: usize,
    pub(crate) identity: Option<Arc<IdentityKey>>,
    pub(crate) replays: Mutex<ReplayCache>,
    pub(crate) counters: Counters,
    pub(crate) leaving: Arc<Leaving>,
    pub(crate) reads: Arc<Reads>,
    pub(crate) census: Arc<Census>,
    /// What is on its way to all clients.
    pub(crate) send_memory: SendMemory,
    /// What all clients may send.
    pub(crate) receive_memory: ReceiveMemory,
    /// Who is told that there is no room, at a time: the others' connections are closed without a Refuse.
    pub(crate) refusing: Semaphore,
}

/// See [`Shared::refusing`].
pub(crate) const REFUSING: usize = 64;

/// When a client that found no room may come back.
const FULL_MS: u32 = 1000;

/// A connection whose Hello was taken.
pub(crate) struct Admitted {
    pub(crate) connection: (Handle, StreamAcceptor),
    pub(crate) control: (ControlReader, ControlSender),
    pub(crate) stats: Arc<ConnectionStats>,
    pub(crate) session: Place,
    pub(crate) resident: Resident,
}

/// Where sessions wait for the application, and clients for a place among them.
#[derive(Clone, Debug)]
pub(crate) struct Queues {
    pub(crate) primaries: Sender<crate::PrimarySession>,
    pub(crate) secondaries: Sender<crate::SecondarySession>,
    pub(crate) waiting_primaries: Arc<Semaphore>,
    pub(crate) waiting_secondaries: Arc<Semaphore>,
}

/// A place in a session's queue with what the session is made of.
pub(crate) enum Place {
    Primary(Box<PrimarySession>, OwnedPermit<crate::PrimarySession>),
    Secondary(Box<SecondarySession>, PublicKey, OwnedPermit<crate::SecondarySession>),
}

impl Queues {
    async fn place(&self, role: Role, patience: Duration) -> Result<Place, Refusal> {
        Ok(match role {
            Role::Primary(core) => {
                let place = reserve(&self.primaries, &self.waiting_primaries, patience).await?;
                Place::Primary(core, place)
            }
            Role::Secondary(core, signer) => {
                let place = reserve(&self.secondaries, &self.waiting_secondaries, patience).await?;
                Place::Secondary(core, signer, place)
            }
        })
    }
}

async fn reserve<T>(
    queue: &Sender<T>,
    waiting: &Semaphore,
    patience: Duration,
) -> Result<OwnedPermit<T>, Refusal> {
    let busy = || Refusal::new(ErrorCode::Busy, "backlog", "too many sessions wait to be accepted");
    let _waits = waiting.try_acquire().map_err(|_| busy())?;
    let place = tokio::time::timeout(patience, queue.clone().reserve_owned()).await;
    let gone =
        |_| Refusal::new(ErrorCode::RoleRefused, "application", "the application accepts no more");
    place.map_err(|_| busy())?.map_err(gone)
}

/// Which part this server plays on it.
pub(crate) enum Role {
    Primary(Box<PrimarySession>),
    Secondary(Box<SecondarySession>, PublicKey),
}

/// Reads the Hello and answers it; `None` if the client went away or was refused, as is one without a place.
pub(crate) async fn admit(
    shared: &Shared,
    queues: impl Fn() -> Option<Queues>,
    resident: Option<Resident>,
    accepted: Accepted,
) -> Option<Admitted> {
    let _refusing = match resident.is_some() {
        true => None,
        false => match shared.refusing.try_acquire() {
            Ok(refusing) => Some(refusing),
            Err(_) => {
                shared.counters.count_refused(full().counted());
                close(&accepted.connection, ErrorCode::Busy);
                return None;
            }
        },
    };
    let Accepted { mut connection, stats, exporter } = accepted;
    let hello = async {
        let stream = connection.accept_bidirectional_stream().await.ok()??;
        let (mut reader, sender, writer) = control::split(stream);
        tokio::spawn(writer.run());
        Some((reader.recv().await, reader, sender))
    };
    let Ok(greeted) = tokio::time::timeout(shared.hello, hello).await else {
        let late = Refusal::new(ErrorCode::HandshakeTimeout, "hello_time", "");
        shared.counters.count_refused(late.counted());
        close(&connection, ErrorCode::HandshakeTimeout);
        return None;
    };
    let (frame, reader, sender) = greeted?;
    let session = match frame {
        Ok(Some(ControlFrame::Hello(hello))) => shared.answer(&hello, &exporter),
        Ok(_) => {
            let code = ErrorCode::ProtocolViolation;
            Err(Refusal::new(code, "first_frame", "the first frame is no Hello"))
        }
        Err(error) => Err(Refusal::new(code_of(&error), "frame", &error.to_string())),
    };
    let session = match (session, queues(), &resident) {
        (Ok(_), Some(_), None) => Err(full()),
        (Ok(role), Some(queues), Some(_)) => queues.place(role, shared.hello).await,
        (Ok(_), None, _) => {
            let away = Refusal::new(ErrorCode::GoingAway, "leaving", "the server goes away");
            Err(away.retry_after(AWAY_MS))
        }
        (Err(refuse), ..) => Err(refuse),
    };
    match &session {
        Ok(Place::Primary(..)) => shared.counters.count_primary(),
        Ok(Place::Secondary(..)) => shared.counters.count_secondary(),
        Err(refusal) => shared.counters.count_refused(refusal.counted()),
    }
    match session {
        Ok(session) => Some(Admitted {
            connection: connection.split(),
            control: (reader, sender),
            stats,
            session,
            resident: resident?,
        }),
        Err(Refusal { refuse, .. }) => {
            tracing::debug!(code = ?refuse.code, reason = refuse.reason, "client refused");
            let code = refuse.code;
            // Fails only with the connection.
            let _ = sender.push(&ControlFrame::Refuse(refuse));
            let _ = tokio::time::timeout(FAREWELL, sender.flushed()).await;
            close(&connection, code);
            None
        }
    }
}

impl Shared {
    /// What a new session may hold of what it sends.
    pub(crate) fn send_share(&self) -> SendShare {
        self.send_memory.share(self.settings.now().session_send_memory)
    }

    fn answer(&self, hello: &Hello, exporter: &[u8; 32]) -> Result<Role, Refusal> {
        let settings = self.settings.now();
        let Some(admission) = &hello.admission else {
            let id = SessionId(self.env.random());
            let seed = u64::from_le_bytes(self.env.random());
            let now = self.env.now();
            let session = PrimarySession::new(&settings.config, hello, id, seed, now)?;
            return Ok(Role::Primary(Box::new(session)));
        };
        if settings.trusted.is_empty() {
            let code = ErrorCode::RoleRefused;
            return Err(Refusal::new(code, "trusts_nobody", "this server trusts no primary"));
        }
        let (claims, signer) = self.check(&settings, admission, exporter)?;
        let session = SecondarySession::new(
            &settings.config,
            hello,
            claims.session,
            claims.path,
            claims.epoch,
        )?;
        Ok(Role::Secondary(Box::new(session), signer))
    }

    fn check(
        &self,
        settings: &Current,
        admission: &Admission,
        exporter: &[u8; 32],
    ) -> Result<(Claims, PublicKey), AdmissionError> {
        if admission.token.is_empty() {
            return Err(AdmissionError::Missing);
        }
        let verified = token::verify(&settings.trusted, &admission.token).map_err(|error| {
            tracing::debug!(%error, "token refused");
            AdmissionError::Invalid
        })?;
        let claims = verified.claims;
        let now = self.env.wall();
        judge(&claims, &settings.expectation, now)?;
        let key = &claims.confirmation_key;
        if !sign::proof_verifies(key, &admission.token, exporter, &admission.proof) {
            return Err(AdmissionError::Proof);
        }
        let mut replays = self.replays.lock().unwrap_or_else(PoisonError::into_inner);
        replays.admit(claims.token_id, claims.expires, now)?;
        Ok((claims, verified.signer))
    }
}

/// An admission without a token is no frame; what it lacks is said all the same.
fn code_of(error: &ControlError) -> ErrorCode {
    match error {
        ControlError::Frame(DecodeError::Invalid { invalid, .. })
            if invalid.field == "Admission.token" && invalid.problem == Problem::Missing =>
        {
            ErrorCode::TokenMissing
        }
        error => error.code(),
    }
}

fn close(connection: &s2n_quic::Connection, code: ErrorCode) {
    let code = s2n_quic::application::Error::new(code.quic_code());
    connection.close(code.expect("KWIK's own codes are below 2^62"));
}

fn full() -> Refusal {
    let text = "the server has as many sessions as it may have";
    Refusal::new(ErrorCode::Busy, "sessions", text).retry_after(FULL_MS)
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn a_client_waits_for_a_place_and_no_more_than_may_wait() {
        let (queue, mut sessions) = mpsc::channel(1);
        let waiting = Semaphore::new(1);
        let Ok(first) = reserve(&queue, &waiting, PATIENCE).await else { panic!("no room") };
        first.send(1);
        let mut second = std::pin::pin!(reserve(&queue, &waiting, PATIENCE));
        let third = tokio::select! {
            biased;
            _ = &mut second => panic!("the queue is full"),
            third = reserve(&queue, &waiting, PATIENCE) => third,
        };
        assert!(third.is_err_and(|refusal| refusal.refuse.code == ErrorCode::Busy));
        assert_eq!(sessions.recv().await, Some(1));
        assert!(second.await.is_ok());
    }
}
