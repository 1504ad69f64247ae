//! What the session has promised in all.

/// The session's account of promised memory.
///
/// It counts what peers *may* send, not what they sent: 1.5 times the sum of `max_offset - read_offset` over the open
/// halves, since a half may pin 1.5 times its bytes before it compacts. The account is never overdrawn, so memory
/// stays bounded however the peers behave.
///
/// Every stream that the limits allow has a floor set aside from the start: a new stream always gets one, even when the
/// others took all the rest. Where the total is less than the floors, the floors are the total.
///
/// ```
/// use kwik_core::window::Budget;
///
/// let mut budget = Budget::new(Budget::DEFAULT_TOTAL, 200);
/// assert_eq!(budget.initial_window(), 4 << 20);
/// assert!(budget.admit());
/// let window = budget.grow(Budget::FLOOR, 1 << 20);
/// assert_eq!(window, 1 << 20);
/// budget.release(window);
/// assert_eq!(budget.promised(), 0);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Bytes of memory that may be promised, floors included.
    total: u64,
    /// Bytes of window that each stream has for sure.
    floor: u64,
    /// Streams that the limits allow.
    streams: u32,
    /// Streams that are open.
    open: u32,
    /// Bytes of memory promised to open streams beyond their floors.
    beyond: u64,
    /// Bytes of memory at which nothing is promised any more beyond floors, as things stand.
    limit: u64,
}

impl Budget {
    /// 128 MiB, when the session is not told otherwise. Lower limits the speed of many fast streams over long ways,
    /// higher lets peers fill more memory of a reader that does not read.
    pub const DEFAULT_TOTAL: u64 = 128 << 20;
    /// 64 KiB of window for every stream that the limits allow.
    pub const FLOOR: u64 = 64 << 10;
    /// 4 MiB, the most that a stream starts with.
    pub const LARGEST_INITIAL: u64 = 4 << 20;

    /// An account of `total` bytes for at most `streams` open halves.
    pub fn new(total: u64, streams: u32) -> Self {
        Self::with_floor(total, streams, Self::FLOOR)
    }

    /// As [`Budget::new`], with another floor: the initial window in Hello or Welcome where that is not
    /// [`Budget::FLOOR`], since it is promised before a stream opens.
    pub fn with_floor(total: u64, streams: u32, floor: u64) -> Self {
        let total = total.max(memory(floor).saturating_mul(u64::from(streams)));
        Self { total, floor, streams, open: 0, beyond: 0, limit: u64::MAX }
    }

    /// Bytes of memory that may be promised.
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// Bytes of window that every stream has for sure.
    pub const fn floor(&self) -> u64 {
        self.floor
    }

    /// Bytes of memory promised to open streams. At most [`Budget::total`].
    pub fn promised(&self) -> u64 {
        memory(self.floor) * u64::from(self.open) + self.beyond
    }

    /// Sets how many bytes of memory the session may promise as things stand, where it shares a memory with others (see
    /// [`fair_part`](super::fair_part)). Below what it has promised nothing is taken back, and floors are given all the same.
    ///
    /// ```
    /// use kwik_core::window::Budget;
    ///
    /// let mut budget = Budget::new(Budget::DEFAULT_TOTAL, 200);
    /// budget.set_limit(0);
    /// assert_eq!(budget.free(), 0);
    /// assert_eq!(budget.initial_window(), Budget::FLOOR);
    /// ```
    pub fn set_limit(&mut self, bytes: u64) {
        self.limit = bytes;
    }

    /// Bytes of window that can still be promised beyond the floors.
    pub fn free(&self) -> u64 {
        let floors = memory(self.floor) * u64::from(self.streams.max(self.open));
        let own = self.total.saturating_sub(floors).saturating_sub(self.beyond);
        own.min(self.limit.saturating_sub(self.promised())) / 3 * 2
    }

    /// Bytes of window that a new stream starts with: a quarter of what is free, at most 4 MiB, at least the floor.
    pub fn initial_window(&self) -> u64 {
        self.floor.max(Self::LARGEST_INITIAL.min(self.free() / 4))
    }

    /// A stream opens and takes its floor. `false` if as many are open as the limits allow.
    pub fn admit(&mut self) -> bool {
        let admitted = self.open < self.streams;
        if admitted {
            self.open += 1;
        }
        admitted
    }

    /// Grows an admitted stream's window from `window` bytes to `wanted`, or as far as the account allows; returns the
    /// window in force. Never less than `window`.
    pub fn grow(&mut self, window: u64, wanted: u64) -> u64 {
        let base = window.max(self.floor);
        let granted = wanted.min(base.saturating_add(self.free())).max(window);
        self.beyond += self.beyond_floor(granted) - self.beyond_floor(window);
        granted
    }

    /// An admitted stream with a window of `window` bytes closes.
    pub fn release(&mut self, window: u64) {
        self.beyond = self.beyond.saturating_sub(self.beyond_floor(window));
        self.open = self.open.saturating_sub(1);
    }

    fn beyond_floor(&self, window: u64) -> u64 {
        memory(window.saturating_sub(self.floor))
    }
}

/// Bytes of memory that `window` bytes of window may cost: half as much again, rounded up.
pub(crate) const fn memory(window: u64) -> u64 {
    window.saturating_add(window.div_ceil(2))
}
