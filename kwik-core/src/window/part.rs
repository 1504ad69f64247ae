//! Who may hold how much of a memory that many share.

/// What every stream may hold, however many there are: a write of the usual size. Lower: many streams crawl when memory is
/// short; higher: as many streams as a peer allows hold more.
pub const LEAST_PART: u64 = 64 << 10;

/// What one of those that share `total` bytes may hold, of which all hold `used` together: an eighth of what is free.
///
/// A threshold that falls as the memory fills (Choudhury and Hahne, "Dynamic queue length thresholds for shared-memory packet
/// switches", 1998): a few that want much have much, many have equal parts, and an eighth of one part is always left for the
/// next one. No more than the total is used as long as each takes no more than its part.
///
/// ```
/// use kwik_core::window::fair_part;
///
/// assert_eq!(fair_part(800, 0), 100);
/// // Eight have as much each as is left.
/// assert_eq!(fair_part(800, 400), 50);
/// assert_eq!(fair_part(800, 900), 0);
/// ```
pub const fn fair_part(total: u64, used: u64) -> u64 {
    total.saturating_sub(used) / 8
}

/// What one stream of a session may hold, where the session may hold `limit` bytes and holds `used`: as much as is free, so
/// that one stream alone has half and a hundred that nobody reads leave a hundredth for the next. At least
/// [`LEAST_PART`].
///
/// ```
/// use kwik_core::window::{LEAST_PART, stream_part};
///
/// assert_eq!(stream_part(10 << 20, 2 << 20), 8 << 20);
/// assert_eq!(stream_part(10 << 20, 20 << 20), LEAST_PART);
/// ```
pub const fn stream_part(limit: u64, used: u64) -> u64 {
    let free = limit.saturating_sub(used);
    if free < LEAST_PART { LEAST_PART } else { free }
}
