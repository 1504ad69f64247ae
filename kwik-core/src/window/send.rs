//! The sender's side of a window.

use kwik_proto::Offset;

/// How far the peer lets this end send on one stream half.
///
/// ```
/// use kwik_core::window::SendWindow;
/// use kwik_proto::Offset;
///
/// let mut window = SendWindow::new(100);
/// assert!(!window.extend(Offset::new(50).unwrap()), "a window never falls");
/// assert!(window.extend(Offset::new(200).unwrap()));
/// assert_eq!(window.room_at(Offset::new(150).unwrap()), 50);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendWindow {
    max_offset: Offset,
}

impl SendWindow {
    /// A window of `initial` bytes from the start of the stream, as the peer's Hello or Welcome told it.
    pub const fn new(initial: u64) -> Self {
        Self { max_offset: Offset::ZERO.saturating_add(initial) }
    }

    /// First offset that may not be sent.
    pub const fn max_offset(self) -> Offset {
        self.max_offset
    }

    /// Bytes that may be sent from `offset` on.
    pub const fn room_at(self, offset: Offset) -> u64 {
        self.max_offset.since(offset)
    }

    /// Moves the window to `max_offset`; `false`, and no change, if it is not beyond the window in force (frames of
    /// different paths may overtake one another).
    pub fn extend(&mut self, max_offset: Offset) -> bool {
        let moved = max_offset > self.max_offset;
        if moved {
            self.max_offset = max_offset;
        }
        moved
    }
}
