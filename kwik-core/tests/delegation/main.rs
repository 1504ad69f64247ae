//! The delegation scheduler and the client's promises against a crude network in virtual time.
#![allow(clippy::unwrap_used, missing_docs)]

mod capped;
mod dice;
mod faults;
mod net;
mod scenarios;
