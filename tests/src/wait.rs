//! Waiting for what has to happen, and for what must not.

use std::fmt::Debug;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

/// How long a machine that is busy with other tests may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(2);

/// Waits until `look` sees `true`.
///
/// # Panics
/// If it takes too long: `what` has not happened.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut look: impl FnMut() -> F) {
    let seen = eventually_some(what, || {
        let looking = look();
        async move { looking.await.then_some(()) }
    });
    seen.await;
}

/// Waits until `look` sees something.
///
/// # Panics
/// If it takes too long: `what` has not happened.
pub async fn eventually_some<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut look: impl FnMut() -> F,
) -> T {
    let looking = async {
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    match tokio::time::timeout(PATIENCE, looking).await {
        Ok(seen) => seen,
        Err(_) => panic!("in {PATIENCE:?} it did not happen that {what}"),
    }
}

/// Checks that nothing is there for `future` now.
///
/// # Panics
/// If there is.
pub async fn stays_pending<T: Debug>(what: &str, future: impl Future<Output = T>) {
    let mut future = pin!(future);
    for _ in 0..16 {
        tokio::select! {
            biased;
            seen = &mut future => panic!("{what}: {seen:?}"),
            () = tokio::task::yield_now() => {}
        }
    }
}
