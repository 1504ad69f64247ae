//! Why a session could not be made.

use std::fmt;
use std::net::SocketAddr;

use kwik_io::endpoint::DialError;
use kwik_io::stream::connection;
use kwik_proto::sanitized;

use crate::Connect;

/// Why a session could not be made. Each text is one line and names the address that it is about.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// No connection to the primary: the text names its address and what went wrong.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The connection ended before the session was set up.
    #[error(transparent)]
    Connection(#[from] connection::Error),
    /// [`Client::connect_any`](crate::Client::connect_any) was given no server.
    #[error("there is no server to connect to")]
    NoTarget,
    /// None of the servers that [`Client::connect_any`](crate::Client::connect_any) was given could be reached.
    #[error("no server could be reached: {0}")]
    All(Failures),
}

/// Why each of several servers could not be reached, in the order in which they were given.
///
/// Its text is one line. It names all servers, each with its cause.
#[derive(Clone, Debug)]
pub struct Failures(Vec<(SocketAddr, ConnectError)>);

/// Characters of a cause in the text for all. What a certificate says of itself may be long, and there may be 64 of them.
const MAX_CAUSE: usize = 240;

impl Failures {
    /// Each server's address with its cause.
    pub fn iter(&self) -> impl Iterator<Item = (SocketAddr, &ConnectError)> {
        self.0.iter().map(|(address, error)| (*address, error))
    }
}

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (address, error)) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            let (address, cause) = (address.to_string(), error.to_string());
            let cause = one_line(cause.strip_prefix(&address).unwrap_or(&cause));
            let named = if cause.starts_with(' ') { "" } else { ": " };
            write!(f, "{separator}{address}{named}{cause}")?;
        }
        Ok(())
    }
}

fn one_line(cause: &str) -> String {
    let cause = sanitized(cause).to_string();
    let mut line: String = cause.chars().take(MAX_CAUSE).collect();
    if cause.chars().nth(MAX_CAUSE).is_some() {
        line.push('…');
    }
    line
}

impl ConnectError {
    /// All have failed: with the one error where there was one server.
    pub(crate) fn of_all(targets: &[Connect], mut errors: Vec<Self>) -> Self {
        match errors.len() {
            0 => Self::NoTarget,
            1 => errors.remove(0),
            _ => Self::All(Failures(targets.iter().map(Connect::address).zip(errors).collect())),
        }
    }
}

#[cfg(test)]
mod tests;
