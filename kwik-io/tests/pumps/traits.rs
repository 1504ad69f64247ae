//! The reading and writing traits of tokio and futures.

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::end::{expect, pair};
use crate::pattern;

const WINDOW: u64 = 1 << 20;

#[tokio::test]
async fn tokios_copy_echoes() {
    let (mut client, server) = pair().await;
    let (mut request, mut answer) = expect(&server, 0, WINDOW);
    let echo = tokio::spawn(async move {
        let copied = tokio::io::copy(&mut request, &mut answer).await.unwrap();
        answer.shutdown().await.unwrap();
        copied
    });
    let mut stream = client.open(0, WINDOW).await;
    let data = pattern(0, 3_000_000);
    let (mut read, mut write) = tokio::io::split(&mut stream);
    let mut back = Vec::new();
    let (wrote, got) = tokio::join!(
        async {
            write.write_all(&data).await?;
            write.shutdown().await
        },
        read.read_to_end(&mut back)
    );
    wrote.unwrap();
    got.unwrap();
    assert!(back == data);
    assert_eq!(echo.await.unwrap(), data.len() as u64);
}

#[tokio::test]
async fn a_read_returns_no_more_than_its_buffer_takes() {
    let (mut client, server) = pair().await;
    let (mut request, _answer) = expect(&server, 0, WINDOW);
    let mut stream = client.open(0, WINDOW).await;
    stream.write_all(b"0123456789").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut three = [0; 3];
    request.read_exact(&mut three).await.unwrap();
    assert_eq!(&three, b"012");
    let mut rest = String::new();
    request.read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, "3456789");
}

#[tokio::test]
async fn futures_sink_and_stream_carry_chunks() {
    let (mut client, server) = pair().await;
    let (mut request, _answer) = expect(&server, 0, WINDOW);
    let mut stream = client.open(0, WINDOW).await;
    SinkExt::send(&mut stream, Bytes::from_static(b"one ")).await.unwrap();
    SinkExt::send(&mut stream, Bytes::from_static(b"two")).await.unwrap();
    SinkExt::close(&mut stream).await.unwrap();
    let mut all = Vec::new();
    while let Some(chunk) = request.next().await {
        all.extend_from_slice(&chunk.unwrap());
    }
    assert_eq!(all, b"one two");
}

#[tokio::test]
async fn an_error_keeps_its_kind_as_an_io_error() {
    let (mut client, server) = pair().await;
    let (mut request, _answer) = expect(&server, 0, WINDOW);
    let mut stream = client.open(0, WINDOW).await;
    stream.reset(3u8.into()).unwrap();
    let error = request.read(&mut [0; 8]).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    let error = stream.write(b"late").await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}
