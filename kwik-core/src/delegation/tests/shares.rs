//! Who sent how much of a stream.

use super::*;

#[test]
fn each_byte_counts_once_for_the_path_that_sent_it() {
    let mut bench = Bench::new(4 * MIB, Candidates::All, Local::None);
    let orders = bench.orders();
    assert!(orders.len() > 1 && all_bytes(&orders) <= 4 * MIB);
    assert!(bench.scheduler.stream_shares(bench.stream).is_empty());
    let of = |path: PathId| -> u64 {
        orders.iter().filter(|order| order.0 == path).map(|order| order.2.len()).sum()
    };
    // Half of the first order, then all of them, each named by the client.
    let (path, _, first) = orders[0];
    let half = ByteRange::with_length(first.start(), first.len() / 2).unwrap();
    bench.held(0, &[(half, path)]);
    assert_eq!(bench.scheduler.stream_shares(bench.stream), [(path, half.len())]);
    let held: Vec<_> = orders.iter().map(|order| (order.2, order.0)).collect();
    bench.held(0, &held);
    bench.held(0, &held);
    let mut expected =
        vec![(PathId::new(1), of(PathId::new(1))), (PathId::new(2), of(PathId::new(2)))];
    expected.retain(|(_, bytes)| *bytes > 0);
    assert_eq!(bench.scheduler.stream_shares(bench.stream), expected);
}

#[test]
fn what_the_last_report_leaves_out_is_whose_it_was_when_the_client_has_it_all() {
    let mut bench = Bench::new(MIB, Candidates::All, Local::None);
    let mut owed: BTreeMap<PathId, u64> = BTreeMap::new();
    for (path, _, range) in bench.orders() {
        *owed.entry(path).or_default() += range.len();
    }
    bench.scheduler.handle_stream_complete(bench.stream);
    let expected: Vec<_> = owed.into_iter().collect();
    assert!(!expected.is_empty());
    assert_eq!(bench.scheduler.stream_shares(bench.stream), expected);
    bench.scheduler.handle_stream_closed(bench.stream, bench.now);
    assert!(bench.scheduler.stream_shares(bench.stream).is_empty(), "nothing is left behind");
}
