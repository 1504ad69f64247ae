//! A receiving half as a plain byte map, written from the rules and from nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    FirstWins,
    PrimaryWins,
    Reject,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    FlowControl,
    FinalSize,
    NotGranted,
    Conflict(Range<u64>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadResult {
    Data(Vec<u8>),
    Finished,
    Blocked,
    Reset(u64),
    Missing,
    DataConflict(Range<u64>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    pub new: u64,
    pub readable: bool,
}

/// Range, who was first, who came later, and who is wrong if that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dispute {
    pub range: Range<u64>,
    pub holder: u16,
    pub rival: u16,
    pub wrong: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Open,
    Reset(u64),
    Stopped(u64),
    Missing,
    DataConflict(Range<u64>),
}

struct Claim {
    range: Range<u64>,
    sides: Vec<(u16, Vec<u8>)>,
}

pub struct Oracle {
    policy: Policy,
    window: u64,
    state: State,
    /// Whether it was complete when it was stopped.
    had_all: bool,
    read: Vec<(u8, u16)>,
    held: BTreeMap<u64, (u8, u16)>,
    settled: u64,
    /// Settled bytes below are forgotten.
    remembered: u64,
    pub max_offset: u64,
    pub final_size: Option<u64>,
    primary_end: u64,
    isolated: BTreeSet<u16>,
    pub disputed: BTreeSet<u64>,
    asked: BTreeSet<u64>,
    claims: Vec<Claim>,
    pub verdicts: Vec<Dispute>,
    pub path_bytes: BTreeMap<u16, u64>,
}

impl Oracle {
    pub fn new(policy: Policy, window: u64) -> Self {
        Self {
            policy,
            window,
            state: State::Open,
            had_all: false,
            read: Vec::new(),
            held: BTreeMap::new(),
            settled: 0,
            remembered: 0,
            max_offset: window,
            final_size: None,
            primary_end: 0,
            isolated: BTreeSet::new(),
            disputed: BTreeSet::new(),
            asked: BTreeSet::new(),
            claims: Vec::new(),
            verdicts: Vec::new(),
            path_bytes: BTreeMap::new(),
        }
    }

    pub fn read_offset(&self) -> u64 {
        self.read.len() as u64
    }

    pub fn contiguous_end(&self) -> u64 {
        let mut end = self.read_offset();
        while self.held.contains_key(&end) {
            end += 1;
        }
        end
    }

    pub fn buffered(&self) -> u64 {
        self.held.len() as u64
    }

    pub fn is_complete(&self) -> bool {
        if let State::Stopped(_) = self.state {
            return self.had_all;
        }
        self.final_size.is_some_and(|size| size <= self.contiguous_end())
    }

    pub fn is_finished(&self) -> bool {
        self.state != State::Open || self.final_size == Some(self.read_offset())
    }

    fn is_readable(&self) -> bool {
        self.is_finished() || self.contiguous_end() > self.read_offset()
    }

    pub fn missing_in(&self, range: Range<u64>) -> Vec<u64> {
        range.filter(|at| *at >= self.read_offset() && !self.held.contains_key(at)).collect()
    }

    pub fn insert(
        &mut self,
        path: u16,
        allowed: Option<Range<u64>>,
        offset: u64,
        bytes: &[u8],
    ) -> Result<Taken, Refused> {
        let end = offset + bytes.len() as u64;
        if end > self.max_offset {
            return Err(Refused::FlowControl);
        }
        let bound = path == 0 || self.state == State::Open;
        if bound && self.final_size.is_some_and(|size| end > size) {
            return Err(Refused::FinalSize);
        }
        if let Some(allowed) = allowed
            && !bytes.is_empty()
            && (offset < allowed.start || end > allowed.end)
        {
            return Err(Refused::NotGranted);
        }
        if self.state != State::Open || self.isolated.contains(&path) {
            return Ok(Taken { new: 0, readable: false });
        }
        let was_readable = self.is_readable();
        self.judge(path, offset, bytes)?;
        let mut new = 0;
        if self.state == State::Open {
            for (at, &byte) in (offset..).zip(bytes) {
                let is_open = path == 0 || !self.disputed.contains(&at);
                if at >= self.read_offset() && is_open && !self.held.contains_key(&at) {
                    self.held.insert(at, (byte, path));
                    new += 1;
                }
            }
            *self.path_bytes.entry(path).or_default() += new;
            if path == 0 {
                self.primary_end = self.primary_end.max(end);
            }
        }
        Ok(Taken { new, readable: !was_readable && self.is_readable() })
    }

    /// What the policy does before bytes are taken.
    fn judge(&mut self, path: u16, offset: u64, bytes: &[u8]) -> Result<(), Refused> {
        match self.policy {
            Policy::FirstWins => {}
            Policy::PrimaryWins if path == 0 => {
                for (range, holder) in self.differences(self.settled, offset, bytes) {
                    if holder != 0 {
                        self.throw_away(range);
                    }
                }
            }
            Policy::PrimaryWins => {}
            Policy::Reject => self.compare(path, offset, bytes)?,
        }
        Ok(())
    }

    fn compare(&mut self, path: u16, offset: u64, bytes: &[u8]) -> Result<(), Refused> {
        if path == 0 {
            self.decide(offset, bytes);
        }
        let found = self.differences(self.remembered, offset, bytes);
        let is_proof = |holder: u16| path != 0 && (holder == 0 || holder == path);
        if let Some((range, holder)) = found.iter().find(|(_, holder)| is_proof(*holder)) {
            let (range, holder) = (range.clone(), *holder);
            let wrong = Some(path);
            self.verdicts.push(Dispute { range: range.clone(), holder, rival: path, wrong });
            return Err(Refused::Conflict(range));
        }
        for (range, holder) in found {
            if holder == path {
                continue;
            }
            let wrong = (path == 0).then_some(holder);
            // The primary is asked for the same bytes once.
            if wrong.is_some() || !range.clone().all(|at| self.asked.contains(&at)) {
                self.verdicts.push(Dispute { range: range.clone(), holder, rival: path, wrong });
            }
            if path != 0 {
                self.claim(&range, holder, path, &bytes[(range.start - offset) as usize..]);
                self.asked.extend(range.clone());
                let open = range.start.max(self.settled)..range.end.max(self.settled);
                self.disputed.extend(open.clone());
                self.throw_away(open);
            } else if range.start < self.settled {
                self.fail(State::DataConflict(range));
            } else {
                self.throw_away(range);
            }
        }
        Ok(())
    }

    fn claim(&mut self, range: &Range<u64>, holder: u16, rival: u16, copy: &[u8]) {
        let len = ((range.end - range.start) as usize).min(256);
        let held = (range.start..).take(len).map(|at| self.byte(at).unwrap().0).collect();
        if self.claims.len() == 16 {
            self.claims.remove(0);
        }
        let sides = vec![(holder, held), (rival, copy[..len].to_vec())];
        self.claims.push(Claim { range: range.clone(), sides });
    }

    fn decide(&mut self, offset: u64, bytes: &[u8]) {
        let end = offset + bytes.len() as u64;
        for at in offset..end {
            self.disputed.remove(&at);
            self.asked.remove(&at);
        }
        let (decided, open) = std::mem::take(&mut self.claims)
            .into_iter()
            .partition(|claim| offset <= claim.range.start && claim.range.start < end);
        self.claims = open;
        let decided: Vec<Claim> = decided;
        for claim in decided {
            for (side, claimed) in claim.sides {
                let wrong: Vec<u64> = (claim.range.start..end)
                    .zip(&claimed)
                    .filter(|(at, byte)| bytes[(at - offset) as usize] != **byte)
                    .map(|(at, _)| at)
                    .collect();
                if let (Some(first), Some(last)) = (wrong.first(), wrong.last()) {
                    let range = *first..last + 1;
                    self.verdicts.push(Dispute {
                        range,
                        holder: side,
                        rival: 0,
                        wrong: Some(side),
                    });
                }
            }
        }
    }

    fn byte(&self, at: u64) -> Option<(u8, u16)> {
        self.read.get(at as usize).or_else(|| self.held.get(&at)).copied()
    }

    /// For each unbroken stretch of one path, the first to the last byte that differs.
    fn differences(&self, from: u64, offset: u64, bytes: &[u8]) -> Vec<(Range<u64>, u16)> {
        let mut found: Vec<(Range<u64>, u16)> = Vec::new();
        let mut stretch = None;
        let mut is_new = true;
        for (at, &byte) in (offset..).zip(bytes) {
            let held = self.byte(at).filter(|_| at >= from.min(self.settled));
            let holder = held.map(|(_, holder)| (holder, at < self.settled));
            is_new |= holder.is_none() || holder != stretch;
            stretch = holder;
            if let Some((held, holder)) = held
                && held != byte
            {
                if is_new {
                    found.push((at..at + 1, holder));
                    is_new = false;
                } else {
                    found.last_mut().unwrap().0.end = at + 1;
                }
            }
        }
        found
    }

    fn throw_away(&mut self, range: Range<u64>) {
        for at in range {
            if let Some((_, path)) = self.held.remove(&at) {
                *self.path_bytes.get_mut(&path).unwrap() -= 1;
            }
        }
    }

    pub fn fin(&mut self, path: u16, size: u64) -> Result<bool, Refused> {
        if path != 0 {
            return Err(Refused::FinalSize);
        }
        let was_readable = self.is_readable();
        self.fix(size)?;
        if self.state == State::Open {
            self.cut(size);
        }
        Ok(!was_readable && self.is_readable())
    }

    /// What lies beyond the final size goes; what was settled there cannot be taken back.
    fn cut(&mut self, size: u64) {
        let beyond: Vec<u64> =
            self.held.range(size.max(self.settled)..).map(|(at, _)| *at).collect();
        let paths: BTreeSet<u16> = beyond.iter().map(|at| self.held[at].1).collect();
        for path in paths {
            let wrong = Some(path);
            self.verdicts.push(Dispute { range: size..size, holder: path, rival: 0, wrong });
        }
        beyond.iter().for_each(|at| self.throw_away(*at..at + 1));
        if self.settled > size {
            self.fail(State::DataConflict(size..self.settled));
        }
    }

    pub fn reset(&mut self, code: u64, size: u64) -> Result<(), Refused> {
        let was_complete = self.is_complete();
        self.fix(size)?;
        if self.state == State::Open && !was_complete {
            self.end(State::Reset(code));
        }
        Ok(())
    }

    fn fix(&mut self, size: u64) -> Result<(), Refused> {
        if self.final_size.is_some_and(|known| known != size) || size < self.primary_end {
            return Err(Refused::FinalSize);
        }
        if size > self.max_offset {
            return Err(Refused::FlowControl);
        }
        self.final_size = Some(size);
        Ok(())
    }

    pub fn read(&mut self, max: u64) -> ReadResult {
        let end = self.contiguous_end();
        if let State::Reset(code) | State::Stopped(code) = &self.state {
            return ReadResult::Reset(*code);
        }
        if end > self.read_offset() {
            self.settled = self.settled.max(self.contiguous_end());
            let reach = (64 << 10).min(self.window / 4);
            self.remembered = self.remembered.max(self.settled.saturating_sub(reach));
            let to = end.min(self.read_offset() + max);
            let mut bytes = Vec::new();
            for at in self.read_offset()..to {
                let (byte, path) = self.held.remove(&at).unwrap();
                self.read.push((byte, path));
                bytes.push(byte);
            }
            return ReadResult::Data(bytes);
        }
        match &self.state {
            State::Missing => ReadResult::Missing,
            State::DataConflict(range) => ReadResult::DataConflict(range.clone()),
            _ if self.final_size == Some(self.read_offset()) => ReadResult::Finished,
            _ => ReadResult::Blocked,
        }
    }

    pub fn give_up(&mut self) {
        if !self.is_complete() {
            self.fail(State::Missing);
        }
    }

    fn fail(&mut self, state: State) {
        if self.state == State::Open {
            self.state = state;
            let is_conflict = matches!(self.state, State::DataConflict(_));
            let end = if is_conflict { self.settled } else { self.contiguous_end() };
            self.held.retain(|at, _| *at < end);
            self.claims.clear();
            self.disputed.clear();
            self.asked.clear();
        }
    }

    pub fn stop(&mut self, code: u64) {
        if !matches!(self.state, State::Reset(_) | State::Stopped(_)) {
            self.had_all = self.is_complete();
            self.end(State::Stopped(code));
        }
    }

    fn end(&mut self, state: State) {
        self.state = state;
        self.held.clear();
        self.claims.clear();
        self.disputed.clear();
        self.asked.clear();
    }

    pub fn isolate(&mut self, path: u16) -> Vec<u64> {
        if path == 0 {
            return Vec::new();
        }
        self.isolated.insert(path);
        let (gone, kept): (Vec<Claim>, Vec<Claim>) = std::mem::take(&mut self.claims)
            .into_iter()
            .partition(|claim| claim.sides.iter().any(|(side, _)| *side == path));
        self.claims = kept;
        for at in gone.iter().flat_map(|claim| claim.range.clone()) {
            if !self.claims.iter().any(|claim| claim.range.contains(&at)) {
                self.disputed.remove(&at);
                self.asked.remove(&at);
            }
        }
        let sent: Vec<u64> = self
            .held
            .iter()
            .filter(|(at, (_, sender))| *sender == path && **at >= self.settled)
            .map(|(at, _)| *at)
            .collect();
        sent.iter().for_each(|at| self.throw_away(*at..at + 1));
        sent
    }

    pub fn move_window(&mut self) -> Option<u64> {
        if self.state != State::Open || self.final_size.is_some() {
            return None;
        }
        let limit = self.read_offset() + self.window;
        if limit - self.max_offset < (self.window / 8).max(1) {
            return None;
        }
        self.max_offset = limit;
        Some(limit)
    }
}
