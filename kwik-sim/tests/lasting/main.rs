//! Downloads that last: primaries die, return and leave, the client moves and sleeps, and its application goes on at its
//! offset. Each byte is checked, and counted once; bounds are simulated time.
#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;

mod client_moves;
mod delegations_run_on;
mod orderly;
mod primary_dies;
mod primary_returns;
mod reader;
mod rolling;
mod scenario;
mod service;
