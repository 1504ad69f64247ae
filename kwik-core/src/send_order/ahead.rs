//! Whose writer may write next: what a path's application reads before QUIC can send it.

use kwik_proto::Offset;

use super::{MOST, SendOrder};

/// Bytes that may be written and not handed over, over all carriers of a path, beside a congestion window: what is sent while
/// disks are read. Lower: the path waits for a slow disk, as each read is of [`READ`] bytes. Higher: memory of each path, and what is
/// more urgent is read after that much.
const LEAST: u64 = 1 << 20;

/// What a writer is expected to write once it may: a piece of a file. It counts from then on until the writer has written, so that
/// no more writers are let read than there is room for.
pub(super) const READ: u64 = 128 << 10;

pub(super) fn most(congestion_window: u64) -> u64 {
    LEAST + congestion_window.min(MOST)
}

/// What one carrier's writer has written ahead of QUIC.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    queued: u64,
    /// It may write, and has not yet.
    may: bool,
    /// QUIC takes nothing of the carrier: what it has keeps nobody else from writing.
    blocked: bool,
    wants: Option<Offset>,
    /// What the sums have of it.
    counted: u64,
}

impl SendOrder {
    /// The carrier's writer has bytes for that offset, or wants to read them: whether it may. If not, it waits until
    /// [`admit`](Self::admit) names it. It may once, up to its next [`wrote`](Self::wrote).
    ///
    /// The path as a whole has a bound: 1 MiB and a congestion window, which is 4 MiB at most, wait for QUIC. Where there is
    /// room for one more, urgent carriers go first, then those of the stream with the highest priority; of equal ones the stream
    /// that has the least waiting, and of one stream the lowest offset.
    pub fn may_write(&mut self, carrier: u64, offset: Offset) -> bool {
        let Some(entry) = self.carriers.get_mut(&carrier) else { return true };
        if entry.ahead.may {
            return true;
        }
        self.want(carrier, Some(offset));
        self.next_writer() == Some(carrier) && self.admit() == Some(carrier)
    }

    /// Lets the writer whose turn it is write, if there is one that waits and there is room: it is to be woken. One that does not
    /// write then keeps no more than 128 KiB from the others.
    pub fn admit(&mut self) -> Option<u64> {
        let carrier = self.next_writer()?;
        self.want(carrier, None);
        self.change_ahead(carrier, |ahead| ahead.may = true);
        Some(carrier)
    }

    /// The carrier's writer writes no more.
    pub fn withdraw(&mut self, carrier: u64) {
        self.want(carrier, None);
        self.change_ahead(carrier, |ahead| ahead.may = false);
    }

    /// So much is written on the carrier and not handed over now.
    pub fn wrote(&mut self, carrier: u64, queued: u64) {
        self.change_ahead(carrier, |ahead| (ahead.queued, ahead.may) = (queued, false));
    }

    /// So much is left of it: some was handed over.
    pub fn left(&mut self, carrier: u64, queued: u64) {
        self.change_ahead(carrier, |ahead| ahead.queued = queued);
    }

    /// QUIC takes nothing of the carrier, though it has bytes.
    pub fn block(&mut self, carrier: u64) {
        self.idle(carrier);
        self.change_ahead(carrier, |ahead| ahead.blocked = true);
    }

    /// The carrier whose writer is next, if there is one that waits and there is room.
    fn next_writer(&self) -> Option<u64> {
        if self.writers == 0 || self.written >= self.most_written {
            return None;
        }
        if let Some((_, carrier)) = self.urgent_writers.first() {
            return Some(*carrier);
        }
        let wait = self.streams.iter().filter(|(_, stream)| !stream.writers.is_empty());
        let first = wait.min_by_key(|(id, it)| (std::cmp::Reverse(it.priority), it.written, **id));
        first.and_then(|(_, stream)| stream.writers.first()).map(|(_, carrier)| *carrier)
    }

    /// Bytes that are written and not handed over, and those that writers are expected to write.
    pub fn written(&self) -> u64 {
        self.written
    }

    pub(super) fn unblock(&mut self, carrier: u64) {
        self.change_ahead(carrier, |ahead| ahead.blocked = false);
    }

    pub(super) fn close_writer(&mut self, carrier: u64) {
        self.want(carrier, None);
        self.change_ahead(carrier, |ahead| {
            *ahead = Ahead { counted: ahead.counted, ..Ahead::default() }
        });
    }

    fn want(&mut self, carrier: u64, offset: Option<Offset>) {
        let Some(entry) = self.carriers.get_mut(&carrier) else { return };
        let before = std::mem::replace(&mut entry.ahead.wants, offset);
        let stream = self.streams.get_mut(&entry.stream).map(|stream| &mut stream.writers);
        let waiting = if entry.urgent { Some(&mut self.urgent_writers) } else { stream };
        let Some(waiting) = waiting else { return };
        if let Some(before) = before {
            waiting.remove(&(before, carrier));
            self.writers -= 1;
        }
        if let Some(offset) = offset {
            waiting.insert((offset, carrier));
            self.writers += 1;
        }
    }

    fn change_ahead(&mut self, carrier: u64, change: impl FnOnce(&mut Ahead)) {
        let Some(entry) = self.carriers.get_mut(&carrier) else { return };
        let ahead = &mut entry.ahead;
        change(ahead);
        let expected = if ahead.may { READ } else { 0 };
        let counts = if ahead.blocked { 0 } else { ahead.queued.saturating_add(expected) };
        let before = std::mem::replace(&mut ahead.counted, counts);
        self.written = (self.written - before).saturating_add(counts);
        if let Some(stream) = self.streams.get_mut(&entry.stream) {
            stream.written = (stream.written - before).saturating_add(counts);
        }
    }
}

#[cfg(test)]
mod tests;
