//! Which KWIK stream ids exist, existed, and may still come.

use std::collections::BTreeSet;

use kwik_proto::frame::Limits;
use kwik_proto::{Initiator, StreamId, StreamKind};

/// What a stream id is at this end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Open, and the application may know it.
    Open,
    /// Open because a grant named it or a higher id; the application does not know it yet.
    Announced,
    /// It was open once.
    Closed,
    /// Nobody ever named it.
    Never,
}

/// What a frame that names a stream id did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RemoteId {
    /// The stream was open already.
    Open,
    /// The stream is over.
    Closed,
    /// Something is new.
    Opened {
        /// Streams that exist from now on, in order: the id and all lower ones of its kind.
        created: Vec<StreamId>,
        /// Streams that the application may accept from now on, in order.
        accepted: Vec<StreamId>,
    },
    /// One of our own numbers, which we never used: the peer broke the protocol.
    Unknown,
    /// More than may be open now, and not more than the peer may have under way: a header waits until
    /// [`StreamNumbers::take_admissible`] gives the id, for any other frame it is an error.
    Wait,
    /// The peer opened more streams than it was allowed.
    LimitExceeded,
}

/// The numbering of the KWIK streams of a session, as one end sees it.
///
/// Ids count per initiator and kind (RFC 9000, 2.1). A header, reset or grant for an id opens all lower ids of its
/// kind too, and the application accepts them in that order (RFC 9000, 3.2). A grant alone makes a stream that the
/// application does not see yet.
///
/// The limits are on streams open *at a time* and never change, so there is no frame that raises them: both ends
/// count. The end that opened a stream may count it as closed before its peer does: the frame that says so goes on the
/// control stream, which may be late, while the headers of the streams that come after go on carriers of their own. So
/// twice the limit is taken at once, and a header beyond that [waits](RemoteId::Wait) in its carrier; the peer pays with
/// its QUIC stream credit, of which it has one limit. Frames on the control stream are in order with those that close
/// streams: for them more than twice the limit is an error.
///
/// ```
/// use kwik_core::mapping::{RemoteId, StreamNumbers};
/// use kwik_proto::frame::Limits;
/// use kwik_proto::{Initiator, StreamId, StreamKind};
///
/// let limits = Limits {
///     max_bidirectional_streams: 2,
///     max_unidirectional_streams: 2,
///     initial_window: 65536,
/// };
/// let mut client = StreamNumbers::new(Initiator::Client, limits);
/// client.set_peer_limits(limits);
/// assert_eq!(client.open_local(StreamKind::Bidirectional), StreamId::from_wire(0));
///
/// let ids = |wire: &[u64]| wire.iter().filter_map(|&id| StreamId::from_wire(id)).collect();
/// let opened = RemoteId::Opened { created: ids(&[1, 5]), accepted: ids(&[1, 5]) };
/// assert_eq!(client.handle_remote(StreamId::from_wire(5).unwrap(), true), opened);
/// ```
#[derive(Clone, Debug)]
pub struct StreamNumbers {
    local: Initiator,
    /// By the two low bits of the id.
    kinds: [Numbers; 4],
}

#[derive(Clone, Debug, Default)]
struct Numbers {
    /// Index of the first stream that does not exist yet.
    next: u64,
    /// Index of the first stream that the application may not see yet.
    shown: u64,
    /// Streams that may be open at a time.
    limit: u64,
    /// Indices of the streams that are open.
    open: BTreeSet<u64>,
    /// Indices whose headers wait.
    waiting: BTreeSet<u64>,
}

impl StreamNumbers {
    /// Streams of each kind that may be open before the peer's limits are known: 16. So an application need not wait a
    /// round trip for Welcome; every peer has room for them, whatever its limits say.
    pub const EARLY: u32 = 16;

    /// No stream. `limits` is what the peer is allowed; what we are allowed is [`StreamNumbers::EARLY`] until
    /// [`StreamNumbers::set_peer_limits`].
    pub fn new(local: Initiator, limits: Limits) -> Self {
        let mut numbers = Self { local, kinds: Default::default() };
        numbers.set_limits(opposite(local), limits);
        numbers.set_limits(
            local,
            Limits {
                max_bidirectional_streams: Self::EARLY,
                max_unidirectional_streams: Self::EARLY,
                initial_window: 0,
            },
        );
        numbers
    }

    /// What the peer is ready to receive, from its Hello or Welcome.
    pub fn set_peer_limits(&mut self, limits: Limits) {
        self.set_limits(self.local, limits);
    }

    fn set_limits(&mut self, initiator: Initiator, limits: Limits) {
        let bidirectional = slot(initiator, StreamKind::Bidirectional);
        let unidirectional = slot(initiator, StreamKind::Unidirectional);
        self.kinds[bidirectional].limit = limits.max_bidirectional_streams.into();
        self.kinds[unidirectional].limit = limits.max_unidirectional_streams.into();
    }

    /// The next stream of this end; `None` while the peer's limit is reached.
    pub fn open_local(&mut self, kind: StreamKind) -> Option<StreamId> {
        let numbers = &mut self.kinds[slot(self.local, kind)];
        if numbers.open_count() >= numbers.limit {
            return None;
        }
        let id = StreamId::new(self.local, kind, numbers.next)?;
        numbers.open.insert(numbers.next);
        numbers.next += 1;
        numbers.shown = numbers.next;
        Some(id)
    }

    /// A frame names `id`: a header or reset, which the application may see (`accept`), or a grant, which it may not.
    pub fn handle_remote(&mut self, id: StreamId, accept: bool) -> RemoteId {
        let local = self.local;
        let numbers = &mut self.kinds[slot_of(id)];
        let index = id.index();
        if id.initiator() == local {
            return numbers.known(index);
        }
        if index >= numbers.next && !numbers.has_room(index) {
            return if numbers.is_far(index) { RemoteId::LimitExceeded } else { RemoteId::Wait };
        }
        let created = numbers.create_to(index);
        let accepted = if accept { numbers.show_to(index) } else { Vec::new() };
        if created.is_empty() && accepted.is_empty() {
            return numbers.known(index);
        }
        let ids = |indices: Vec<u64>| {
            indices.iter().filter_map(|&n| StreamId::new(id.initiator(), id.kind(), n)).collect()
        };
        RemoteId::Opened { created: ids(created), accepted: ids(accepted) }
    }

    /// The header of a stream that has to wait came: [`StreamNumbers::take_admissible`] gives it later.
    pub fn wait(&mut self, id: StreamId) {
        self.kinds[slot_of(id)].waiting.insert(id.index());
    }

    /// The lowest id of those that wait for which there is room now, the lower ones of its kind included. Asked
    /// whenever a stream was closed or made.
    pub fn take_admissible(&mut self) -> Option<StreamId> {
        let initiator = opposite(self.local);
        [StreamKind::Bidirectional, StreamKind::Unidirectional].into_iter().find_map(|kind| {
            let numbers = &mut self.kinds[slot(initiator, kind)];
            let index = *numbers.waiting.first()?;
            if index >= numbers.next && !numbers.has_room(index) {
                return None;
            }
            numbers.waiting.remove(&index);
            StreamId::new(initiator, kind, index)
        })
    }

    /// A stream is over in all its halves; its place is free. `false` if it was not open.
    pub fn handle_closed(&mut self, id: StreamId) -> bool {
        self.kinds[slot_of(id)].open.remove(&id.index())
    }

    /// What `id` is at this end.
    pub fn standing(&self, id: StreamId) -> Standing {
        let numbers = &self.kinds[slot_of(id)];
        let index = id.index();
        if index >= numbers.next {
            return Standing::Never;
        }
        if !numbers.open.contains(&index) {
            return Standing::Closed;
        }
        if index < numbers.shown { Standing::Open } else { Standing::Announced }
    }

    /// Whether `id` exists or existed.
    pub fn was_opened(&self, id: StreamId) -> bool {
        self.standing(id) != Standing::Never
    }

    /// Streams of that initiator and kind that are open.
    pub fn open_count(&self, initiator: Initiator, kind: StreamKind) -> u64 {
        self.kinds[slot(initiator, kind)].open_count()
    }
}

impl Numbers {
    fn open_count(&self) -> u64 {
        self.open.len() as u64
    }

    /// Streams that may be open at this end: twice the limit, and the early streams.
    fn room(&self) -> u64 {
        self.limit.saturating_mul(2).max(StreamNumbers::EARLY.into())
    }

    /// Whether everything up to `index` may be open. Asked before anything is made: `index` may be 2^60.
    fn has_room(&self, index: u64) -> bool {
        self.open_count().saturating_add(index - self.next + 1) <= self.room()
    }

    /// Whether no honest peer has come that far: each stream that is not known here yet is open at the peer.
    fn is_far(&self, index: u64) -> bool {
        index - self.next >= self.room()
    }

    fn create_to(&mut self, index: u64) -> Vec<u64> {
        let created: Vec<u64> = (self.next..=index).collect();
        self.open.extend(&created);
        self.next = self.next.max(index + 1);
        created
    }

    /// Streams that were closed before anybody could see them are passed over.
    fn show_to(&mut self, index: u64) -> Vec<u64> {
        let shown = (self.shown..=index).filter(|n| self.open.contains(n)).collect();
        self.shown = self.shown.max(index + 1);
        shown
    }

    fn known(&self, index: u64) -> RemoteId {
        if index >= self.next {
            RemoteId::Unknown
        } else if self.open.contains(&index) {
            RemoteId::Open
        } else {
            RemoteId::Closed
        }
    }
}

const fn opposite(end: Initiator) -> Initiator {
    match end {
        Initiator::Client => Initiator::Server,
        Initiator::Server => Initiator::Client,
    }
}

const fn slot(initiator: Initiator, kind: StreamKind) -> usize {
    match (initiator, kind) {
        (Initiator::Client, StreamKind::Bidirectional) => 0,
        (Initiator::Server, StreamKind::Bidirectional) => 1,
        (Initiator::Client, StreamKind::Unidirectional) => 2,
        (Initiator::Server, StreamKind::Unidirectional) => 3,
    }
}

const fn slot_of(id: StreamId) -> usize {
    slot(id.initiator(), id.kind())
}

#[cfg(test)]
mod tests;
