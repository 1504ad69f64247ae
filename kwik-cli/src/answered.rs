//! What became of one request, for the access log and the metrics.

use std::time::{Duration, Instant};

use kwik_server::stream::Error;
use kwik_server::{DelegationHandle, PathId, connection};

use crate::protocol::FailureCode;
use crate::source::Trouble;

/// A request while it is answered.
#[derive(Debug)]
pub(crate) struct Account {
    began: Instant,
    path: String,
    refused: Option<FailureCode>,
    /// From the request until the reply was handed over.
    first: Option<Duration>,
    /// Bytes of the file that were written to the stream here.
    own: u64,
    delegated: Option<DelegationHandle>,
}

impl Account {
    pub(crate) fn begin() -> Self {
        let began = Instant::now();
        Self { began, path: String::new(), refused: None, first: None, own: 0, delegated: None }
    }

    pub(crate) fn asked_for(&mut self, path: &str) {
        path.clone_into(&mut self.path);
        // How long the client took to ask is its own affair.
        self.began = Instant::now();
    }

    pub(crate) fn refused(&mut self, code: FailureCode) {
        self.refused = Some(code);
    }

    pub(crate) fn is_refused(&self) -> bool {
        self.refused.is_some()
    }

    pub(crate) fn replied(&mut self) {
        self.first = Some(self.began.elapsed());
    }

    pub(crate) fn sent(&mut self, bytes: u64) {
        self.own += bytes;
    }

    pub(crate) fn delegated(&mut self, range: &DelegationHandle) {
        self.delegated = Some(range.clone());
    }

    /// What was asked for; empty if no request came.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn took(&self) -> Duration {
        self.began.elapsed()
    }

    /// How long the client waited for the reply; `None`: it got none, or a refusal.
    pub(crate) fn first(&self) -> Option<Duration> {
        self.first
    }

    /// Bytes of the file that the client has, from this server and from the secondaries.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        let (mut own, mut others) = (self.own, 0);
        for (path, bytes) in self.shares() {
            if path.is_primary() { own += bytes } else { others += bytes }
        }
        (own, others)
    }

    /// The same by name, this server first.
    pub(crate) fn sources(&self, name: impl Fn(PathId) -> String) -> Vec<(String, u64)> {
        let others = self.shares().into_iter().filter(|(path, _)| !path.is_primary());
        let own = (name(PathId::PRIMARY), self.bytes().0);
        std::iter::once(own).chain(others.map(|(path, bytes)| (name(path), bytes))).collect()
    }

    fn shares(&self) -> Vec<(PathId, u64)> {
        self.delegated.as_ref().map_or_else(Vec::new, |range| range.shares().to_vec())
    }

    /// The result by its name, one of a few: `Ok`, the code of a refusal, what was wrong with the file, or how the stream or the
    /// session ended.
    pub(crate) fn result(&self, answered: &anyhow::Result<()>) -> String {
        match (answered, self.refused) {
            (_, Some(code)) => format!("{code:?}"),
            (Ok(()), None) => "Ok".to_owned(),
            (Err(error), None) => name(error),
        }
    }
}

fn name(error: &anyhow::Error) -> String {
    if let Some(trouble) = error.downcast_ref::<Trouble>() {
        return format!("{trouble:?}");
    }
    let code = match error.chain().find_map(|error| error.downcast_ref::<Error>()) {
        Some(Error::StreamReset { error, .. }) => error.kwik_code().ok_or("Stopped"),
        Some(Error::ConnectionError { error, .. }) => match error {
            connection::Error::Application { error, .. } => {
                error.kwik_code().ok_or("SessionClosed")
            }
            connection::Error::Closed { .. } => Err("SessionClosed"),
            _ => Err("ConnectionLost"),
        },
        _ => Err("Failed"),
    };
    match code {
        Ok(code) => format!("{code:?}"),
        Err(word) => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_has_a_name() {
        let mut account = Account::begin();
        account.sent(5);
        assert_eq!(account.result(&Ok(())), "Ok");
        assert_eq!(account.result(&Err(Trouble::Changed.into())), "Changed");
        assert_eq!(account.result(&Err(anyhow::anyhow!("x"))), "Failed");
        assert_eq!(account.result(&Err(Error::InvalidStream.into())), "Failed");
        assert_eq!(account.sources(|path| path.to_string()).len(), 1);
        account.refused(FailureCode::NotFound);
        assert_eq!(account.result(&Ok(())), "NotFound");
        assert_eq!(account.bytes(), (5, 0));
    }
}
