//! Messages between primary and secondary, through the client.
//!
//! A message is cut into pieces, so that a large one never stands before a grant on the control stream, and goes out
//! under a credit of its own, so that an application that does not read never holds the control stream up.
//!
//! Both directions of every (path, epoch) start with [`INITIAL_CREDIT`]; a new epoch starts anew on both ends, with a
//! new [`Outbox`] and [`Inbox`]. What was under way when an epoch ended is lost.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use kwik_proto::PathId;
use kwik_proto::frame::{ErrorCode, Relay};

/// Largest message: 64 KiB.
pub const MAX_MESSAGE: usize = 64 * 1024;
/// Largest piece: 4 KiB, 0.3 ms of a 100 Mbit/s link, which is what a grant waits for at most.
pub const MAX_PIECE: usize = 4 * 1024;
/// Bytes that may be sent before the first RelayCredit: 256 KiB, four of the largest messages.
pub const INITIAL_CREDIT: u64 = 4 * MAX_MESSAGE as u64;

/// What is wrong with a piece. The sender's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RelayError {
    /// A message of 0 bytes, more than [`MAX_MESSAGE`], or not what its first piece said.
    #[error("a message of {size} bytes")]
    MessageSize {
        /// Its size.
        size: u32,
    },
    /// A piece of 0 bytes, more than [`MAX_PIECE`], or beyond its message's end.
    #[error("a piece of {size} bytes")]
    PieceSize {
        /// Its size.
        size: usize,
    },
    /// Control streams keep the order: this is not the piece that follows.
    #[error("piece {offset} of message {message}, expected {wanted_offset} of {wanted}")]
    Order {
        /// The piece's message.
        message: u64,
        /// Where the piece says it belongs.
        offset: u32,
        /// The message that is due.
        wanted: u64,
        /// The offset that is due.
        wanted_offset: u32,
    },
    /// More bytes than the credit allows.
    #[error("{sent} bytes of messages, {allowed} are allowed")]
    Credit {
        /// Bytes with this message.
        sent: u64,
        /// The credit.
        allowed: u64,
    },
    /// The application takes no messages: this one is dropped.
    #[error("{} messages wait for the application", Inbox::MAX_WAITING)]
    Busy,
}

impl RelayError {
    /// What the sender is told. All but Busy close its path.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::MessageSize { .. } | Self::PieceSize { .. } | Self::Order { .. } => {
                ErrorCode::ProtocolViolation
            }
            Self::Credit { .. } => ErrorCode::FlowControl,
            Self::Busy => ErrorCode::Busy,
        }
    }
}

/// Messages that wait to be sent in one direction of one (path, epoch).
///
/// ```
/// use bytes::Bytes;
/// use kwik_core::relay::{Inbox, MAX_PIECE, Outbox};
/// use kwik_proto::PathId;
///
/// let (mut outbox, mut inbox) = (Outbox::default(), Inbox::default());
/// outbox.push(Bytes::from(vec![7; MAX_PIECE + 1])).unwrap();
/// let first = outbox.next_piece(PathId::new(1)).unwrap();
/// assert_eq!(inbox.handle_piece(first), Ok(None));
/// let second = outbox.next_piece(PathId::new(1)).unwrap();
/// assert_eq!(inbox.handle_piece(second), Ok(Some(Bytes::from(vec![7; MAX_PIECE + 1]))));
/// ```
#[derive(Clone, Debug)]
pub struct Outbox {
    queue: VecDeque<Bytes>,
    queued_bytes: usize,
    /// Bytes of the first message that were sent.
    sent_of_first: usize,
    next_id: u64,
    sent: u64,
    credit: u64,
}

impl Default for Outbox {
    fn default() -> Self {
        Self {
            queue: VecDeque::new(),
            queued_bytes: 0,
            sent_of_first: 0,
            next_id: 0,
            sent: 0,
            credit: INITIAL_CREDIT,
        }
    }
}

impl Outbox {
    /// Bytes that may wait: 1 MiB. The application that sends pays: it gets its message back.
    pub const MAX_BYTES: usize = 1024 * 1024;
    /// Messages that may wait: 1,024, for small ones cost more than their bytes.
    pub const MAX_QUEUED: usize = 1024;

    /// Takes a message; gives it back if it is empty, larger than [`MAX_MESSAGE`], or the queue is full.
    pub fn push(&mut self, message: Bytes) -> Result<(), Bytes> {
        let fits = (1..=MAX_MESSAGE).contains(&message.len())
            && self.queue.len() < Self::MAX_QUEUED
            && self.queued_bytes + message.len() <= Self::MAX_BYTES;
        if !fits {
            return Err(message);
        }
        self.queued_bytes += message.len();
        self.queue.push_back(message);
        Ok(())
    }

    /// The receiver takes `max_bytes` in all. Never falls.
    pub fn handle_credit(&mut self, max_bytes: u64) {
        self.credit = self.credit.max(max_bytes);
    }

    /// The next piece; `None` if nothing waits or the credit does not cover the whole message.
    pub fn next_piece(&mut self, path: PathId) -> Option<Relay> {
        let message = self.queue.front()?;
        let size = message.len();
        // A message is begun only when all of it may go: a receiver holds at most one that is incomplete.
        if self.sent_of_first == 0 && self.sent.saturating_add(size as u64) > self.credit {
            return None;
        }
        let start = self.sent_of_first;
        let end = size.min(start + MAX_PIECE);
        let relay = Relay {
            path,
            message_id: self.next_id,
            message_size: size as u32,
            piece_offset: start as u32,
            piece: message.slice(start..end),
        };
        self.sent += (end - start) as u64;
        self.sent_of_first = end;
        if end == size {
            self.finish_first(size);
        }
        Some(relay)
    }

    fn finish_first(&mut self, size: usize) {
        self.queue.pop_front();
        self.queued_bytes -= size;
        self.sent_of_first = 0;
        self.next_id += 1;
    }

    /// Messages that wait, the one that is being sent included.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

/// Pieces put together, in one direction of one (path, epoch). Example: [`Outbox`].
///
/// Complete messages are handed out at once; the credit counts them until the application took them.
#[derive(Clone, Debug, Default)]
pub struct Inbox {
    partial: BytesMut,
    /// Size of the message in `partial`.
    size: u32,
    next_id: u64,
    /// Bytes of all messages that were begun.
    begun: u64,
    /// Bytes of all messages that the application took, or that were dropped.
    taken: u64,
    waiting: usize,
}

impl Inbox {
    /// Complete messages that may wait for the application: 1,024. The sender pays: further ones are dropped as Busy.
    pub const MAX_WAITING: usize = 1024;

    /// A piece arrived; returns the message if that was its last one.
    pub fn handle_piece(&mut self, piece: Relay) -> Result<Option<Bytes>, RelayError> {
        self.check(&piece)?;
        if piece.piece_offset == 0 {
            self.begin(&piece)?;
        }
        let size = piece.message_size as usize;
        if piece.piece_offset == 0 && piece.piece.len() == size {
            return self.complete(piece.piece);
        }
        self.partial.extend_from_slice(&piece.piece);
        if self.partial.len() < size {
            return Ok(None);
        }
        let message = self.partial.split().freeze();
        self.complete(message)
    }

    fn check(&self, piece: &Relay) -> Result<(), RelayError> {
        let size = piece.message_size;
        if size == 0 || size as usize > MAX_MESSAGE {
            return Err(RelayError::MessageSize { size });
        }
        let wanted_offset = self.partial.len() as u32;
        if piece.message_id != self.next_id || piece.piece_offset != wanted_offset {
            let (message, offset) = (piece.message_id, piece.piece_offset);
            return Err(RelayError::Order { message, offset, wanted: self.next_id, wanted_offset });
        }
        if wanted_offset > 0 && size != self.size {
            return Err(RelayError::MessageSize { size });
        }
        let length = piece.piece.len();
        let rest = (size as usize).saturating_sub(self.partial.len());
        if length == 0 || length > MAX_PIECE || length > rest {
            return Err(RelayError::PieceSize { size: length });
        }
        Ok(())
    }

    fn begin(&mut self, piece: &Relay) -> Result<(), RelayError> {
        let sent = self.begun.saturating_add(piece.message_size.into());
        let allowed = self.credit();
        if sent > allowed {
            return Err(RelayError::Credit { sent, allowed });
        }
        self.begun = sent;
        self.size = piece.message_size;
        Ok(())
    }

    fn complete(&mut self, message: Bytes) -> Result<Option<Bytes>, RelayError> {
        self.next_id += 1;
        if self.waiting >= Self::MAX_WAITING {
            self.taken += message.len() as u64;
            return Err(RelayError::Busy);
        }
        self.waiting += 1;
        Ok(Some(message))
    }

    /// The application took a message of `size` bytes; returns the credit for the RelayCredit to send.
    pub fn handle_taken(&mut self, size: usize) -> u64 {
        self.waiting = self.waiting.saturating_sub(1);
        self.taken = self.taken.saturating_add(size as u64).min(self.begun);
        self.credit()
    }

    /// Bytes that the sender may have sent in all.
    pub fn credit(&self) -> u64 {
        self.taken.saturating_add(INITIAL_CREDIT)
    }

    /// Complete messages that wait for the application.
    pub fn waiting(&self) -> usize {
        self.waiting
    }
}

/// The client's own look at the pieces that it passes on from a secondary: not more than the primary asked for.
///
/// Without it a hostile secondary could fill the control stream to the primary, which all paths share.
///
/// ```
/// use kwik_core::relay::{INITIAL_CREDIT, MAX_PIECE, Toll};
///
/// let mut toll = Toll::default();
/// while toll.passed() < INITIAL_CREDIT {
///     toll.pass(MAX_PIECE).unwrap();
/// }
/// assert!(toll.pass(1).is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Toll {
    passed: u64,
    credit: u64,
}

impl Default for Toll {
    fn default() -> Self {
        Self { passed: 0, credit: INITIAL_CREDIT }
    }
}

impl Toll {
    /// The primary takes `max_bytes` in all. Never falls.
    pub fn handle_credit(&mut self, max_bytes: u64) {
        self.credit = self.credit.max(max_bytes);
    }

    /// A piece of that many bytes is to be passed on. On an error drop it, and close its path.
    pub fn pass(&mut self, bytes: usize) -> Result<(), RelayError> {
        if bytes == 0 || bytes > MAX_PIECE {
            return Err(RelayError::PieceSize { size: bytes });
        }
        let sent = self.passed.saturating_add(bytes as u64);
        if sent > self.credit {
            return Err(RelayError::Credit { sent, allowed: self.credit });
        }
        self.passed = sent;
        Ok(())
    }

    /// Bytes passed on.
    pub fn passed(&self) -> u64 {
        self.passed
    }
}

/// The client's look at the other direction: credit that a secondary gives the primary, passed on only as far as it can
/// be true and as it matters.
///
/// A secondary has room for [`INITIAL_CREDIT`] beyond what its application took, and that came through the client. News
/// of less than [`MAX_PIECE`] wait for more: the credit of whoever sends stays far above the largest message. So one
/// frame goes to the primary for each 4 KiB of messages that it sent, at most.
///
/// ```
/// use kwik_core::relay::{CreditToll, INITIAL_CREDIT, MAX_PIECE};
///
/// let mut toll = CreditToll::default();
/// assert_eq!(toll.pass(u64::MAX), None, "nothing was sent that could have been taken");
/// toll.handle_sent(MAX_PIECE);
/// assert_eq!(toll.pass(u64::MAX), Some(INITIAL_CREDIT + MAX_PIECE as u64));
/// assert_eq!(toll.pass(u64::MAX), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CreditToll {
    sent: u64,
    told: u64,
}

impl Default for CreditToll {
    fn default() -> Self {
        Self { sent: 0, told: INITIAL_CREDIT }
    }
}

impl CreditToll {
    /// Bytes of messages went to the secondary.
    pub fn handle_sent(&mut self, bytes: usize) {
        self.sent = self.sent.saturating_add(bytes as u64);
    }

    /// The secondary takes `max_bytes` in all; what to tell the primary of it.
    pub fn pass(&mut self, max_bytes: u64) -> Option<u64> {
        let true_at_most = max_bytes.min(INITIAL_CREDIT.saturating_add(self.sent));
        let news = true_at_most >= self.told.saturating_add(MAX_PIECE as u64);
        news.then(|| {
            self.told = true_at_most;
            true_at_most
        })
    }
}

#[cfg(test)]
mod tests;
