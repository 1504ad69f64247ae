//! No sequence of inputs makes a client's session panic, promise more than its budget, lower a window, or speak after
//! its end.

use proptest::prelude::*;

use super::arbitrary::*;
use super::*;
use crate::session::client::CarrierEnd;

#[derive(Clone, Debug)]
enum Input {
    Primary(ControlFrame),
    Secondary(PathId, Epoch, ControlFrame),
    Attach(PathId, u32),
    AddPaths(u16, u32),
    Header(PathId, u64, StreamHeader),
    Data(PathId, u64, u64, usize),
    End(PathId, u64, CarrierEnd),
    Mismatch(PathId, u64),
    Opened(u64, StreamId),
    Refusal(u64, ErrorCode),
    Connected(PathId, Epoch),
    Lost(PathId, Epoch, ErrorCode),
    Rtt(PathId, u64),
    Activity(PathId),
    Open(StreamKind),
    Stop(StreamId, u64),
    Reset(StreamId, Offset),
    Read(StreamId),
    Close,
    PrimaryLost,
    Time(u64),
}

fn any_end() -> impl Strategy<Value = CarrierEnd> {
    prop_oneof![
        Just(CarrierEnd::Finished),
        Just(CarrierEnd::Reset),
        Just(CarrierEnd::Lost),
        any_code().prop_map(CarrierEnd::Faulty),
    ]
}

fn carrier() -> impl Strategy<Value = (PathId, u64)> {
    (any_path(), 0u64..6)
}

fn kind() -> impl Strategy<Value = StreamKind> {
    prop_oneof![Just(StreamKind::Bidirectional), Just(StreamKind::Unidirectional)]
}

fn any_input() -> impl Strategy<Value = Input> {
    prop_oneof![
        8 => from_primary().prop_map(Input::Primary),
        1 => any_frame().prop_map(Input::Primary),
        6 => (any_path(), any_epoch(), any_frame())
            .prop_map(|(path, epoch, frame)| Input::Secondary(path, epoch, frame)),
        4 => (1u16..4, 1u32..4).prop_map(|(path, epoch)| Input::Attach(PathId::new(path), epoch)),
        1 => (1u16..2000, 1u32..4).prop_map(|(count, epoch)| Input::AddPaths(count, epoch)),
        8 => (carrier(), any_header())
            .prop_map(|((path, carrier), header)| Input::Header(path, carrier, header)),
        8 => (carrier(), 0u64..80_000, 0usize..20_000)
            .prop_map(|((path, carrier), at, n)| Input::Data(path, carrier, at, n)),
        4 => (carrier(), any_end()).prop_map(|((path, at), end)| Input::End(path, at, end)),
        1 => carrier().prop_map(|(path, carrier)| Input::Mismatch(path, carrier)),
        1 => (0u64..6, any_stream()).prop_map(|(at, id)| Input::Opened(at, id)),
        1 => (0u64..6, any_code()).prop_map(|(at, code)| Input::Refusal(at, code)),
        2 => (any_path(), any_epoch()).prop_map(|(path, epoch)| Input::Connected(path, epoch)),
        2 => (any_path(), any_epoch(), any_code())
            .prop_map(|(path, epoch, code)| Input::Lost(path, epoch, code)),
        1 => (any_path(), any::<u64>()).prop_map(|(path, micros)| Input::Rtt(path, micros)),
        1 => any_path().prop_map(Input::Activity),
        3 => kind().prop_map(Input::Open),
        2 => (any_stream(), 0u64..100).prop_map(|(id, code)| Input::Stop(id, code)),
        2 => (any_stream(), any_offset()).prop_map(|(id, size)| Input::Reset(id, size)),
        4 => any_stream().prop_map(Input::Read),
        8 => prop_oneof![0u64..100, 0u64..20_000, any::<u64>()].prop_map(Input::Time),
        1 => prop_oneof![20 => Just(Input::Time(1)), 1 => Just(Input::Close), 1 => Just(Input::PrimaryLost)],
    ]
}

fn apply(bench: &mut Bench, input: Input) {
    let now = bench.now;
    match input {
        Input::Primary(frame) => bench.primary(frame),
        Input::Secondary(path, epoch, frame) => bench.secondary(path, epoch.0, frame),
        Input::Attach(path, epoch) => bench.attach(path, epoch),
        Input::AddPaths(count, epoch) => {
            for path in 1..count {
                bench.primary(add_path(PathId::new(path), epoch));
            }
        }
        Input::Header(path, carrier, header) => {
            let _ = bench.header(path, carrier, header);
        }
        Input::Data(path, carrier, at, length) => {
            bench.data(path, carrier, at, length);
        }
        Input::End(path, carrier, end) => bench.end(path, carrier, end),
        Input::Mismatch(path, carrier) => {
            let feeds = bench.sources.remove(&(path, carrier));
            let half = feeds.and_then(|(id, _)| bench.halves.get_mut(&id));
            bench.client.handle_mismatch(path, carrier, half, now);
        }
        Input::Opened(carrier, id) => bench.client.handle_opened(carrier, id),
        Input::Refusal(carrier, code) => bench.client.handle_refusal(carrier, code.quic_code()),
        Input::Connected(path, epoch) => bench.connect(path, epoch.0),
        Input::Lost(path, epoch, code) => bench.client.handle_lost(path, epoch, code, "x", now),
        Input::Rtt(path, micros) => {
            let rtt = Duration::from_micros(micros);
            if path.is_primary() {
                bench.client.handle_primary_rtt(rtt, rtt, now);
            }
            bench.client.handle_path_rtt(path, rtt, rtt, now);
        }
        Input::Activity(path) => bench.client.handle_activity(path, now, now),
        Input::Open(kind) => {
            bench.client.open_stream(kind);
        }
        Input::Stop(id, code) => {
            if let Some(half) = bench.halves.get_mut(&id) {
                half.stop(code);
            }
            bench.client.stop_stream(id, code);
        }
        Input::Reset(id, size) => bench.client.reset_stream(id, 5, size),
        Input::Read(id) => {
            bench.read(id);
        }
        Input::Close => bench.client.close(ErrorCode::None, None, "x"),
        Input::PrimaryLost => bench.client.handle_primary_lost("x", now),
        Input::Time(millis) => bench.wait(Duration::from_millis(millis)),
    }
    bench.drain();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_inputs_harms_a_client(
        inputs in prop::collection::vec(any_input(), 1..60),
        welcomed in prop::bool::weighted(0.9),
    ) {
        let mut bench = if welcomed { Bench::established() } else { Bench::new() };
        for input in inputs {
            apply(&mut bench, input);
        }
    }
}

#[test]
fn a_closed_client_neither_speaks_nor_dials() {
    let mut bench = Bench::attached(EDGE);
    bench.primary(add_path(OTHER, 1));
    bench.client.close(ErrorCode::None, Some(4), "done");
    bench.drain();
    bench.client.handle_lost(OTHER, Epoch(1), ErrorCode::Unreachable, "lost", bench.now);
    bench.client.stop_stream(stream(0), 3);
    bench.client.reset_stream(stream(0), 3, Offset::ZERO);
    for _ in 0..10 {
        bench.wait(ms(1000));
    }
    assert_eq!(bench.closed_with(), Some(ErrorCode::None));
    assert_eq!(bench.client.poll_timeout(), None);
}
