//! What fails on the way, and how long the reader waits for it at most: each bound is simulated time, from the request
//! to the last byte, checked byte by byte.
#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;

mod all_die;
mod client_stops;
mod crash;
mod far_primary;
mod hung_disk;
mod loss;
mod outage;
mod owner_freezes;
mod partition;
mod refusal;
mod slow_path;
mod steady;
mod two_of_three_die;
