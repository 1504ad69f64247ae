//! Bytes at offsets from many sources in, ordered bytes out.

mod block;
mod chunk;
mod runs;

#[cfg(test)]
mod tests;

use bytes::Bytes;
use kwik_proto::frame::HeldRange;
use kwik_proto::{ByteRange, Offset, PathId};

use block::{Blocks, Buffer};
use chunk::{Chunk, Chunks};
use runs::{RunKey, Runs};

use crate::time::Instant;

/// What a reassembler remembers of one source between two inserts: which run it appended to, and which buffer its bytes
/// lay in. Starts as `Hint::default()`; one per carrier. A wrong one costs time, never bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hint {
    run: RunKey,
    buffer: Buffer,
}

/// The bytes of one stream half between the reader and the network.
///
/// What arrives first stays: an insert fills holes, and the rest of it is dropped. (A policy that decides otherwise
/// [`discard`](Self::discard)s before it inserts.) Nothing is copied, except where the memory kept alive would pass the
/// [bound](Self::set_bound).
///
/// In-order bytes go straight to the queue that reads are served from. Bytes beyond a hole go to runs: one run is
/// what one path sent without a hole, in an ordered map. A source that appends finds its run through its [`Hint`] and
/// touches nothing else, so the cost of an insert does not depend on how much is buffered; only the first frame of a new
/// run pays for a place in the map, the logarithm of the number of runs. When the hole before a run fills, the
/// run moves to the queue whole.
///
/// There is no cap here: the caller's window bounds the bytes, and [`fragments`](Self::fragments) tells it when a source
/// cuts them too small.
///
/// ```
/// use bytes::Bytes;
/// use kwik_core::reassembly::{Hint, Reassembler};
/// use kwik_core::time::Instant;
/// use kwik_proto::{Offset, PathId};
///
/// let (mut near, mut far) = (Hint::default(), Hint::default());
/// let mut reassembler = Reassembler::new();
/// let at = |offset| Offset::new(offset).unwrap();
/// reassembler.insert(&mut far, PathId::new(1), at(5), Bytes::from_static(b" world"), 6, Instant::ZERO);
/// assert_eq!(reassembler.read(100), None);
/// reassembler.insert(&mut near, PathId::PRIMARY, at(0), Bytes::from_static(b"hello"), 5, Instant::ZERO);
/// assert_eq!(reassembler.read(100).unwrap(), "hello");
/// assert_eq!(reassembler.read(3).unwrap(), " wo");
/// assert_eq!(reassembler.read_offset(), at(8));
/// ```
#[derive(Debug, Default)]
pub struct Reassembler {
    /// Everything from the read offset to `ready_end`.
    ready: Chunks,
    read_offset: u64,
    ready_end: u64,
    /// Everything beyond the first hole.
    runs: Runs,
    blocks: Blocks,
    /// Bytes held.
    buffered: u64,
    searches: u64,
}

impl Reassembler {
    /// An empty one, at the start of the stream, without a bound.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the bytes that are not there yet; returns how many those were.
    ///
    /// `allocation` is the size in bytes of the buffer that `payload` is a slice of, which [`Bytes`] does not tell.
    /// Consecutive payloads of one source that fit into one buffer of that size together are taken to lie in the same one.
    /// Bytes at or beyond [`Offset::MAX`] are dropped.
    #[inline]
    pub fn insert(
        &mut self,
        hint: &mut Hint,
        path: PathId,
        offset: Offset,
        mut payload: Bytes,
        allocation: usize,
        now: Instant,
    ) -> u64 {
        let start = offset.value();
        let end = offset.saturating_add(payload.len() as u64).value();
        let len = end - start;
        if len == 0 {
            return 0;
        }
        let is_next = start == self.ready_end && end <= self.runs.first_start();
        let is_append = !is_next && self.runs.continued_by(hint.run, start, end).is_some();
        if !(is_next || is_append) {
            return self.insert_anywhere(hint, path, offset, &payload, allocation, now);
        }
        payload.truncate(chunk::offset_in(start, end));
        let pin = if allocation as u64 <= len {
            self.blocks.pin_exact(len)
        } else {
            self.blocks.begin(&mut hint.buffer, len, allocation as u64);
            let pin;
            (payload, pin) = self.blocks.pin(&mut hint.buffer, payload);
            pin
        };
        let chunk = Chunk { bytes: payload, start, pin, path, arrived: now };
        self.buffered += len;
        if is_next {
            self.ready.push_back(chunk);
            self.ready_end = end;
            self.join_runs();
        } else if let Some(run) = self.runs.continued_by(hint.run, start, end) {
            run.end = end;
            run.chunks.push_back(chunk);
        }
        self.keep_bound();
        len
    }

    /// Fills the holes in `payload`'s range one by one.
    #[inline(never)]
    fn insert_anywhere(
        &mut self,
        hint: &mut Hint,
        path: PathId,
        offset: Offset,
        payload: &Bytes,
        allocation: usize,
        now: Instant,
    ) -> u64 {
        let start = offset.value();
        let end = offset.saturating_add(payload.len() as u64).value();
        self.blocks.begin(&mut hint.buffer, payload.len() as u64, allocation as u64);
        let mut next = start.max(self.ready_end);
        let mut before = if next < end { self.runs.at_or_before(next) } else { None };
        self.searches += 1;
        let mut new = 0;
        while next < end {
            let (held_end, limit) = match before {
                Some(slot) => (self.runs.run(slot).end, self.runs.run(slot).limit),
                None => (self.ready_end, self.runs.first_start()),
            };
            next = next.max(held_end);
            let stop = end.min(limit);
            if next < stop {
                let piece =
                    payload.slice(chunk::offset_in(start, next)..chunk::offset_in(start, stop));
                let is_whole = piece.len() == payload.len() && allocation <= piece.len();
                let (bytes, pin) = if is_whole {
                    (piece, self.blocks.pin_exact(stop - next))
                } else {
                    self.blocks.pin(&mut hint.buffer, piece)
                };
                new += stop - next;
                let chunk = Chunk { bytes, start: next, pin, path, arrived: now };
                self.place(hint, before, chunk);
            }
            next = next.max(stop);
            before = self.runs.starting_at(limit);
            self.searches += u64::from(next < end);
        }
        self.buffered += new;
        self.join_runs();
        self.keep_bound();
        new
    }

    /// Puts a chunk behind the run in `before`, or behind the queue.
    fn place(&mut self, hint: &mut Hint, before: Option<u32>, chunk: Chunk) {
        if before.is_none() && chunk.start == self.ready_end {
            self.ready_end = chunk.end();
            self.ready.push_back(chunk);
        } else {
            hint.run = self.runs.add_after(before, chunk);
        }
    }

    /// Moves the runs that touch the queue into it.
    #[inline]
    fn join_runs(&mut self) {
        while self.runs.first_start() == self.ready_end {
            let Some(mut run) = self.runs.pop_first() else { break };
            if self.ready.is_empty() {
                self.ready = run.chunks;
            } else {
                self.ready.append(&mut run.chunks);
            }
            self.ready_end = run.end;
        }
    }

    /// The next bytes, at most `max`, without a copy; `None` if there are none, or `max` is 0.
    #[inline]
    pub fn read(&mut self, max: usize) -> Option<Bytes> {
        let front = self.ready.front_mut()?;
        let bytes = if front.bytes.len() <= max {
            let chunk = self.ready.pop_front()?;
            self.blocks.unpin(chunk.pin, chunk.len());
            chunk.bytes
        } else if max == 0 {
            return None;
        } else {
            front.pin = self.blocks.shorten(front.pin, front.len());
            front.start += max as u64;
            front.bytes.split_to(max)
        };
        self.read_offset += bytes.len() as u64;
        self.buffered -= bytes.len() as u64;
        Some(bytes)
    }

    /// Takes the bytes of `range` that were not read out, whoever sent them; returns how many those were.
    pub fn discard(&mut self, range: ByteRange) -> u64 {
        let before = self.buffered;
        let (start, end) = (range.start().value().max(self.read_offset), range.end().value());
        if start < end {
            if start < self.ready_end {
                self.discard_ready(start, end);
            }
            let starts: Vec<u64> = self.runs.overlapping(start, end).map(|run| run.start).collect();
            for run in starts {
                self.discard_from_run(run, start, end);
            }
            self.join_runs();
        }
        before - self.buffered
    }

    fn discard_ready(&mut self, start: u64, end: u64) {
        let mut cut = chunk::split_at(&mut self.ready, start, &mut self.blocks);
        let mut rest = chunk::split_at(&mut cut, end.min(self.ready_end), &mut self.blocks);
        self.ready_end = start;
        self.let_go(cut);
        while let Some(first) = rest.front() {
            let path = first.path;
            let same = rest.iter().take_while(|chunk| chunk.path == path).count();
            let others = rest.split_off(same);
            self.runs.link(std::mem::replace(&mut rest, others));
        }
    }

    fn discard_from_run(&mut self, run: u64, start: u64, end: u64) {
        let Some(mut run) = self.runs.unlink(run) else { return };
        let mut cut = chunk::split_at(&mut run.chunks, start.max(run.start), &mut self.blocks);
        let rest = chunk::split_at(&mut cut, end.min(run.end), &mut self.blocks);
        self.let_go(cut);
        self.runs.link(run.chunks);
        self.runs.link(rest);
    }

    fn let_go(&mut self, chunks: Chunks) {
        self.buffered -= chunks.iter().map(Chunk::len).sum::<u64>();
        chunk::release(chunks, &mut self.blocks);
    }

    /// Takes everything out that was not read.
    pub fn clear(&mut self) {
        self.let_go_of_runs();
        let ready = std::mem::take(&mut self.ready);
        self.let_go(ready);
        self.ready_end = self.read_offset;
    }

    fn let_go_of_runs(&mut self) {
        while let Some(run) = self.runs.pop_first() {
            self.let_go(run.chunks);
        }
    }

    /// Sets the most bytes of memory to keep alive. Above it, bytes are copied out of larger buffers, which never takes
    /// more than the bytes held.
    pub fn set_bound(&mut self, bound: u64) {
        self.blocks.set_bound(bound);
    }

    #[inline]
    fn keep_bound(&mut self) {
        if self.blocks.is_over_bound() && self.blocks.pinned() > self.buffered {
            self.compact();
        }
    }

    /// Copies all bytes out of buffers that hold more than them.
    pub fn compact(&mut self) {
        chunk::compact(&mut self.ready, &mut self.blocks);
        for chunks in self.runs.chunks_mut() {
            chunk::compact(chunks, &mut self.blocks);
        }
    }

    /// Copies small neighbouring pieces of one path together.
    pub fn join_small(&mut self) {
        chunk::join_small(&mut self.ready, &mut self.blocks);
        for chunks in self.runs.chunks_mut() {
            chunk::join_small(chunks, &mut self.blocks);
        }
    }

    /// The path that sent the byte that is read next.
    pub fn next_path(&self) -> Option<PathId> {
        self.ready.front().map(|chunk| chunk.path)
    }

    /// First offset that was not read.
    pub fn read_offset(&self) -> Offset {
        offset(self.read_offset)
    }

    /// End of the bytes that can be read without a hole.
    pub fn contiguous_end(&self) -> Offset {
        offset(self.ready_end)
    }

    /// End of the last byte that is held or was read.
    pub fn held_end(&self) -> Offset {
        offset(self.runs.last_end().unwrap_or(self.ready_end))
    }

    /// Bytes held.
    pub fn buffered(&self) -> u64 {
        self.buffered
    }

    /// Bytes of memory that the held bytes keep alive.
    pub fn pinned(&self) -> u64 {
        self.blocks.pinned()
    }

    /// The most that [`pinned`](Self::pinned) ever was.
    pub fn peak_pinned(&self) -> u64 {
        self.blocks.peak()
    }

    /// Bytes that were copied to let go of larger buffers.
    pub fn copied(&self) -> u64 {
        self.blocks.copied()
    }

    /// How often an insert had to look for its place among the runs, which takes the logarithm of their number. One that
    /// appends to where its source was, or to the head, never has to.
    pub fn searches(&self) -> u64 {
        self.searches
    }

    /// Pieces that are kept track of, each about 64 bytes of memory: one per chunk, two per run.
    pub fn fragments(&self) -> usize {
        self.blocks.chunks() + 2 * self.runs.count()
    }

    /// Pieces of one path. Looks at every piece.
    pub fn fragments_of(&self, path: PathId) -> usize {
        let ready = self.ready.iter().filter(|chunk| chunk.path == path).count();
        let runs = self.runs.iter().filter(|run| run.path == path);
        ready + runs.map(|run| run.chunks.len() + 2).sum::<usize>()
    }

    /// Whether any byte of `range` is held.
    pub fn overlaps(&self, range: ByteRange) -> bool {
        let (start, end) = (range.start().value().max(self.read_offset), range.end().value());
        start < end
            && (start < self.ready_end || self.runs.overlapping(start, end).next().is_some())
    }

    /// The held bytes within `range`, in order, with the path that sent them. No item is empty.
    pub fn held_in(&self, range: ByteRange) -> impl Iterator<Item = (Offset, PathId, &[u8])> + '_ {
        let (start, end) = (range.start().value(), range.end().value());
        let first = self.ready.partition_point(|chunk| chunk.end() <= start);
        let ready = self.ready.range(first..);
        let runs = self.runs.overlapping(start, end).flat_map(move |run| {
            let first = run.chunks.partition_point(|chunk| chunk.end() <= start);
            run.chunks.range(first..)
        });
        ready.chain(runs).take_while(move |chunk| chunk.start < end).filter_map(move |chunk| {
            let (from, to) = (chunk.start.max(start), chunk.end().min(end));
            let bytes = chunk.bytes.get(
                chunk::offset_in(chunk.start, from)..chunk::offset_in(chunk.start, to.max(from)),
            )?;
            (!bytes.is_empty()).then(|| (offset(from), chunk.path, bytes))
        })
    }

    /// The bytes of `range` that can be read without a hole, in pieces: how many, and when they arrived. Bytes that were
    /// joined since count from the earliest of them.
    pub fn arrivals_in(&self, range: ByteRange) -> impl Iterator<Item = (u64, Instant)> + '_ {
        let (start, end) = (range.start().value(), range.end().value());
        let first = self.ready.partition_point(|chunk| chunk.end() <= start);
        self.ready.range(first..).take_while(move |chunk| chunk.start < end).map(move |chunk| {
            let (from, to) = (chunk.start.max(start), chunk.end().min(end));
            (to.saturating_sub(from), chunk.arrived)
        })
    }

    /// What is held beyond [`contiguous_end`](Self::contiguous_end), in order, by the path that sent it. Touching
    /// ranges of one path may come apart.
    pub fn held_beyond(&self) -> impl Iterator<Item = HeldRange> + '_ {
        self.runs.iter().filter_map(|run| {
            let range = ByteRange::new(offset(run.start), offset(run.end))?;
            Some(HeldRange { range, path: run.path })
        })
    }

    /// The parts of `range` that were neither read nor are held, in order.
    pub fn missing_in(&self, range: ByteRange) -> impl Iterator<Item = ByteRange> + '_ {
        let end = range.end().value();
        let mut next = range.start().value().max(self.ready_end);
        let mut runs = self.runs.overlapping(next, end.max(next));
        std::iter::from_fn(move || {
            while next < end {
                let (stop, resume) = match runs.next() {
                    Some(run) => (run.start, run.end),
                    None => (end, end),
                };
                let start = next;
                next = resume.max(next);
                if start < stop {
                    return ByteRange::new(offset(start), offset(stop));
                }
            }
            None
        })
    }

    /// The unread ranges that `path` sent, in order.
    pub fn sent_by(&self, path: PathId) -> impl Iterator<Item = ByteRange> + '_ {
        let ready = self.ready.iter().filter(move |chunk| chunk.path == path);
        let ready =
            ready.filter_map(|chunk| ByteRange::new(offset(chunk.start), offset(chunk.end())));
        let runs = self.held_beyond().filter(move |held| held.path == path);
        ready.chain(runs.map(|held| held.range))
    }
}

/// An offset that came in as one.
fn offset(value: u64) -> Offset {
    Offset::new(value).unwrap_or(Offset::MAX)
}
