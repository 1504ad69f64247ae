//! Each rule against a table, and each input against a small scheduler.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use bytes::Bytes;
use kwik_proto::frame::{
    DelegationState, DelegationStatus, ErrorCode, Gap, GapReason, HeldRange, PathState, PathStatus,
    StreamProgress,
};
use kwik_proto::{ByteRange, DelegationId, Epoch, Offset, PathId, StreamId};

use super::forecast::Forecast;
use super::pick::{self, Room, Standing};
use super::rate::{Allowance, PathRate};
use super::*;
use crate::time::Instant;

mod alone;
mod arbitrary;
mod dial;
mod dispute;
mod draining;
mod hangs;
mod heads;
mod lengths;
mod limits;
mod moves;
mod places;
mod priority;
mod rates;
mod scheduler;
mod shares;
mod strips;
mod stuck;
mod trial;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn at(millis: u64) -> Instant {
    Instant::from_start(ms(millis))
}

fn range(start: u64, end: u64) -> ByteRange {
    ByteRange::new(Offset::new(start).unwrap(), Offset::new(end).unwrap()).unwrap()
}

fn source(path: u16, rate: f64, free_in: f64, size: u64) -> Standing {
    Standing {
        path: PathId::new(path),
        forecast: Forecast::new(rate, 0, Duration::from_secs_f64(free_in), true),
        size,
        has_room: true,
        on_trial: false,
        dialing: false,
    }
}

#[test]
fn redundancy_is_an_opening_balance_and_a_share() {
    let mut bucket = Bucket::new(&DelegationConfig::default());
    assert_eq!(bucket.balance(0), 256 * KIB);
    assert_eq!(bucket.balance(100_000_000), 256 * KIB + 1_250_000);
    bucket.spend(200 * KIB);
    assert_eq!((bucket.balance(0), bucket.spent()), (56 * KIB, 200 * KIB));
    bucket.refund(100 * KIB);
    assert_eq!(bucket.balance(0), 156 * KIB);
    bucket.spend(MIB);
    assert_eq!(bucket.balance(0), 0);
}

/// A scheduler with two live paths and one stream.
struct Bench {
    scheduler: Scheduler,
    stream: StreamId,
    now: Instant,
}

impl Bench {
    fn new(size: u64, candidates: Candidates, local: Local) -> Self {
        let mut scheduler = Scheduler::new(DelegationConfig::default(), 1);
        let stream = StreamId::from_wire(0).unwrap();
        scheduler.set_primary_rtt(ms(20));
        let view = PathView { state: PathState::Live, srtt: Some(ms(20)), rttvar: Duration::ZERO };
        for path in [1, 2] {
            scheduler.set_path(PathId::new(path), view, at(0));
        }
        scheduler.handle_window(stream, Offset::new(16 * MIB).unwrap(), at(0));
        let resource = Bytes::from_static(b"r");
        scheduler.delegate(stream, range(0, size), resource, candidates, local, at(0)).unwrap();
        Self { scheduler, stream, now: at(0) }
    }

    /// Of 64 MiB the first orders are delivered, and the two paths brought so many bytes in two seconds.
    fn measured(received: [u64; 2]) -> Self {
        let mut bench = Self::new(64 * MIB, Candidates::All, Local::None);
        let delivered: Vec<_> = bench.orders().iter().map(|order| (order.2, order.0)).collect();
        for (millis, bytes) in [(1, [0, 0]), (2_000, received)] {
            bench.now = at(millis);
            for (path, received_bytes) in [1, 2].map(PathId::new).into_iter().zip(bytes) {
                let status = bench.status(path, PathState::Live);
                let status = PathStatus { received_bytes, busy_us: millis * 1000, ..status };
                bench.scheduler.handle_path_status(&status, bench.now);
            }
        }
        bench.held(0, &delivered);
        bench
    }

    fn decisions(&mut self) -> Vec<Decision> {
        std::iter::from_fn(|| self.scheduler.poll(self.now)).collect()
    }

    /// (path, number, range) of what is asked of secondaries.
    fn orders(&mut self) -> Vec<(PathId, DelegationId, ByteRange)> {
        self.decisions()
            .into_iter()
            .filter_map(|decision| match decision {
                Decision::Delegate { path, delegation } => {
                    Some((path, delegation.id, delegation.range))
                }
                _ => None,
            })
            .collect()
    }

    fn answer(&mut self, path: PathId, delegation: DelegationId, state: DelegationState) {
        let status = DelegationStatus { path, delegation, state };
        self.scheduler.handle_status(&status, self.now);
    }

    fn gap(&mut self, path: PathId, id: DelegationId, range: ByteRange, reason: GapReason) {
        let (path, delegation) = (Some(path), Some(id));
        let gap = Gap { stream: self.stream, range, reason, path, delegation };
        self.scheduler.handle_gap(&gap, self.now);
    }

    fn held(&mut self, contiguous: u64, held: &[(ByteRange, PathId)]) {
        let held = held.iter().map(|&(range, path)| HeldRange { range, path }).collect();
        let end = Offset::new(contiguous).unwrap();
        let progress = StreamProgress {
            stream: self.stream,
            read_offset: end,
            contiguous_end: end,
            held,
            reader_waiting: true,
        };
        self.scheduler.handle_progress(&progress, self.now);
    }

    fn state(&mut self, path: PathId, state: PathState) {
        let status = self.status(path, state);
        self.scheduler.handle_path_status(&status, self.now);
    }

    fn status(&self, path: PathId, state: PathState) -> PathStatus {
        PathStatus {
            path,
            epoch: Epoch::FIRST,
            state,
            reason: None,
            smoothed_rtt_us: 20_000,
            rtt_variation_us: 0,
            received_bytes: 0,
            busy_us: 0,
        }
    }
}

fn all_bytes(orders: &[(PathId, DelegationId, ByteRange)]) -> u64 {
    orders.iter().map(|order| order.2.len()).sum()
}
