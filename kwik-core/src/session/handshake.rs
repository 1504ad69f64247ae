//! Hello and Welcome: version and features.

use kwik_proto::VERSION;
use kwik_proto::frame::{ErrorCode, Hello, Refuse, Welcome};

use super::config::INITIAL_WINDOW;

/// Versions that this crate speaks, the best first.
pub const VERSIONS: [u32; 1] = [VERSION];

/// Features that this crate speaks. None is defined in version 1.
pub const FEATURES: [u32; 0] = [];

/// What an end speaks. There is one in a program; tests let ends of different age meet.
#[derive(Clone, Copy, Debug)]
struct Speech<'a> {
    versions: &'a [u32],
    features: &'a [u32],
}

const OURS: Speech<'static> = Speech { versions: &VERSIONS, features: &FEATURES };

/// What both ends speak.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Agreed {
    pub(super) version: u32,
    pub(super) features: Vec<u32>,
}

/// The server's choice: the best version of its own that the client offers, and the features in common.
pub(super) fn negotiate(hello: &Hello) -> Result<Agreed, Refuse> {
    OURS.choose(hello)
}

/// The client's check of the answer: a server may choose only what was offered, and has the floor to give that every
/// stream relies on.
pub(super) fn check(welcome: &Welcome) -> Result<(), ErrorCode> {
    OURS.check(welcome)
}

impl Speech<'_> {
    fn choose(self, hello: &Hello) -> Result<Agreed, Refuse> {
        let Self { versions, features } = self;
        let version = versions.iter().copied().find(|version| hello.versions.contains(version));
        let Some(version) = version else {
            return Err(refuse(
                ErrorCode::VersionNegotiation,
                format!("this server speaks version {versions:?}, the client {:?}", hello.versions),
            ));
        };
        let features = features.iter().copied().filter(|own| hello.features.contains(own));
        Ok(Agreed { version, features: features.collect() })
    }

    fn check(self, welcome: &Welcome) -> Result<(), ErrorCode> {
        let offered = self.versions.contains(&welcome.version)
            && welcome.features.iter().all(|feature| self.features.contains(feature));
        if !offered {
            return Err(ErrorCode::VersionNegotiation);
        }
        if welcome.limits.initial_window < INITIAL_WINDOW {
            return Err(ErrorCode::ProtocolViolation);
        }
        Ok(())
    }
}

fn refuse(code: ErrorCode, reason: impl Into<String>) -> Refuse {
    Refuse { code, reason: reason.into(), retry_after_ms: None }
}

#[cfg(test)]
mod tests {
    use kwik_proto::SessionId;
    use kwik_proto::frame::Limits;

    use super::*;

    const LIMITS: Limits = Limits {
        max_bidirectional_streams: 1,
        max_unidirectional_streams: 1,
        initial_window: INITIAL_WINDOW,
    };

    /// Version 1 with a feature, version 2 with another one and one that came later, and version 2 alone.
    const OLDER: Speech<'static> = Speech { versions: &[1], features: &[7] };
    const NEWER: Speech<'static> = Speech { versions: &[2, 1], features: &[9, 7, 300] };
    const NEWEST: Speech<'static> = Speech { versions: &[2], features: &[300] };

    fn hello(client: Speech<'_>) -> Hello {
        Hello {
            versions: client.versions.to_vec(),
            features: client.features.to_vec(),
            limits: LIMITS,
            confirmation_key: None,
            admission: None,
        }
    }

    /// What client and server agree on.
    fn meet(client: Speech<'_>, server: Speech<'_>) -> Result<Agreed, ErrorCode> {
        let agreed = server.choose(&hello(client)).map_err(|refuse| refuse.code)?;
        let (version, features) = (agreed.version, agreed.features.clone());
        let session = SessionId([1; 16]);
        client.check(&Welcome { version, features, limits: LIMITS, session })?;
        Ok(agreed)
    }

    fn agreed(version: u32, features: &[u32]) -> Result<Agreed, ErrorCode> {
        Ok(Agreed { version, features: features.to_vec() })
    }

    #[test]
    fn ends_of_different_age_agree_on_what_both_speak() {
        for (client, server, both) in [
            (OLDER, OLDER, agreed(1, &[7])),
            (OLDER, NEWER, agreed(1, &[7])),
            (NEWER, OLDER, agreed(1, &[7])),
            (NEWER, NEWER, agreed(2, &[9, 7, 300])),
            (NEWEST, NEWER, agreed(2, &[300])),
            (NEWER, NEWEST, agreed(2, &[300])),
            (NEWER, OURS, agreed(1, &[])),
            (OURS, NEWER, agreed(1, &[])),
            (OURS, OURS, agreed(1, &[])),
            (OLDER, NEWEST, Err(ErrorCode::VersionNegotiation)),
            (NEWEST, OLDER, Err(ErrorCode::VersionNegotiation)),
            (NEWEST, OURS, Err(ErrorCode::VersionNegotiation)),
        ] {
            assert_eq!(meet(client, server), both, "client {client:?}, server {server:?}");
        }
    }

    #[test]
    fn the_servers_preference_counts() {
        let cautious = Speech { versions: &[1, 2], features: &[] };
        assert_eq!(meet(NEWER, cautious), agreed(1, &[]));
        assert_eq!(meet(cautious, NEWER), agreed(2, &[]));
    }

    #[test]
    fn a_choice_that_was_not_offered_is_refused() {
        let session = SessionId([1; 16]);
        let answer = |version, features: &[u32]| {
            let features = features.to_vec();
            OLDER.check(&Welcome { version, features, limits: LIMITS, session })
        };
        assert_eq!(answer(1, &[7]), Ok(()));
        assert_eq!(answer(2, &[]), Err(ErrorCode::VersionNegotiation));
        assert_eq!(answer(1, &[7, 9]), Err(ErrorCode::VersionNegotiation));
    }
}
