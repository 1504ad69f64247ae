//! One promised range and its two clocks.

use std::time::Duration;

use kwik_proto::frame::DelegationState;
use kwik_proto::{ByteRange, DelegationId, PathId};

use super::Arrival;
use super::work::Work;
use crate::delegation::constants::{LONG, NOTICED, THRICE};
use crate::time::Instant;

/// Whether a promise counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The path owes the bytes.
    Owed,
    /// The path said Pending: it owes nothing yet.
    Pending,
    /// It was reported late, and nothing came since.
    Late,
}

/// How far a path's answers to a delegation came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Answer {
    None,
    Pending,
    Accepted,
    Sent,
    Ended,
}

impl Answer {
    pub(super) fn of(state: DelegationState) -> Self {
        match state {
            DelegationState::Pending => Self::Pending,
            DelegationState::Accepted => Self::Accepted,
            DelegationState::Sent => Self::Sent,
            DelegationState::Refused(_) | DelegationState::Failed(_) => Self::Ended,
        }
    }
}

/// A range that a path was asked for.
#[derive(Clone, Debug)]
pub(super) struct Promise {
    pub(super) path: PathId,
    pub(super) id: DelegationId,
    pub(super) range: ByteRange,
    pub(super) arrived: u64,
    /// When it was asked for, and the bytes that its path had to send before.
    asked: Instant,
    queue: u64,
    /// When its first byte is to be expected, as things stood then.
    due: Instant,
    /// Twice that long after it was asked for: when it is slow even with what lay before it.
    due_at_half_speed: Instant,
    last_byte: Option<Instant>,
    /// When it was last called late by comparison.
    pub(super) compared: Option<Instant>,
    pub(super) state: State,
    pub(super) answer: Answer,
}

impl Promise {
    pub(super) fn new(
        path: PathId,
        id: DelegationId,
        range: ByteRange,
        work: &Work,
        now: Instant,
    ) -> Self {
        let first_byte = work.first_byte(work.owed_bytes);
        Self {
            path,
            id,
            range,
            arrived: 0,
            asked: now,
            queue: work.owed_bytes,
            due: now + first_byte,
            due_at_half_speed: now + first_byte * 2,
            last_byte: None,
            compared: None,
            state: State::Owed,
            answer: Answer::None,
        }
    }

    /// Both clocks start again.
    pub(super) fn restart(&mut self, work: &Work, now: Instant) {
        let fresh = Self::new(self.path, self.id, self.range, work, now);
        (self.asked, self.queue, self.due) = (fresh.asked, fresh.queue, fresh.due);
        self.due_at_half_speed = fresh.due_at_half_speed;
        self.last_byte = None;
        self.state = State::Owed;
    }

    /// Bytes arrived; returns how many of them were still owed. Only new ones stop the clocks: who sends the same byte
    /// for ever must not keep the reader for ever.
    pub(super) fn received(&mut self, arrival: Arrival, now: Instant) -> u64 {
        let owed = arrival.bytes().min(self.rest());
        self.arrived += owed;
        if arrival.new > 0 {
            self.last_byte = Some(now);
            if self.state == State::Late {
                self.state = State::Owed;
            }
        }
        owed
    }

    /// Bytes that its path has not sent.
    pub(super) fn rest(&self) -> u64 {
        self.range.len().saturating_sub(self.arrived)
    }

    /// The head clock: when the promise is late, if the reader waits for it since `head_since`, an order travels for
    /// `order`, and others were `lates` times late with the same byte.
    pub(super) fn late_at_head(
        &self,
        work: &Work,
        head_since: Instant,
        order: Duration,
        lates: u32,
    ) -> Instant {
        let patience = work.patience().max(order.min(NOTICED));
        // Where several were late it is the network, and who is told to stop has what it sent thrown away: without this a
        // head that takes longer than the patience never comes.
        let patience = patience * doubled(lates);
        // The path may have become faster since: it was just dialled, or its first bytes were all that was measured.
        let due = self.due.min(self.asked + work.first_byte(self.queue));
        self.last_byte.unwrap_or(due).max(head_since) + patience
    }

    /// The range clock: when the promise is late without a single byte; `None`: it has begun.
    pub(super) fn late_anywhere(&self, work: &Work, rearmed: Instant) -> Option<Instant> {
        let patience = LONG.max(work.patience() * 4);
        (self.last_byte.is_none()).then(|| self.due_at_half_speed.max(rearmed) + patience)
    }

    /// Whether a byte of it came.
    pub(super) fn has_begun(&self) -> bool {
        self.last_byte.is_some()
    }
}

/// How many times as long a head is waited for that somebody was late with so often.
pub(super) fn doubled(lates: u32) -> u32 {
    1 << lates.min(THRICE)
}
