#![allow(clippy::unwrap_used)]

mod proof;
mod receive;
mod send;
