//! The secondaries of a primary: which they are now, and what clients say of them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kwik_server::PathSpec;
use tokio::sync::watch;

/// The secondaries that sessions are to have, which may change while they run. Clones are one.
#[derive(Clone, Debug)]
pub(crate) struct Roster(watch::Sender<Arc<[Arc<Member>]>>);

/// A secondary.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) spec: PathSpec,
    /// Whether the client that spoke of it last has no path to it.
    lost: AtomicBool,
}

impl Roster {
    pub(crate) fn new(specs: Vec<PathSpec>) -> Self {
        let roster = Self(watch::Sender::new(Arc::new([])));
        roster.set(specs);
        roster
    }

    /// From now on it is these. One that was there stays the same, in whatever order its addresses are found; whether
    /// anything has changed.
    pub(crate) fn set(&self, specs: Vec<PathSpec>) -> bool {
        self.0.send_if_modified(|members| {
            let known = |spec: &PathSpec| members.iter().find(|it| same(&it.spec, spec)).cloned();
            let fresh = |spec| Arc::new(Member { spec, lost: AtomicBool::new(false) });
            let next: Arc<[Arc<Member>]> =
                specs.into_iter().map(|spec| known(&spec).unwrap_or_else(|| fresh(spec))).collect();
            let stays = |at: &Arc<Member>| next.iter().any(|it| Arc::ptr_eq(it, at));
            let changed = members.len() != next.len() || !members.iter().all(stays);
            *members = next;
            changed
        })
    }

    pub(crate) fn members(&self) -> Arc<[Arc<Member>]> {
        self.0.borrow().clone()
    }

    /// Tells of changes from now on.
    pub(crate) fn watch(&self) -> watch::Receiver<Arc<[Arc<Member>]>> {
        self.0.subscribe()
    }

    /// A client reached the secondary at that address, or lost it.
    pub(crate) fn heard(&self, address: SocketAddr, lost: bool) {
        let members = self.members();
        for member in members.iter().filter(|member| member.spec.addresses.contains(&address)) {
            member.lost.store(lost, Ordering::Relaxed);
        }
    }

    /// Secondaries that the client who spoke of them last has no path to, by their first address.
    pub(crate) fn lost(&self) -> Vec<SocketAddr> {
        let members = self.members();
        let lost = members.iter().filter(|member| member.lost.load(Ordering::Relaxed));
        lost.filter_map(|member| member.spec.addresses.first().copied()).collect()
    }
}

/// Whether they are one server: name servers give addresses in any order.
fn same(one: &PathSpec, other: &PathSpec) -> bool {
    let sorted = |spec: &PathSpec| {
        let mut addresses = spec.addresses.clone();
        addresses.sort();
        addresses
    };
    one.identity == other.identity && sorted(one) == sorted(other)
}

#[cfg(test)]
mod tests {
    use kwik_server::ServerIdentity;

    use super::*;

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    fn spec(ports: &[u16]) -> PathSpec {
        let addresses = ports.iter().map(|port| address(*port)).collect();
        PathSpec { addresses, identity: ServerIdentity::Pin([7; 32]), grant_all: false }
    }

    #[test]
    fn who_stays_is_the_same_and_who_is_new_is_told() {
        let roster = Roster::new(vec![spec(&[1, 2]), spec(&[3])]);
        let before = roster.members();
        let mut watch = roster.watch();
        assert!(!roster.set(vec![spec(&[3]), spec(&[2, 1])]), "the same in another order");
        assert!(!watch.has_changed().unwrap_or(true));
        assert!(roster.set(vec![spec(&[2, 1]), spec(&[4])]));
        assert!(watch.borrow_and_update().iter().any(|member| Arc::ptr_eq(member, &before[0])));
        assert!(roster.set(Vec::new()));
        assert!(roster.members().is_empty());
    }

    #[test]
    fn the_client_that_spoke_last_counts() {
        let roster = Roster::new(vec![spec(&[1, 2]), spec(&[3])]);
        roster.heard(address(2), true);
        roster.heard(address(9), true);
        assert_eq!(roster.lost(), [address(1)]);
        roster.set(vec![spec(&[2, 1])]);
        assert_eq!(roster.lost(), [address(1)], "it is lost all the same");
        roster.heard(address(1), false);
        assert_eq!(roster.lost(), []);
    }
}
