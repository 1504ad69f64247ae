//! Which path delivered which part of a stream, coarsely, for people who look on.

use std::collections::BTreeMap;

use kwik_proto::{ByteRange, PathId, StreamId};

use super::Scheduler;
use crate::interval::RangeSet;

/// Cells of a strip, at most.
const CELLS: usize = 128;
/// Bytes of a cell at first.
const SMALLEST: u64 = 4 << 10;
/// Outstanding ranges of a stream that are told, at most.
const OUTSTANDING: usize = 64;

/// A stream from its first byte on, in cells of one size. As the stream grows beyond 128 of them, each two become one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strip {
    /// Bytes of a cell: a power of two.
    pub cell: u64,
    /// The cells up to the last byte that arrived.
    pub cells: Vec<Cell>,
}

/// A part of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// Bytes of it that the client holds, or has read.
    pub held: u64,
    /// The path that delivered most of them, by a majority vote that may err where no path has the majority; `None`: unknown.
    pub path: Option<PathId>,
    /// By how many bytes it leads.
    lead: u64,
}

/// What is known of a stream that this end sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamView {
    /// The stream.
    pub stream: StreamId,
    /// Bytes that the client's application has read.
    pub read: u64,
    /// Bytes from the first on that the client holds without a hole.
    pub contiguous: u64,
    /// What arrived.
    pub strip: Strip,
    /// The first ranges that paths were asked for and that are not complete, at most 64.
    pub outstanding: Vec<(PathId, ByteRange)>,
}

impl Default for Strip {
    fn default() -> Self {
        Self { cell: SMALLEST, cells: Vec::new() }
    }
}

impl Strip {
    /// The bytes arrived, from that path.
    pub(super) fn add(&mut self, range: ByteRange, path: Option<PathId>) {
        let (mut start, end) = (range.start().value(), range.end().value());
        while end > self.cell.saturating_mul(CELLS as u64) {
            self.halve();
        }
        while start < end {
            let index = start / self.cell;
            let stop = end.min((index + 1).saturating_mul(self.cell));
            let index = usize::try_from(index).expect("a strip has few cells");
            if self.cells.len() <= index {
                self.cells.resize(index + 1, Cell::default());
            }
            self.cells[index].add(stop - start, path, stop - start);
            start = stop;
        }
    }

    /// Makes one cell of each two.
    fn halve(&mut self) {
        self.cell *= 2;
        let joined = self.cells.chunks(2).map(|pair| match pair {
            [first, second] => {
                let mut first = *first;
                first.add(second.held, second.path, second.lead);
                first
            }
            _ => pair[0],
        });
        self.cells = joined.collect();
    }
}

impl Cell {
    /// Boyer and Moore's vote: the leader is who would be left if bytes of different paths cancelled each other.
    fn add(&mut self, held: u64, path: Option<PathId>, votes: u64) {
        self.held += held;
        if self.path == path {
            self.lead += votes;
        } else if self.lead >= votes {
            self.lead -= votes;
        } else {
            (self.path, self.lead) = (path, votes - self.lead);
        }
    }
}

impl Scheduler {
    /// Records from now on which path delivers what: 3 KiB for each stream, and a look at the ledger for each report. What has
    /// arrived by now counts as of an unknown path.
    pub fn watch(&mut self) {
        if self.strips.is_some() {
            return;
        }
        let mut strips = BTreeMap::new();
        for (stream, half) in &self.halves {
            let mut strip = Strip::default();
            half.held.iter().for_each(|range| strip.add(range, None));
            strips.insert(*stream, strip);
        }
        self.strips = Some(strips);
    }

    /// What is known of the first `most` streams; nothing before [`watch`](Self::watch).
    pub fn views(&self, most: usize) -> Vec<StreamView> {
        let strips = self.strips.iter().flatten().take(most);
        let view = |(stream, strip): (&StreamId, &Strip)| {
            let half = self.halves.get(stream)?;
            let ids = self.book.ledger.of_stream(*stream).into_iter();
            let entries = ids.filter_map(|id| self.book.ledger.entry(id));
            Some(StreamView {
                stream: *stream,
                read: half.read.value(),
                contiguous: half.contiguous.value(),
                strip: strip.clone(),
                outstanding: entries
                    .map(|entry| (entry.path, entry.range))
                    .take(OUTSTANDING)
                    .collect(),
            })
        };
        strips.filter_map(view).collect()
    }

    /// New bytes arrived, `from` that path if the report says so. Called before the ledger forgets who owed them.
    pub(super) fn draw(&mut self, stream: StreamId, piece: ByteRange, from: Option<PathId>) {
        let Some(strips) = &mut self.strips else { return };
        let strip = strips.entry(stream).or_default();
        if from.is_some() {
            return strip.add(piece, from);
        }
        let mut rest = RangeSet::from_iter([piece]);
        for id in self.book.ledger.overlapping(stream, piece) {
            let Some(entry) = self.book.ledger.entry(id) else { continue };
            let parts: Vec<_> = rest.iter_in(entry.range).collect();
            for part in parts {
                rest.remove(part);
                // Of two that owe the same bytes nobody knows which one sent them.
                let alone = self.book.ledger.overlapping(stream, part).len() == 1;
                strip.add(part, alone.then_some(entry.path));
            }
        }
        // What nobody was asked for the primary has sent by itself; what was taken back may have come all the same.
        let delegated =
            self.halves.get_mut(&stream).is_some_and(|half| half.plans_in(piece).next().is_some());
        let path = (!delegated).then_some(PathId::PRIMARY);
        rest.iter().for_each(|part| strip.add(part, path));
    }
}
