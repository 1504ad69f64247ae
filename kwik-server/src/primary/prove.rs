//! Hashes of what is to be ordered, taken of the primary's own copy.

use std::io;
use std::sync::Arc;

use kwik_proto::{ByteRange, DelegationId, Offset, StreamId};
use tokio::task::JoinSet;

use super::task::Task;
use crate::delegate::RangeSource;

/// Bytes asked of a provider at a time.
const READ: usize = 256 * 1024;

/// The ranges that are being read, as many as the core asks for at a time.
#[derive(Default)]
pub(super) struct Proving(JoinSet<Step>);

/// What one read of a copy came to.
pub(super) struct Step {
    delegation: DelegationId,
    /// `None`: the copy could not be read.
    proof: Option<Proof>,
}

/// A hash, as far as it was taken.
struct Proof {
    copy: Arc<dyn RangeSource>,
    /// What is left to read.
    rest: ByteRange,
    hasher: Box<blake3::Hasher>,
}

impl Proving {
    /// The next read that ended; `None` while there is none. Cancel safe.
    pub(super) async fn next_step(&mut self) -> Option<Step> {
        loop {
            // What failed to tell is over with its runtime.
            if let Ok(step) = self.0.join_next().await? {
                return Some(step);
            }
        }
    }
}

impl Task {
    pub(super) fn prove(&mut self, delegation: DelegationId, stream: StreamId, range: ByteRange) {
        match self.providers.find(stream, range) {
            Some(copy) => {
                self.read_on(delegation, Proof { copy, rest: range, hasher: Box::default() });
            }
            None => self.core.handle_proof(delegation, None, self.shared.env.now()),
        }
    }

    fn read_on(&mut self, delegation: DelegationId, proof: Proof) {
        let env = self.shared.env.clone();
        self.proving.0.spawn(async move {
            let proof = match env.run_blocking(move || proof.read()).await {
                Ok(Ok(proof)) => Some(proof),
                unread => {
                    let error = unread.map(|read| read.err());
                    tracing::warn!(?error, "the local copy could not be read");
                    None
                }
            };
            Step { delegation, proof }
        });
    }

    pub(super) fn handle_step(&mut self, Step { delegation, proof }: Step) {
        let now = self.shared.env.now();
        match proof {
            Some(proof) if !proof.rest.is_empty() => {
                if self.core.handle_proof_read(delegation, now) {
                    self.read_on(delegation, proof);
                }
            }
            proof => {
                let hash = proof.map(|proof| *proof.hasher.finalize().as_bytes());
                self.core.handle_proof(delegation, hash, now);
            }
        }
    }
}

impl Proof {
    /// Takes the next piece in. Blocks as long as the copy does.
    fn read(mut self) -> io::Result<Self> {
        let length = usize::try_from(self.rest.len()).unwrap_or(READ).min(READ);
        let data = self.copy.read_at(self.rest.start().value(), length)?;
        let read = data.get(..length.min(data.len())).unwrap_or_default();
        if read.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.hasher.update(read);
        let start: Offset = self.rest.start().saturating_add(read.len() as u64);
        self.rest = ByteRange::new(start, self.rest.end()).unwrap_or_default();
        Ok(self)
    }
}
