//! Hashes of what is to be ordered, taken of the primary's own copy.

use std::sync::Arc;

use kwik_proto::{ByteRange, DelegationId, Offset, StreamId};
use tokio::task::JoinSet;

use super::supply;
use super::task::Task;
use crate::delegate::RangeSource;
use crate::delegation::SourceError;

/// Bytes asked of a provider at a time.
const READ: usize = 256 * 1024;

/// The ranges that are being read, as many as the core asks for at a time.
#[derive(Default)]
pub(super) struct Proving(JoinSet<Step>);

/// What one read of a copy came to.
pub(super) struct Step {
    delegation: DelegationId,
    stream: StreamId,
    proof: Result<Proof, (ByteRange, SourceError)>,
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
                let proof = Proof { copy, rest: range, hasher: Box::default() };
                self.read_on(delegation, stream, proof);
            }
            None => self.core.handle_proof(delegation, None, self.shared.env.now()),
        }
    }

    fn read_on(&mut self, delegation: DelegationId, stream: StreamId, proof: Proof) {
        let (env, reader) = (self.shared.env.clone(), self.reader.clone());
        self.proving.0.spawn(async move {
            let rest = proof.rest;
            let read = reader.run(&env, move || proof.read()).await;
            let proof = read.unwrap_or_else(|_| Err(SourceError::panicked(rest.start().value())));
            Step { delegation, stream, proof: proof.map_err(|error| (rest, error)) }
        });
    }

    pub(super) fn handle_step(&mut self, Step { delegation, stream, proof }: Step) {
        let now = self.shared.env.now();
        match proof {
            Ok(proof) if !proof.rest.is_empty() => {
                if self.core.handle_proof_read(delegation, now) {
                    self.read_on(delegation, stream, proof);
                }
            }
            Ok(proof) => {
                let hash = *proof.hasher.finalize().as_bytes();
                self.core.handle_proof(delegation, Some(hash), now);
            }
            Err((range, error)) => {
                self.tell_source_failed(stream, range, error);
                self.core.handle_proof(delegation, None, now);
            }
        }
    }
}

impl Proof {
    /// Takes the next piece in. Blocks as long as the copy does.
    fn read(mut self) -> Result<Self, SourceError> {
        let length = usize::try_from(self.rest.len()).unwrap_or(READ).min(READ);
        let data = supply::read(&*self.copy, self.rest.start().value(), length)?;
        self.hasher.update(&data);
        let start: Offset = self.rest.start().saturating_add(data.len() as u64);
        self.rest = ByteRange::new(start, self.rest.end()).unwrap_or_default();
        Ok(self)
    }
}
