//! Ways to read.

use super::*;
use futures_util::StreamExt as _;
use tokio::io::AsyncReadExt as _;

behaviours! {
    #[tokio::test]
    async fn r09_3_an_end_stays_an_end(mut pair) {
        let (mut near, mut far) = upload(&mut pair, "x").await;
        near.finish().unwrap();
        assert_eq!(rest!(far), b"x");
        for _ in 0..3 {
            assert_eq!(far.receive().await.unwrap(), None);
        }
    }

    #[tokio::test]
    async fn r09_3_a_reset_stays_a_reset(mut pair) {
        let (mut near, mut far) = both(&mut pair).await;
        near.reset(4u8.into()).unwrap();
        for _ in 0..3 {
            assert_eq!(reset_code(far.receive().await), 4);
        }
    }

    #[tokio::test]
    async fn r09_5_receive_vectored_tells_whether_more_may_come(mut pair) {
        let (mut near, mut far) = upload(&mut pair, "one").await;
        let mut chunks = [const { Bytes::new() }; 4];
        let (count, is_open) = far.receive_vectored(&mut chunks).await.unwrap();
        assert!(count >= 1 && is_open);
        assert_eq!(chunks[..count].concat(), b"one");
        near.send("two".into()).await.unwrap();
        near.finish().unwrap();
        let mut all = Vec::new();
        loop {
            let mut chunks = [const { Bytes::new() }; 4];
            let (count, is_open) = far.receive_vectored(&mut chunks).await.unwrap();
            all.extend(chunks[..count].concat());
            if !is_open {
                break;
            }
            assert!(count >= 1);
        }
        assert_eq!(all, b"two");
        for _ in 0..2 {
            assert_eq!(far.receive_vectored(&mut chunks_of_none()).await.unwrap(), (0, false));
        }
    }

    #[tokio::test]
    async fn r09_5_receive_vectored_refuses_places_that_are_not_empty(mut pair) {
        let (mut near, mut far) = upload(&mut pair, "kept").await;
        near.close().await.unwrap();
        let error = far.receive_vectored(&mut [Bytes::new(), "mine".into()]).await.unwrap_err();
        assert!(matches!(error, stream::Error::NonEmptyOutput { .. }), "{error:?}");
        assert_eq!(rest!(far), b"kept");
    }

    #[tokio::test]
    async fn r09_5_receive_vectored_without_places_returns_at_once(mut pair) {
        let (mut near, mut far) = upload(&mut pair, "kept").await;
        near.flush().await.unwrap();
        assert_eq!(far.receive_vectored(&mut []).await.unwrap(), (0, true));
        near.finish().unwrap();
        assert_eq!(rest!(far), b"kept");
        assert_eq!(far.receive_vectored(&mut []).await.unwrap(), (0, false));
    }

    #[tokio::test]
    async fn r09_5_async_read_ends_with_0(mut pair) {
        let (mut near, mut far) = upload(&mut pair, "some").await;
        near.finish().unwrap();
        let mut text = String::new();
        assert_eq!(far.read_to_string(&mut text).await.unwrap(), 4);
        assert_eq!(text, "some");
        for _ in 0..3 {
            assert_eq!(far.read(&mut [0; 8]).await.unwrap(), 0);
        }
    }

    #[tokio::test]
    async fn r09_5_an_empty_buffer_takes_nothing(mut pair) {
        let (mut near, mut far) = upload(&mut pair, "some").await;
        near.finish().unwrap();
        assert_eq!(far.read(&mut []).await.unwrap(), 0);
        assert_eq!(rest!(far), b"some");
    }

    #[tokio::test]
    async fn r09_5_small_buffers_lose_nothing(mut pair) {
        let (mut near, mut far) = both(&mut pair).await;
        near.send_vectored(&mut ["ab".into(), "c".into(), "defg".into()]).await.unwrap();
        near.finish().unwrap();
        let mut all = Vec::new();
        while let Ok(byte) = far.read_u8().await {
            all.push(byte);
        }
        assert_eq!(all, b"abcdefg");
    }

    #[tokio::test]
    async fn r09_5_a_stream_of_chunks_ends_with_none(mut pair) {
        let (mut near, mut far) = upload(&mut pair, "some").await;
        near.finish().unwrap();
        let mut all = Vec::new();
        while let Some(chunk) = far.next().await {
            all.extend_from_slice(&chunk.unwrap());
        }
        assert_eq!(all, b"some");
        assert!(far.next().await.is_none());
    }

    #[tokio::test]
    async fn r09_5_a_cancelled_receive_loses_nothing(mut pair) {
        let (mut near, mut far) = both(&mut pair).await;
        for text in ["a", "b", "c"] {
            assert!(futures_util::FutureExt::now_or_never(far.receive()).is_none());
            near.send(text.into()).await.unwrap();
            assert_eq!(far.receive().await.unwrap().unwrap(), text);
        }
    }

    #[tokio::test]
    async fn r09_5_large_values_cross_in_both_directions_at_once(mut pair) {
        let (near, far) = both(&mut pair).await;
        let (mut near_in, mut near_out) = near.split();
        let (mut far_in, mut far_out) = far.split();
        let (up, down) = (content(12 << 20), content(9 << 20));
        let (sent_up, sent_down) = (up.clone(), down.clone());
        let uploading = tokio::spawn(async move {
            near_out.send(sent_up).await.unwrap();
            near_out.close().await.unwrap();
        });
        let downloading = tokio::spawn(async move {
            for chunk in sent_down.chunks(70_001) {
                far_out.send(Bytes::copy_from_slice(chunk)).await.unwrap();
            }
            far_out.close().await.unwrap();
        });
        let (got_up, got_down) = tokio::join!(async { rest!(far_in) }, async { rest!(near_in) });
        assert!(got_up == up && got_down == down);
        uploading.await.unwrap();
        downloading.await.unwrap();
    }

    #[tokio::test]
    async fn r09_5_a_slow_reader_holds_the_writer_back_and_loses_nothing(mut pair) {
        let (mut near, mut far) = both(&mut pair).await;
        let mut queued = 0;
        let blocked = loop {
            match near.send_data(Bytes::from(vec![3; 1 << 20])) {
                Ok(()) => queued += 1 << 20,
                Err(error) => break error,
            }
            assert!(queued < 64 << 20, "nothing holds the writer back");
        };
        assert!(matches!(blocked, stream::Error::SendingBlocked { .. }), "{blocked:?}");
        assert_eq!(std::io::ErrorKind::from(blocked), std::io::ErrorKind::WouldBlock);
        near.finish().unwrap();
        assert_eq!(rest!(far).len(), queued);
    }
}

fn chunks_of_none() -> [Bytes; 3] {
    [const { Bytes::new() }; 3]
}
