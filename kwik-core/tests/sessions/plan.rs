//! What happens in one run, decided by its seed.

use std::time::Duration;

use kwik_core::conflict::ConflictPolicy;
use kwik_core::delegation::Local;

/// A generator that needs no crate: xorshift64*.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % sides.max(1)
    }

    fn one_in(&mut self, sides: u64) -> bool {
        self.roll(sides) == 0
    }

    fn millis(&mut self, below: u64) -> Duration {
        Duration::from_millis(self.roll(below))
    }
}

/// What a secondary does with its orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    Honest,
    /// Refuses everything.
    Refuses,
    /// Accepts and sends nothing.
    Hangs,
    /// Breaks every other contribution off in the middle.
    Breaks,
    /// Its connection is lost so long after each greeting.
    Dies(Duration),
    /// Can't be reached.
    Unreachable,
    /// Sends other bytes than everybody else. Only under Reject: the others take what comes first.
    Lies,
}

#[derive(Clone, Debug)]
pub(crate) struct ServerPlan {
    pub manner: Manner,
    pub delay: Duration,
    /// Nothing goes to it or comes from it: from when, how long.
    pub silence: Option<(Duration, Duration)>,
    /// When the primary takes it out.
    pub removal: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opener {
    Client,
    Primary,
}

/// Who sends what the client reads, behind the head that the primary writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Supply {
    /// The primary's application writes everything.
    Written,
    /// Delegated, with this provider at the primary.
    Delegated(Local),
    /// Every secondary has a grant without an end and writes its share of the pieces. Only where all are honest and stay.
    Granted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Complete,
    /// The primary's application resets what it sends.
    Reset(Duration),
    /// The client's application stops reading.
    Stop(Duration),
}

#[derive(Clone, Debug)]
pub(crate) struct StreamPlan {
    pub opener: Opener,
    pub bidirectional: bool,
    pub download: u64,
    pub head: u64,
    /// What the client sends.
    pub upload: u64,
    pub supply: Supply,
    pub fate: Fate,
    pub opens_at: Duration,
    /// The longest pause between two reads.
    pub pause: Duration,
}

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub seed: u64,
    pub policy: ConflictPolicy,
    pub primary_delay: Duration,
    /// When the primary's connection is lost.
    pub primary_lost: Option<Duration>,
    pub servers: Vec<ServerPlan>,
    pub streams: Vec<StreamPlan>,
    /// Relay messages each way and path.
    pub messages: u64,
}

impl Plan {
    pub(crate) fn random(seed: u64) -> Self {
        let mut dice = Dice::new(seed ^ 0x51_7cc1_b727);
        let calm = dice.one_in(4);
        let mut servers: Vec<ServerPlan> =
            (0..dice.roll(5)).map(|_| ServerPlan::random(&mut dice, calm)).collect();
        let policy = match dice.roll(3) {
            0 => ConflictPolicy::FirstWins,
            1 => ConflictPolicy::PrimaryWins,
            _ => ConflictPolicy::Reject,
        };
        if policy != ConflictPolicy::Reject {
            let liars = servers.iter_mut().filter(|server| server.manner == Manner::Lies);
            liars.for_each(|server| server.manner = Manner::Honest);
        }
        let granted = calm && !servers.is_empty();
        let streams = (0..1 + dice.roll(5)).map(|_| StreamPlan::random(&mut dice, granted));
        Self {
            seed,
            policy,
            streams: streams.collect(),
            primary_delay: Duration::from_millis(1 + dice.roll(80)),
            primary_lost: (!calm && dice.one_in(8)).then(|| dice.millis(1_500)),
            messages: dice.roll(12),
            servers,
        }
    }

    /// Whether bytes of some secondary are wrong.
    pub(crate) fn has_liar(&self) -> bool {
        self.servers.iter().any(|server| server.manner == Manner::Lies)
    }

    /// Whether some secondary delivers whatever it is asked for.
    pub(crate) fn has_steady_server(&self) -> bool {
        self.servers.iter().any(|server| {
            server.manner == Manner::Honest && server.silence.is_none() && server.removal.is_none()
        })
    }
}

impl ServerPlan {
    fn random(dice: &mut Dice, calm: bool) -> Self {
        let manner = match dice.roll(10) {
            _ if calm => Manner::Honest,
            0 => Manner::Refuses,
            1 => Manner::Hangs,
            2 => Manner::Breaks,
            3 => Manner::Dies(dice.millis(400)),
            4 => Manner::Unreachable,
            5 => Manner::Lies,
            _ => Manner::Honest,
        };
        let silence = (!calm && dice.one_in(4)).then(|| (dice.millis(1_000), dice.millis(9_000)));
        let removal = (!calm && dice.one_in(6)).then(|| dice.millis(800));
        Self { manner, delay: Duration::from_millis(1 + dice.roll(60)), silence, removal }
    }
}

impl StreamPlan {
    fn random(dice: &mut Dice, granted: bool) -> Self {
        let opener = if dice.one_in(3) { Opener::Primary } else { Opener::Client };
        let bidirectional = !dice.one_in(3);
        let downloads = bidirectional || opener == Opener::Primary;
        let uploads = bidirectional || opener == Opener::Client;
        let bits = [12, 16, 17, 18, 18, 19, 20, 8][dice.roll(8) as usize];
        let download = if downloads { dice.roll(1 << bits) } else { 0 };
        let bits = [0, 8, 17, 19][dice.roll(4) as usize];
        let upload = if uploads { dice.roll(1 << bits) } else { 0 };
        let supply = match dice.roll(6) {
            0 => Supply::Written,
            1 if granted => Supply::Granted,
            2 => Supply::Delegated(Local::Share),
            3 => Supply::Delegated(Local::None),
            _ => Supply::Delegated(Local::Fallback),
        };
        let fate = match dice.roll(8) {
            0 => Fate::Reset(dice.millis(700)),
            1 => Fate::Stop(dice.millis(700)),
            _ => Fate::Complete,
        };
        Self {
            opener,
            bidirectional,
            download,
            head: dice.roll(100 << 10).min(download),
            upload,
            supply,
            fate: if downloads { fate } else { Fate::Complete },
            opens_at: dice.millis(300),
            pause: Duration::from_millis([1, 4, 4, 40][dice.roll(4) as usize]),
        }
    }
}
