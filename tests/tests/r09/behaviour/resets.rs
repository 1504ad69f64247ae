//! Abrupt ends.

use super::*;
use client::application;

behaviours! {
    #[tokio::test]
    async fn r09_3_a_reset_before_data_reaches_the_peer(mut pair) {
        let mut near = pair.client.open_bidirectional_stream().await.unwrap();
        near.reset(7u8.into()).unwrap();
        let mut far = pair.server.accept_bidirectional_stream().await.unwrap().unwrap();
        assert_eq!(reset_code(far.receive().await), 7);
    }

    #[tokio::test]
    async fn r09_3_a_reset_after_data_throws_away_what_was_not_read(mut pair) {
        let (mut near, mut far) = upload(&mut pair, "never read").await;
        near.flush().await.unwrap();
        near.reset(9u8.into()).unwrap();
        let (mut other, mut marker) = both(&mut pair).await;
        // The reset is on its way before this answer.
        other.finish().unwrap();
        assert_eq!(marker.receive().await.unwrap(), None);
        marker.close().await.unwrap();
        let code = loop {
            match far.receive().await {
                Ok(Some(_)) => {}
                other => break reset_code(other),
            }
        };
        assert_eq!(code, 9);
    }

    #[tokio::test]
    async fn r09_3_the_first_reset_counts(mut pair) {
        let (mut near, mut far) = both(&mut pair).await;
        near.reset(1u8.into()).unwrap();
        near.reset(2u8.into()).unwrap();
        assert_eq!(reset_code(far.receive().await), 1);
    }

    #[tokio::test]
    async fn r09_3_a_reset_after_everything_arrived_does_nothing(mut pair) {
        let (mut near, mut far) = upload(&mut pair, "whole").await;
        near.close().await.unwrap();
        near.reset(5u8.into()).unwrap();
        assert_eq!(rest!(far), b"whole");
    }

    #[tokio::test]
    async fn r09_3_sending_after_a_reset_fails_with_its_code(mut pair) {
        let (mut near, _far) = both(&mut pair).await;
        near.reset(3u8.into()).unwrap();
        assert_eq!(reset_code(near.send("x".into()).await), 3);
        assert_eq!(reset_code(near.finish()), 3);
        assert_eq!(reset_code(near.flush().await), 3);
        assert_eq!(reset_code(near.close().await), 3);
    }

    #[tokio::test]
    async fn r09_5_a_reset_is_an_io_error_of_its_kind(mut pair) {
        let (mut near, mut far) = both(&mut pair).await;
        near.reset(3u8.into()).unwrap();
        let error = tokio::io::AsyncReadExt::read(&mut far, &mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        let inner = error.get_ref().unwrap().downcast_ref::<stream::Error>().unwrap();
        assert!(matches!(inner, stream::Error::StreamReset { error, .. } if **error == 3));
    }

    #[tokio::test]
    async fn r09_3_stop_sending_reaches_the_sender(mut pair) {
        let (mut near, mut far) = both(&mut pair).await;
        far.stop_sending(8u8.into()).unwrap();
        assert_eq!(reset_code(send_until_error!(near)), 8);
        assert_eq!(reset_code(near.finish()), 8);
        assert_eq!(reset_code(far.receive().await), 8);
    }

    #[tokio::test]
    async fn r09_3_stopping_twice_is_no_error(mut pair) {
        let (mut near, mut far) = both(&mut pair).await;
        far.stop_sending(8u8.into()).unwrap();
        far.stop_sending(9u8.into()).unwrap();
        assert_eq!(reset_code(send_until_error!(near)), 8);
    }

    #[tokio::test]
    async fn r09_3_stopping_after_everything_arrived_does_nothing(mut pair) {
        let (mut near, mut far) = upload(&mut pair, "x").await;
        near.close().await.unwrap();
        // Acknowledged is not yet with the stream: what comes after it has been read when this has.
        both(&mut pair).await;
        far.stop_sending(8u8.into()).unwrap();
        assert_eq!(far.receive().await.unwrap(), None);
        near.close().await.unwrap();
    }

    #[tokio::test]
    async fn r09_3_a_request_that_was_read_whole_is_stopped_by_nothing(mut pair) {
        // As a server does that drops its half once it has the request. Often, because the ends race.
        for turn in 0..200 {
            let (mut answer, mut request) = pair.client.open_bidirectional_stream().await.unwrap().split();
            request.send(content(1 + turn)).await.unwrap();
            request.finish().unwrap();
            let far = pair.server.accept_bidirectional_stream().await.unwrap().unwrap();
            let (mut read, mut send) = far.split();
            assert!(rest!(read) == content(1 + turn));
            read.stop_sending(0u8.into()).unwrap();
            drop(read);
            send.send("answer".into()).await.unwrap();
            send.finish().unwrap();
            request.finish().unwrap();
            request.close().await.unwrap();
            assert_eq!(rest!(answer), b"answer");
        }
    }

    #[tokio::test]
    async fn r09_3_stopping_one_direction_leaves_the_other(mut pair) {
        let (mut near, mut far) = both(&mut pair).await;
        far.stop_sending(8u8.into()).unwrap();
        assert_eq!(reset_code(send_until_error!(near)), 8);
        far.send("on".into()).await.unwrap();
        far.finish().unwrap();
        assert_eq!(rest!(near), b"on");
    }

    #[tokio::test]
    async fn r09_3_resetting_one_direction_leaves_the_other(mut pair) {
        let (mut near, mut far) = both(&mut pair).await;
        far.reset(8u8.into()).unwrap();
        assert_eq!(reset_code(near.receive().await), 8);
        near.send("on".into()).await.unwrap();
        near.finish().unwrap();
        assert_eq!(rest!(far), b"on");
    }

    #[tokio::test]
    async fn r09_3_dropping_an_unread_receive_stream_stops_it_with_0(mut pair) {
        let (mut near, far) = both(&mut pair).await;
        let (receive, mut send) = far.split();
        drop(receive);
        assert_eq!(reset_code(send_until_error!(near)), 0);
        send.send("on".into()).await.unwrap();
        send.finish().unwrap();
        assert_eq!(rest!(near), b"on");
    }

    #[tokio::test]
    async fn r09_5_a_stop_wakes_a_blocked_writer(mut pair) {
        let (near, mut far) = both(&mut pair).await;
        let (_receive, mut near) = near.split();
        let writer = tokio::spawn(async move {
            loop {
                if let Err(error) = near.send(Bytes::from(vec![1; 1 << 20])).await {
                    return stream::Result::<()>::Err(error);
                }
            }
        });
        far.send("go".into()).await.unwrap();
        far.stop_sending(6u8.into()).unwrap();
        assert_eq!(reset_code(writer.await.unwrap()), 6);
    }

    #[tokio::test]
    async fn r09_5_a_reset_wakes_a_waiting_reader(mut pair) {
        let (mut near, mut far) = both(&mut pair).await;
        let reader = tokio::spawn(async move { far.receive().await });
        near.reset(6u8.into()).unwrap();
        assert_eq!(reset_code(reader.await.unwrap()), 6);
    }

    #[tokio::test]
    async fn r09_3_every_code_passes_verbatim(mut pair) {
        for code in [0, 1, u64::from(u32::MAX), (1 << 62) - (1 << 16), (1 << 62) - 1] {
            let (mut near, mut far) = both(&mut pair).await;
            near.reset(application::Error::new(code).unwrap()).unwrap();
            assert_eq!(reset_code(far.receive().await), code);
            far.reset(application::Error::new(code).unwrap()).unwrap();
            assert_eq!(reset_code(near.receive().await), code);
            let (mut near, mut far) = both(&mut pair).await;
            far.stop_sending(application::Error::new(code).unwrap()).unwrap();
            assert_eq!(reset_code(send_until_error!(near)), code);
        }
    }

    #[tokio::test]
    async fn r09_3_codes_end_at_2_to_the_62(_) {
        assert_eq!(*application::Error::new((1 << 62) - 1).unwrap(), (1 << 62) - 1);
        assert!(application::Error::new(1 << 62).is_err());
        assert!(application::Error::try_from(u64::MAX).is_err());
        assert_eq!(u64::from(application::Error::UNKNOWN), 0);
    }
}
