//! Ways to write.

use super::*;
use futures_sink::Sink;
use std::future::poll_fn;
use std::io::IoSlice;
use std::pin::Pin;
use tokio::io::AsyncWriteExt;

behaviours! {
    #[tokio::test]
    async fn r09_5_sending_nothing_is_nothing(mut pair) {
        let (mut near, mut far) = both(&mut pair).await;
        near.send(Bytes::new()).await.unwrap();
        near.send_data(Bytes::new()).unwrap();
        assert_eq!(near.write(&[]).await.unwrap(), 0);
        near.send("a".into()).await.unwrap();
        assert_eq!(far.receive().await.unwrap().unwrap(), "a");
    }

    #[tokio::test]
    async fn r09_5_send_vectored_takes_every_chunk(mut pair) {
        let (mut near, mut far) = both(&mut pair).await;
        let mut chunks: [Bytes; 3] = ["a".into(), Bytes::new(), "bc".into()];
        near.send_vectored(&mut chunks).await.unwrap();
        assert!(chunks.iter().all(Bytes::is_empty));
        near.send_vectored(&mut []).await.unwrap();
        near.finish().unwrap();
        assert_eq!(rest!(far), b"abc");
    }

    #[tokio::test]
    async fn r09_5_poll_send_leaves_the_chunk_empty(mut pair) {
        let (mut near, mut far) = both(&mut pair).await;
        let mut chunk = Bytes::from_static(b"abc");
        poll_fn(|cx| near.poll_send(&mut chunk, cx)).await.unwrap();
        assert!(chunk.is_empty());
        assert_eq!(far.receive().await.unwrap().unwrap(), "abc");
    }

    #[tokio::test]
    async fn r09_5_a_fresh_stream_is_ready_for_bytes(mut pair) {
        let mut near = pair.client.open_send_stream().await.unwrap();
        let capacity = poll_fn(|cx| near.poll_send_ready(cx)).await.unwrap();
        assert!(capacity >= 64 * 1024, "{capacity}");
        near.finish().unwrap();
        let error = poll_fn(|cx| near.poll_send_ready(cx)).await.unwrap_err();
        assert!(matches!(error, stream::Error::SendAfterFinish { .. }), "{error:?}");
    }

    #[tokio::test]
    async fn r09_5_a_chunk_larger_than_the_queue_is_taken_whole(mut pair) {
        let (mut near, mut far) = both(&mut pair).await;
        let large = content(6 << 20);
        near.send_data(large.clone()).unwrap();
        near.finish().unwrap();
        assert!(rest!(far) == large);
    }

    #[tokio::test]
    async fn r09_5_a_sink_takes_chunks_and_closes(mut pair) {
        let (mut near, mut far) = both(&mut pair).await;
        for text in ["a", "b"] {
            poll_fn(|cx| Sink::poll_ready(Pin::new(&mut near), cx)).await.unwrap();
            Sink::start_send(Pin::new(&mut near), Bytes::from_static(text.as_bytes())).unwrap();
        }
        poll_fn(|cx| Sink::poll_flush(Pin::new(&mut near), cx)).await.unwrap();
        poll_fn(|cx| Sink::poll_close(Pin::new(&mut near), cx)).await.unwrap();
        assert_eq!(rest!(far), b"ab");
    }

    #[tokio::test]
    async fn r09_5_write_vectored_gathers(mut pair) {
        let (mut near, mut far) = both(&mut pair).await;
        assert!(tokio::io::AsyncWrite::is_write_vectored(&near));
        let bufs = [IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cd")];
        assert_eq!(near.write_vectored(&bufs).await.unwrap(), 4);
        near.finish().unwrap();
        assert_eq!(rest!(far), b"abcd");
    }

    #[tokio::test]
    async fn r09_5_flushing_a_writer_does_not_wait_for_the_peer(mut pair) {
        let (mut near, _far) = both(&mut pair).await;
        near.write_all(b"x").await.unwrap();
        let flushed = futures_util::FutureExt::now_or_never(AsyncWriteExt::flush(&mut near));
        assert!(flushed.unwrap().is_ok());
    }

    #[tokio::test]
    async fn r09_5_copying_between_halves_echoes(mut pair) {
        let (near, far) = both(&mut pair).await;
        let echo = tokio::spawn(async move {
            let (mut receive, mut send) = far.split();
            let copied = tokio::io::copy(&mut receive, &mut send).await.unwrap();
            send.shutdown().await.unwrap();
            copied
        });
        let (mut receive, mut send) = near.split();
        let sent = content(300_000);
        send.send(sent.clone()).await.unwrap();
        send.finish().unwrap();
        assert!(rest!(receive) == sent);
        assert_eq!(echo.await.unwrap(), 300_000);
    }
}
