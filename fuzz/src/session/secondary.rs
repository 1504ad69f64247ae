//! A secondary: its client, the primary's orders and its application do what the input says.

use std::collections::BTreeMap;

use kwik_core::session::secondary::{MAX_DELEGATIONS, Output};
use kwik_core::session::{SecondarySession, SessionConfig};
use kwik_core::time::Instant;
use kwik_proto::frame::{ControlFrame, Orders};
use kwik_proto::{DelegationId, Epoch, Offset, PathId, StreamId};

use super::input::Input;
use super::rules::{Count, Ending, later};
use super::{STEPS, frames};

const PATH: PathId = PathId::new(1);

struct Secondary {
    core: SecondarySession,
    now: Instant,
    ending: Ending,
    number: u64,
    next_carrier: u64,
    offered: Vec<(StreamId, DelegationId)>,
    windows: BTreeMap<StreamId, Offset>,
    /// Bytes of messages that the application has not taken.
    messages: Vec<usize>,
}

/// Feeds a secondary's session with the steps of `input`.
pub fn check_secondary(input: &[u8]) {
    let mut input = Input::new(input);
    let config = SessionConfig::default();
    let hello = frames::hello(&mut input);
    let core = SecondarySession::new(&config, &hello, frames::SESSION, PATH, Epoch::FIRST);
    let Ok(core) = core else { return };
    let mut secondary = Secondary {
        core,
        now: Instant::ZERO,
        ending: Ending::default(),
        number: 0,
        next_carrier: 3,
        offered: Vec::new(),
        windows: BTreeMap::new(),
        messages: Vec::new(),
    };
    secondary.settle();
    for _ in 0..STEPS {
        if input.is_empty() {
            break;
        }
        secondary.step(&mut input);
        secondary.settle();
    }
    for _ in 0..4 {
        let due = secondary.core.poll_timeout().map(|at| at.since(secondary.now));
        secondary.now = later(secondary.now, due.unwrap_or_default());
        secondary.settle();
    }
}

impl Secondary {
    fn step(&mut self, input: &mut Input<'_>) {
        match input.below(20) {
            0..=2 => {
                if let Some(frame) = frames::any(input) {
                    self.hear(frame);
                }
            }
            3 => frames::raw(input).into_iter().for_each(|frame| self.hear(frame)),
            4..=8 => {
                let orders = frames::orders(PATH, Epoch::FIRST, self.number + 1, input);
                let counts = orders.session == frames::SESSION && orders.number == self.number + 1;
                self.number += u64::from(counts);
                self.core.handle_orders(orders);
            }
            9 | 10 => self.accept(input),
            11 => self.decline(input),
            12 => {
                let stream = input.stream();
                if let Ok(plan) = self.core.open(stream) {
                    assert!(!plan.allowed.is_empty());
                    self.open_carrier(plan.header);
                }
            }
            13 => self.core.handle_blocked(input.stream(), input.offset()),
            14 => self.open_carrier(frames::header(input)),
            15 | 16 => {
                let carrier = u64::from(input.byte()) * 4 + 3;
                self.core.handle_carrier_end(carrier, input.flag());
            }
            17 => drop(self.core.send_message(vec![1; 1 + usize::from(input.byte()) * 300].into())),
            18 => {
                if let Some(size) = self.messages.pop() {
                    self.core.handle_message_taken(size);
                }
            }
            _ => self.seldom(input),
        }
    }

    fn hear(&mut self, frame: ControlFrame) {
        match frame {
            ControlFrame::Orders(signed) => {
                if let Ok(orders) = Orders::decode(&signed.body) {
                    self.number += u64::from(orders.number == self.number + 1);
                    self.core.handle_orders(orders);
                }
            }
            frame => self.core.handle_control(frame),
        }
        self.settle();
    }

    fn some_offer(&self, input: &mut Input<'_>) -> Option<(StreamId, DelegationId)> {
        let at = usize::from(input.byte());
        let offer = at.checked_rem(self.offered.len()).and_then(|at| self.offered.get(at));
        offer.copied().or_else(|| Some((input.stream(), input.delegation())))
    }

    fn accept(&mut self, input: &mut Input<'_>) {
        let Some((stream, id)) = self.some_offer(input) else { return };
        if let Ok(plan) = self.core.accept(stream, id) {
            assert_eq!(plan.max_offset, plan.allowed.end());
            self.open_carrier(plan.header);
        }
    }

    fn decline(&mut self, input: &mut Input<'_>) {
        let Some((_, id)) = self.some_offer(input) else { return };
        match input.below(3) {
            0 => self.core.postpone(id),
            1 => self.core.refuse(id, frames::reason(input)),
            _ => self.core.fail_delegation(id, frames::reason(input)),
        }
    }

    fn open_carrier(&mut self, header: kwik_proto::frame::StreamHeader) {
        self.core.handle_carrier_open(self.next_carrier, header);
        self.next_carrier += 4;
    }

    fn seldom(&mut self, input: &mut Input<'_>) {
        match input.below(4) {
            0 => self.core.close(frames::code(input), "x"),
            1 => self.core.go_away(self.now + input.duration(), self.now),
            _ => self.now = later(self.now, input.duration()),
        }
    }

    fn settle(&mut self) {
        let mut count = Count::default();
        self.drain(&mut count);
        while let Some(at) = self.core.poll_timeout().filter(|at| *at <= self.now) {
            count.timeout(at);
            self.core.handle_timeout(self.now);
            self.drain(&mut count);
        }
        let (contributions, delegations) = self.core.counts();
        assert!(delegations <= MAX_DELEGATIONS && contributions <= 2 * MAX_DELEGATIONS);
    }

    fn drain(&mut self, count: &mut Count) {
        while let Some(output) = self.core.poll_output() {
            count.output(&output);
            match output {
                Output::Send(frame) => self.ending.handle_frame(&frame),
                Output::Close(code, _) => self.ending.handle_close(code),
                other => {
                    self.ending.handle_act(&other);
                    self.carry_out(other);
                }
            }
        }
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Offer(delegation) => {
                assert!(!delegation.range.is_empty());
                self.offered.push((delegation.stream, delegation.id));
            }
            Output::Window(stream, at) => {
                assert!(self.windows.insert(stream, at) < Some(at), "a window fell");
            }
            Output::Stop { stream, delegation: None, .. } => drop(self.windows.remove(&stream)),
            Output::Message(message) => {
                self.messages.push(message.len());
                let held: usize = self.messages.iter().sum();
                assert!(held <= 512 << 10, "{held} bytes of messages beyond the credit");
            }
            _ => {}
        }
    }
}
