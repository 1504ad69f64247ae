//! What crosses on the way: frames on different QUIC streams keep no order between them.

use super::*;

fn public(id: u64) -> StreamHeader {
    let (stream, kind) = (stream(id), CarrierKind::Public);
    StreamHeader { stream, kind, delegation: None, promised: None }
}

fn reset(id: u64) -> ControlFrame {
    let (stream, final_size) = (stream(id), Offset::ZERO);
    ControlFrame::StreamReset(StreamReset { stream, error_code: 1, final_size })
}

/// Positions of the orders and of the ends of stream 0 among the frames that the path was sent.
fn orders_and_ends(bench: &Bench, path: PathId) -> (Vec<usize>, Vec<usize>) {
    let at = |wanted: fn(&ControlFrame) -> bool| {
        let frames = bench.sent(path);
        frames.iter().enumerate().filter(|(_, f)| wanted(f)).map(|(at, _)| at).collect()
    };
    let orders = at(|frame| matches!(frame, ControlFrame::Orders(_)));
    (orders, at(|frame| matches!(frame, ControlFrame::StreamClosed(_))))
}

#[test]
fn the_primarys_supply_may_overtake_the_header_of_its_stream() {
    let mut bench = Bench::established();
    let supply = contribution(stream(3), 1, range(100, 200));
    bench.header(PathId::PRIMARY, 7, supply).unwrap().unwrap();
    assert!(bench.data(PathId::PRIMARY, 7, 100, 100));
    let accepted =
        |bench: &Bench| bench.asked.contains(&Output::Stream(StreamAction::Accept(stream(3))));
    assert!(!accepted(&bench), "accept waits for the header");
    bench.header(PathId::PRIMARY, 3, public(3)).unwrap().unwrap();
    assert!(accepted(&bench));
    assert!(bench.data(PathId::PRIMARY, 3, 0, 100));
    assert_eq!(bench.read(stream(3)), 200);
}

#[test]
fn orders_that_cross_the_end_of_their_stream_are_followed_by_it() {
    let mut bench = Bench::attached(EDGE);
    bench.primary(reset(0));
    bench.forget();
    bench.order(EDGE, 1, 1, vec![delegation(1, stream(0), range(0, 100))]);
    assert_eq!(orders_and_ends(&bench, EDGE), (vec![0], vec![1]));
}

#[test]
fn orders_that_waited_for_their_path_are_followed_by_the_end_of_their_stream() {
    let mut bench = Bench::established();
    bench.primary(add_path(EDGE, 1));
    bench.wait(ms(2000));
    bench.order(EDGE, 1, 1, vec![delegation(1, stream(0), range(0, 100))]);
    bench.primary(reset(0));
    bench.connect(EDGE, 1);
    let (orders, ends) = orders_and_ends(&bench, EDGE);
    assert_eq!((orders.len(), ends.len()), (1, 1));
    assert!(orders[0] < ends[0]);
}

#[test]
fn a_hole_below_the_final_size_is_missed_though_nobody_was_asked_for_it() {
    let mut bench = Bench::established();
    bench.header(PathId::PRIMARY, 0, public(0)).unwrap().unwrap();
    assert!(bench.data(PathId::PRIMARY, 0, 0, 100));
    let (id, source) = bench.sources[&(PathId::PRIMARY, 0)];
    bench.halves.get_mut(&id).unwrap().handle_fin(source, offset(200)).unwrap();
    bench.read(id);
    for _ in 0..30 {
        bench.wait(ms(500));
    }
    let failure = Failure::Missing { offset: offset(100), len: 100 };
    let failed = Output::Stream(StreamAction::Fail(id, failure));
    assert!(bench.asked.contains(&failed), "{:?}", bench.asked);
}

#[test]
fn a_stream_whose_end_overtook_its_header_still_carries_the_answer() {
    let mut bench = Bench::established();
    for (id, sends) in [(1, false), (5, true)] {
        bench.primary(reset(id));
        bench.read(stream(id));
        if !sends {
            bench.client.reset_stream(stream(id), 1, Offset::ZERO);
            bench.drain();
        }
        let routed = bench.header(PathId::PRIMARY, id, public(id));
        let expected = if sends { Ok(Routed::SendOnly) } else { Err(ErrorCode::StreamClosed) };
        assert_eq!(routed, expected, "stream {id}");
    }
    let again = bench.header(PathId::PRIMARY, 9, public(5));
    assert_eq!(again, Err(ErrorCode::Mapping), "one carrier is all that it gets");
}
