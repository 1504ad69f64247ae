//! What the scheduler is told once.

use std::time::Duration;

use super::constants::{FRAME, MORE, SILENCE};

/// What is risked on a path, or wasted, before anything is known. Less: paths start slowly (measured: with half of it 8 equal links
/// reach 94.2 instead of 95.8 % of their sum); more: a path that turns out to be slow holds the head of a short stream.
const FIRST: u64 = 256 << 10;

/// The numbers behind the scheduler's decisions. [`DelegationConfig::default`] is what the drivers use.
///
/// ```
/// use kwik_core::delegation::DelegationConfig;
///
/// let config = DelegationConfig::default();
/// assert_eq!(config.floor, 64 * 1024);
/// assert!(config.switches.hedging);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct DelegationConfig {
    /// Smallest range handed out while a larger one is left, in bytes. Default: 64 KiB. Lower: one order and one
    /// carrier for few bytes; higher: a slow path holds more of the stream's head.
    pub floor: u64,
    /// Largest range, in bytes. Default: 4 MiB. Lower: more orders to sign on fast paths; higher: more to take over
    /// when a path dies.
    pub ceiling: u64,
    /// First ranges of a path that was never measured, in bytes. Default: 256 KiB.
    pub first_range: u64,
    /// What a path is taken to move before anything is measured, in bytes per second. Default: 2.5 MB/s (20 Mbit/s).
    /// Only the proportion to measured paths matters, and only until the first report.
    pub first_rate: u64,
    /// Bytes kept outstanding on a path, in units of `rate * L` (one turn of its control loop). Default: 1.25. Below 1
    /// a path idles while its next order travels.
    pub outstanding_gain: f64,
    /// Redundant bytes that hedges and the end game may cause, as a share of the delivered bytes. Default: 0.0125, less
    /// than half of what may be sent in vain: the wire also carries what is thrown away with a carrier, and KWIK's own frames.
    pub redundancy_share: f64,
    /// Redundant bytes allowed before anything is delivered. Default: 256 KiB.
    pub redundancy_opening: u64,
    /// Longest wait of the client between two reports at an RTT of zero. Default: 5 ms; RTT_primary/8 if that is
    /// more.
    pub report_interval: Duration,
    /// First pause of a source that said Busy or failed; doubles up to [`pause_longest`](Self::pause_longest).
    /// Default: 250 ms.
    pub pause_first: Duration,
    /// Longest such pause. Default: 4 s.
    pub pause_longest: Duration,
    /// Plans open at a time; [`Full`](super::DelegateError::Full) answers the next. Default: 4,096. The primary's
    /// application pays.
    pub plans: usize,
    /// Delegations remembered at a time, live ones and such as were taken back and may still deliver. Default: 16,384.
    /// When full nothing new is handed out until one is done.
    pub delegations: usize,
    /// Which mechanisms run. All, but in the laboratory.
    pub switches: Switches,
}

impl Default for DelegationConfig {
    fn default() -> Self {
        Self {
            floor: FRAME,
            ceiling: 4 << 20,
            first_range: FIRST,
            first_rate: 2_500_000,
            outstanding_gain: MORE,
            redundancy_share: 0.0125,
            redundancy_opening: FIRST,
            report_interval: Duration::from_millis(5),
            pause_first: SILENCE,
            pause_longest: Duration::from_secs(4),
            plans: 4096,
            delegations: 16_384,
            switches: Switches::default(),
        }
    }
}

/// Mechanisms that the laboratory switches off one at a time, to show what each is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switches {
    /// A path gets a range only where it should finish before the reader arrives, and loses a head that it is too slow for.
    /// Off: whoever asks gets the head, and keeps it.
    pub admission: bool,
    /// Late heads are copied to a second source. Off: the reader waits for the first.
    pub hedging: bool,
    /// Lost ranges go back to the pool. Off: they stay lost.
    pub repair: bool,
    /// Ranges shrink towards the end of a plan and idle paths copy what slower ones still owe. Off: neither.
    pub end_game: bool,
}

impl Default for Switches {
    fn default() -> Self {
        Self { admission: true, hedging: true, repair: true, end_game: true }
    }
}
