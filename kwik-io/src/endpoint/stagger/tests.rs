#![allow(clippy::unwrap_used)]

use std::future::{pending, ready};
use std::pin::Pin;
use std::sync::Arc;

use super::*;

type Attempt = Pin<Box<dyn Future<Output = Result<usize, usize>> + Send>>;

/// Notes when it starts, and whether it was given up.
fn noted(
    starts: &Arc<std::sync::Mutex<Vec<Duration>>>,
    alive: &Arc<()>,
    outcome: impl Future<Output = Result<usize, usize>> + Send + 'static,
) -> Attempt {
    let (starts, alive, begin) = (starts.clone(), alive.clone(), Instant::now());
    Box::pin(async move {
        starts.lock().unwrap().push(begin.elapsed());
        let result = outcome.await;
        drop(alive);
        result
    })
}

#[tokio::test(start_paused = true)]
async fn nothing_to_try_is_a_failure_without_a_reason() {
    let none: [std::future::Ready<Result<(), ()>>; 0] = [];
    assert_eq!(stagger(none).await, Err(Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn silent_attempts_start_a_delay_apart_and_a_failed_one_makes_room_at_once() {
    let (starts, alive) = (Arc::default(), Arc::default());
    let late = async {
        tokio::time::sleep(Duration::from_millis(10)).await;
        Err(1)
    };
    let attempts = [
        noted(&starts, &alive, pending()),
        noted(&starts, &alive, late),
        noted(&starts, &alive, ready(Err(2))),
        noted(&starts, &alive, ready(Ok(3))),
        noted(&starts, &alive, ready(Ok(4))),
    ];
    assert_eq!(stagger(attempts).await, Ok(3));
    let starts: Vec<_> = starts.lock().unwrap().iter().map(Duration::as_millis).collect();
    assert_eq!(starts, [0, 250, 260, 260]);
}

#[tokio::test(start_paused = true)]
async fn the_losers_are_given_up_when_one_has_won() {
    let (starts, alive) = (Arc::default(), Arc::default());
    let attempts = [noted(&starts, &alive, pending()), noted(&starts, &alive, ready(Ok(1)))];
    assert_eq!(stagger(attempts).await, Ok(1));
    while Arc::strong_count(&alive) > 1 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn all_are_given_up_when_nobody_waits() {
    let (starts, alive) = (Arc::default(), Arc::default());
    let attempts = [noted(&starts, &alive, pending()), noted(&starts, &alive, pending())];
    let trying = tokio::time::timeout(Duration::from_secs(1), stagger(attempts)).await;
    assert!(trying.is_err());
    while Arc::strong_count(&alive) > 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(starts.lock().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn failures_come_in_the_order_of_the_list() {
    let slow = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Err(0)
    };
    let attempts: [Attempt; 2] = [Box::pin(slow), Box::pin(ready(Err(1)))];
    assert_eq!(stagger(attempts).await, Err(vec![0, 1]));
}

#[tokio::test(start_paused = true)]
async fn no_more_run_at_a_time_than_may() {
    let (starts, alive) = (Arc::default(), Arc::default());
    let attempts: Vec<_> =
        (0..2 * MAX_RUNNING).map(|_| noted(&starts, &alive, pending())).collect();
    let trying = tokio::time::timeout(Duration::from_secs(60), stagger(attempts)).await;
    assert!(trying.is_err());
    assert_eq!(starts.lock().unwrap().len(), MAX_RUNNING);
}
