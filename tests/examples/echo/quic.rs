//! The program over s2n-quic.

pub(crate) use s2n_quic::client::Connect;
pub(crate) use s2n_quic::{Client, Server};

#[path = "program.rs"]
pub(crate) mod program;
