#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::pin::pin;
use std::sync::Arc;

use super::*;

/// Polls once; whether it was done.
async fn once<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

#[tokio::test]
async fn messages_arrive_in_order_and_then_the_end() {
    let (sender, mut receiver) = bounded(100);
    let other = sender.clone();
    for number in 0..100 {
        if number % 2 == 0 { &sender } else { &other }.try_send(number).unwrap();
    }
    drop((sender, other));
    for number in 0..100 {
        assert_eq!(receiver.recv().await, Some(number));
    }
    assert_eq!(receiver.recv().await, None);
}

#[tokio::test]
async fn who_finds_it_full_waits_for_a_place_in_turn() {
    let (sender, mut receiver) = bounded(1);
    sender.send(0).await.unwrap();
    let waiting: Vec<_> = (1..4)
        .map(|number| {
            let sender = sender.clone();
            tokio::spawn(async move { sender.send(number).await })
        })
        .collect();
    tokio::task::yield_now().await;
    assert_eq!(sender.try_send(9), Err(SendError::Full));
    for number in 0..4 {
        assert_eq!(receiver.recv().await, Some(number));
    }
    for sent in waiting {
        sent.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn what_is_given_up_takes_no_place() {
    let (sender, mut receiver) = bounded(1);
    sender.try_send(0).unwrap();
    assert_eq!(once(sender.send(1)).await, None);
    assert_eq!(receiver.recv().await, Some(0));
    assert_eq!(once(receiver.recv()).await, None);
    sender.try_send(2).unwrap();
    assert_eq!(receiver.recv().await, Some(2));
}

#[tokio::test]
async fn what_is_pushed_takes_no_place_and_goes_ahead() {
    let (sender, mut receiver) = bounded(2);
    for number in 0..2 {
        sender.try_send(number).unwrap();
    }
    for number in 10..13 {
        sender.push(number).unwrap();
    }
    assert_eq!(receiver.recv().await, Some(10));
    sender.push(13).unwrap();
    assert_eq!(sender.try_send(2), Err(SendError::Full));
    for number in [11, 12, 13, 0] {
        assert_eq!(receiver.recv().await, Some(number));
    }
    sender.try_send(2).unwrap();
    assert_eq!(sender.try_send(3), Err(SendError::Full));
    assert_eq!(receiver.recv().await, Some(1));
    assert_eq!(receiver.recv().await, Some(2));
}

#[tokio::test]
async fn a_sender_that_waits_learns_that_the_receiver_is_gone() {
    let (sender, receiver) = bounded(1);
    sender.try_send(0).unwrap();
    let waiting = sender.clone();
    let sending = tokio::spawn(async move { waiting.send(1).await });
    let watching = sender.clone();
    let closed = tokio::spawn(async move { watching.closed().await });
    tokio::task::yield_now().await;
    drop(receiver);
    assert_eq!(sending.await.unwrap(), Err(SendError::Closed));
    closed.await.unwrap();
    sender.closed().await;
    assert_eq!(sender.try_send(2), Err(SendError::Closed));
    assert_eq!(sender.push(2), Err(SendError::Closed));
}

#[tokio::test]
async fn what_nobody_received_goes_with_the_receiver() {
    /// It holds a sender of its own channel.
    struct Message(
        #[expect(dead_code, reason = "held")] Arc<()>,
        #[expect(dead_code, reason = "held")] Sender<Message>,
    );
    let kept = Arc::new(());
    let (sender, receiver) = bounded(1);
    assert!(sender.try_send(Message(kept.clone(), sender.clone())).is_ok());
    drop(receiver);
    assert_eq!(Arc::strong_count(&kept), 1);
    assert!(sender.try_send(Message(kept.clone(), sender.clone())).is_err());
    assert_eq!(Arc::strong_count(&kept), 1);
}

#[tokio::test]
async fn a_receiver_that_always_finds_messages_yields() {
    let (sender, mut receiver) = bounded(10_000);
    for number in 0..10_000 {
        sender.try_send(number).unwrap();
    }
    let received = once(async {
        for _ in 0..10_000 {
            receiver.recv().await.unwrap();
        }
    });
    assert_eq!(received.await, None, "it would be done without a break");
}

#[tokio::test]
async fn an_empty_channel_keeps_no_room() {
    let (sender, mut receiver) = bounded(100);
    for number in 0..100_u64 {
        sender.try_send(number).unwrap();
    }
    for _ in 0..100 {
        receiver.recv().await.unwrap();
    }
    assert_eq!(receiver.0.lock().waiting.capacity(), 0);
}

#[tokio::test]
async fn messages_of_other_threads_wake_the_receiver() {
    let (sender, mut receiver) = bounded(4);
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for _ in 0..1_000 {
                    while sender.try_send(1) == Err(SendError::Full) {
                        std::thread::yield_now();
                    }
                }
            })
        })
        .collect();
    drop(sender);
    let mut sum = 0;
    while let Some(number) = receiver.recv().await {
        sum += number;
    }
    assert_eq!(sum, 4_000);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}
