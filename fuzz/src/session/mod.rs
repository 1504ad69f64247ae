//! The three session cores: a sequence of inputs of every kind, whoever makes them.
//!
//! The input is a program of small steps, each a byte and its arguments: frames of the peers, carriers with their bytes
//! and ends, what the application does, the time. A driver as thin as the real one carries out what the core asks for.
//! Set-up is done right unless the first byte says otherwise, so that the steps reach what lies behind it.

mod client;
mod frames;
mod input;
mod primary;
mod rules;
mod secondary;

pub use client::check_client;
pub use primary::check_primary;
pub use secondary::check_secondary;

/// Steps of one input, at most.
const STEPS: usize = 400;
