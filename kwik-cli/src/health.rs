//! Whether the server can do its work, for who watches over it.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use crate::cli::ServeArgs;
use crate::materials;
use crate::roster::Roster;

/// How long a look at the files counts: who asks more often gets the same answer.
const FRESH: Duration = Duration::from_secs(1);
/// How long a look may take. A disk that hangs has one thread, however often it is asked about.
const PATIENCE: Duration = Duration::from_secs(2);

/// What `/readyz` goes by. Clones are one.
#[derive(Clone, Debug)]
pub(crate) struct Health(Arc<State>);

#[derive(Debug)]
struct State {
    phase: AtomicU8,
    args: RwLock<Arc<ServeArgs>>,
    roster: Roster,
    files: Mutex<Files>,
}

/// A look at root and keys.
#[derive(Debug, Default)]
struct Files {
    running: Option<JoinHandle<Vec<&'static str>>>,
    last: Option<(Instant, Faults)>,
}

impl Files {
    /// What a look at them finds within that time. `look` begins one; there is one at a time.
    async fn faults(
        &mut self,
        now: Instant,
        patience: Duration,
        look: impl FnOnce() -> JoinHandle<Vec<&'static str>>,
    ) -> Faults {
        if let Some((at, faults)) = &self.last
            && now.saturating_duration_since(*at) < FRESH
        {
            return faults.clone();
        }
        let mut running = self.running.take().unwrap_or_else(look);
        let faults: Faults = match tokio::time::timeout(patience, &mut running).await {
            Ok(Ok(faults)) => faults.into(),
            Ok(Err(_)) => ["the check itself"].into(),
            Err(_) => {
                self.running = Some(running);
                ["files that do not answer"].into()
            }
        };
        self.last = Some((now, faults.clone()));
        faults
    }
}

/// Options that name what cannot be used.
type Faults = Arc<[&'static str]>;

/// Where the server is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    Starting,
    Serving,
    Draining,
}

/// Whether clients are to be sent here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Ready,
    /// It works without some of its secondaries.
    Degraded(String),
    No(String),
}

impl Health {
    pub(crate) fn new(args: ServeArgs, roster: Roster) -> Self {
        let args = RwLock::new(Arc::new(args));
        let phase = AtomicU8::new(Phase::Starting as u8);
        Self(Arc::new(State { phase, args, roster, files: Mutex::default() }))
    }

    pub(crate) fn enter(&self, phase: Phase) {
        self.0.phase.store(phase as u8, Ordering::Relaxed);
    }

    /// Goes by these settings from now on.
    pub(crate) fn set_args(&self, args: ServeArgs) {
        *self.0.args.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(args);
    }

    /// Ready: the port is bound, the server stays, root and keys can be read. What is said names neither files nor hosts: the
    /// log does.
    pub(crate) async fn verdict(&self) -> Verdict {
        match self.0.phase.load(Ordering::Relaxed) {
            phase if phase == Phase::Starting as u8 => return Verdict::No("starting".to_owned()),
            phase if phase == Phase::Draining as u8 => return Verdict::No("draining".to_owned()),
            _ => {}
        }
        let faults = self.faults().await;
        if !faults.is_empty() {
            return Verdict::No(format!("cannot be used: {}", faults.join(", ")));
        }
        let (lost, all) = (self.0.roster.lost().len(), self.0.roster.members().len());
        match lost {
            0 => Verdict::Ready,
            _ => Verdict::Degraded(format!("{lost} of {all} secondaries lost")),
        }
    }

    async fn faults(&self) -> Faults {
        let mut files = self.0.files.lock().await;
        files.faults(Instant::now(), PATIENCE, || self.look()).await
    }

    fn look(&self) -> JoinHandle<Vec<&'static str>> {
        let args = self.0.args.read().unwrap_or_else(PoisonError::into_inner).clone();
        tokio::task::spawn_blocking(move || {
            let faults = materials::faults(&args);
            for (option, error) in &faults {
                tracing::warn!(option, error = format!("{error:#}"), "not ready");
            }
            faults.into_iter().map(|(option, _)| option).collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_disk_that_hangs_is_asked_once_and_nobody_waits_for_it() {
        let (mut files, begin, none) = (Files::default(), Instant::now(), Duration::ZERO);
        let (end, hangs) = tokio::sync::oneshot::channel();
        let look = || tokio::spawn(async { hangs.await.unwrap_or_default() });
        let first = files.faults(begin, none, look).await;
        assert_eq!(*first, ["files that do not answer"]);
        let second = files.faults(begin + FRESH, none, || unreachable!("one is under way")).await;
        assert_eq!(second, first);
        assert!(end.send(vec!["root"]).is_ok());
        while files.running.as_ref().is_some_and(|running| !running.is_finished()) {
            tokio::task::yield_now().await;
        }
        let later = begin + 2 * FRESH;
        assert_eq!(*files.faults(later, none, || unreachable!("it has ended")).await, ["root"]);
        assert_eq!(*files.faults(later, none, || unreachable!("it is fresh")).await, ["root"]);
        let look = || tokio::spawn(async { Vec::new() });
        assert!(files.faults(later + FRESH, PATIENCE, look).await.is_empty());
    }
}
