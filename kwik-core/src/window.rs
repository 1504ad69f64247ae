//! Flow control: how far a sender may go, and what the session has promised in all.
//!
//! Windows are absolute and per stream half. The receiver names the first offset that may not be sent, `max_offset =
//! read_offset + W`; it never falls. Any number of senders may share one window without dividing it, because an offset
//! is counted once, whoever sends it.

mod budget;
mod part;
mod receive;
mod send;

#[cfg(test)]
mod tests;

pub use budget::Budget;
pub(crate) use budget::memory;
pub use part::{LEAST_PART, fair_part, stream_part};
pub use receive::ReceiveWindow;
pub use send::SendWindow;
