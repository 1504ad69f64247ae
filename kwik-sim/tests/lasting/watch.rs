//! What a session says of its primary.
#![allow(dead_code)]

use kwik_client::Session;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PrimaryState {
    Live,
    Suspect,
    Leaving,
    Gone,
}

/// Says nothing: the end of the stream, and its silence, say enough until sessions tell how their primary is.
pub(crate) struct PrimaryWatch;

impl PrimaryWatch {
    pub(crate) fn of(_: &Session) -> Self {
        Self
    }

    pub(crate) fn state(&self) -> PrimaryState {
        PrimaryState::Live
    }

    pub(crate) async fn changed(&mut self) -> PrimaryState {
        std::future::pending().await
    }
}
