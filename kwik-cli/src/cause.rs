//! Why a command failed, for whoever asks a program: its exit status, and `--json`.

use std::fmt;

use kwik_client::connection::Error as ConnectionError;
use kwik_client::{ConnectError, DialError, ErrorCode, stream};
use serde::Serialize;

use crate::download::{Changed, Disagree, WrongBytes};

/// What kind of failure it is. Users read the numbers in the help and in man pages: they stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Cause {
    /// None of the others.
    #[default]
    Failed,
    /// The command line, or a file with URLs, is wrong.
    Usage,
    /// No server has the file.
    NotFound,
    /// No server was reached, or none any more.
    Unreachable,
    /// A server does not want to, is not the one that it should be, or offers what was not wanted.
    Refused,
    /// The bytes are not those that were announced.
    Integrity,
    /// A file cannot be read or written here.
    Disk,
    /// It took longer than was allowed.
    Timeout,
    /// SIGINT.
    Interrupted,
    /// SIGTERM.
    Terminated,
}

impl Cause {
    /// The process's exit status. What the command line's parser finds is 2 without this.
    pub(crate) fn status(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::Unreachable => 4,
            Self::Refused => 5,
            Self::Integrity => 6,
            Self::Disk => 7,
            Self::Timeout => 8,
            // As shells have it: 128 and the signal.
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }

    /// Of an error, as far as it or what is behind it says so.
    pub(crate) fn of(error: &anyhow::Error) -> Self {
        error.chain().find_map(Self::of_one).unwrap_or_default()
    }

    fn of_one(error: &(dyn std::error::Error + 'static)) -> Option<Self> {
        if let Some(known) = error.downcast_ref::<Known>() {
            return Some(known.cause);
        }
        if let Some(Told(cause)) = error.downcast_ref() {
            return Some(*cause);
        }
        let wrong = error.is::<Changed>() || error.is::<Disagree>() || error.is::<WrongBytes>();
        if wrong {
            return Some(Self::Integrity);
        }
        if let Some(error) = error.downcast_ref::<ConnectError>() {
            return Some(Self::of_connect(error));
        }
        if let Some(stream::Error::ConnectionError { error, .. }) = error.downcast_ref() {
            return Some(Self::of_connection(error));
        }
        error.downcast_ref::<ConnectionError>().map(Self::of_connection)
    }

    fn of_connect(error: &ConnectError) -> Self {
        match error {
            ConnectError::Dial(DialError::Identity { .. } | DialError::Alpn { .. }) => {
                Self::Refused
            }
            ConnectError::Dial(
                DialError::ServerName(_)
                | DialError::Address(_)
                | DialError::Trust(_)
                | DialError::Limits(_)
                | DialError::Socket(_),
            ) => Self::Failed,
            ConnectError::Connection(error) => Self::of_connection(error),
            _ => Self::Unreachable,
        }
    }

    fn of_connection(error: &ConnectionError) -> Self {
        match code_of(error) {
            Some(ErrorCode::GoingAway | ErrorCode::None | ErrorCode::SessionClosed) | None => {
                Self::Unreachable
            }
            Some(ErrorCode::HandshakeTimeout | ErrorCode::PathTimeout) => Self::Timeout,
            Some(_) => Self::Refused,
        }
    }

    /// Of two servers: what one of them said comes before what none could say.
    fn or(self, other: Self) -> Self {
        if matches!(self, Self::Unreachable | Self::Failed) { other } else { self }
    }
}

/// The name of the code with which a peer ended or refused something, as docs/spec and the file protocol have it.
pub(crate) fn code_name(error: &anyhow::Error) -> Option<String> {
    error.chain().find_map(|error| {
        if let Some(known) = error.downcast_ref::<Known>() {
            return known.code.clone();
        }
        let code = match (error.downcast_ref(), error.downcast_ref()) {
            (Some(ConnectError::Connection(error)), _) => code_of(error),
            (_, Some(stream::Error::ConnectionError { error, .. })) => code_of(error),
            _ => code_of(error.downcast_ref()?),
        };
        code.map(|code| format!("{code:?}"))
    })
}

fn code_of(error: &ConnectionError) -> Option<ErrorCode> {
    match error {
        ConnectionError::Application { error, .. } => error.kwik_code(),
        _ => None,
    }
}

/// An error of which the user has been told already.
#[derive(Debug)]
pub(crate) struct Told(pub(crate) Cause);

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it failed")
    }
}

impl std::error::Error for Told {}

/// An error of which it is known what kind it is.
#[derive(Debug)]
pub(crate) struct Known {
    cause: Cause,
    code: Option<String>,
    message: String,
}

impl Known {
    /// An error with that text.
    pub(crate) fn error(cause: Cause, message: impl fmt::Display) -> anyhow::Error {
        Self::of(cause, message).into()
    }

    /// As [`error`](Self::error), where a server has said so with that code.
    pub(crate) fn with_code(
        cause: Cause,
        code: &impl fmt::Debug,
        message: impl fmt::Display,
    ) -> anyhow::Error {
        let code = Some(format!("{code:?}"));
        Self { code, ..Self::of(cause, message) }.into()
    }

    /// As [`error`](Self::error), to be kept.
    pub(crate) fn of(cause: Cause, message: impl fmt::Display) -> Self {
        Self { cause, code: None, message: message.to_string() }
    }

    /// An error with another text than `of`, and of the same kind.
    pub(crate) fn like(of: &anyhow::Error, message: impl fmt::Display) -> anyhow::Error {
        Self::keep(of, message).into()
    }

    /// What each of several servers failed with; `otherwise` if none did.
    pub(crate) fn all<'a>(
        failures: impl IntoIterator<Item = &'a Self>,
        otherwise: Cause,
        message: impl fmt::Display,
    ) -> anyhow::Error {
        let (mut cause, mut code) = (None, None);
        for failure in failures {
            cause = Some(cause.map_or(failure.cause, |cause: Cause| cause.or(failure.cause)));
            code = code.or_else(|| failure.code.clone());
        }
        let cause = cause.unwrap_or(otherwise);
        Self { cause, code, message: message.to_string() }.into()
    }

    /// Keeps of an error what is known of it.
    pub(crate) fn keep(error: &anyhow::Error, message: impl fmt::Display) -> Self {
        Self { cause: Cause::of(error), code: code_name(error), message: message.to_string() }
    }
}

impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Known {}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use anyhow::{Context as _, anyhow};
    use kwik_client::application;
    use kwik_client::connection::Location;

    use super::*;

    fn closed(code: ErrorCode) -> anyhow::Error {
        let error = application::Error::new(code.quic_code()).unwrap();
        ConnectionError::application(error, Location::Remote).into()
    }

    #[test]
    fn a_cause_is_found_behind_whatever_was_said_before_it() {
        let error = Known::error(Cause::NotFound, "no such file");
        let error = Err::<(), _>(error).context("kwik://h/x").context("get").unwrap_err();
        assert_eq!(Cause::of(&error), Cause::NotFound);
        assert_eq!(Cause::of(&Known::like(&error, "the same")), Cause::NotFound);
        assert_eq!(Cause::of(&anyhow!("something else")), Cause::Failed);
    }

    #[test]
    fn what_a_server_says_is_told_by_its_name() {
        for (code, cause) in [
            (ErrorCode::GoingAway, Cause::Unreachable),
            (ErrorCode::RoleRefused, Cause::Refused),
            (ErrorCode::Busy, Cause::Refused),
            (ErrorCode::HandshakeTimeout, Cause::Timeout),
        ] {
            let error = closed(code);
            assert_eq!(Cause::of(&error), cause, "{code:?}");
            let error = Known::like(&error, "in other words");
            assert_eq!(code_name(&error), Some(format!("{code:?}")));
            assert_eq!(Cause::of(&error), cause, "{code:?}");
        }
        assert_eq!(code_name(&anyhow!("nobody said anything")), None);
    }

    #[test]
    fn of_several_servers_counts_what_one_of_them_said() {
        let failures = [
            Known::of(Cause::Unreachable, "a"),
            Known::of(Cause::NotFound, "b"),
            Known::of(Cause::Unreachable, "c"),
        ];
        assert_eq!(Cause::of(&Known::all(&failures, Cause::Failed, "a; b; c")), Cause::NotFound);
        assert_eq!(Cause::of(&Known::all(&failures[..1], Cause::Timeout, "a")), Cause::Unreachable);
        assert_eq!(Cause::of(&Known::all(&failures[..0], Cause::Timeout, "")), Cause::Timeout);
    }

    #[test]
    fn every_cause_has_a_status_of_its_own_that_the_help_explains() {
        let help = crate::cli::STATUS;
        let all = [
            Cause::Failed,
            Cause::Usage,
            Cause::NotFound,
            Cause::Unreachable,
            Cause::Refused,
            Cause::Integrity,
            Cause::Disk,
            Cause::Timeout,
            Cause::Interrupted,
            Cause::Terminated,
        ];
        let statuses: std::collections::BTreeSet<u8> = all.map(Cause::status).into();
        assert_eq!(statuses.len(), all.len());
        let words: Vec<_> = help.split([' ', '\n', ':', ';']).collect();
        for status in statuses {
            assert!(words.contains(&status.to_string().as_str()), "{status}");
        }
    }
}
