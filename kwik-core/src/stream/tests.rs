#![allow(clippy::unwrap_used)]

mod receive;
mod send;
