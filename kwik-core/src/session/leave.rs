//! What a server's session says when its server goes away.

use kwik_proto::frame::{ControlFrame, GoAway};

use crate::time::Instant;

/// Why a session is closed whose server went away.
pub(super) const LEFT: &str = "the server goes away";

/// What the client is told: how long the session may still last.
pub(super) fn go_away(end: Instant, now: Instant) -> ControlFrame {
    let grace_ms = u32::try_from(end.since(now).as_millis()).unwrap_or(u32::MAX);
    ControlFrame::GoAway(GoAway { grace_ms })
}
