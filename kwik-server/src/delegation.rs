//! What became of a range that was given to secondaries.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use kwik_core::session::StreamAction;
use kwik_io::stream::{application, connection};
use kwik_proto::frame::StreamProgress;
use kwik_proto::{ByteRange, PathId, StreamId};
use tokio::sync::watch;

/// Why a delegated range will not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DelegationError {
    /// Nobody can deliver these bytes, and there is no local copy.
    #[error("nobody can deliver bytes {start} to {end} of the stream")]
    Unavailable {
        /// First byte.
        start: u64,
        /// End.
        end: u64,
    },
    /// The client wants no more of the stream.
    #[error("the client stopped the stream: {error}")]
    Stopped {
        /// Its code.
        error: application::Error,
    },
    /// The stream is over: reset, or given up by the client.
    #[error("the stream is over")]
    StreamClosed,
    /// The session is over.
    #[error(transparent)]
    Connection(#[from] connection::Error),
}

/// The primary's own copy of a delegated range could not be read ([`RangeSource`](crate::RangeSource)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the local copy could not be read at offset {offset} of the stream: {kind}")]
#[non_exhaustive]
pub struct SourceError {
    /// Where it was asked for.
    pub offset: u64,
    /// What the copy said; [`Other`](io::ErrorKind::Other) where it panicked.
    pub kind: io::ErrorKind,
}

impl SourceError {
    pub(crate) const fn panicked(offset: u64) -> Self {
        Self { offset, kind: io::ErrorKind::Other }
    }
}

/// A range that secondaries were asked to send.
///
/// [`SendStream::delegate`](crate::stream::SendStream::delegate) returns it. It tells; it commands nothing: dropping it
/// changes nothing about the range.
///
/// ```no_run
/// # async fn example(mut stream: kwik_server::stream::SendStream) -> Result<(), Box<dyn std::error::Error>> {
/// use kwik_server::Delegate;
///
/// let mut range = stream.delegate(Delegate::new(0..1 << 30, "dataset-7".into())).await?;
/// stream.finish()?;
/// while range.progress() < 1 << 29 {
///     range.changed().await?;
/// }
/// println!("half of {:?} has arrived", range.range());
/// range.complete().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct DelegationHandle {
    range: ByteRange,
    state: watch::Receiver<State>,
}

#[derive(Clone, Debug, Default)]
struct State {
    arrived: u64,
    shares: Arc<[(PathId, u64)]>,
    error: Option<DelegationError>,
    source: Option<SourceError>,
}

impl DelegationHandle {
    /// The bytes of the stream.
    pub fn range(&self) -> Range<u64> {
        self.range.start().value()..self.range.end().value()
    }

    /// How many of them the client has, by its last report.
    pub fn progress(&self) -> u64 {
        self.state.borrow().arrived
    }

    /// Bytes of the stream's delegated ranges that the client has, of this range and of others, by who sent them:
    /// [`PathId::PRIMARY`] for this server's own copy. As far as the client's reports tell; bytes that two servers were asked
    /// for may be nobody's. Final when [`complete`](Self::complete) has returned.
    pub fn shares(&self) -> Arc<[(PathId, u64)]> {
        self.state.borrow().shares.clone()
    }

    /// Why the range will not arrive whole; `None` as long as it may.
    pub fn error(&self) -> Option<DelegationError> {
        self.state.borrow().error
    }

    /// The first failure of the primary's own copy, whether it was to be sent or only to be proven by; `None` as long as
    /// it could be read. The range may arrive all the same: the secondaries have copies of their own, and this one is asked
    /// again where they fail. An application whose copy is lost for good, or is another content by now, resets the stream.
    pub fn source_error(&self) -> Option<SourceError> {
        self.state.borrow().source
    }

    /// Waits until the primary's own copy fails; for ever where it does not. Cancel safe.
    pub async fn source_failed(&mut self) -> SourceError {
        match self.state.wait_for(|state| state.source.is_some()).await.map(|state| state.source) {
            Ok(Some(error)) => error,
            // The range is over: nobody asks the copy any more.
            _ => std::future::pending().await,
        }
    }

    /// Waits until [`progress`](Self::progress) has grown since the last call. Returns at once if all has arrived. Cancel
    /// safe.
    ///
    /// # Errors
    /// See [`DelegationError`].
    pub async fn changed(&mut self) -> Result<(), DelegationError> {
        let State { arrived, error, .. } = *self.state.borrow();
        if let Some(error) = error.filter(|_| arrived < self.range.len()) {
            return Err(error);
        }
        if arrived == self.range.len() {
            return Ok(());
        }
        // The session's task says why before it drops its end.
        let _ = self.state.changed().await;
        match self.error() {
            Some(error) if self.progress() < self.range.len() => Err(error),
            _ if self.state.has_changed().is_err() && self.progress() < self.range.len() => {
                Err(DelegationError::StreamClosed)
            }
            _ => Ok(()),
        }
    }

    /// Waits until the client has every byte. Cancel safe.
    ///
    /// # Errors
    /// See [`DelegationError`].
    pub async fn complete(&mut self) -> Result<(), DelegationError> {
        while self.progress() < self.range.len() {
            self.changed().await?;
        }
        Ok(())
    }
}

/// Where a session's task tells handles what it hears. At most as many as there are open plans of streams.
#[derive(Debug, Default)]
pub(crate) struct Told(BTreeMap<StreamId, Vec<(ByteRange, watch::Sender<State>)>>);

impl Told {
    pub(crate) fn handle(&mut self, stream: StreamId, range: ByteRange) -> DelegationHandle {
        let (sender, state) = watch::channel(State::default());
        self.0.entry(stream).or_default().push((range, sender));
        DelegationHandle { range, state }
    }

    /// No range is delegated on a stream that is open.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether something is delegated on the stream.
    pub(crate) fn knows(&self, stream: StreamId) -> bool {
        self.0.contains_key(&stream)
    }

    /// Who sent how much of the stream's ranges.
    pub(crate) fn set_shares(&mut self, stream: StreamId, shares: &[(PathId, u64)]) {
        let shares: Arc<[_]> = shares.into();
        for (_, sender) in self.0.get(&stream).into_iter().flatten() {
            // Whoever waits is told of the progress that comes with it.
            sender.send_if_modified(|state| {
                state.shares = shares.clone();
                false
            });
        }
    }

    /// The client told something about a stream.
    pub(crate) fn hear(&mut self, action: &StreamAction) {
        match action {
            StreamAction::Progress(stream, progress) => self.progress(*stream, progress),
            StreamAction::PeerDone(stream, true) => {
                for (range, sender) in self.0.remove(stream).into_iter().flatten() {
                    sender.send_modify(|state| state.arrived = range.len());
                }
            }
            StreamAction::Stopped(stream, code) => {
                let code = application::Error::new(*code).unwrap_or(application::Error::UNKNOWN);
                self.fail(*stream, DelegationError::Stopped { error: code });
            }
            StreamAction::PeerDone(stream, false) | StreamAction::Remove(stream) => {
                self.fail(*stream, DelegationError::StreamClosed);
            }
            _ => {}
        }
    }

    /// Nobody can deliver a range.
    pub(crate) fn unavailable(&mut self, stream: StreamId, missing: ByteRange) {
        let (start, end) = (missing.start().value(), missing.end().value());
        let error = DelegationError::Unavailable { start, end };
        for (range, sender) in self.0.get(&stream).into_iter().flatten() {
            if range.intersection(missing).is_some() {
                sender.send_modify(|state| state.error = Some(error));
            }
        }
    }

    /// The primary's own copy of a range failed. `true`: nobody was told so of its delegation before.
    pub(crate) fn source_failed(
        &mut self,
        stream: StreamId,
        failed: ByteRange,
        error: SourceError,
    ) -> bool {
        let mut news = false;
        for (range, sender) in self.0.get(&stream).into_iter().flatten() {
            if range.intersection(failed).is_some() {
                news |= sender.send_if_modified(|state| {
                    let first = state.source.is_none();
                    state.source.get_or_insert(error);
                    first
                });
            }
        }
        news
    }

    /// The session is over.
    pub(crate) fn end(&mut self, error: connection::Error) {
        let streams: Vec<StreamId> = self.0.keys().copied().collect();
        for stream in streams {
            self.fail(stream, error.into());
        }
    }

    fn fail(&mut self, stream: StreamId, error: DelegationError) {
        for (_, sender) in self.0.remove(&stream).into_iter().flatten() {
            sender.send_modify(|state| {
                state.error.get_or_insert(error);
            });
        }
    }

    fn progress(&mut self, stream: StreamId, progress: &StreamProgress) {
        let Some(told) = self.0.get_mut(&stream) else { return };
        told.retain(|(range, sender)| {
            let arrived = arrived(*range, progress);
            sender.send_if_modified(|state| {
                let more = arrived > state.arrived;
                state.arrived = state.arrived.max(arrived);
                more
            });
            arrived < range.len()
        });
    }
}

/// Bytes of `range` that the client has: below the contiguous end, and in what it holds beyond.
fn arrived(range: ByteRange, progress: &StreamProgress) -> u64 {
    let end = progress.contiguous_end.max(progress.read_offset);
    let head = end.min(range.end()).value().saturating_sub(range.start().value());
    let beyond = progress.held.iter().filter_map(|held| {
        let start = held.range.start().max(end);
        ByteRange::new(start, held.range.end())?.intersection(range).map(|part| part.len())
    });
    range.len().min(head + beyond.sum::<u64>())
}

#[cfg(test)]
mod tests;
