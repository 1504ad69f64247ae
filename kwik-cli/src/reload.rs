//! Settings that change while `kwik serve` runs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::anyhow;
use kwik_server::{PathSpec, ServerHandle};
use serde_json::json;
use tokio::time::{Interval, MissedTickBehavior};

use crate::access_log::AccessLog;
use crate::cli::ServeArgs;
use crate::config;
use crate::health::Health;
use crate::materials::{self, Known, Materials};
use crate::roster::Roster;
use crate::serve::{resolve, tell};
use crate::signals::Hangup;
use crate::state::StateDir;
use crate::{monitor, one_line, private, say};

/// How often the files are looked at. They are few and small, so a look costs some microseconds; it sees what a watch of the
/// system misses: files on network file systems, and links that are turned over, as Kubernetes and certbot do.
const LOOK: Duration = Duration::from_secs(1);
/// Bytes of a file that are looked at: all that would be read of it.
const MAX_FILE: u64 = 1 << 20;

/// What a server runs by.
#[derive(Debug)]
pub(crate) struct InForce {
    pub(crate) args: ServeArgs,
    pub(crate) known: Known,
    pub(crate) state: StateDir,
    pub(crate) server: ServerHandle,
    pub(crate) roster: Roster,
    pub(crate) log: AccessLog,
    pub(crate) health: Health,
}

/// Has the settings read again when their files change, and on SIGHUP.
#[derive(Debug)]
pub(crate) struct Reload {
    in_force: InForce,
    hangup: Hangup,
    looks: Interval,
    /// The files as they were when they were read last.
    read: Option<Seen>,
    /// The files as they were at the last look.
    seen: Option<Seen>,
}

/// The content of files, by their hash; `None`: it cannot be read.
type Seen = BTreeMap<PathBuf, Option<blake3::Hash>>;

/// What the files say now.
struct Fresh {
    args: ServeArgs,
    materials: Materials,
    secondaries: Vec<PathSpec>,
}

/// Why they are read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Signal,
    Look,
}

/// What became of new settings.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    /// In force from now on.
    changed: Vec<&'static str>,
    /// Need a restart.
    fixed: Vec<&'static str>,
}

impl Reload {
    pub(crate) fn new(in_force: InForce, hangup: Hangup) -> Self {
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { in_force, hangup, looks, read: None, seen: None }
    }

    /// The settings in force.
    pub(crate) fn args(&self) -> &ServeArgs {
        &self.in_force.args
    }

    /// Keeps to the files. Never returns.
    pub(crate) async fn follow(&mut self) {
        // Nothing counts as read at first: a file may have changed between the start and the first look.
        loop {
            let cause = tokio::select! {
                () = self.hangup.wanted() => Cause::Signal,
                _ = self.looks.tick() => Cause::Look,
            };
            let now = self.look().await;
            // A file that is just being written changes again until the next look.
            let settled = now == self.seen;
            if cause == Cause::Signal {
                // Who has renamed the file says so by the signal.
                self.in_force.log.reopen();
            }
            if cause == Cause::Signal || (settled && now != self.read) {
                self.reload(cause).await;
                self.read.clone_from(&now);
            }
            self.seen = now;
        }
    }

    async fn look(&self) -> Option<Seen> {
        let files = materials::files(&self.in_force.args);
        let look = move || {
            let seen = |path: PathBuf| {
                let content = private::fingerprint(&path, MAX_FILE).ok();
                (path, content)
            };
            files.into_iter().map(seen).collect()
        };
        tokio::task::spawn_blocking(look).await.ok()
    }

    async fn reload(&mut self, cause: Cause) {
        match self.load().await {
            Ok(fresh) => {
                let outcome = self.in_force.take(fresh);
                if cause == Cause::Signal || outcome != Outcome::default() {
                    monitor::reload("done");
                    outcome.tell(self.in_force.args.json);
                }
            }
            Err(error) => {
                monitor::reload("failed");
                say(&format!("the old settings stay: {}", one_line(&error)));
            }
        }
    }

    /// Reads everything, before anything is changed.
    async fn load(&self) -> anyhow::Result<Fresh> {
        let state = self.in_force.state.clone();
        let read = move || {
            let args = config::reload().map_err(|misuse| anyhow!(misuse.lines().join("; ")))?;
            let materials = Materials::read(&args, &state)?;
            anyhow::Ok((args, materials))
        };
        let (args, materials) = tokio::task::spawn_blocking(read).await??;
        let secondaries = resolve(&args).await?;
        Ok(Fresh { args, materials, secondaries })
    }
}

impl InForce {
    /// Puts into force what can be while sessions run.
    fn take(&mut self, fresh: Fresh) -> Outcome {
        let Fresh { args, materials, secondaries } = fresh;
        let mut outcome = Outcome { fixed: fixed(&self.args, &args), ..Outcome::default() };
        let known = materials.known();
        if self.known.identity != known.identity {
            outcome.fixed.push("identity");
        }
        if self.known.chain != known.chain {
            self.server.set_certificate(materials.certificate);
            self.known.chain = known.chain;
            outcome.changed.push("certificate");
        }
        let same_role = self.args.helps_only() == args.helps_only();
        if self.known.trusted != known.trusted {
            match same_role {
                true => {
                    self.server.set_trusted_primaries(known.trusted.clone());
                    self.known.trusted = known.trusted;
                    outcome.changed.push("trust");
                }
                false => outcome.fixed.push("trust (it would change the server's role)"),
            }
        }
        if self.args.limits() != args.limits() {
            self.server.set_limits(args.limits());
            outcome.changed.push("limits");
        }
        let attaches = self.known.identity.is_some();
        if attaches && self.roster.set(secondaries) {
            outcome.changed.push("secondary");
        }
        let kept = self.args.clone();
        self.args = ServeArgs {
            listen: kept.listen,
            root: kept.root,
            state: kept.state,
            metrics: kept.metrics,
            congestion: kept.congestion,
            max_mtu: kept.max_mtu,
            open_files: kept.open_files,
            delegate_only: kept.delegate_only,
            no_proof: kept.no_proof,
            no_listing: kept.no_listing,
            live: kept.live,
            live_anywhere: kept.live_anywhere,
            json: kept.json,
            trust: if same_role { args.trust.clone() } else { kept.trust },
            identity: kept.identity,
            access_log: kept.access_log,
            access_log_format: kept.access_log_format,
            ..args
        };
        self.health.set_args(self.args.clone());
        outcome
    }
}

/// Options that differ and cannot change while the server runs: what they say is built into sockets, threads and sessions.
fn fixed(old: &ServeArgs, new: &ServeArgs) -> Vec<&'static str> {
    // Each option is named, so that a further one does not compile before it is decided on.
    let ServeArgs {
        config: _,
        origins: _,
        check_config: _,
        listen,
        root,
        cert: _,
        key: _,
        state,
        identity: _,
        secondary: _,
        trust: _,
        delegate_only,
        no_proof,
        no_listing,
        grace: _,
        congestion,
        max_mtu,
        open_files,
        max_sessions: _,
        max_sessions_of_address: _,
        send_memory: _,
        receive_memory: _,
        reader_patience: _,
        access_log,
        access_log_format,
        metrics,
        live,
        live_anywhere,
        json,
    } = old;
    let all = [
        ("listen", *listen != new.listen),
        ("root", *root != new.root),
        ("state", *state != new.state),
        ("delegate-only", *delegate_only != new.delegate_only),
        ("no-proof", *no_proof != new.no_proof),
        ("no-listing", *no_listing != new.no_listing),
        ("congestion", *congestion != new.congestion),
        ("max-mtu", *max_mtu != new.max_mtu),
        ("open-files", *open_files != new.open_files),
        ("access-log", *access_log != new.access_log),
        ("access-log-format", *access_log_format != new.access_log_format),
        ("metrics", *metrics != new.metrics),
        ("live", *live != new.live),
        ("live-anywhere", *live_anywhere != new.live_anywhere),
        ("json", *json != new.json),
    ];
    all.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
}

impl Outcome {
    /// For the operator: events go to standard output, what is wrong to standard error. Nobody may be left to read them.
    fn tell(&self, as_json: bool) {
        let Self { changed, fixed } = self;
        let line = match as_json {
            true => json!({ "event": "reloaded", "changed": changed, "fixed": fixed }).to_string(),
            false if changed.is_empty() => "reloaded: nothing changed".to_owned(),
            false => format!("reloaded: {}", changed.join(", ")),
        };
        tell(line);
        if !fixed.is_empty() {
            say(&format!("{}: a change needs a restart; the old stays", fixed.join(", ")));
        }
    }
}
