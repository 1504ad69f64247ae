//! What holds of every core: outputs end, a session ends once and is silent then, timers move on, bytes are right.

use std::time::Duration;

use bytes::Bytes;
use kwik_core::stream::ReceiveError;
use kwik_core::time::Instant;
use kwik_proto::frame::{ControlFrame, ErrorCode};
use kwik_proto::{Offset, StreamId};

/// Outputs that one step may cause: every stream, path and range that a step can touch is told of a few times.
const MOST_OUTPUTS: usize = 8192;
/// Timeouts at one instant: each stream and path may have a few that are due.
const MOST_TIMEOUTS: usize = 256;

/// Ten years: later than any timer, and far from where time itself ends.
const LAST: Duration = Duration::from_secs(10 * 365 * 86_400);

/// The point in time so long after `now`.
pub(super) fn later(now: Instant, time: Duration) -> Instant {
    (now + time).min(Instant::from_start(LAST)).max(now)
}

/// How a session ends.
#[derive(Debug, Default)]
pub(super) struct Ending {
    said: Option<ErrorCode>,
    closed: bool,
}

impl Ending {
    /// A frame goes to the peer that the session is with.
    pub(super) fn handle_frame(&mut self, frame: &ControlFrame) {
        assert!(!self.closed, "a closed session sent {frame:?}");
        assert_eq!(frame.validate(), Ok(()), "{frame:?}");
        assert!(self.said.is_none(), "after its last word it sent {frame:?}");
        if let ControlFrame::SessionClose(close) = frame {
            self.said = Some(close.code);
        }
    }

    /// Something that a session that is over does not do.
    pub(super) fn handle_act(&self, what: &dyn std::fmt::Debug) {
        assert!(!self.closed, "a closed session asked for {what:?}");
    }

    pub(super) fn handle_close(&mut self, code: ErrorCode) {
        assert!(!self.closed, "it ended twice, the second time with {code:?}");
        assert!(self.said.is_none_or(|said| said == code), "said {:?}, closed {code:?}", self.said);
        self.closed = true;
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }
}

/// Counts what has to end.
#[derive(Debug, Default)]
pub(super) struct Count {
    outputs: usize,
    timeouts: usize,
}

impl Count {
    pub(super) fn output(&mut self, output: &dyn std::fmt::Debug) {
        self.outputs += 1;
        assert!(self.outputs < MOST_OUTPUTS, "the outputs never end: {output:?}");
    }

    pub(super) fn timeout(&mut self, at: Instant) {
        self.timeouts += 1;
        assert!(self.timeouts < MOST_TIMEOUTS, "timeouts at {at} never end");
    }
}

/// What honest servers send on a stream.
pub(super) fn content(stream: StreamId, offset: Offset, length: usize) -> Bytes {
    let start = offset.value();
    (start..start.saturating_add(length as u64)).map(|at| byte_at(stream, at)).collect()
}

/// What a liar sends: every byte is another.
pub(super) fn lie(stream: StreamId, offset: Offset, length: usize) -> Bytes {
    content(stream, offset, length).iter().map(|byte| !byte).collect()
}

fn byte_at(stream: StreamId, at: u64) -> u8 {
    (at ^ at >> 8 ^ stream.value().wrapping_mul(31)) as u8
}

/// How what was read differs from what was sent: bytes of a liar are as they were sent as well.
pub(super) fn check_content(stream: StreamId, from: u64, data: &[u8], lies: bool) {
    for (at, byte) in (from..).zip(data) {
        let honest = byte_at(stream, at);
        let sent = *byte == honest || lies && *byte == !honest;
        assert!(sent, "stream {stream}: {byte:#x} at {at} is not what was sent ({honest:#x})");
    }
}

/// What a driver stops a carrier with.
pub(super) fn code_of(error: &ReceiveError) -> ErrorCode {
    match error {
        ReceiveError::FlowControl { .. } => ErrorCode::FlowControl,
        ReceiveError::FinalSize { .. } => ErrorCode::FinalSize,
        ReceiveError::Conflict { .. } => ErrorCode::DataConflict,
        ReceiveError::Fragmented { .. } => ErrorCode::LimitExceeded,
        _ => ErrorCode::NotGranted,
    }
}
