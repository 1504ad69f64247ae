//! KWIK's decisions, sans-IO: what to send, to whom, and what to believe.
//!
//! Nothing here opens a socket, reads a clock or draws a random number: time and seeds are arguments. Each module
//! uses only those above it in this list.

pub mod time;

pub mod throttle;

pub mod interval;

pub mod window;

pub mod reassembly;

pub mod conflict;

pub mod path;

pub mod mapping;

pub mod grant;

pub mod orders;

pub mod admission;

pub mod relay;

pub mod delay;

pub mod stream;

pub mod send_order;

pub mod delegation;

mod proving;

pub mod gap;

pub mod stall;

pub mod session;
