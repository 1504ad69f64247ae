//! What fails on the way, and how long the reader waits for it at most: each bound is simulated time, from the request
//! to the last byte, checked byte by byte.
#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;

mod aggregation;
mod all_die;
mod churn;
mod client_stops;
mod conflict;
mod crash;
mod errors;
mod hangs;
mod hung_disk;
mod hung_prover;
mod last_owner_dies;
mod liar;
mod loss;
mod mechanisms;
mod nowhere;
mod outage;
mod owner_freezes;
mod partition;
mod patience;
mod refusal;
mod removal;
mod repeated_liar;
mod reset;
mod reversed;
mod slow_path;
mod slow_reader;
mod smooth;
mod steady;
mod two_of_three_die;
mod unavailable;
