//! Shared halves without a network: a test plays pump and session.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use kwik_core::stream::{ReceiveConfig, ReceiveHalf, SendConfig, SourceKey};
use kwik_core::time::Instant;
use kwik_proto::{ByteRange, Offset, PathId, StreamId};

use super::*;
use crate::env::Env;

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Wakes {
    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

fn id() -> StreamId {
    StreamId::from_wire(4).unwrap()
}

fn at(offset: u64) -> Offset {
    Offset::new(offset).unwrap()
}

fn send_stream(window: u64, services: &ServiceList) -> (SendStream, SharedSend) {
    let config = SendConfig { initial_window: window, queue: 1000 };
    let shared = SharedSend::new(id(), config, services);
    (SendStream::new(shared.clone()), shared)
}

fn receive_stream(services: &ServiceList) -> (ReceiveStream, SharedReceive, SourceKey) {
    let config = ReceiveConfig { initial_window: 1000, ..ReceiveConfig::default() };
    let half = ReceiveHalf::new(config);
    let shared = SharedReceive::new(id(), half, services, Env::system());
    let source = shared.update(|half| half.add_source(PathId::PRIMARY, None));
    (ReceiveStream::new(shared.clone()), shared, source)
}

fn arrivals(pieces: &[(u64, &'static [u8])]) -> Arrivals {
    let piece = |(offset, bytes): &(u64, &'static [u8])| Piece {
        offset: at(*offset),
        payload: Bytes::from_static(bytes),
        allocation: bytes.len(),
    };
    Arrivals { pieces: pieces.iter().map(piece).collect(), fin: None }
}

/// The pump takes everything that may be sent.
fn pump(shared: &SharedSend) -> (Poll<SendStep>, usize) {
    let mut frames = Vec::new();
    let mut cx = Context::from_waker(Waker::noop());
    let step = shared.poll_frames(1 << 20, 1 << 20, &mut frames, &mut cx);
    (step, frames.iter().map(|frame| frame.payload.len()).sum())
}

fn due(services: &ServiceList) -> Vec<StreamHalf> {
    let mut due = Vec::new();
    services.take(&mut due);
    due
}

#[test]
fn a_batch_wakes_the_reader_once_and_asks_for_service_at_most_once() {
    let services = ServiceList::default();
    let (mut stream, shared, source) = receive_stream(&services);
    shared.watch(Watch::Progress);
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(wakes.clone());
    let mut cx = Context::from_waker(&waker);
    assert!(stream.poll_receive(&mut cx).is_pending());
    shared.insert(source, &mut arrivals(&[(0, b"ab"), (2, b"cd"), (4, b"ef")])).unwrap();
    shared.insert(source, &mut arrivals(&[(6, b"gh")])).unwrap();
    assert_eq!(wakes.count(), 1);
    assert_eq!(due(&services), [StreamHalf::Receive(id())]);
    shared.service(|_| ());
    shared.insert(source, &mut arrivals(&[(8, b"ij")])).unwrap();
    assert_eq!(due(&services), [StreamHalf::Receive(id())]);
}

#[test]
fn service_does_not_wake_a_reader_that_would_find_nothing() {
    let services = ServiceList::default();
    let (mut stream, shared, source) = receive_stream(&services);
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(wakes.clone());
    let mut cx = Context::from_waker(&waker);
    assert!(stream.poll_receive(&mut cx).is_pending());
    shared.service(|_| ());
    shared.insert(source, &mut arrivals(&[(5, b"beyond a hole")])).unwrap();
    assert_eq!(wakes.count(), 0);
    shared.update(|half| half.handle_reset(3, at(100)).unwrap());
    assert_eq!(wakes.count(), 1);
}

#[test]
fn a_reader_that_got_something_does_not_count_as_waiting() {
    let services = ServiceList::default();
    let (mut stream, shared, source) = receive_stream(&services);
    let mut cx = Context::from_waker(Waker::noop());
    shared.insert(source, &mut arrivals(&[(0, b"ab")])).unwrap();
    let mut chunks = [Bytes::new(), Bytes::new()];
    assert_eq!(stream.poll_receive_vectored(&mut chunks, &mut cx), Poll::Ready(Ok((1, true))));
    assert_eq!(shared.inspect(|half| half.waiting_since()), None);
    assert!(stream.poll_receive(&mut cx).is_pending());
    assert!(shared.inspect(|half| half.waiting_since()).is_some());
}

#[test]
fn a_half_that_only_the_primary_sends_asks_for_no_service_per_batch() {
    let services = ServiceList::default();
    let (_stream, shared, source) = receive_stream(&services);
    shared.insert(source, &mut arrivals(&[(0, b"ab")])).unwrap();
    assert_eq!(due(&services), []);
}

#[test]
fn bytes_before_a_failure_are_read_and_the_stream_is_open_until_then() {
    let services = ServiceList::default();
    let (mut stream, shared, source) = receive_stream(&services);
    let mut cx = Context::from_waker(Waker::noop());
    shared.insert(source, &mut arrivals(&[(0, b"kept"), (8, b"lost")])).unwrap();
    shared.fail(connection::Error::IdleTimerExpired);
    let mut chunks = [Bytes::new(), Bytes::new()];
    assert_eq!(stream.poll_receive_vectored(&mut chunks, &mut cx), Poll::Ready(Ok((1, true))));
    assert_eq!(chunks[0], "kept");
    let lost = Error::ConnectionError { error: connection::Error::IdleTimerExpired };
    assert_eq!(stream.poll_receive(&mut cx), Poll::Ready(Err(lost)));
    assert_eq!(stream.poll_receive(&mut cx), Poll::Ready(Err(lost)));
}

#[test]
fn a_place_that_is_not_empty_is_refused_and_nothing_is_lost() {
    let services = ServiceList::default();
    let (mut stream, shared, source) = receive_stream(&services);
    let mut cx = Context::from_waker(Waker::noop());
    shared.insert(source, &mut arrivals(&[(0, b"data")])).unwrap();
    let mut chunks = [Bytes::from_static(b"mine")];
    let refused = stream.poll_receive_vectored(&mut chunks, &mut cx);
    assert_eq!(refused, Poll::Ready(Err(Error::NonEmptyOutput)));
    assert_eq!(chunks[0], "mine");
    assert_eq!(stream.poll_receive(&mut cx).map_ok(Option::unwrap), Poll::Ready(Ok("data".into())));
}

#[test]
fn stopping_after_everything_arrived_tells_the_sender_nothing() {
    let services = ServiceList::default();
    let (mut stream, shared, source) = receive_stream(&services);
    let mut cx = Context::from_waker(Waker::noop());
    let mut all = arrivals(&[(0, b"all")]);
    all.fin = Some(at(3));
    shared.insert(source, &mut all).unwrap();
    stream.stop_sending(7u8.into()).unwrap();
    assert_eq!(shared.stop_code(), None);
    assert_eq!(stream.poll_receive(&mut cx), Poll::Ready(Ok(None)));
}

#[test]
fn stopping_after_a_reset_keeps_the_senders_code() {
    let services = ServiceList::default();
    let (mut stream, shared, _source) = receive_stream(&services);
    let mut cx = Context::from_waker(Waker::noop());
    shared.update(|half| half.handle_reset(3, at(100)).unwrap());
    stream.stop_sending(7u8.into()).unwrap();
    assert_eq!(shared.stop_code(), None);
    let reset = Err(Error::stream_reset(3u8.into()));
    assert_eq!(stream.poll_receive(&mut cx), Poll::Ready(reset));
}

#[test]
fn flush_waits_for_the_window_and_for_delivery() {
    let services = ServiceList::default();
    let (mut stream, shared) = send_stream(0, &services);
    let mut cx = Context::from_waker(Waker::noop());
    assert_eq!(stream.poll_flush(&mut cx), Poll::Ready(Ok(())), "nothing was written");
    stream.send_data(Bytes::from_static(b"0123456789")).unwrap();
    assert!(stream.poll_flush(&mut cx).is_pending());
    assert_eq!(pump(&shared), (Poll::Pending, 0), "no window");
    assert_eq!(due(&services), [StreamHalf::Send(id())]);
    assert_eq!(shared.status().blocked, Some(Offset::ZERO));
    shared.extend_window(at(10));
    assert_eq!(pump(&shared), (Poll::Ready(SendStep::Frames), 10));
    assert!(stream.poll_flush(&mut cx).is_pending(), "QUIC has it, the peer may not");
    assert_eq!(pump(&shared), (Poll::Ready(SendStep::Flush), 0));
    shared.delivered();
    assert_eq!(stream.poll_flush(&mut cx), Poll::Ready(Ok(())));
}

#[test]
fn close_waits_for_delegated_ranges_too() {
    let services = ServiceList::default();
    let (mut stream, shared) = send_stream(1000, &services);
    let mut cx = Context::from_waker(Waker::noop());
    stream.send_data(Bytes::from_static(b"head")).unwrap();
    shared.delegate(ByteRange::new(at(4), at(20)).unwrap()).unwrap();
    assert!(stream.poll_close(&mut cx).is_pending());
    assert_eq!(pump(&shared).1, 4);
    assert_eq!(pump(&shared).0, Poll::Ready(SendStep::Finish));
    shared.delivered();
    assert!(stream.poll_close(&mut cx).is_pending(), "others still send");
    shared.update(|half| half.handle_progress(at(0), at(20)));
    assert_eq!(stream.poll_close(&mut cx), Poll::Ready(Ok(())));
}

#[test]
fn the_writer_waits_at_the_queues_line_and_is_woken_once_there_is_room() {
    let services = ServiceList::default();
    let (mut stream, shared) = send_stream(10_000, &services);
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(wakes.clone());
    let mut cx = Context::from_waker(&waker);
    assert_eq!(stream.poll_send_ready(&mut cx), Poll::Ready(Ok(1000)));
    stream.send_data(Bytes::from(vec![0; 3000])).unwrap();
    assert_eq!(stream.send_data(Bytes::from_static(b"x")), Err(Error::SendingBlocked));
    let mut chunks = [Bytes::from_static(b"y")];
    assert!(stream.poll_send_vectored(&mut chunks, &mut cx).is_pending());
    assert_eq!(pump(&shared).1, 3000);
    assert_eq!(wakes.count(), 1);
    assert_eq!(stream.poll_send_vectored(&mut chunks, &mut cx), Poll::Ready(Ok(1)));
    assert!(chunks[0].is_empty());
}

#[test]
fn after_the_end_every_call_says_why() {
    let services = ServiceList::default();
    let mut cx = Context::from_waker(Waker::noop());
    let byte = || Bytes::from_static(b"x");
    let (mut finished, _) = send_stream(10, &services);
    finished.finish().unwrap();
    assert_eq!(finished.finish(), Ok(()));
    assert_eq!(finished.send_data(byte()), Err(Error::SendAfterFinish));
    assert_eq!(finished.poll_send_ready(&mut cx), Poll::Ready(Err(Error::SendAfterFinish)));
    assert_eq!(finished.send_data(Bytes::new()), Ok(()), "nothing is always taken");

    let (mut reset, _) = send_stream(10, &services);
    reset.reset(1u8.into()).unwrap();
    reset.reset(2u8.into()).unwrap();
    let first = Error::stream_reset(1u8.into());
    assert_eq!(reset.send_data(byte()), Err(first));
    assert_eq!(reset.finish(), Err(first));
    assert_eq!(reset.poll_flush(&mut cx), Poll::Ready(Err(first)));

    let (mut lost, shared) = send_stream(10, &services);
    shared.fail(connection::Error::StatelessReset);
    let error = Error::from(connection::Error::StatelessReset);
    assert_eq!(lost.send_data(byte()), Err(error));
    assert_eq!(lost.poll_close(&mut cx), Poll::Ready(Err(error)));
}

#[test]
fn a_stream_that_is_dropped_gives_its_place_up_whatever_was_read() {
    let mut cx = Context::from_waker(Waker::noop());
    let none: &mut [Bytes] = &mut [];
    for (sent, read) in [(&b""[..], false), (b"all", true), (b"all", false)] {
        let services = ServiceList::default();
        let (mut stream, shared, source) = receive_stream(&services);
        let mut arrivals = arrivals(&[(0, sent)]);
        arrivals.fin = Some(at(sent.len() as u64));
        shared.insert(source, &mut arrivals).unwrap();
        if read {
            let _ = shared.update(|half| half.read(2, Instant::ZERO));
            assert!(matches!(stream.poll_receive(&mut cx), Poll::Ready(Ok(Some(_)))));
        }
        let at_end = sent.is_empty() || read;
        let looked = stream.poll_receive_vectored(none, &mut cx);
        assert_eq!(looked, Poll::Ready(Ok((0, !at_end))));
        drop(stream);
        assert_eq!(due(&services), [StreamHalf::Receive(id())]);
        assert!(shared.inspect(ReceiveHalf::is_over), "{sent:?}, read: {read}");
        assert_eq!(shared.stop_code(), None, "everything had arrived");
    }
}

#[test]
fn a_stream_with_a_hole_is_not_finished_and_is_reset_when_dropped() {
    let services = ServiceList::default();
    let (mut stream, shared) = send_stream(1000, &services);
    let mut cx = Context::from_waker(Waker::noop());
    let written = shared.poll_write_at(at(10), &Bytes::from_static(b"far"), &mut cx);
    assert_eq!(written, Poll::Ready(Ok(())));
    assert_eq!(stream.finish(), Err(Error::missing(4, 0, 10)));
    drop(stream);
    assert_eq!(shared.status().reset, Some(application::Error::UNKNOWN));
}

#[test]
fn what_the_receiver_gave_up_stops_the_writer() {
    let services = ServiceList::default();
    let (mut stream, shared) = send_stream(1000, &services);
    shared.handle_closed(false);
    let stopped = Error::stream_reset(application::Error::UNKNOWN);
    assert_eq!(stream.send_data(Bytes::from_static(b"x")), Err(stopped));
    assert_eq!(pump(&shared).0, Poll::Ready(SendStep::Reset(application::Error::UNKNOWN)));
}

/// QUIC delivered the primary's own bytes, the end included; a secondary still owes some when the receiver stops.
#[test]
fn a_stop_reaches_the_writer_whose_tail_others_send() {
    let services = ServiceList::default();
    let mut cx = Context::from_waker(Waker::noop());
    let (mut stream, shared) = send_stream(1000, &services);
    stream.send_data(Bytes::from_static(b"head")).unwrap();
    shared.delegate(ByteRange::new(at(4), at(500)).unwrap()).unwrap();
    assert!(stream.poll_close(&mut cx).is_pending());
    assert_eq!(pump(&shared), (Poll::Ready(SendStep::Frames), 4));
    assert_eq!(pump(&shared).0, Poll::Ready(SendStep::Finish));
    shared.delivered();
    assert!(stream.poll_close(&mut cx).is_pending(), "the rest is not there");
    shared.handle_stop(7);
    let stopped = Error::stream_reset(application::Error::from_wire(7));
    assert_eq!(stream.poll_close(&mut cx), Poll::Ready(Err(stopped)));
    // That the receiver is done with it changes nothing.
    shared.handle_closed(false);
    assert_eq!(stream.poll_close(&mut cx), Poll::Ready(Err(stopped)));
}

#[test]
fn kwiks_own_codes_are_out_of_an_applications_reach() {
    use kwik_proto::frame::ErrorCode;
    let code = application::Error::of_kwik(ErrorCode::Busy);
    assert!(code.is_reserved());
    assert_eq!(code.kwik_code(), Some(ErrorCode::Busy));
    assert!(!application::Error::from(u32::MAX).is_reserved());
    assert_eq!(application::Error::new(1 << 62), Err(application::OutOfRange));
}
