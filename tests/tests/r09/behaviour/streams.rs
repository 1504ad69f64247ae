//! Opening and accepting streams.

use super::*;

behaviours! {
    #[tokio::test]
    async fn r09_3_ids_are_numbered_by_initiator_and_kind(mut pair) {
        for step in 0..3 {
            let mut stream = pair.client.open_bidirectional_stream().await.unwrap();
            assert_eq!(stream.id(), 4 * step);
            stream.finish().unwrap();
            let mut stream = pair.client.open_send_stream().await.unwrap();
            assert_eq!(stream.id(), 4 * step + 2);
            stream.finish().unwrap();
            let mut stream = pair.server.open_bidirectional_stream().await.unwrap();
            assert_eq!(stream.id(), 4 * step + 1);
            stream.finish().unwrap();
            let mut stream = pair.server.open_send_stream().await.unwrap();
            assert_eq!(stream.id(), 4 * step + 3);
            stream.finish().unwrap();
            let accepted = pair.server.accept_bidirectional_stream().await.unwrap().unwrap();
            assert_eq!(accepted.id(), 4 * step);
            let accepted = pair.server.accept_receive_stream().await.unwrap().unwrap();
            assert_eq!(accepted.id(), 4 * step + 2);
            let accepted = pair.client.accept_bidirectional_stream().await.unwrap().unwrap();
            assert_eq!(accepted.id(), 4 * step + 1);
            let accepted = pair.client.accept_receive_stream().await.unwrap().unwrap();
            assert_eq!(accepted.id(), 4 * step + 3);
        }
    }

    #[tokio::test]
    async fn r09_3_a_stream_opens_all_lower_ones_of_its_kind(mut pair) {
        let _first = pair.client.open_send_stream().await.unwrap();
        let mut second = pair.client.open_send_stream().await.unwrap();
        let mut third = pair.client.open_send_stream().await.unwrap();
        third.send("third".into()).await.unwrap();
        for id in [2, 6, 10] {
            let mut accepted = pair.server.accept_receive_stream().await.unwrap().unwrap();
            assert_eq!(accepted.id(), id);
            if id == 6 {
                second.send("second".into()).await.unwrap();
                assert_eq!(accepted.receive().await.unwrap().unwrap(), "second");
            }
            if id == 10 {
                assert_eq!(accepted.receive().await.unwrap().unwrap(), "third");
            }
            std::mem::forget(accepted);
        }
    }

    #[tokio::test]
    async fn r09_3_streams_are_accepted_in_the_order_of_their_ids(mut pair) {
        let mut streams = Vec::new();
        for _ in 0..20 {
            streams.push(pair.client.open_bidirectional_stream().await.unwrap());
        }
        for stream in streams.iter_mut().rev() {
            stream.send("x".into()).await.unwrap();
        }
        for expected in 0..20 {
            let accepted = pair.server.accept_bidirectional_stream().await.unwrap().unwrap();
            assert_eq!(accepted.id(), 4 * expected);
        }
    }

    #[tokio::test]
    async fn r09_3_accept_takes_streams_of_both_kinds(mut pair) {
        let mut one = pair.client.open_bidirectional_stream().await.unwrap();
        let mut other = pair.client.open_send_stream().await.unwrap();
        one.send("both".into()).await.unwrap();
        other.send("one".into()).await.unwrap();
        let mut ids = Vec::new();
        for _ in 0..2 {
            let mut stream = pair.server.accept().await.unwrap().unwrap();
            ids.push(stream.id());
            let expected = if stream.id() == 0 { "both" } else { "one" };
            assert_eq!(stream.receive().await.unwrap().unwrap(), expected);
        }
        ids.sort_unstable();
        assert_eq!(ids, [0, 2]);
    }

    #[tokio::test]
    async fn r09_5_calls_that_a_kind_does_not_have_fail(mut pair) {
        let (kind, other) = (stream::Type::Unidirectional, stream::Type::Bidirectional);
        let mut local = pair.client.open_stream(kind).await.unwrap();
        let error = local.receive().await.unwrap_err();
        assert!(matches!(error, stream::Error::NonReadable { .. }), "{error:?}");
        local.send("x".into()).await.unwrap();
        let mut peer = pair.server.accept().await.unwrap().unwrap();
        let error = peer.send("y".into()).await.unwrap_err();
        assert!(matches!(error, stream::Error::NonWritable { .. }), "{error:?}");
        assert_eq!(std::io::ErrorKind::from(error), std::io::ErrorKind::Other);
        assert_eq!(peer.receive().await.unwrap().unwrap(), "x");
        let (receive, send) = peer.split();
        assert!(receive.is_some() && send.is_none());
        let (receive, send) = pair.client.open_stream(other).await.unwrap().split();
        assert!(receive.is_some() && send.is_some());
    }

    #[tokio::test]
    async fn r09_5_the_polling_forms_open_and_accept(mut pair) {
        use std::future::poll_fn;
        let client = &mut pair.client;
        let mut stream = poll_fn(|cx| client.poll_open_bidirectional_stream(cx)).await.unwrap();
        stream.send("x".into()).await.unwrap();
        let mut stream = poll_fn(|cx| client.poll_open_send_stream(cx)).await.unwrap();
        stream.send("x".into()).await.unwrap();
        let server = &mut pair.server;
        let both = poll_fn(|cx| server.poll_accept_bidirectional_stream(cx)).await.unwrap();
        assert_eq!(both.unwrap().id(), 0);
        let one = poll_fn(|cx| server.poll_accept_receive_stream(cx)).await.unwrap();
        assert_eq!(one.unwrap().id(), 2);
    }

    #[tokio::test]
    async fn r09_5_a_thousand_streams_cross_one_by_one(pair) {
        let Pair { client, mut server, endpoints } = pair;
        let echo = tokio::spawn(async move {
            while let Ok(Some(stream)) = server.accept_bidirectional_stream().await {
                tokio::spawn(async move {
                    let (mut receive, mut send) = stream.split();
                    tokio::io::copy(&mut receive, &mut send).await.unwrap();
                    send.close().await.unwrap();
                });
            }
        });
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..1_000u32 {
            let mut handle = client.handle();
            tasks.spawn(async move {
                let mut stream = handle.open_bidirectional_stream().await.unwrap();
                stream.send(Bytes::copy_from_slice(&number.to_be_bytes())).await.unwrap();
                stream.finish().unwrap();
                assert_eq!(rest!(stream), number.to_be_bytes());
                stream.id()
            });
        }
        let mut ids = tasks.join_all().await;
        ids.sort_unstable();
        assert!(ids.into_iter().eq((0..1_000).map(|number| 4 * number)));
        client.close(0u8.into());
        echo.await.unwrap();
        drop(endpoints);
    }

    #[tokio::test]
    async fn r09_3_opening_waits_at_the_peers_limit(mut pair) {
        let mut held = Vec::new();
        for _ in 0..100 {
            held.push(both(&mut pair).await);
        }
        let mut handle = pair.client.handle();
        let waiting = tokio::spawn(async move { handle.open_bidirectional_stream().await });
        let (mut near, mut far) = held.pop().unwrap();
        for _ in 0..5 {
            near.send("ping".into()).await.unwrap();
            assert_eq!(far.receive().await.unwrap().unwrap(), "ping");
            far.send("pong".into()).await.unwrap();
            assert_eq!(near.receive().await.unwrap().unwrap(), "pong");
        }
        assert!(!waiting.is_finished());
        // How soon room is told is the transport's affair; that it is told is not.
        held.push((near, far));
        for (mut near, mut far) in held {
            near.finish().unwrap();
            assert_eq!(far.receive().await.unwrap(), None);
            far.finish().unwrap();
            assert_eq!(near.receive().await.unwrap(), None);
        }
        assert_eq!(waiting.await.unwrap().unwrap().id(), 400);
    }

    #[tokio::test]
    async fn r09_3_a_reset_stream_keeps_its_place_until_the_peer_knows(mut pair) {
        for _ in 0..100 {
            pair.client.open_send_stream().await.unwrap().reset(7_u32.into()).unwrap();
        }
        let mut handle = pair.client.handle();
        let waiting = tokio::spawn(async move { handle.open_send_stream().await });
        let (mut near, mut far) = both(&mut pair).await;
        for _ in 0..5 {
            near.send("ping".into()).await.unwrap();
            assert_eq!(far.receive().await.unwrap().unwrap(), "ping");
            far.send("pong".into()).await.unwrap();
            assert_eq!(near.receive().await.unwrap().unwrap(), "pong");
        }
        assert!(!waiting.is_finished());
        for _ in 0..100 {
            let mut stream = pair.server.accept_receive_stream().await.unwrap().unwrap();
            assert!(stream.receive().await.is_err());
        }
        assert_eq!(waiting.await.unwrap().unwrap().id(), 402);
    }

    #[tokio::test]
    async fn r09_5_a_cancelled_open_opens_nothing(mut pair) {
        // Polled once at most: whether it was done by then differs, what comes after does not.
        let cancelled = futures_util::FutureExt::now_or_never(pair.client.open_send_stream());
        let skipped = cancelled.map_or(0, |stream| {
            drop(stream.unwrap());
            1
        });
        let mut next = pair.client.open_send_stream().await.unwrap();
        next.send("x".into()).await.unwrap();
        let mut last = pair.server.accept_receive_stream().await.unwrap().unwrap();
        while last.id() < next.id() {
            assert_eq!(last.receive().await.unwrap(), None);
            last = pair.server.accept_receive_stream().await.unwrap().unwrap();
        }
        assert!(next.id() <= 2 + 4 * (skipped + 1));
        assert_eq!(last.receive().await.unwrap().unwrap(), "x");
    }
}
