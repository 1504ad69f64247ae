//! How long a stream takes up a place of the end that opened it: as in QUIC, until the application at the other end knows
//! how it ended.

use super::*;
use crate::session::PrimarySession;
use crate::session::primary::Output as PrimaryOutput;

const CODE: u64 = 3;
const LENGTH: usize = 10;
/// As many streams at most are opened: more than anybody takes.
const MANY: usize = 1000;

fn limits(streams: u32) -> Limits {
    Limits {
        max_bidirectional_streams: streams,
        max_unidirectional_streams: streams,
        ..SessionConfig::default().limits()
    }
}

fn welcome(streams: u32) -> ControlFrame {
    let (version, features, limits) = (1, Vec::new(), limits(streams));
    ControlFrame::Welcome(Welcome { version, features, limits, session: SESSION })
}

fn closed(stream: StreamId) -> ControlFrame {
    ControlFrame::StreamClosed(StreamClosed { stream, complete: false })
}

/// A client with a server that takes so many streams of each kind.
struct Pair {
    bench: Bench,
    primary: PrimarySession,
    halves: BTreeMap<StreamId, ReceiveHalf>,
    accepted: Vec<StreamId>,
    over: Option<ErrorCode>,
}

impl Pair {
    fn new(streams: u32) -> Self {
        let mut bench = Bench::new();
        bench.forget();
        let config = SessionConfig {
            max_bidirectional_streams: streams,
            max_unidirectional_streams: streams,
            ..SessionConfig::default()
        };
        let primary = PrimarySession::new(&config, &hello(), SESSION, 7, Instant::ZERO).unwrap();
        let mut pair =
            Self { bench, primary, halves: BTreeMap::new(), accepted: Vec::new(), over: None };
        // Welcome.
        pair.drain_primary();
        pair
    }

    /// Opens a stream and resets it. `None`: there is no place for it.
    fn open_and_reset(&mut self, sent: usize) -> Option<StreamId> {
        let id = self.bench.client.open_stream(StreamKind::Unidirectional)?;
        self.bench.client.reset_stream(id, CODE, offset(sent as u64));
        self.bench.drain();
        Some(id)
    }

    /// A stream's carrier with all its bytes reaches the primary.
    fn carry(&mut self, id: StreamId) {
        self.primary.handle_header(id.value(), id).unwrap();
        self.drain_primary();
        let half = self.halves.get_mut(&id).expect("a stream that is open");
        let source = half.add_source(PathId::PRIMARY, None);
        let payload = Bytes::from(vec![0; LENGTH]);
        half.insert(source, Offset::ZERO, payload, LENGTH, Instant::ZERO).unwrap();
        half.handle_fin(source, offset(LENGTH as u64)).unwrap();
        self.primary.service_stream(id, half, Instant::ZERO);
        self.drain_primary();
    }

    /// What the client sent reaches the primary, and what that answers the client.
    fn cross(&mut self) {
        let sent = std::mem::take(&mut self.bench.sent);
        for (_, frame) in sent {
            self.primary.handle_control(frame, Instant::ZERO);
            self.drain_primary();
        }
    }

    fn drain_primary(&mut self) {
        while let Some(output) = self.primary.poll_output(Instant::ZERO) {
            match output {
                PrimaryOutput::Send(frame) => self.bench.primary(frame),
                PrimaryOutput::Close(code, ..) => self.over = Some(code),
                PrimaryOutput::Stream(StreamAction::Open { id, receive: Some(config), .. }) => {
                    self.halves.insert(id, ReceiveHalf::new(config));
                }
                PrimaryOutput::Stream(StreamAction::Accept(id)) => self.accepted.push(id),
                PrimaryOutput::Stream(StreamAction::Reset(id, code, size)) => {
                    self.halves.get_mut(&id).unwrap().handle_reset(code, size).unwrap();
                    self.service(id);
                }
                PrimaryOutput::Stream(StreamAction::Remove(id)) => drop(self.halves.remove(&id)),
                PrimaryOutput::Service(id) => self.service(id),
                _ => {}
            }
        }
    }

    fn service(&mut self, id: StreamId) {
        if let Some(half) = self.halves.get_mut(&id) {
            self.primary.service_stream(id, half, Instant::ZERO);
        }
    }

    /// The primary's application reads to the end, or drops the stream.
    fn find_out(&mut self, id: StreamId, how: fn(&mut ReceiveHalf)) {
        how(self.halves.get_mut(&id).unwrap());
        self.service(id);
        self.drain_primary();
        assert!(!self.halves.contains_key(&id), "{id} is over");
    }
}

fn read(half: &mut ReceiveHalf) {
    while let Read::Data(_) = half.read(1 << 20, Instant::ZERO) {}
}

fn leave(half: &mut ReceiveHalf) {
    half.stop(0);
}

#[test]
fn a_stream_that_was_reset_counts_until_the_receiver_is_done_with_it() {
    let mut bench = Bench::new();
    bench.primary(welcome(1));
    for kind in [StreamKind::Bidirectional, StreamKind::Unidirectional] {
        while let Some(id) = bench.client.open_stream(kind).filter(|id| id.index() < 40) {
            bench.client.reset_stream(id, CODE, Offset::ZERO);
            bench.drain();
        }
        let first = StreamId::new(kwik_proto::Initiator::Client, kind, 0).unwrap();
        assert_eq!(bench.client.open_stream(kind), None, "one at a time");
        bench.primary(closed(first));
        if kind == StreamKind::Bidirectional {
            assert_eq!(bench.client.open_stream(kind), None, "the answer may come");
            bench.halves.get_mut(&first).unwrap().stop(0);
            bench.read(first);
        }
        let next = bench.client.open_stream(kind);
        assert_eq!(next.map(StreamId::index), Some(1));
    }
}

#[test]
fn uploads_that_are_finished_and_reset_do_not_pile_up_at_a_server_that_does_not_read() {
    let mut pair = Pair::new(100);
    let mut opened = Vec::new();
    for _ in 0..MANY {
        let Some(id) = pair.open_and_reset(LENGTH) else { break };
        // The bytes are faster than the control stream.
        if opened.len() < 200 {
            pair.carry(id);
        }
        opened.push(id);
    }
    pair.cross();
    assert_eq!((opened.len(), pair.over), (100, None));
    pair.find_out(opened[7], read);
    assert!(pair.open_and_reset(LENGTH).is_some());
    assert_eq!(pair.open_and_reset(LENGTH), None, "one was read");
}

#[test]
fn a_burst_of_resets_is_never_more_than_a_small_limit_allows() {
    let mut pair = Pair::new(1);
    let last = (0..MANY).map_while(|_| pair.open_and_reset(0)).last().unwrap();
    // Only the last carrier was not lost.
    pair.primary.handle_header(last.value(), last).unwrap();
    pair.drain_primary();
    pair.cross();
    assert_eq!(pair.over, None);
}

#[test]
fn a_stream_that_nobody_accepted_keeps_its_place() {
    let mut pair = Pair::new(100);
    for _ in 0..MANY {
        let Some(_) = pair.open_and_reset(0) else { break };
        pair.cross();
    }
    assert_eq!((pair.accepted.len(), pair.over), (100, None));
    pair.find_out(stream(2), read);
    pair.find_out(stream(6), leave);
    assert!(pair.open_and_reset(0).is_some() && pair.open_and_reset(0).is_some());
    assert_eq!(pair.open_and_reset(0), None);
}

#[test]
fn an_empty_stream_is_over_when_its_reader_knows() {
    let mut pair = Pair::new(1);
    let id = pair.bench.client.open_stream(StreamKind::Unidirectional).unwrap();
    pair.primary.handle_header(id.value(), id).unwrap();
    pair.drain_primary();
    let half = pair.halves.get_mut(&id).unwrap();
    let source = half.add_source(PathId::PRIMARY, None);
    half.handle_fin(source, Offset::ZERO).unwrap();
    pair.service(id);
    pair.drain_primary();
    assert!(pair.halves.contains_key(&id), "nobody has seen it");
    pair.find_out(id, read);
}

#[test]
fn a_stream_that_was_reset_takes_no_room_for_bytes() {
    let mut bench = Bench::established();
    assert!(bench.client.promised_bytes() > 0);
    let (stream, final_size) = (stream(0), Offset::ZERO);
    bench.primary(ControlFrame::StreamReset(StreamReset { stream, error_code: CODE, final_size }));
    assert_eq!(bench.client.promised_bytes(), 0, "though its reader does not know");
    assert!(!bench.client.is_idle());
}

#[test]
fn a_stream_whose_carrier_was_refused_gives_its_place_up() {
    let mut pair = Pair::new(1);
    // The server does not know the stream: it never saw the header.
    let client = &mut pair.bench.client;
    let id = (0..).map_while(|_| client.open_stream(StreamKind::Unidirectional)).last().unwrap();
    client.handle_opened(id.value(), id);
    client.handle_refusal(id.value(), ErrorCode::HeaderMissing.quic_code());
    pair.bench.drain();
    let stopped = StreamAction::Stopped(id, ErrorCode::HeaderMissing.quic_code());
    assert!(pair.bench.asked.contains(&Output::Stream(stopped)));
    // What the driver does about it.
    pair.bench.client.reset_stream(id, CODE, Offset::ZERO);
    pair.bench.drain();
    assert_eq!(pair.bench.client.open_stream(StreamKind::Unidirectional), None);
    pair.cross();
    pair.find_out(id, read);
    assert!(pair.bench.client.open_stream(StreamKind::Unidirectional).is_some());
}
