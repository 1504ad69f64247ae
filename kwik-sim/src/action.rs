//! What can be done to a host or its link.

use crate::disk::DiskState;
use crate::link::LinkConfig;

/// What goes wrong, or right again, at some moment: scripted with [`Lab::at`](crate::Lab::at) or asked for by software
/// with [`Host::act`](crate::Host::act).
///
/// Hosts are named as in [`Lab::server`](crate::Lab::server); the client is [`CLIENT`](crate::CLIENT).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// The server's process is gone, without a word to anybody, and its memory with it.
    Crash(String),
    /// A crashed server's software starts again, from its beginning, with the same keys and the same disk. Nothing
    /// happens to a server that runs.
    Restart(String),
    /// The host stops: nothing runs, its memory stays, what arrives fills the buffers of its sockets.
    Freeze(String),
    /// The host sleeps, as a portable computer does: as with [`Freeze`](Self::Freeze), but its clock stands still, as
    /// Linux' monotonic clock does.
    Sleep(String),
    /// A frozen or sleeping host goes on. To one that was frozen the clock has jumped.
    Thaw(String),
    /// Nothing gets through between the client and this server any more; of the client: between it and all servers.
    Partition(String),
    /// It does again.
    Heal(String),
    /// The client's address and ports change to all who see them, as behind a NAT that forgot it or in another network:
    /// what was sent to the old ones is lost, and the client is not told. Not to servers: they are found by their
    /// addresses.
    Rebind(String),
    /// The link between the client and this server changes, in both directions; of the client: all links.
    Link(String, LinkConfig),
    /// The server's disk changes; see [`Host::disk`](crate::Host::disk).
    Disk(String, DiskState),
    /// The server's memory goes bad: what it sends of other servers' streams is not what its checksums were made of. Its
    /// disk and its control frames are right.
    Corrupt(String),
    /// Its memory is good again.
    Mend(String),
    /// The server is no longer wanted: software that waits for it in [`Host::revoked`](crate::Host::revoked) takes it out
    /// of its sessions.
    Revoke(String),
    /// The host's software is told something; see [`Host::told`](crate::Host::told).
    Tell(String, String),
}

impl Action {
    pub(crate) fn host(&self) -> &str {
        match self {
            Self::Crash(host)
            | Self::Restart(host)
            | Self::Freeze(host)
            | Self::Sleep(host)
            | Self::Thaw(host)
            | Self::Partition(host)
            | Self::Heal(host)
            | Self::Rebind(host)
            | Self::Link(host, _)
            | Self::Disk(host, _)
            | Self::Corrupt(host)
            | Self::Mend(host)
            | Self::Revoke(host)
            | Self::Tell(host, _) => host,
        }
    }
}
