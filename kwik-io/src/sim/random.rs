//! The entropy of an [`Env`] as s2n-quic takes it.

use std::convert::Infallible;

use s2n_quic::provider::connection_id::{self, ConnectionInfo, LocalId, Validator};
use s2n_quic::provider::{random, stateless_reset_token};
use s2n_quic_core::stateless_reset::Token;

use super::tls;
use crate::env::Env;

/// Length of connection ids, s2n-quic's own.
const ID: usize = 16;

/// s2n-quic's random numbers, drawn from the environment, and its connection ids and stateless reset tokens, drawn as
/// those of TLS: the seed decides all.
#[derive(Clone)]
pub(crate) struct Random(pub(crate) Env);

impl random::Provider for Random {
    type Generator = Self;
    type Error = Infallible;

    fn start(self) -> Result<Self, Infallible> {
        Ok(self)
    }
}

impl random::Generator for Random {
    fn public_random_fill(&mut self, dest: &mut [u8]) {
        self.0.fill(dest);
    }

    fn private_random_fill(&mut self, dest: &mut [u8]) {
        self.0.fill(dest);
    }
}

impl connection_id::Generator for Random {
    fn generate(&mut self, _connection: &ConnectionInfo) -> LocalId {
        LocalId::try_from_bytes(&on_the_wire::<ID>()).expect("a length that ids may have")
    }
}

impl Validator for Random {
    fn validate(&self, _connection: &ConnectionInfo, packet: &[u8]) -> Option<usize> {
        (packet.len() >= ID).then_some(ID)
    }
}

impl stateless_reset_token::Provider for Random {
    type Generator = Self;
    type Error = Infallible;

    fn start(self) -> Result<Self, Infallible> {
        Ok(self)
    }
}

impl stateless_reset_token::Generator for Random {
    /// As with s2n-quic's own: a token that nobody could make again.
    const ENABLED: bool = false;

    fn generate(&mut self, _connection: &[u8]) -> Token {
        on_the_wire().into()
    }
}

fn on_the_wire<const N: usize>() -> [u8; N] {
    tls::random().expect("endpoints run on the thread of their laboratory")
}
