//! How many sessions there may be.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_session_too_many_is_refused_and_one_that_ends_makes_room() {
    for (limits, all) in
        [(Limits::new().with_max_sessions(2, 9), 2), (Limits::new().with_max_sessions(9, 1), 1)]
    {
        let server = server(limits);
        let mut open = Vec::new();
        for _ in 0..all {
            open.push(client(&server).await);
        }
        let mut late = bare::connect(server.local_addr(), server.pin()).await;
        late.send(ControlFrame::Hello(bare::hello()));
        assert_eq!(late.refusal().await, ErrorCode::Busy);
        assert_eq!(server.metrics().refused.get(&ErrorCode::Busy), Some(&1));
        assert_eq!(server.metrics().primary_sessions, all);
        open.pop().unwrap().handle.close(0u8.into());
        eventually("there is room again", || async {
            let mut next = bare::connect(server.local_addr(), server.pin()).await;
            next.send(ControlFrame::Hello(bare::hello()));
            matches!(next.reader.recv().await, Ok(Some(ControlFrame::Welcome(_))))
        })
        .await;
    }
}

/// Who says nothing has a place all the same, and no more of them are told why they have none than may be.
#[tokio::test(flavor = "multi_thread")]
async fn clients_that_say_nothing_are_counted_and_bounded() {
    let hour = std::time::Duration::from_secs(3600);
    let server = server(Limits::new().with_max_sessions(1, 1).with_handshake_timeout(hour));
    let _first = bare::dial(server.local_addr(), server.pin()).await;
    eventually("others are refused", || async {
        let mut late = bare::connect(server.local_addr(), server.pin()).await;
        late.send(ControlFrame::Hello(bare::hello()));
        !matches!(late.reader.recv().await, Ok(Some(ControlFrame::Welcome(_))))
    })
    .await;
    // As many as are told, and they say nothing: the next one is closed without a Hello.
    let mut silent = Vec::new();
    for _ in 0..64 {
        // Those before may not be gone yet.
        silent.extend(bare::try_dial(server.local_addr(), server.pin()).await);
    }
    let busy = ErrorCode::Busy.quic_code().to_string();
    eventually("a connection is closed at once", || async {
        // The close may come before the connection is there, before the stream is open, or after.
        let mut late = match bare::try_dial(server.local_addr(), server.pin()).await {
            Ok(late) => late,
            Err(error) => return error.to_string().contains(&busy),
        };
        let received = match late.connection.open_bidirectional_stream().await {
            Ok(mut stream) => stream.receive().await,
            Err(error) => Err(error.into()),
        };
        received.is_err_and(|error| bare::closing_code(error) == ErrorCode::Busy)
    })
    .await;
}
