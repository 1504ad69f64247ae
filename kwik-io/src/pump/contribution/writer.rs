//! The application's and the session's ends of a contribution.

use std::future::poll_fn;
use std::sync::Arc;

use bytes::Bytes;
use kwik_proto::{ByteRange, Offset};

use super::ContributionError;
use super::queue::Queue;

/// Writes bytes of a stream at their offsets. What a secondary's application holds.
///
/// Chunks may come in any order; those that are queued go out by offset. Each write waits while the queue is full
/// (512 KiB), while the path has enough that waits for QUIC, and for the client's window. Dropping the writer finishes the contribution: what was taken is still sent.
#[derive(Debug)]
pub struct ContributionWriter {
    queue: Arc<Queue>,
}

impl ContributionWriter {
    pub(super) fn new(queue: Arc<Queue>) -> Self {
        Self { queue }
    }

    /// Queues `data` for `offset` of the stream, without a copy. Cancelled, it may have taken bytes from the front; to
    /// write those again is no error.
    ///
    /// # Errors
    ///
    /// [`ContributionError::OutsideGrant`] leaves the contribution as it was; after any other error it is over.
    pub async fn write_at(
        &mut self,
        offset: Offset,
        mut data: Bytes,
    ) -> Result<(), ContributionError> {
        let end = offset.saturating_add(data.len() as u64);
        poll_fn(|cx| self.queue.poll_write(end, &mut data, cx)).await
    }

    /// Waits until a write at `offset` would be taken at once: to be called before its bytes are read, so that of all that a path
    /// owes what goes first is read first, and no more than can be sent soon. It may write once then. Cancel safe.
    ///
    /// # Errors
    ///
    /// As [`write_at`](Self::write_at).
    pub async fn ready(&mut self, offset: Offset) -> Result<(), ContributionError> {
        poll_fn(|cx| self.queue.poll_ready(offset, cx)).await
    }

    /// Ends the contribution and waits until the client's QUIC has acknowledged every byte.
    ///
    /// # Errors
    ///
    /// Why not every byte was delivered.
    pub async fn finish(&mut self) -> Result<(), ContributionError> {
        self.queue.finish();
        poll_fn(|cx| self.queue.poll_end(cx)).await
    }

    /// Waits until the contribution is over, without ending it: a writer that waits for its data source learns here
    /// that nobody wants the bytes any more.
    pub async fn closed(&mut self) -> Result<(), ContributionError> {
        poll_fn(|cx| self.queue.poll_end(cx)).await
    }

    /// Where bytes may go now: what was granted, up to the window. A write within the grant and beyond the window waits.
    pub fn allowed(&self) -> ByteRange {
        self.queue.allowed()
    }
}

impl Drop for ContributionWriter {
    fn drop(&mut self) {
        self.queue.finish();
    }
}

/// The session's hold on a contribution: ends it, or moves what it may write.
#[derive(Clone, Debug)]
pub struct ContributionControl {
    queue: Arc<Queue>,
}

impl ContributionControl {
    pub(super) fn new(queue: Arc<Queue>) -> Self {
        Self { queue }
    }

    /// Ends the contribution at once: the writer gets `error`, what is queued is dropped, the carrier is reset.
    pub fn stop(&self, error: ContributionError) {
        self.queue.end(Err(error));
    }

    /// Lets bytes go up to `end`, within the grant. A lower end than before changes nothing.
    pub fn extend(&self, end: Offset) {
        self.queue.extend(end);
    }
}
