#![allow(clippy::unwrap_used, reason = "a test may panic")]

use kwik_proto::StreamId;
use kwik_proto::frame::Revoke;

use super::*;

const SESSION: SessionId = SessionId([1; 16]);
const EDGE: PathId = PathId::new(1);

fn some(count: usize) -> Vec<Order> {
    let stream = StreamId::from_wire(0).unwrap();
    vec![Order::Revoke(Revoke { stream, delegation: None }); count]
}

fn orders(number: u64) -> Orders {
    Orders { session: SESSION, path: EDGE, epoch: Epoch(2), number, orders: some(1) }
}

#[test]
fn numbers_count_per_path_and_epoch() {
    let mut issuer = OrderIssuer::new(SESSION);
    let mut number =
        |path, epoch| issuer.issue(PathId::new(path), Epoch(epoch), some(1)).map(|o| o.number);
    assert_eq!(number(1, 1), Ok(1));
    assert_eq!(number(1, 1), Ok(2));
    assert_eq!(number(2, 1), Ok(1));
    assert_eq!(number(1, 3), Ok(1));
    assert_eq!(number(1, 1), Err(IssueError::StaleEpoch { offered: 1, current: 3 }));
    assert_eq!(number(1, 3), Ok(2));
}

#[test]
fn a_batch_has_one_to_256_orders() {
    let mut issuer = OrderIssuer::new(SESSION);
    let mut issue = |count| issuer.issue(EDGE, Epoch(1), some(count)).map(|orders| orders.number);
    assert_eq!(issue(0), Err(IssueError::Count { count: 0 }));
    assert_eq!(issue(257), Err(IssueError::Count { count: 257 }));
    assert_eq!(issue(256), Ok(1), "what failed used no number");
}

#[test]
fn orders_are_obeyed_in_sequence() {
    let mut checker = OrderChecker::new(SESSION, EDGE, Epoch(2));
    assert_eq!((1..=5).filter(|&n| checker.check(&orders(n)).is_ok()).count(), 5);
    assert_eq!(checker.obeyed(), 5);
}

#[test]
fn a_repetition_and_a_hole_are_refused() {
    let mut checker = OrderChecker::new(SESSION, EDGE, Epoch(2));
    checker.check(&orders(1)).unwrap();
    for found in [0, 1, 3, u64::MAX] {
        let error = checker.check(&orders(found)).unwrap_err();
        assert_eq!(error, OrderError::Number { found, wanted: 2 });
        assert_eq!(error.code(), ErrorCode::OrderInvalid);
    }
    assert!(checker.check(&orders(2)).is_ok());
}

#[test]
fn orders_for_others_are_refused() {
    let mut checker = OrderChecker::new(SESSION, EDGE, Epoch(2));
    let good = orders(1);
    let session = Orders { session: SessionId([2; 16]), ..good.clone() };
    let path = Orders { path: PathId::new(2), ..good.clone() };
    let old = Orders { epoch: Epoch(1), ..good.clone() };
    let early = Orders { epoch: Epoch(3), ..good.clone() };
    let empty = Orders { orders: vec![], ..good.clone() };
    assert!(matches!(checker.check(&session), Err(OrderError::Session { .. })));
    assert!(matches!(checker.check(&path), Err(OrderError::Path { .. })));
    assert!(matches!(checker.check(&old), Err(OrderError::Epoch { .. })));
    assert!(matches!(checker.check(&early), Err(OrderError::Epoch { .. })));
    assert!(matches!(checker.check(&empty), Err(OrderError::Count { count: 0 })));
    assert!(checker.check(&good).is_ok(), "what was refused changed nothing");
}

proptest::proptest! {
    #[test]
    fn what_is_obeyed_is_what_was_issued_once_and_in_order(
        arrivals in proptest::collection::vec(0_usize..8, 0..60),
    ) {
        let mut issuer = OrderIssuer::new(SESSION);
        let issued: Vec<_> =
            (0..8).map(|_| issuer.issue(EDGE, Epoch(1), some(1)).unwrap()).collect();
        let mut checker = OrderChecker::new(SESSION, EDGE, Epoch(1));
        let mut obeyed = Vec::new();
        for arrival in arrivals {
            if checker.check(&issued[arrival]).is_ok() {
                obeyed.push(issued[arrival].number);
            }
        }
        let expected: Vec<_> = (1..=obeyed.len() as u64).collect();
        proptest::prop_assert_eq!(obeyed, expected);
    }
}
