//! What the primary's own copy supplies: read off the application's provider, sent as a contribution.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use kwik_io::env::Env;
use kwik_io::pump::{
    ContributionControl, ContributionError, ContributionTarget, ContributionWriter, OpenError,
    contribution,
};
use kwik_proto::frame::{GapReason, Rank};
use kwik_proto::{ByteRange, DelegationId, Offset, StreamId};
use tokio::task::JoinSet;

use super::Supply;
use super::task::Task;
use crate::delegate::RangeSource;
use crate::delegation::SourceError;
use crate::reads::Reader;

/// Bytes asked of a provider at a time.
const READ: usize = 128 * 1024;

/// How a supply ended.
#[derive(Debug)]
pub(super) struct Supplied {
    stream: StreamId,
    range: ByteRange,
    delegation: DelegationId,
    carrier: u64,
    failure: Option<SupplyError>,
}

/// Whose bytes a range is supplied from.
struct Source {
    range: ByteRange,
    copy: Arc<dyn RangeSource>,
}

/// A supply that is being sent.
struct Running {
    stream: StreamId,
    range: ByteRange,
    carrier: u64,
    control: ContributionControl,
}

/// The local copies that delegated ranges may be supplied from, and what is being supplied.
#[derive(Default)]
pub(super) struct Providers {
    /// By stream, then by start of the range. As many as the stream has plans that are open, or were read lately.
    sources: BTreeMap<StreamId, BTreeMap<Offset, Source>>,
    running: BTreeMap<DelegationId, Running>,
    /// What reads the copies; each says how it ended.
    copies: JoinSet<Supplied>,
}

impl Providers {
    /// The next supply that ended; `None` if none is running. Cancel safe.
    pub(super) async fn next_ended(&mut self) -> Option<Supplied> {
        loop {
            // What failed to tell is over with its runtime.
            if let Ok(ended) = self.copies.join_next().await? {
                return Some(ended);
            }
        }
    }

    /// Adds a copy, and drops those of the stream that are not `wanted` any more.
    pub(super) fn add(
        &mut self,
        id: StreamId,
        range: ByteRange,
        copy: Arc<dyn RangeSource>,
        wanted: impl Fn(ByteRange) -> bool,
    ) {
        let sources = self.sources.entry(id).or_default();
        sources.retain(|_, source| wanted(source.range));
        sources.insert(range.start(), Source { range, copy });
    }

    /// The copy that holds the whole range.
    pub(super) fn find(&self, id: StreamId, range: ByteRange) -> Option<Arc<dyn RangeSource>> {
        let (_, source) = self.sources.get(&id)?.range(..=range.start()).next_back()?;
        source.range.covers(range).then(|| source.copy.clone())
    }

    pub(super) fn forget(&mut self, id: StreamId) {
        self.sources.remove(&id);
        self.running.retain(|_, running| {
            let keep = running.stream != id;
            if !keep {
                running.control.stop(ContributionError::StreamClosed);
            }
            keep
        });
    }

    pub(super) fn cancel(&mut self, delegation: DelegationId) {
        if let Some(running) = self.running.remove(&delegation) {
            running.control.stop(ContributionError::Revoked);
        }
    }

    pub(super) fn supplies(&self) -> impl Iterator<Item = Supply> + '_ {
        self.running.values().map(|running| Supply {
            stream: running.stream.value(),
            quic_id: running.carrier,
            range: running.range.start().value()..running.range.end().value(),
        })
    }

    pub(super) fn clear(&mut self) {
        self.sources.clear();
        self.running.clear();
    }
}

impl Task {
    pub(super) fn supply(&mut self, stream: StreamId, range: ByteRange, id: DelegationId) {
        let now = self.shared.env.now();
        let Some(source) = self.providers.find(stream, range) else {
            return self.core.handle_supply_failed(stream, range, id, GapReason::NotFound, now);
        };
        let Some(link) = &mut self.link else { return };
        let target = ContributionTarget::delegated(stream, id, range);
        let lane = link.stats().lane().clone();
        let (writer, pump, control) = match contribution::open(link.connection_mut(), target) {
            Ok(opened) => opened,
            Err(error) => {
                let reason = match error {
                    OpenError::Busy => GapReason::Busy,
                    _ => GapReason::SourceFailed,
                };
                return self.core.handle_supply_failed(stream, range, id, reason, now);
            }
        };
        let carrier = pump.carrier().0;
        self.core.handle_carrier_open(carrier, target.header());
        self.providers.running.insert(id, Running { stream, range, carrier, control });
        let priority = self.table.send(stream).map_or(0, |send| send.priority());
        let pump = pump.counted(self.sent.clone()).sharing(&self.share).in_lane(&lane);
        let pump = pump.ranked(Rank { priority, urgent: false }).announced();
        self.pumps.spawn(async move {
            // Its writer learns of the end.
            let _ = pump.run().await;
        });
        let (env, reader) = (self.shared.env.clone(), self.reader.clone());
        self.providers.copies.spawn(async move {
            let failure = copy(&env, &reader, source, writer, range).await.err();
            Supplied { stream, range, delegation: id, carrier, failure }
        });
    }

    pub(super) fn handle_supplied(&mut self, end: Supplied) {
        self.core.handle_carrier_end(end.carrier);
        let cancelled = self.providers.running.remove(&end.delegation).is_none();
        let Some(failure) = end.failure else { return };
        let Supplied { stream, range, delegation, .. } = end;
        if let SupplyError::Source(error) = failure {
            self.tell_source_failed(stream, range, error);
        }
        if !cancelled {
            let now = self.shared.env.now();
            let reason = GapReason::SourceFailed;
            self.core.handle_supply_failed(stream, range, delegation, reason, now);
        }
    }
}

/// Why a supply ended early.
#[derive(Debug, thiserror::Error)]
enum SupplyError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Contribution(#[from] ContributionError),
}

/// Some bytes of a copy, at most `length`.
pub(super) fn read(
    copy: &dyn RangeSource,
    offset: u64,
    length: usize,
) -> Result<Bytes, SourceError> {
    let mut data = copy.read_at(offset, length).map_err(|error| {
        tracing::debug!(%error, offset, "the local copy could not be read");
        SourceError { offset, kind: error.kind() }
    })?;
    data.truncate(length);
    match data.is_empty() {
        true => Err(SourceError { offset, kind: std::io::ErrorKind::UnexpectedEof }),
        false => Ok(data),
    }
}

async fn copy(
    env: &Env,
    reader: &Reader,
    source: Arc<dyn RangeSource>,
    mut writer: ContributionWriter,
    range: ByteRange,
) -> Result<(), SupplyError> {
    let mut at = range.start();
    while at < range.end() {
        // Not read before it is its turn among what the session's connection sends.
        writer.ready(at).await?;
        let length = usize::try_from(range.end().since(at)).unwrap_or(READ).min(READ);
        let (copy, offset) = (source.clone(), at.value());
        let read = reader.run(env, move || read(&*copy, offset, length)).await;
        let data = read.unwrap_or_else(|_| Err(SourceError::panicked(offset)))?;
        let length = data.len() as u64;
        writer.write_at(at, data).await?;
        at = at.saturating_add(length);
    }
    writer.finish().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    struct Nothing;

    impl RangeSource for Nothing {
        fn read_at(&self, _: u64, _: usize) -> std::io::Result<Bytes> {
            Ok(Bytes::new())
        }
    }

    #[test]
    fn a_copy_that_nobody_wants_any_more_is_dropped_with_the_next_one() {
        let stream = StreamId::from_wire(0).unwrap();
        let copy = Arc::new(Nothing);
        let mut providers = Providers::default();
        for n in 0..10 {
            let range = ByteRange::with_length(Offset::new(4 * n).unwrap(), 4).unwrap();
            providers.add(stream, range, copy.clone(), |other| other.end() == range.start());
            assert!(providers.find(stream, range).is_some());
        }
        assert_eq!(Arc::strong_count(&copy), 3, "the last two, and this one");
    }
}
