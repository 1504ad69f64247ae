//! Frames that wait to be written.

use std::collections::{BTreeMap, VecDeque};

use bytes::{Bytes, BytesMut};
use kwik_proto::frame::{ControlFrame, PathState, PathStatus};
use kwik_proto::{PathId, StreamId};

/// Bytes of frames, without relay pieces, that may wait: 1 MiB, which is 64 round trips of the writer. When it is full
/// the peer has not acknowledged for that long, and pays: its path is to be closed.
pub(super) const MAX_WAITING: usize = 1 << 20;
/// Bytes of relay pieces that may wait: 256 KiB. When it is full the application that sends messages pays: Busy.
pub(super) const MAX_RELAYS: usize = 256 << 10;

/// Why a frame was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PushError {
    /// Too much waits for the peer. For a relay piece: ask again later. For anything else: close the path.
    #[error("the control channel is full")]
    Full,
    /// The channel is over.
    #[error("the control channel is closed")]
    Closed,
}

/// What a frame is the latest state of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Slot {
    Window(StreamId),
    Progress(StreamId),
    Path(PathId),
    Credit(PathId),
}

/// Frames in the order in which they are to go out.
///
/// Ordinary frames keep the order of their pushes. A state frame replaces the waiting one of the same stream or path,
/// in that one's place, so that a window stays behind the grant it was pushed after. A `PathStatus` of Suspect or Gone
/// moves to the end instead: the `StreamProgress` pushed before it goes out before it. Relay pieces wait until there
/// is nothing else.
#[derive(Debug, Default)]
pub(super) struct Queue {
    frames: BTreeMap<u64, (Option<Slot>, Bytes)>,
    places: BTreeMap<Slot, u64>,
    next_place: u64,
    waiting: usize,
    relays: VecDeque<Bytes>,
    relays_waiting: usize,
}

impl Queue {
    pub(super) fn push(&mut self, frame: &ControlFrame) -> Result<(), PushError> {
        let mut out = BytesMut::new();
        frame.encode(&mut out);
        let bytes = out.freeze();
        match (frame, slot(frame)) {
            (ControlFrame::Relay(_), _) => self.push_relay(bytes),
            (_, Some(slot)) => self.push_state(slot, moves_to_end(frame), bytes),
            (_, None) => self.append(None, bytes),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty() && self.relays.is_empty()
    }

    /// The next frame if it has at most `room` bytes, or whatever it has if `room` is all there is.
    pub(super) fn pop(&mut self, room: Room) -> Option<Bytes> {
        if let Some(first) = self.frames.first_entry() {
            if !room.takes(first.get().1.len()) {
                return None;
            }
            let (slot, bytes) = first.remove();
            if let Some(slot) = slot {
                self.places.remove(&slot);
            }
            self.waiting -= bytes.len();
            if self.frames.is_empty() {
                // An idle session keeps no room for frames.
                self.frames = BTreeMap::new();
            }
            return Some(bytes);
        }
        if !room.takes(self.relays.front()?.len()) {
            return None;
        }
        let bytes = self.relays.pop_front()?;
        self.relays_waiting -= bytes.len();
        Some(bytes)
    }

    fn push_relay(&mut self, bytes: Bytes) -> Result<(), PushError> {
        if self.relays_waiting + bytes.len() > MAX_RELAYS {
            return Err(PushError::Full);
        }
        self.relays_waiting += bytes.len();
        self.relays.push_back(bytes);
        Ok(())
    }

    fn push_state(&mut self, slot: Slot, to_end: bool, bytes: Bytes) -> Result<(), PushError> {
        let Some(place) = self.places.get(&slot).copied() else {
            return self.append(Some(slot), bytes);
        };
        let old = self.frames.get(&place).map_or(0, |(_, old)| old.len());
        if self.waiting - old + bytes.len() > MAX_WAITING {
            return Err(PushError::Full);
        }
        if to_end {
            self.frames.remove(&place);
            self.waiting -= old;
            return self.append(Some(slot), bytes);
        }
        self.waiting = self.waiting - old + bytes.len();
        self.frames.insert(place, (Some(slot), bytes));
        Ok(())
    }

    fn append(&mut self, slot: Option<Slot>, bytes: Bytes) -> Result<(), PushError> {
        if self.waiting + bytes.len() > MAX_WAITING {
            return Err(PushError::Full);
        }
        self.waiting += bytes.len();
        if let Some(slot) = slot {
            self.places.insert(slot, self.next_place);
        }
        self.frames.insert(self.next_place, (slot, bytes));
        self.next_place += 1;
        Ok(())
    }
}

/// How much may be handed to QUIC now.
#[derive(Clone, Copy, Debug)]
pub(super) enum Room {
    /// Nothing is unacknowledged: a frame larger than the whole limit goes alone.
    Whole(usize),
    /// That many bytes are left.
    Rest(usize),
}

impl Room {
    fn takes(self, size: usize) -> bool {
        match self {
            Self::Whole(_) => true,
            Self::Rest(room) => size <= room,
        }
    }

    pub(super) fn after(self, size: usize) -> Self {
        match self {
            Self::Whole(room) | Self::Rest(room) => Self::Rest(room.saturating_sub(size)),
        }
    }
}

fn slot(frame: &ControlFrame) -> Option<Slot> {
    match frame {
        ControlFrame::StreamWindow(window) => Some(Slot::Window(window.stream)),
        ControlFrame::StreamProgress(progress) => Some(Slot::Progress(progress.stream)),
        ControlFrame::PathStatus(status) => Some(Slot::Path(status.path)),
        ControlFrame::RelayCredit(credit) => Some(Slot::Credit(credit.path)),
        _ => None,
    }
}

fn moves_to_end(frame: &ControlFrame) -> bool {
    matches!(
        frame,
        ControlFrame::PathStatus(PathStatus { state: PathState::Suspect | PathState::Gone, .. })
    )
}

#[cfg(test)]
mod tests;
