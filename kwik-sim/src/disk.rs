//! Content that every host has a copy of, and what can be wrong with a copy.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use kwik_server::RangeSource;
use tokio::sync::watch;

/// What a disk is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum DiskState {
    /// Reads return the content at once.
    #[default]
    Healthy,
    /// Reads wait until the disk is no longer hung.
    Hung,
    /// Reads return wrong bytes, and [`Disk::version`] says that all is well.
    Lying,
    /// Reads return another version of the content, and [`Disk::version`] says so.
    Stale,
}

/// A host's copy of the content: bytes without an end that any copy can make and any reader can check.
///
/// Every host of a laboratory has the same content, until an [`Action::Disk`](crate::Action::Disk) changes that. A disk
/// survives a crash. As a [`RangeSource`] it is a primary's own copy: KWIK's reads of it wait while it is hung, others fail
/// then, for they may not wait.
#[derive(Clone, Debug)]
pub struct Disk(Arc<watch::Sender<DiskState>>);

impl Disk {
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(DiskState::Healthy)))
    }

    pub(crate) fn set(&self, state: DiskState) {
        self.0.send_replace(state);
    }

    /// What it is doing.
    pub fn state(&self) -> DiskState {
        *self.0.borrow()
    }

    /// Which version of the content it believes to have: 1, or 0 if it is stale.
    pub fn version(&self) -> u64 {
        u64::from(self.state() != DiskState::Stale)
    }

    /// Reads `length` bytes from `offset` on. Waits while the disk is hung.
    pub async fn read(&self, offset: u64, length: usize) -> Bytes {
        self.answers().await;
        self.bytes(offset, length)
    }

    /// Waits while it is hung.
    pub(crate) async fn answers(&self) {
        let mut changes = self.0.subscribe();
        // Its sender is `self`'s own, so there is no error to see.
        let _ = changes.wait_for(|state| *state != DiskState::Hung).await;
    }

    /// The right bytes, whatever the state of any disk.
    pub fn content(offset: u64, length: usize) -> Bytes {
        (offset..).take(length).map(byte).collect::<Vec<_>>().into()
    }

    /// Whether `bytes` are the right ones from `offset` on.
    pub fn is_content(offset: u64, bytes: &[u8]) -> bool {
        bytes.iter().zip(offset..).all(|(found, at)| *found == byte(at))
    }

    fn bytes(&self, offset: u64, length: usize) -> Bytes {
        match self.state() {
            DiskState::Lying => (offset..).take(length).map(|at| !byte(at)).collect(),
            DiskState::Stale => {
                (offset..).take(length).map(|at| byte(at).wrapping_add(1)).collect()
            }
            DiskState::Healthy | DiskState::Hung => Self::content(offset, length),
        }
    }
}

/// Neighbours differ, and so do bytes at distances that are powers of two.
fn byte(offset: u64) -> u8 {
    (offset.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

impl RangeSource for Disk {
    fn read_at(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        match self.state() {
            DiskState::Hung => Err(io::ErrorKind::TimedOut.into()),
            _ => Ok(self.bytes(offset, length)),
        }
    }
}
