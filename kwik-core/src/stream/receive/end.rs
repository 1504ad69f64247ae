//! How a receiving half ends: final size, reset, stop, failure.

use kwik_proto::{Offset, PathId};

use super::{ReceiveHalf, State, rest_of_stream};
use crate::conflict::{Conflict, Verdict};
use crate::stream::{Failure, Inserted, ReceiveError, SourceKey};

impl ReceiveHalf {
    /// The primary told the final size.
    ///
    /// Bytes of secondaries beyond it are thrown away, and [`next_conflict`](Self::next_conflict) names their paths.
    ///
    /// # Errors
    /// [`ReceiveError::FinalSize`] if another size is known, if the primary itself sent bytes beyond it, or if the source is
    /// not the primary; [`ReceiveError::FlowControl`] beyond the window.
    pub fn handle_fin(
        &mut self,
        source: SourceKey,
        final_size: Offset,
    ) -> Result<Inserted, ReceiveError> {
        let path = source.path();
        if !path.is_primary() {
            self.counters.refused += 1;
            return Err(ReceiveError::FinalSize { path, offset: final_size });
        }
        let was_readable = self.is_readable();
        self.fix_final_size(final_size)?;
        if self.state == State::Open {
            self.discard_beyond(final_size);
        }
        Ok(Inserted { readable: self.wakes_reader(was_readable), ..Inserted::default() })
    }

    /// The primary ended the half abruptly: what was not read is thrown away, unless every byte is already here.
    ///
    /// # Errors
    /// As [`handle_fin`](Self::handle_fin).
    pub fn handle_reset(
        &mut self,
        error_code: u64,
        final_size: Offset,
    ) -> Result<(), ReceiveError> {
        // A reset after the last byte that was sent, but before the final size was told, is a reset all the same: else a
        // stream that was cut would look finished.
        let was_complete = self.is_complete();
        self.fix_final_size(final_size)?;
        if self.state == State::Open && !was_complete {
            self.close(State::Reset { error_code });
        }
        Ok(())
    }

    /// Fixes the final size, by the rules of RFC 9000, 4.5.
    fn fix_final_size(&mut self, final_size: Offset) -> Result<(), ReceiveError> {
        let (path, max_offset) = (PathId::PRIMARY, self.window.max_offset());
        let contradicts = self.final_size.is_some_and(|known| known != final_size);
        if contradicts || final_size < self.primary_end {
            self.counters.refused += 1;
            return Err(ReceiveError::FinalSize { path, offset: final_size });
        }
        if final_size > max_offset {
            self.counters.refused += 1;
            return Err(ReceiveError::FlowControl { path, offset: final_size, max_offset });
        }
        self.final_size = Some(final_size);
        Ok(())
    }

    /// Throws away what secondaries sent beyond the final size. If some of it is settled, the half fails.
    fn discard_beyond(&mut self, final_size: Offset) {
        let beyond = rest_of_stream(final_size.max(self.settled_end));
        let paths: Vec<_> = self.sources.path_bytes().map(|(path, _)| path).collect();
        for path in paths.into_iter().filter(|path| !path.is_primary()) {
            let sent: Vec<_> = self.reassembler.sent_by(path).collect();
            let mut excess = sent.iter().filter_map(|range| range.intersection(beyond)).peekable();
            if let Some(&range) = excess.peek() {
                let verdict = Verdict::Wrong(path);
                self.announce(Conflict { range, holder: path, rival: PathId::PRIMARY, verdict });
            }
            for range in excess {
                self.discard(path, range);
            }
        }
        if self.settled_end > final_size {
            let len = self.settled_end.since(final_size);
            self.fail(Failure::DataConflict { offset: final_size, len });
        }
    }

    /// Ends the half with a failure, which the reader finds after the last contiguous byte; after
    /// [`Failure::DataConflict`] after the last settled one. The first failure stays; a half that has every byte does not
    /// fail, except with `DataConflict`.
    pub fn fail(&mut self, failure: Failure) {
        let is_conflict = matches!(failure, Failure::DataConflict { .. });
        if self.state != State::Open || (self.is_complete() && !is_conflict) {
            return;
        }
        self.state = State::Failed(failure);
        self.waiting = None;
        self.referee.clear();
        let end = if is_conflict { self.settled_end } else { self.readable_end() };
        let rest = rest_of_stream(end);
        self.counters.discarded_bytes += self.reassembler.discard(rest);
    }

    /// The application wants no more: what is there is thrown away, what comes is counted and dropped. A half that has
    /// every byte stays [complete](Self::is_complete): its sender has nothing to learn.
    pub fn stop(&mut self, error_code: u64) {
        self.told = true;
        if matches!(self.state, State::Open | State::Failed(_)) {
            let complete = self.is_complete();
            self.close(State::Stopped { error_code, complete });
        }
    }

    fn close(&mut self, state: State) {
        self.state = state;
        self.waiting = None;
        self.referee.clear();
        self.counters.discarded_bytes += self.reassembler.buffered();
        self.reassembler.clear();
    }

    /// The application's code, once it wanted no more.
    pub fn stopped(&self) -> Option<u64> {
        match self.state {
            State::Stopped { error_code, .. } => Some(error_code),
            _ => None,
        }
    }

    /// The failure, once there is one.
    pub fn failure(&self) -> Option<Failure> {
        match self.state {
            State::Failed(failure) => Some(failure),
            _ => None,
        }
    }

    /// The final size, once it is known.
    pub fn final_size(&self) -> Option<Offset> {
        self.final_size
    }

    /// Whether every byte up to the final size arrived, and was proven where a hash is named.
    pub fn is_complete(&self) -> bool {
        match self.state {
            State::Stopped { complete, .. } => complete,
            _ => self.final_size.is_some_and(|final_size| final_size <= self.readable_end()),
        }
    }

    /// Whether nothing is left to do: every byte was read, or the half was reset, stopped or failed.
    pub fn is_finished(&self) -> bool {
        self.state != State::Open || self.final_size == Some(self.reassembler.read_offset())
    }

    /// Whether the half is finished and the application knows: it read the last byte or the end, or wanted no more. Before
    /// that it is in QUIC's states Data Recvd or Reset Recvd (RFC 9000, 3.2).
    pub fn is_over(&self) -> bool {
        self.told && self.is_finished()
    }
}
