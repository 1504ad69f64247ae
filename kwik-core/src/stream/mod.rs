//! The two halves of a KWIK stream.

mod receive;
mod send;

pub use receive::{
    Counters, Failure, Inserted, Read, ReceiveConfig, ReceiveError, ReceiveHalf, SourceKey,
    SourceStats,
};
pub use send::{DelegateError, FinishError, OutFrame, SendConfig, SendHalf, WriteError};
