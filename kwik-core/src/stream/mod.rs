//! The two halves of a KWIK stream.

mod error;
mod outcome;
mod receive;
mod send;
mod source;

#[cfg(test)]
mod tests;

pub use error::{DelegateError, FinishError, WriteError};
pub use outcome::{Counters, EndedWait, Failure, Inserted, Read, ReceiveError};
pub use receive::{RangeHash, ReceiveConfig, ReceiveHalf};
pub use send::{OutFrame, SendConfig, SendHalf};
pub use source::{SourceKey, SourceStats};
