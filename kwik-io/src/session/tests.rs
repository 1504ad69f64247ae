#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::*;

fn number(request: Option<Request<u32>>) -> Option<u32> {
    match request {
        Some(Request::Other(number)) => Some(number),
        _ => None,
    }
}

#[tokio::test]
async fn what_is_told_is_never_lost_and_comes_before_what_is_asked() {
    let (asker, mut requests) = requests::<u32>();
    let asked = tokio::spawn({
        let asker = asker.clone();
        async move { asker.ask::<()>(|_| 1000).await }
    });
    tokio::task::yield_now().await;
    for told in 0..1000 {
        asker.tell(told);
    }
    drop(asker);
    for number_of in 0..=1000 {
        assert_eq!(number(requests.wishes.next().await), Some(number_of));
    }
    assert!(asked.await.unwrap().is_err(), "it was not answered");
    assert!(requests.wishes.next().await.is_none());
}

#[tokio::test]
async fn pings_and_keep_alive_are_not_lost_where_requests_wait() {
    let (asker, mut requests) = requests::<u32>();
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..2 * MAX_REQUESTS {
        let asker = asker.clone();
        asking.spawn(async move { drop(asker.open(StreamKind::Bidirectional).await) });
    }
    tokio::task::yield_now().await;
    for enabled in [true, false, true, false] {
        asker.upkeep.want(Chore::Ping);
        asker.upkeep.want(Chore::KeepAlive(enabled));
    }
    assert!(matches!(requests.wishes.next().await, Some(Request::Ping)));
    assert!(matches!(requests.wishes.next().await, Some(Request::KeepAlive(false))));
    assert!(matches!(requests.wishes.next().await, Some(Request::Open(_))));
}

#[tokio::test]
async fn what_the_last_asker_tells_as_it_goes_arrives() {
    let (asker, mut requests) = requests::<u32>();
    let task = tokio::spawn(async move {
        let first = number(requests.wishes.next().await);
        (first, requests.wishes.next().await.is_none())
    });
    tokio::task::yield_now().await;
    asker.tell(7);
    drop(asker);
    assert_eq!(task.await.unwrap(), (Some(7), true));
}

#[tokio::test]
async fn opens_that_were_cancelled_take_nobodys_place() {
    let (_asker, mut requests) = requests::<u32>();
    let open = || {
        let (reply, answer) = oneshot::channel();
        (Open { kind: StreamKind::Bidirectional, reply }, answer)
    };
    for _ in 0..2 * MAX_WAITING_OPENS {
        let (forgotten, _) = open();
        requests.wait(forgotten);
    }
    let (wanted, mut answer) = open();
    requests.wait(wanted);
    assert!(answer.try_recv().is_err(), "it was refused");
    assert!(requests.retry(StreamKind::Bidirectional).is_some());
    assert!(requests.retry(StreamKind::Bidirectional).is_none());
}
