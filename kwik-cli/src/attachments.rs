//! The secondaries that a client's session has, kept to those that the server has.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};

use kwik_server::{Handle, PathId};
use tokio::sync::Mutex;

use crate::roster::{Member, Roster};

/// The secondaries of one session: none before it needs them, and then those of the roster, as that changes.
#[derive(Debug)]
pub(crate) struct Attachments {
    handle: Handle,
    roster: Roster,
    /// `None`: nothing large was asked for.
    paths: Mutex<Option<Attached>>,
    /// Where each path leads or led, as long as it may be asked for.
    names: std::sync::Mutex<Names>,
}

/// Who was attached, and as which path.
type Attached = Vec<(Arc<Member>, PathId)>;

/// Where paths lead or led: the last ones that were attached.
#[derive(Debug, Default)]
struct Names(BTreeMap<PathId, SocketAddr>);

/// Paths whose address is remembered: many times what a session has at once.
const MAX_NAMES: usize = 256;

impl Attachments {
    pub(crate) fn new(handle: Handle, roster: Roster) -> Self {
        Self { handle, roster, paths: Mutex::new(None), names: std::sync::Mutex::default() }
    }

    /// Attaches them, at the first call; how many there are.
    pub(crate) async fn begin(&self) -> usize {
        let mut paths = self.paths.lock().await;
        match &mut *paths {
            Some(paths) => paths.len(),
            none => {
                let paths = none.insert(Vec::new());
                self.keep_to_roster(paths).await;
                paths.len()
            }
        }
    }

    /// Whether there are any, or were to be.
    pub(crate) async fn have_begun(&self) -> bool {
        self.paths.lock().await.is_some()
    }

    /// Attaches those that are added to the server, and takes out those that are removed: they finish what they began and get no
    /// further order. Never returns.
    pub(crate) async fn follow(&self) {
        let mut roster = self.roster.watch();
        // Fails with the roster, which this holds.
        while roster.changed().await.is_ok() {
            if let Some(paths) = &mut *self.paths.lock().await {
                self.keep_to_roster(paths).await;
            }
        }
    }

    /// What a path is called in logs: `primary`, or where its secondary is.
    pub(crate) fn name_of(&self, path: PathId) -> String {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).of(path)
    }

    fn name(&self, path: PathId, member: &Member) {
        if let Some(address) = member.spec.addresses.first() {
            self.names.lock().unwrap_or_else(PoisonError::into_inner).add(path, *address);
        }
    }

    async fn keep_to_roster(&self, paths: &mut Attached) {
        let members = self.roster.members();
        let has =
            |all: &[Arc<Member>], one: &Arc<Member>| all.iter().any(|it| Arc::ptr_eq(it, one));
        // First those that go: a session has room for so many.
        for (_, path) in paths.extract_if(.., |(member, _)| !has(&members, member)) {
            self.handle.remove_path(path).await;
        }
        for member in &*members {
            if paths.iter().any(|(known, _)| Arc::ptr_eq(known, member)) {
                continue;
            }
            match self.handle.add_path(member.spec.clone()).await {
                Ok(path) => {
                    self.name(path, member);
                    paths.push((member.clone(), path));
                }
                Err(error) => {
                    let addresses = &member.spec.addresses;
                    tracing::warn!(?addresses, %error, "secondary not attached");
                }
            }
        }
    }
}

impl Names {
    fn add(&mut self, path: PathId, address: SocketAddr) {
        self.0.insert(path, address);
        if self.0.len() > MAX_NAMES {
            // Paths are numbered upwards.
            self.0.pop_first();
        }
    }

    fn of(&self, path: PathId) -> String {
        match self.0.get(&path) {
            _ if path.is_primary() => "primary".to_owned(),
            Some(address) => address.to_string(),
            None => format!("path-{path}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_paths_that_were_attached_last_have_their_names() {
        let mut names = Names::default();
        let address = |port| SocketAddr::from(([192, 0, 2, 1], port));
        for number in 1..=1000 {
            names.add(PathId::new(number), address(number));
        }
        assert_eq!(names.0.len(), MAX_NAMES);
        assert_eq!(names.of(PathId::new(1000)), "192.0.2.1:1000");
        assert_eq!(names.of(PathId::PRIMARY), "primary");
        assert!(names.of(PathId::new(1)).starts_with("path-"));
    }
}
