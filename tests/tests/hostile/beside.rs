//! What an attack costs the honest session beside it, against what one more honest session costs it.
//!
//! `cargo test -p kwik-tests --test hostile -- --beside [WORDS]`. A time or a rate alone says how busy the machine is. So
//! each attack takes turns with a rival, an honest session at the same process that exchanges as fast as it can, for as long.
//! The session that is measured may be a quarter slower beside the attack than beside the rival, in its rate and in its
//! slowest exchanges: the medians over the turns, each with the one before it. So an attacker who takes more of what is
//! attacked than an honest client does fails, on a busy machine and on an idle one.
//!
//! What the attacker's own end costs is nobody's fault: it and the rival's run at the lowest priority, and get what the
//! measured session and what is attacked leave.
//!
//! `KWIK_BESIDE_TURNS` says how many turns there are (5).

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use kwik_tests::bare::BareServer;
use tokio::runtime::{Builder, Handle};

use crate::attack::{Arena, Attack};
use crate::client::{self, ByPrimary, BySecondary};
use crate::honest::{Honest, Measured};
use crate::primary::Primary;
use crate::program::Program;
use crate::secondary::Secondary;
use crate::{primary, program, secondary};

/// How much worse the session may be, in its rate and in its slowest exchanges.
const MOST: f64 = 1.25;
/// How long a turn is, at least.
const TURN: Duration = Duration::from_secs(2);
/// Longest that an attack may take. Only what hangs takes so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// One attack of each kind.
const CHOSEN: &[&str] = &[
    // On a primary: handshakes, floods of control frames, streams, what is not read.
    "two_thousand_initials",
    "datagrams_of_noise",
    "sessions_that_come_and_go",
    "pings",
    "progress_with_all_ranges",
    "frames_of_a_later_version",
    "floods_of_many_clients",
    "streams_reset_at_once",
    "frames_without_bytes",
    "uploads_of_one_byte",
    "a_hundred_answers_never_read",
    // On a secondary.
    "many_good_tokens",
    "pings_at_a_secondary",
    "orders_of_noise",
    // On a client.
    "pings_at_a_client",
    "paths_added_and_removed",
    "pings_of_a_secondary",
    "contributions_that_end_at_once",
    "contributions_of_single_bytes",
    // On the program.
    "requests_one_after_the_other",
    "requests_that_are_given_up",
    "a_hundred_files_that_nobody_reads",
];

/// What is started on another runtime.
type Started<A> = Pin<Box<dyn Future<Output = anyhow::Result<(A, Honest)>> + Send>>;

/// An arena with room for one more honest session.
trait Rivalry: Arena {
    fn rival(self) -> Started<Self>;
}

macro_rules! rivalry {
    ($arena:ty, $it:ident => $rival:expr) => {
        impl Rivalry for $arena {
            fn rival(mut self) -> Started<Self> {
                Box::pin(async move {
                    let $it = &mut self;
                    let rival = $rival?;
                    Ok((self, rival))
                })
            }
        }
    };
}

rivalry!(Primary, it => it.honest().await);
rivalry!(Secondary, it => it.another().await);
// What attacks a client is a server: it too belongs where the rival is.
rivalry!(ByPrimary, it => {
    it.server = BareServer::start();
    client::honest(it.victim()).await
});
rivalry!(BySecondary, it => {
    it.server = BareServer::start();
    client::honest(it.victim()).await
});
rivalry!(Program, it => it.honest().await);

/// Runs the attacks whose names have one of these words, or the chosen ones.
pub(crate) fn main(words: &[String]) -> ExitCode {
    let runtime = Builder::new_multi_thread().enable_all().build().unwrap();
    // Threads that these start have it too.
    let yielding = || rustix::process::setpriority_process(None, 19).unwrap();
    let low = Builder::new_multi_thread().enable_all().on_thread_start(yielding).build().unwrap();
    println!(
        "| attacked | attack | alone | beside a rival | beside the attack | rate | p99 \
         | its processor time beside each | |\n|---|---|---|---|---|---|---|---|---|"
    );
    let worse = runtime.block_on(async {
        let low = low.handle();
        let mut worse = all(primary::LISTS, words, low).await;
        worse += all(secondary::LISTS, words, low).await;
        worse += all(client::BY_PRIMARIES, words, low).await;
        worse += all(client::BY_SECONDARIES, words, low).await;
        worse + all(program::LISTS, words, low).await
    });
    runtime.shutdown_background();
    low.shutdown_background();
    println!("\n{worse} are too much");
    if worse == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn all<A: Rivalry + Send + 'static>(
    lists: &'static [&'static [Attack<A>]],
    words: &[String],
    low: &Handle,
) -> usize {
    let mut worse = 0;
    for attack in lists.iter().copied().flatten() {
        let chosen = match words {
            [] => CHOSEN.contains(&attack.name),
            words => words.iter().any(|word| attack.name.contains(&**word)),
        };
        if chosen {
            match turns(attack, low).await {
                Ok(seen) => worse += usize::from(!seen.print(A::PARTY, attack.name)),
                Err(error) => {
                    println!("| {} | {} | {error:#} | FAILED |", A::PARTY, attack.name);
                    worse += 1;
                }
            }
        }
    }
    worse
}

/// What the session had in its turns.
#[derive(Default)]
struct Seen {
    alone: Vec<Measured>,
    rival: Vec<Measured>,
    attack: Vec<Measured>,
    /// Processor time of what is attacked, in seconds: in the rival's turns, and in the attack's.
    used: [f64; 2],
}

async fn turns<A: Rivalry + Send + 'static>(
    attack: &'static Attack<A>,
    low: &Handle,
) -> anyhow::Result<Seen> {
    let turns = std::env::var("KWIK_BESIDE_TURNS").ok().and_then(|text| text.parse().ok());
    let (arena, mut honest) = A::start().await?;
    let (mut arena, mut rival) = low.spawn(arena.rival()).await??;
    let mut seen = Seen::default();
    for _ in 0..turns.unwrap_or(5) {
        seen.alone.push(honest.pace(100).await?);

        let before = arena.victim().used();
        let (side, other) = (honest.run(), rival.run_on(low));
        tokio::time::sleep(TURN).await;
        let measured;
        (honest, measured) = side.stop().await?;
        (rival, _) = other.stop().await?;
        seen.rival.push(measured);
        seen.used[0] += arena.victim().used() - before;

        let before = arena.victim().used();
        let side = honest.run();
        arena = low.spawn(again_and_again(attack, arena)).await?;
        let measured;
        (honest, measured) = side.stop().await?;
        seen.attack.push(measured);
        seen.used[1] += arena.victim().used() - before;
    }
    Ok(seen)
}

/// Attacks for a turn.
async fn again_and_again<A>(attack: &'static Attack<A>, mut arena: A) -> A {
    let start = Instant::now();
    while start.elapsed() < TURN {
        // What comes of it is the suite's matter.
        let act = AssertUnwindSafe((attack.act)(&mut arena)).catch_unwind();
        let _ = tokio::time::timeout(PATIENCE, act).await;
    }
    arena
}

impl Seen {
    /// Prints a row; whether it is within the bound.
    fn print(&self, party: &str, attack: &str) -> bool {
        let rate = self.worse(|rival, attack| rival.rate() / attack.rate());
        let p99 = self.worse(|rival, attack| attack.p99.as_secs_f64() / rival.p99.as_secs_f64());
        let holds = rate <= MOST && p99 <= MOST;
        let [beside, during] = self.used;
        println!(
            "| {party} | {} | {} | {} | {} | x{:.2} | x{p99:.2} | {beside:.1} s, {during:.1} s | {} |",
            attack.replace('_', " "),
            shown(&self.alone),
            shown(&self.rival),
            shown(&self.attack),
            1.0 / rate,
            if holds { "ok" } else { "FAILED" },
        );
        holds
    }

    /// The median over the turns.
    fn worse(&self, ratio: impl Fn(&Measured, &Measured) -> f64) -> f64 {
        let turns = self.rival.iter().zip(&self.attack);
        median(turns.map(|(rival, attack)| ratio(rival, attack)).collect())
    }
}

fn shown(turns: &[Measured]) -> String {
    let rate = median(turns.iter().map(Measured::rate).collect());
    let p99 = median(turns.iter().map(|it| it.p99.as_secs_f64() * 1e3).collect());
    format!("{rate:.0}/s, {p99:.0} ms")
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
