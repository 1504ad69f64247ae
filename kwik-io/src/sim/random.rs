//! The entropy of an [`Env`] as s2n-quic takes it.

use std::convert::Infallible;

use s2n_quic::provider::random::{Generator, Provider};

use crate::env::Env;

/// Draws from the environment, whose seed decides.
pub(crate) struct Random(pub(crate) Env);

impl Provider for Random {
    type Generator = Self;
    type Error = Infallible;

    fn start(self) -> Result<Self, Infallible> {
        Ok(self)
    }
}

impl Generator for Random {
    fn public_random_fill(&mut self, dest: &mut [u8]) {
        self.0.fill(dest);
    }

    fn private_random_fill(&mut self, dest: &mut [u8]) {
        self.0.fill(dest);
    }
}
