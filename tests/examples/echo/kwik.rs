//! The program over KWIK.

pub(crate) use kwik_client::{Client, Connect};
pub(crate) use kwik_server::Server;

#[path = "program.rs"]
pub(crate) mod program;
