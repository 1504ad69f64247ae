//! What an attack is, and how one is run.

use std::any::Any;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::time::Duration;

use futures_util::FutureExt as _;
use kwik_client::ErrorCode;
use kwik_tests::bare::Verdict;

use crate::honest::{BASELINE, Honest};
use crate::table::Row;
use crate::victim::Victim;

/// Longest that an attack of the usual size may take. Only what hangs takes so long.
const PATIENCE: Duration = Duration::from_secs(90);
/// How much a process may grow for one attack where the attack says nothing else, in MiB.
pub(crate) const MEMORY: u64 = 48;
/// How much a process may log for one attack, in bytes.
const LOG: u64 = 64 << 10;

/// What an attack brings about: what is expected, and what was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The attacker's connection is closed with that code.
    Closed(ErrorCode),
    /// The QUIC stream is stopped or reset with that code; the connection goes on.
    Stopped(ErrorCode),
    /// Nothing happens: what was sent is dropped, or within the limits, and the connection goes on.
    Ignored,
    /// The attacker is held back, by flow control or the lack of a place.
    Throttled,
    /// It is QUIC that refuses, before KWIK.
    Transport,
    /// The program ends, with one line that says why.
    Fails,
}

impl From<Verdict> for Outcome {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Alive => Self::Ignored,
            Verdict::Closed(code) => Self::Closed(code),
            Verdict::Stopped(code) => Self::Stopped(code),
            Verdict::Lost => Self::Transport,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(code) => write!(f, "closed: {code:?}"),
            Self::Stopped(code) => write!(f, "stopped: {code:?}"),
            Self::Ignored => f.write_str("ignored"),
            Self::Throttled => f.write_str("throttled"),
            Self::Transport => f.write_str("refused by QUIC"),
            Self::Fails => f.write_str("ends with a message"),
        }
    }
}

/// Streams come faster than the peer's limits let them: either the victim keeps up with them, or it closes.
pub(crate) fn kept_up(verdict: Verdict) -> anyhow::Result<Outcome> {
    match verdict {
        Verdict::Alive | Verdict::Closed(ErrorCode::LimitExceeded) => Ok(Outcome::Throttled),
        other => anyhow::bail!("{other:?}"),
    }
}

/// What an attack does meanwhile.
pub(crate) type Running<'a> = Pin<Box<dyn Future<Output = anyhow::Result<Outcome>> + Send + 'a>>;

/// A party under attack, with all that is around it.
pub(crate) trait Arena: Sized {
    /// The party's name in the table.
    const PARTY: &str;

    /// Everything is up, and the honest session with it.
    async fn start() -> anyhow::Result<(Self, Honest)>;

    /// The process that is attacked.
    fn victim(&mut self) -> &mut Victim;
}

/// One attack.
pub(crate) struct Attack<A> {
    /// What is done, as a name.
    pub(crate) name: &'static str,
    /// What is to come of it.
    pub(crate) expected: Outcome,
    /// How much the process may grow, in MiB.
    pub(crate) memory: u64,
    /// Does it.
    pub(crate) act: for<'a> fn(&'a mut A) -> Running<'a>,
}

/// How often something is done, in an attack of the usual size.
pub(crate) fn scaled(amount: u64) -> u64 {
    amount.saturating_mul(scale().into())
}

fn scale() -> u32 {
    let scale = std::env::var("KWIK_ATTACK_SCALE").ok().and_then(|text| text.parse().ok());
    scale.unwrap_or(1).max(1)
}

impl<A: Arena> Attack<A> {
    /// Starts what is attacked, attacks, and looks what came of it.
    pub(crate) async fn run(&self) -> Row {
        let mut row = Row::new(A::PARTY, self.name, self.expected, self.memory);
        if let Err(error) = self.observe(&mut row).await {
            row.fail(format!("{error:#}"));
        }
        row
    }

    async fn observe(&self, row: &mut Row) -> anyhow::Result<()> {
        let (mut arena, mut honest) = A::start().await?;
        let before = honest.pace(BASELINE).await?;
        arena.victim().mark();
        let side = honest.run();
        let act = AssertUnwindSafe((self.act)(&mut arena)).catch_unwind();
        let patience = PATIENCE.saturating_mul(scale());
        let seen = tokio::time::timeout(patience, act).await;
        let during = side.stop().await;
        let victim = arena.victim();
        let grown = victim.grown();
        row.memory(grown.resident);
        row.log(grown.log, LOG);
        row.panics(victim.panics());
        match seen {
            Ok(Ok(Ok(seen))) => row.seen(seen),
            Ok(Ok(Err(error))) => row.fail(format!("{error:#}")),
            Ok(Err(panic)) => row.fail(said(&*panic)),
            Err(_) => row.fail(format!("not over after {patience:?}")),
        }
        if !victim.runs() {
            row.fail("the process has ended".to_owned());
        }
        match during {
            Ok((_, during)) => row.pace(before, during),
            Err(error) => {
                let log = std::env::temp_dir().join(format!("kwik-hostile-{}.log", self.name));
                let kept = std::fs::write(&log, victim.log()).map(|()| log);
                row.fail(format!("the honest session: {error:#}; the log is in {kept:?}"));
            }
        }
        Ok(())
    }
}

/// What an assertion that failed says.
pub(crate) fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_owned()
}

/// A list of attacks on an arena: name, what comes of it, and what is done.
macro_rules! attacks {
    ($list:ident on $arena:ty; $($(#[doc = $doc:literal])* $name:ident $(within $memory:literal MiB)? => $expected:expr, |$it:ident| $body:block)*) => {
        $(
            $(#[doc = $doc])*
            fn $name<'a>($it: &'a mut $arena) -> $crate::attack::Running<'a> {
                Box::pin(async move {
                    let seen: $crate::attack::Outcome = { $body }.into();
                    Ok(seen)
                })
            }
        )*
        pub(crate) const $list: &[$crate::attack::Attack<$arena>] = &[$(
            $crate::attack::Attack {
                name: stringify!($name),
                expected: $expected,
                memory: { let memory = $crate::attack::MEMORY; $(let _ = memory; let memory = $memory;)? memory },
                act: $name,
            },
        )*];
    };
}

pub(crate) use attacks;
