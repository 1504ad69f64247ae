//! Contributions: from a writer to the half that they are for.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use bytes::Bytes;
use kwik_io::lane::Lane;
use kwik_io::pump::contribution;
use kwik_io::pump::{
    CarrierEnd, ContributionControl, ContributionError, ContributionTarget, ContributionWriter,
    OpenError,
};
use kwik_io::stream::ReceiveStream;
use kwik_proto::frame::ErrorCode;
use kwik_proto::{ByteRange, DelegationId, Offset, StreamId};
use s2n_quic::provider::limits::Limits;
use tokio::task::JoinHandle;

use crate::end::{End, pair, pair_with};
use crate::pattern;

const WINDOW: u64 = 8 << 20;

fn range(start: u64, end: u64) -> ByteRange {
    ByteRange::new(Offset::new(start).unwrap(), Offset::new(end).unwrap()).unwrap()
}

fn at(offset: u64) -> Offset {
    Offset::new(offset).unwrap()
}

type Running = JoinHandle<Result<(), ContributionError>>;

fn contribute(
    from: &mut End,
    start: u64,
    end: u64,
) -> (ContributionWriter, ContributionControl, Running) {
    let stream = StreamId::from_wire(1).unwrap();
    let target = ContributionTarget::delegated(stream, DelegationId(start), range(start, end));
    let (writer, pump, control) = contribution::open(&mut from.handle, target).unwrap();
    (writer, control, tokio::spawn(pump.run()))
}

#[tokio::test]
async fn two_contributions_out_of_order_make_one_stream() {
    const HALF: u64 = 2 << 20;
    const PIECE: u64 = 100_000;
    let (mut client, mut server) = pair().await;
    let mut stream = ReceiveStream::new(client.table.receive(1, WINDOW));
    let (mut low, _low, low_pump) = contribute(&mut server, 0, HALF);
    let (mut high, _high, _) = contribute(&mut server, HALF, 2 * HALF);
    let writers = tokio::spawn(async move {
        // The far half first, and each from its end to its start.
        for (writer, base) in [(&mut high, HALF), (&mut low, 0)] {
            let mut end = HALF;
            while end > 0 {
                let start = end.saturating_sub(PIECE);
                let data = pattern(base + start, (end - start) as usize);
                writer.write_at(at(base + start), data).await.unwrap();
                end = start;
            }
        }
        high.finish().await.unwrap();
        low.finish().await.unwrap();
    });
    let mut read = 0;
    while read < 2 * HALF {
        let chunk = stream.receive().await.unwrap().unwrap();
        assert!(chunk == pattern(read, chunk.len()), "wrong bytes at {read}");
        read += chunk.len() as u64;
    }
    writers.await.unwrap();
    assert_eq!(low_pump.await.unwrap(), Ok(()));
    let (about, end) = client.ended().await;
    assert_eq!(end, CarrierEnd::Finished);
    assert!(about.header.unwrap().promised.is_some());
    // The stream itself is open: a contribution's end is not the stream's.
    let mut cx = Context::from_waker(Waker::noop());
    assert!(pin!(stream.receive()).poll(&mut cx).is_pending());
}

#[tokio::test]
async fn bytes_with_a_hole_between_them_stay_where_they_belong() {
    let (client, mut server) = pair().await;
    let mut stream = ReceiveStream::new(client.table.receive(1, WINDOW));
    let id = StreamId::from_wire(1).unwrap();
    let target = ContributionTarget::delegated(id, DelegationId(0), range(0, 30));
    let (mut writer, pump, _control) = contribution::open(&mut server.handle, target).unwrap();
    // All three are queued before the pump runs.
    writer.write_at(at(20), Bytes::from_static(b"after hole")).await.unwrap();
    writer.write_at(at(0), Bytes::from_static(b"before ")).await.unwrap();
    writer.write_at(at(7), Bytes::from_static(b"the")).await.unwrap();
    tokio::spawn(pump.run());
    writer.finish().await.unwrap();
    let (mut late, _late, _) = contribute(&mut server, 10, 20);
    late.write_at(at(10), Bytes::from_static(b" hole, and")).await.unwrap();
    let mut all = Vec::new();
    while all.len() < 30 {
        all.extend_from_slice(&stream.receive().await.unwrap().unwrap());
    }
    assert_eq!(all, b"before the hole, andafter hole");
}

#[tokio::test]
async fn a_contribution_without_stream_credit_is_busy() {
    let limits = Limits::new().with_max_open_remote_unidirectional_streams(1).unwrap();
    let (client, mut server) = pair_with(limits).await;
    let _receive = client.table.receive(1, WINDOW);
    let (_writer, _control, _pump) = contribute(&mut server, 0, 10);
    let stream = StreamId::from_wire(1).unwrap();
    let target = ContributionTarget::delegated(stream, DelegationId(2), range(10, 20));
    let refused = contribution::open(&mut server.handle, target).unwrap_err();
    assert_eq!(refused, OpenError::Busy);
}

#[tokio::test]
async fn bytes_outside_the_grant_are_not_sent() {
    let (client, mut server) = pair().await;
    let mut stream = ReceiveStream::new(client.table.receive(1, WINDOW));
    let (mut writer, control, _pump) = contribute(&mut server, 5, 10);
    for (offset, bytes) in [(6, &b"01234"[..]), (4, b"01"), (10, b"0"), (Offset::MAX.value(), b"0")]
    {
        let refused = writer.write_at(at(offset), Bytes::from_static(bytes)).await;
        let outside = matches!(refused, Err(ContributionError::OutsideGrant { .. }));
        assert!(outside, "{refused:?} at {offset}");
    }
    control.extend(at(20));
    assert_eq!(writer.allowed(), range(5, 10), "a window is no grant");
    writer.write_at(at(5), Bytes::from_static(b"56789")).await.unwrap();
    let (mut head, _head, _) = contribute(&mut server, 0, 5);
    head.write_at(at(0), Bytes::from_static(b"01234")).await.unwrap();
    let mut all = Vec::new();
    while all.len() < 10 {
        all.extend_from_slice(&stream.receive().await.unwrap().unwrap());
    }
    assert_eq!(all, b"0123456789");
}

#[tokio::test]
async fn a_write_beyond_the_window_waits_for_it() {
    let (client, mut server) = pair().await;
    let mut stream = ReceiveStream::new(client.table.receive(1, WINDOW));
    let id = StreamId::from_wire(1).unwrap();
    let granted = ByteRange::new(at(0), Offset::MAX).unwrap();
    let target =
        ContributionTarget { stream: id, delegation: None, promised: None, granted, window: at(4) };
    let (mut writer, pump, control) = contribution::open(&mut server.handle, target).unwrap();
    tokio::spawn(pump.run());
    assert_eq!(writer.allowed(), range(0, 4));
    let mut writing = tokio::spawn(async move {
        writer.write_at(at(0), Bytes::from_static(b"0123456789")).await.unwrap();
        writer
    });
    assert_eq!(stream.receive().await.unwrap().unwrap(), "0123");
    control.extend(at(8));
    assert_eq!(stream.receive().await.unwrap().unwrap(), "4567");
    assert!(!writing.is_finished());
    control.extend(at(8));
    control.extend(at(100));
    assert_eq!((&mut writing).await.unwrap().allowed(), range(0, 100));
    assert_eq!(stream.receive().await.unwrap().unwrap(), "89");
}

#[tokio::test]
async fn a_writer_learns_at_once_that_its_grant_was_revoked() {
    let (client, mut server) = pair().await;
    let _receive = client.table.receive(1, WINDOW);
    let (mut writer, control, pump) = contribute(&mut server, 0, 1 << 20);
    writer.write_at(at(0), Bytes::from_static(b"some")).await.unwrap();
    let waiting = tokio::spawn(async move {
        let end = writer.closed().await;
        (writer.write_at(at(4), Bytes::from_static(b"more")).await, end)
    });
    tokio::task::yield_now().await;
    control.stop(ContributionError::Revoked);
    let revoked = Err(ContributionError::Revoked);
    assert_eq!(waiting.await.unwrap(), (revoked, revoked));
    assert_eq!(pump.await.unwrap(), revoked);
}

#[tokio::test]
async fn a_writer_that_waits_for_room_learns_that_the_stream_was_closed() {
    let (client, mut server) = pair().await;
    let _receive = client.table.receive(1, WINDOW);
    let stream = StreamId::from_wire(1).unwrap();
    let target = ContributionTarget::delegated(stream, DelegationId(0), range(0, 1 << 30));
    let (mut writer, _pump, control) = contribution::open(&mut server.handle, target).unwrap();
    // Nothing runs the pump: the queue fills.
    writer.write_at(at(0), Bytes::from(vec![0; 1 << 20])).await.unwrap();
    let mut blocked = pin!(writer.write_at(at(1 << 20), Bytes::from_static(b"next")));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(blocked.as_mut().poll(&mut cx).is_pending());
    control.stop(ContributionError::StreamClosed);
    assert_eq!(blocked.await, Err(ContributionError::StreamClosed));
}

#[tokio::test]
async fn a_writer_learns_that_the_client_stopped_its_carrier() {
    let (mut client, mut server) = pair().await;
    let _receive = client.table.receive(1, WINDOW);
    let (mut writer, _control, pump) = contribute(&mut server, 0, WINDOW);
    writer.write_at(at(0), Bytes::from_static(b"some")).await.unwrap();
    let control = loop {
        match client.table.controls().pop() {
            Some(control) => break control,
            None => tokio::task::yield_now().await,
        }
    };
    control.stop(ErrorCode::StreamClosed);
    client.ended().await;
    let mut offset = 4;
    let error = loop {
        match writer.write_at(at(offset), Bytes::from_static(b"more")).await {
            Ok(()) => offset += 4,
            Err(error) => break error,
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(error, ContributionError::StreamClosed);
    assert_eq!(pump.await.unwrap(), Err(ContributionError::StreamClosed));
}

#[tokio::test]
async fn a_dropped_writer_still_delivers_what_it_wrote() {
    let (client, mut server) = pair().await;
    let mut stream = ReceiveStream::new(client.table.receive(1, WINDOW));
    let (mut writer, _control, pump) = contribute(&mut server, 0, 200_000);
    writer.write_at(at(0), pattern(0, 200_000)).await.unwrap();
    drop(writer);
    let mut read = 0;
    while read < 200_000 {
        let chunk = stream.receive().await.unwrap().unwrap();
        assert!(chunk == pattern(read, chunk.len()));
        read += chunk.len() as u64;
    }
    assert_eq!(pump.await.unwrap(), Ok(()));
}

#[tokio::test]
async fn a_pump_that_is_gone_fails_its_writer() {
    let (client, mut server) = pair().await;
    let _receive = client.table.receive(1, WINDOW);
    let (mut writer, _control, pump) = contribute(&mut server, 0, 100);
    pump.abort();
    assert_eq!(writer.closed().await, Err(ContributionError::SessionClosed));
}

/// What is read ahead of QUIC is bounded over all contributions of a path, and the lowest offset is next.
#[tokio::test]
async fn writers_of_a_path_share_what_may_wait_and_the_lowest_offset_goes_first() {
    const PIECE: usize = 128 << 10;
    const RANGE: u64 = 4 << 20;
    const BOUND: u64 = 1 << 20;
    let (_client, mut server) = pair().await;
    let lane = Arc::<Lane>::default();
    let stream = StreamId::from_wire(1).unwrap();
    let mut open = |n: u64| {
        let range = range(n * RANGE, (n + 1) * RANGE);
        let target = ContributionTarget::delegated(stream, DelegationId(n), range);
        let (writer, pump, _) = contribution::open(&mut server.handle, target).unwrap();
        (writer, pump.in_lane(&lane), range.start())
    };
    // None of the pumps runs, so that nothing leaves the queues. The furthest range writes first.
    let mut contributions: Vec<_> = (0..40).rev().map(&mut open).collect();
    let mut cx = Context::from_waker(Waker::noop());
    let mut write = |writer: &mut ContributionWriter, at: Offset| {
        let ready = pin!(writer.ready(at)).poll(&mut cx).is_ready();
        ready && pin!(writer.write_at(at, pattern(0, PIECE))).poll(&mut cx).is_ready()
    };
    let mut wrote = 0;
    for (writer, _pump, start) in &mut contributions {
        let mut at = *start;
        while write(writer, at) {
            at = at.saturating_add(PIECE as u64);
            wrote += PIECE as u64;
            assert!(lane.written() <= BOUND, "{} bytes wait", lane.written());
        }
    }
    assert_eq!((wrote, lane.written()), (BOUND, BOUND));
    // The first one is over: there is room for half of the bound, which the lowest one is asked for first.
    drop(contributions.remove(0));
    let who: Vec<bool> =
        contributions.iter_mut().map(|(writer, _, start)| write(writer, *start)).collect();
    let may: Vec<usize> = (0..who.len()).filter(|n| who[*n]).collect();
    assert_eq!(may, [35, 36, 37, 38], "the lowest four of those that wait");
}
