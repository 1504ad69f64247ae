//! Sessions: their handles, their ends.

use super::*;
use futures_util::StreamExt as _;

behaviours! {
    #[tokio::test]
    async fn r09_3_a_close_reaches_the_peer_with_its_code(mut pair) {
        let (mut reader, mut far) = both(&mut pair).await;
        let (mut writer, _held) = both(&mut pair).await;
        let (mut flusher, _held) = both(&mut pair).await;
        let (mut closer, _held) = both(&mut pair).await;
        pair.server.close(42u8.into());
        assert_eq!(stream_close_code(reader.receive().await), (42, true));
        assert_eq!(stream_close_code(writer.send("x".into()).await), (42, true));
        assert_eq!(stream_close_code(flusher.finish()), (42, true));
        assert_eq!(stream_close_code(closer.close().await), (42, true));
        let error = pair.client.accept_bidirectional_stream().await.unwrap_err();
        assert_eq!(close_code(error), (42, true));
        let error = pair.client.accept().await.unwrap_err();
        assert_eq!(close_code(error), (42, true));
        let error = pair.client.open_send_stream().await.unwrap_err();
        assert_eq!(close_code(error), (42, true));
        assert_eq!(std::io::ErrorKind::from(error), std::io::ErrorKind::ConnectionReset);
        assert_eq!(stream_close_code(far.receive().await), (42, false));
    }

    #[tokio::test]
    async fn r09_3_the_closing_end_finds_its_own_code_at_once(mut pair) {
        let (mut reader, _held) = both(&mut pair).await;
        let (mut writer, _held) = both(&mut pair).await;
        let (mut pusher, _held) = both(&mut pair).await;
        let (mut closer, _held) = both(&mut pair).await;
        pair.client.close(17u8.into());
        assert_eq!(stream_close_code(writer.send("x".into()).await), (17, false));
        assert_eq!(stream_close_code(pusher.send_data("x".into())), (17, false));
        assert_eq!(stream_close_code(reader.receive().await), (17, false));
        assert_eq!(stream_close_code(closer.finish()), (17, false));
        let error = pair.client.open_bidirectional_stream().await.unwrap_err();
        assert_eq!(close_code(error), (17, false));
        let error = pair.client.accept().await.unwrap_err();
        assert_eq!(close_code(error), (17, false));
        assert_eq!(close_code(pair.client.ping().unwrap_err()), (17, false));
    }

    #[tokio::test]
    async fn r09_3_the_first_close_counts(mut pair) {
        let (mut near, _far) = both(&mut pair).await;
        pair.server.close(1u8.into());
        pair.server.close(2u8.into());
        assert_eq!(stream_close_code(near.receive().await), (1, true));
    }

    #[tokio::test]
    async fn r09_3_a_close_with_0_is_an_error_too(mut pair) {
        let (mut near, _far) = both(&mut pair).await;
        pair.server.close(0u8.into());
        assert_eq!(stream_close_code(near.receive().await), (0, true));
        let error = pair.client.accept().await.unwrap_err();
        assert_eq!(close_code(error), (0, true));
    }

    #[tokio::test]
    async fn r09_3_dropping_a_session_closes_it(pair) {
        let Pair { client, mut server, endpoints } = pair;
        drop(client);
        assert!(matches!(server.accept().await, Ok(None)));
        drop(endpoints);
    }

    #[tokio::test]
    async fn r09_5_what_was_finished_arrives_though_all_is_dropped(pair) {
        let Pair { mut client, mut server, endpoints } = pair;
        let mut near = client.open_send_stream().await.unwrap();
        near.send(content(100_000)).await.unwrap();
        near.finish().unwrap();
        drop(near);
        drop(client);
        let mut far = server.accept_receive_stream().await.unwrap().unwrap();
        assert!(rest!(far) == content(100_000));
        drop(endpoints);
    }

    #[tokio::test]
    async fn r09_3_a_stream_keeps_its_session_open(mut pair) {
        let (mut near, mut far) = both(&mut pair).await;
        let Pair { client, server, endpoints } = pair;
        drop(client);
        drop(server);
        for text in ["a", "b"] {
            near.send(text.into()).await.unwrap();
            assert_eq!(far.receive().await.unwrap().unwrap(), text);
            far.send(text.into()).await.unwrap();
            assert_eq!(near.receive().await.unwrap().unwrap(), text);
        }
        drop(endpoints);
    }

    #[tokio::test]
    async fn r09_3_sessions_outlive_the_endpoints_that_they_came_from(mut pair) {
        let (mut near, mut far) = both(&mut pair).await;
        let Pair { mut client, mut server, endpoints } = pair;
        drop(endpoints);
        // More than once around, and on streams of either end that are new.
        for text in ["a", "b"] {
            near.send(text.into()).await.unwrap();
            assert_eq!(far.receive().await.unwrap().unwrap(), text);
            far.send(text.into()).await.unwrap();
            assert_eq!(near.receive().await.unwrap().unwrap(), text);
            let mut down = server.open_send_stream().await.unwrap();
            down.send(content(1_000_000)).await.unwrap();
            down.finish().unwrap();
            let mut read = client.accept_receive_stream().await.unwrap().unwrap();
            assert!(rest!(read) == content(1_000_000));
        }
        let accepting = tokio::spawn(async move { (server.accept().await.map(drop), server) });
        tokio::task::yield_now().await;
        client.close(5u8.into());
        let (accepted, _server) = accepting.await.unwrap();
        assert_eq!(close_code(accepted.unwrap_err()), (5, true));
    }

    #[tokio::test]
    async fn r09_3_a_close_without_its_endpoints_reaches_the_peer(mut pair) {
        let (mut near, far) = both(&mut pair).await;
        let Pair { client, server, endpoints } = pair;
        drop(endpoints);
        server.close(42u8.into());
        drop((server, far));
        assert_eq!(stream_close_code(near.receive().await), (42, true));
        drop(client);
    }

    #[tokio::test]
    async fn r09_3_a_stream_leads_to_its_session(mut pair) {
        let (near, mut far) = both(&mut pair).await;
        let mut handle = near.connection();
        assert_eq!(handle.id(), pair.client.id());
        let mut second = handle.open_bidirectional_stream().await.unwrap();
        second.send("x".into()).await.unwrap();
        let mut accepted = pair.server.accept_bidirectional_stream().await.unwrap().unwrap();
        assert_eq!(accepted.receive().await.unwrap().unwrap(), "x");
        accepted.connection().close(5u8.into());
        assert_eq!(stream_close_code(far.receive().await), (5, false));
        assert_eq!(stream_close_code(second.receive().await), (5, true));
    }

    #[tokio::test]
    async fn r09_3_dropping_the_acceptor_leaves_the_handle(pair) {
        let Pair { client, server, endpoints } = pair;
        let (mut opener, acceptor) = client.split();
        drop(acceptor);
        let (_handle, mut acceptor) = server.split();
        let mut near = opener.open_bidirectional_stream().await.unwrap();
        near.send("x".into()).await.unwrap();
        let mut far = acceptor.accept_bidirectional_stream().await.unwrap().unwrap();
        assert_eq!(far.receive().await.unwrap().unwrap(), "x");
        // Nobody accepts it, and nobody refuses it either.
        let mut unseen = far.connection().open_send_stream().await.unwrap();
        unseen.send("y".into()).await.unwrap();
        unseen.flush().await.unwrap();
        unseen.send("z".into()).await.unwrap();
        unseen.flush().await.unwrap();
        far.send("still open".into()).await.unwrap();
        assert_eq!(near.receive().await.unwrap().unwrap(), "still open");
        drop(endpoints);
    }

    #[tokio::test]
    async fn r09_3_dropping_the_handle_leaves_the_acceptor(pair) {
        let Pair { client, server, endpoints } = pair;
        let (mut opener, _acceptor) = client.split();
        let (handle, mut acceptor) = server.split();
        drop(handle);
        let mut near = opener.open_send_stream().await.unwrap();
        near.send("x".into()).await.unwrap();
        let mut far = acceptor.accept_receive_stream().await.unwrap().unwrap();
        assert_eq!(far.receive().await.unwrap().unwrap(), "x");
        drop(endpoints);
    }

    #[tokio::test]
    async fn r09_5_acceptors_split_by_kind(pair) {
        let Pair { mut client, server, endpoints } = pair;
        let (_handle, acceptor) = server.split();
        let (mut both, mut one) = acceptor.split();
        let mut near = client.open_send_stream().await.unwrap();
        near.send("one".into()).await.unwrap();
        let mut far = one.next().await.unwrap().unwrap();
        assert_eq!(far.receive().await.unwrap().unwrap(), "one");
        let mut near = client.open_bidirectional_stream().await.unwrap();
        near.send("both".into()).await.unwrap();
        let mut far = both.accept_bidirectional_stream().await.unwrap().unwrap();
        assert_eq!(far.receive().await.unwrap().unwrap(), "both");
        drop(endpoints);
    }

    #[tokio::test]
    async fn r09_5_handles_share_one_numbering(pair) {
        let mut handles = [pair.client.handle(), pair.client.handle()];
        let mut ids = Vec::new();
        let mut streams = Vec::new();
        for turn in 0..6 {
            let stream = handles[turn % 2].open_send_stream().await.unwrap();
            ids.push(stream.id());
            streams.push(stream);
        }
        assert_eq!(ids, [2, 6, 10, 14, 18, 22]);
    }

    #[tokio::test]
    async fn r09_3_a_waiting_accept_is_woken_by_a_close(pair) {
        let Pair { mut client, server, endpoints } = pair;
        let waiting = tokio::spawn(async move { client.accept().await.map(|stream| stream.is_some()) });
        tokio::task::yield_now().await;
        server.close(9u8.into());
        assert_eq!(close_code(waiting.await.unwrap().unwrap_err()), (9, true));
        drop(endpoints);
    }

    #[tokio::test]
    async fn r09_5_a_close_wakes_a_blocked_writer(mut pair) {
        let (near, _far) = both(&mut pair).await;
        let (_receive, mut near) = near.split();
        let writer = tokio::spawn(async move {
            loop {
                if let Err(error) = near.send(Bytes::from(vec![1; 1 << 20])).await {
                    return stream::Result::<()>::Err(error);
                }
            }
        });
        tokio::task::yield_now().await;
        pair.server.close(9u8.into());
        assert_eq!(stream_close_code(writer.await.unwrap()), (9, true));
    }

    #[tokio::test]
    async fn r09_3_nothing_is_accepted_after_a_close(mut pair) {
        let (mut near, mut far) = both(&mut pair).await;
        let mut stream = pair.client.open_send_stream().await.unwrap();
        stream.send("early".into()).await.unwrap();
        stream.close().await.unwrap();
        near.finish().unwrap();
        assert_eq!(far.receive().await.unwrap(), None);
        pair.client.close(3u8.into());
        assert_eq!(stream_close_code(send_until_error!(far)), (3, true));
        let error = pair.server.accept_receive_stream().await.unwrap_err();
        assert_eq!(close_code(error), (3, true));
    }

    #[tokio::test]
    async fn r09_5_what_arrived_whole_is_read_after_a_close(mut pair) {
        let (mut near, mut far) = upload(&mut pair, "whole").await;
        near.close().await.unwrap();
        pair.client.close(3u8.into());
        let error = pair.server.accept().await.unwrap_err();
        assert_eq!(close_code(error), (3, true));
        assert_eq!(rest!(far), b"whole");
    }

    #[tokio::test]
    async fn r09_5_ping_and_keep_alive_are_taken(mut pair) {
        pair.client.ping().unwrap();
        pair.server.ping().unwrap();
        pair.client.keep_alive(true).unwrap();
        pair.server.keep_alive(false).unwrap();
        pair.server.handle().keep_alive(true).unwrap();
        let (mut near, mut far) = both(&mut pair).await;
        far.send("x".into()).await.unwrap();
        assert_eq!(near.receive().await.unwrap().unwrap(), "x");
    }

    #[tokio::test]
    async fn r09_3_both_ends_know_their_addresses_and_the_name(pair) {
        let near = pair.client.local_addr().unwrap();
        let far = pair.server.local_addr().unwrap();
        assert_eq!(pair.server.remote_addr().unwrap().port(), near.port());
        assert_eq!(pair.client.remote_addr().unwrap(), far);
        assert_eq!(pair.client.server_name().unwrap().unwrap().to_string(), "localhost");
        assert_eq!(pair.server.server_name().unwrap().unwrap().to_string(), "localhost");
        let protocol = pair.client.application_protocol().unwrap();
        assert_eq!(pair.server.application_protocol().unwrap(), protocol);
        assert!(!protocol.is_empty());
    }
}
