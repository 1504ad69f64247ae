//! The table of plain cases in `cases/receive.json`; `cases/README.md` explains its fields.

#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use kwik_core::conflict::ConflictPolicy;
use kwik_core::stream::{Failure, Read, ReceiveConfig, ReceiveError, ReceiveHalf, SourceKey};
use kwik_core::time::Instant;
use kwik_core::window::Budget;
use kwik_proto::{ByteRange, Offset, PathId};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    name: String,
    policy: Policy,
    window: u64,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Policy {
    FirstWins,
    PrimaryWins,
    Reject,
}

type Span = (u64, u64);

#[derive(Debug, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
enum Step {
    Data {
        path: u16,
        at: u64,
        #[serde(flatten)]
        content: Content,
        refused: Option<String>,
    },
    Fin {
        #[serde(default)]
        path: u16,
        size: u64,
        refused: Option<String>,
    },
    Reset {
        code: u64,
        size: u64,
        refused: Option<String>,
    },
    Stop {
        code: u64,
    },
    GiveUp {
        at: u64,
        len: u64,
    },
    Isolate {
        path: u16,
        gone: Vec<Span>,
    },
    Grant {
        path: u16,
        range: Span,
    },
    Window {
        announces: Option<u64>,
    },
    Gaps {
        within: Span,
        ranges: Vec<Span>,
    },
    Disputed {
        ranges: Vec<Span>,
    },
    Read {
        max: Option<usize>,
        #[serde(flatten)]
        content: Content,
        then: Option<String>,
    },
}

#[derive(Debug, Deserialize)]
struct Content {
    bytes: Option<String>,
    fill: Option<(u8, usize)>,
}

impl Content {
    fn bytes(&self) -> Bytes {
        match (&self.bytes, self.fill) {
            (Some(text), None) => Bytes::from(text.clone().into_bytes()),
            (None, Some((byte, count))) => Bytes::from(vec![byte; count]),
            other => panic!("either bytes or fill: {other:?}"),
        }
    }
}

struct Run {
    half: ReceiveHalf,
    sources: BTreeMap<u16, SourceKey>,
    budget: Budget,
}

const NOW: Instant = Instant::ZERO;

impl Run {
    fn new(case: &Case) -> Self {
        let policy = match case.policy {
            Policy::FirstWins => ConflictPolicy::FirstWins,
            Policy::PrimaryWins => ConflictPolicy::PrimaryWins,
            Policy::Reject => ConflictPolicy::Reject,
        };
        let half = ReceiveHalf::new(ReceiveConfig { policy, initial_window: case.window });
        let budget = Budget::with_floor(2 * case.window, 1, case.window);
        Self { half, sources: BTreeMap::new(), budget }
    }

    fn source(&mut self, path: u16) -> SourceKey {
        let half = &mut self.half;
        *self.sources.entry(path).or_insert_with(|| half.add_source(PathId::new(path), None))
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Data { path, at, content, refused } => {
                let (source, payload) = (self.source(*path), content.bytes());
                let len = payload.len();
                let result = self.half.insert(source, offset(*at), payload, len, NOW);
                expect(result.map(drop), refused.as_deref());
            }
            Step::Fin { path, size, refused } => {
                let source = self.source(*path);
                let result = self.half.handle_fin(source, offset(*size));
                expect(result.map(drop), refused.as_deref());
            }
            Step::Reset { code, size, refused } => {
                expect(self.half.handle_reset(*code, offset(*size)), refused.as_deref());
            }
            Step::Stop { code } => self.half.stop(*code),
            Step::GiveUp { at, len } => {
                self.half.fail(Failure::Missing { offset: offset(*at), len: *len });
            }
            Step::Isolate { path, gone } => {
                assert_eq!(spans(self.half.isolate(PathId::new(*path)).iter()), *gone);
            }
            Step::Grant { path, range } => {
                let source = self.half.add_source(PathId::new(*path), Some(span(*range).into()));
                self.sources.insert(*path, source);
            }
            Step::Window { announces } => {
                let announced = self.half.update_window(NOW, Duration::ZERO, &mut self.budget);
                assert_eq!(announced.map(Offset::value), *announces);
            }
            Step::Gaps { within, ranges } => {
                assert_eq!(spans(self.half.missing_in(span(*within))), *ranges);
            }
            Step::Disputed { ranges } => assert_eq!(spans(self.half.disputed().iter()), *ranges),
            Step::Read { max, content, then } => {
                assert_eq!(self.read(max.unwrap_or(usize::MAX)), content.bytes());
                if let Some(then) = then {
                    assert_eq!(outcome(self.half.read(usize::MAX, NOW)), *then);
                }
            }
        }
    }

    fn read(&mut self, max: usize) -> Vec<u8> {
        let mut read = Vec::new();
        while read.len() < max
            && let Read::Data(bytes) = self.half.read(max - read.len(), NOW)
        {
            read.extend_from_slice(&bytes);
        }
        read
    }
}

fn expect(result: Result<(), ReceiveError>, refused: Option<&str>) {
    let found = result.err().map(|error| match error {
        ReceiveError::FlowControl { .. } => "flow_control",
        ReceiveError::FinalSize { .. } => "final_size",
        ReceiveError::NotGranted { .. } => "not_granted",
        ReceiveError::Conflict { .. } => "conflict",
        other => panic!("{other}"),
    });
    assert_eq!(found, refused);
}

fn outcome(read: Read) -> String {
    match read {
        Read::Data(bytes) => format!("data {bytes:?}"),
        Read::Finished => "finished".into(),
        Read::Blocked => "blocked".into(),
        Read::Reset { error_code } => format!("reset {error_code}"),
        Read::Failed(Failure::Missing { offset, len }) => format!("missing {offset} {len}"),
        Read::Failed(Failure::DataConflict { .. }) => "data_conflict".into(),
        Read::Failed(other) => format!("{other:?}"),
    }
}

fn offset(value: u64) -> Offset {
    Offset::new(value).unwrap()
}

fn span((start, end): Span) -> ByteRange {
    ByteRange::new(offset(start), offset(end)).unwrap()
}

fn spans(ranges: impl Iterator<Item = ByteRange>) -> Vec<Span> {
    ranges.map(|range| (range.start().value(), range.end().value())).collect()
}

#[test]
fn every_case_reads_what_it_must() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("cases/receive.json")).unwrap();
    assert!(cases.len() >= 80, "{} cases", cases.len());
    for case in &cases {
        let mut run = Run::new(case);
        for (number, step) in case.steps.iter().enumerate() {
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run.step(step)));
            assert!(outcome.is_ok(), "case {:?}, step {number}: {step:?}", case.name);
        }
    }
}
