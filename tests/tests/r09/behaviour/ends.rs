//! Orderly ends.

use super::*;
use tokio::io::AsyncWriteExt as _;

behaviours! {
    #[tokio::test]
    async fn r09_3_an_empty_stream_is_an_end(mut pair) {
        let mut near = pair.client.open_send_stream().await.unwrap();
        near.finish().unwrap();
        let mut far = pair.server.accept_receive_stream().await.unwrap().unwrap();
        assert_eq!(far.receive().await.unwrap(), None);
        near.close().await.unwrap();
    }

    #[tokio::test]
    async fn r09_3_a_half_closed_by_its_opener_leaves_the_other_open(mut pair) {
        let (mut near, mut far) = both(&mut pair).await;
        near.send("question".into()).await.unwrap();
        near.finish().unwrap();
        assert_eq!(rest!(far), b"question");
        far.send("answer".into()).await.unwrap();
        far.finish().unwrap();
        assert_eq!(rest!(near), b"answer");
    }

    #[tokio::test]
    async fn r09_3_a_half_closed_by_its_acceptor_leaves_the_other_open(mut pair) {
        let (mut near, mut far) = both(&mut pair).await;
        far.finish().unwrap();
        assert_eq!(near.receive().await.unwrap(), None);
        near.send("still here".into()).await.unwrap();
        near.finish().unwrap();
        assert_eq!(rest!(far), b"still here");
    }

    #[tokio::test]
    async fn r09_3_finishing_twice_is_no_error(mut pair) {
        let (mut near, mut far) = upload(&mut pair, "x").await;
        near.finish().unwrap();
        near.finish().unwrap();
        assert_eq!(rest!(far), b"x");
        near.close().await.unwrap();
        near.finish().unwrap();
    }

    #[tokio::test]
    async fn r09_3_sending_after_finish_fails(mut pair) {
        let (mut near, _far) = upload(&mut pair, "x").await;
        near.finish().unwrap();
        let error = near.send("y".into()).await.unwrap_err();
        assert!(matches!(error, stream::Error::SendAfterFinish { .. }), "{error:?}");
        assert_eq!(std::io::ErrorKind::from(error), std::io::ErrorKind::BrokenPipe);
        let error = near.send_data("y".into()).unwrap_err();
        assert!(matches!(error, stream::Error::SendAfterFinish { .. }), "{error:?}");
    }

    #[tokio::test]
    async fn r09_5_sending_nothing_after_finish_is_no_error(mut pair) {
        let (mut near, _far) = upload(&mut pair, "x").await;
        near.finish().unwrap();
        near.send(Bytes::new()).await.unwrap();
        near.send_vectored(&mut [Bytes::new(), Bytes::new()]).await.unwrap();
    }

    #[tokio::test]
    async fn r09_3_dropping_a_send_stream_finishes_it(mut pair) {
        let (near, mut far) = upload(&mut pair, "all of it").await;
        drop(near);
        assert_eq!(rest!(far), b"all of it");
    }

    #[tokio::test]
    async fn r09_3_a_stream_dropped_unused_reaches_the_peer_as_ended(mut pair) {
        drop(pair.client.open_bidirectional_stream().await.unwrap());
        let mut far = pair.server.accept_bidirectional_stream().await.unwrap().unwrap();
        assert_eq!(far.receive().await.unwrap(), None);
        assert_eq!(reset_code(send_until_error!(far)), 0);
    }

    #[tokio::test]
    async fn r09_3_close_waits_for_the_peer_but_not_for_its_application(mut pair) {
        let (mut near, mut far) = upload(&mut pair, "x").await;
        near.close().await.unwrap();
        near.close().await.unwrap();
        assert_eq!(rest!(far), b"x");
    }

    #[tokio::test]
    async fn r09_5_flush_waits_for_the_peer_but_not_for_its_application(mut pair) {
        let (mut near, mut far) = upload(&mut pair, "x").await;
        near.flush().await.unwrap();
        near.send("y".into()).await.unwrap();
        near.flush().await.unwrap();
        near.finish().unwrap();
        near.flush().await.unwrap();
        assert_eq!(rest!(far), b"xy");
    }

    #[tokio::test]
    async fn r09_5_flushing_an_unused_stream_does_not_wait(mut pair) {
        let mut near = pair.client.open_send_stream().await.unwrap();
        near.flush().await.unwrap();
        let flushed = std::future::poll_fn(|cx| near.poll_flush(cx)).await;
        assert!(flushed.is_ok());
    }

    #[tokio::test]
    async fn r09_3_split_halves_end_one_by_one(mut pair) {
        let (near, far) = both(&mut pair).await;
        let ((mut near_in, mut near_out), (mut far_in, mut far_out)) = (near.split(), far.split());
        assert_eq!(near_in.id(), near_out.id());
        near_out.send("up".into()).await.unwrap();
        drop(near_out);
        assert_eq!(rest!(far_in), b"up");
        drop(far_in);
        far_out.send("down".into()).await.unwrap();
        far_out.close().await.unwrap();
        assert_eq!(rest!(near_in), b"down");
    }

    #[tokio::test]
    async fn r09_5_shutdown_is_close(mut pair) {
        let (mut near, mut far) = both(&mut pair).await;
        near.write_all(b"x").await.unwrap();
        near.shutdown().await.unwrap();
        near.shutdown().await.unwrap();
        assert!(near.write_all(b"y").await.is_err());
        assert_eq!(rest!(far), b"x");
    }

    #[tokio::test]
    async fn r09_5_dropping_what_was_read_to_the_end_stops_nothing(mut pair) {
        let (mut near, mut far) = both(&mut pair).await;
        near.finish().unwrap();
        assert_eq!(far.receive().await.unwrap(), None);
        drop(far);
        near.close().await.unwrap();
        assert_eq!(near.receive().await.unwrap(), None);
    }
}
