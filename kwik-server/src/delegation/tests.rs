#![allow(clippy::unwrap_used)]

use kwik_proto::frame::HeldRange;
use kwik_proto::{Offset, PathId};

use super::*;

fn range(start: u64, end: u64) -> ByteRange {
    ByteRange::new(Offset::new(start).unwrap(), Offset::new(end).unwrap()).unwrap()
}

fn stream() -> StreamId {
    StreamId::from_wire(1).unwrap()
}

fn report(contiguous_end: u64, held: &[(u64, u64)]) -> StreamAction {
    let held = held.iter();
    let held =
        held.map(|(start, end)| HeldRange { range: range(*start, *end), path: PathId::new(1) });
    let progress = StreamProgress {
        stream: stream(),
        read_offset: Offset::ZERO,
        contiguous_end: Offset::new(contiguous_end).unwrap(),
        held: held.collect(),
        reader_waiting: false,
    };
    StreamAction::Progress(stream(), progress)
}

#[tokio::test]
async fn progress_counts_each_byte_of_the_range_once() {
    let mut told = Told::default();
    let mut handle = told.handle(stream(), range(100, 200));
    told.hear(&report(90, &[]));
    assert_eq!(handle.progress(), 0);
    told.hear(&report(110, &[(105, 120), (190, 300)]));
    assert_eq!(handle.progress(), 30);
    handle.changed().await.unwrap();
    told.hear(&report(250, &[]));
    assert_eq!(handle.progress(), 100);
    handle.complete().await.unwrap();
    handle.changed().await.unwrap();
}

#[tokio::test]
async fn a_report_that_is_late_takes_nothing_back() {
    let mut told = Told::default();
    let handle = told.handle(stream(), range(0, 100));
    told.hear(&report(50, &[]));
    told.hear(&report(20, &[]));
    assert_eq!(handle.progress(), 50);
}

#[tokio::test]
async fn the_clients_last_word_completes_every_range() {
    let mut told = Told::default();
    let mut handle = told.handle(stream(), range(0, 100));
    told.hear(&StreamAction::PeerDone(stream(), true));
    handle.complete().await.unwrap();
    assert_eq!(handle.error(), None);
}

#[tokio::test]
async fn each_end_of_a_stream_names_itself() {
    let error = DelegationError::Stopped { error: 7u8.into() };
    for (action, expected) in [
        (StreamAction::Stopped(stream(), 7), error),
        (StreamAction::PeerDone(stream(), false), DelegationError::StreamClosed),
        (StreamAction::Remove(stream()), DelegationError::StreamClosed),
    ] {
        let mut told = Told::default();
        let mut handle = told.handle(stream(), range(0, 100));
        told.hear(&action);
        assert_eq!(handle.complete().await, Err(expected));
        assert_eq!(handle.changed().await, Err(expected));
    }
}

#[tokio::test]
async fn bytes_that_nobody_has_fail_the_ranges_that_want_them() {
    let mut told = Told::default();
    let mut first = told.handle(stream(), range(0, 100));
    let mut second = told.handle(stream(), range(100, 200));
    told.unavailable(stream(), range(150, 160));
    told.hear(&report(150, &[(160, 200)]));
    first.complete().await.unwrap();
    let expected = DelegationError::Unavailable { start: 150, end: 160 };
    assert_eq!(second.complete().await, Err(expected));
    assert_eq!(second.progress(), 90);
}

#[tokio::test]
async fn the_end_of_the_session_is_told() {
    let mut told = Told::default();
    let mut handle = told.handle(stream(), range(0, 100));
    told.end(connection::Error::IdleTimerExpired);
    let expected = DelegationError::Connection(connection::Error::IdleTimerExpired);
    assert_eq!(handle.complete().await, Err(expected));
}
