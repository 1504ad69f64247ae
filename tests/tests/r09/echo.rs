//! An echo server and its clients, as programs for s2n-quic are written: one with chunks, one with split halves and
//! `tokio::io::copy`. The same source runs over both transports; the parent module says which one `client` and
//! `server` are.

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Pair, client, pair, server};

async fn echo_chunks(mut connection: server::Connection) {
    while let Ok(Some(mut stream)) = connection.accept_bidirectional_stream().await {
        tokio::spawn(async move {
            while let Ok(Some(data)) = stream.receive().await {
                stream.send(data).await.expect("stream should be open");
            }
        });
    }
}

async fn echo_halves(mut connection: server::Connection) {
    while let Ok(Some(stream)) = connection.accept_bidirectional_stream().await {
        tokio::spawn(async move {
            let (mut receive, mut send) = stream.split();
            tokio::io::copy(&mut receive, &mut send).await.expect("both halves are open");
            send.shutdown().await.expect("the client reads to the end");
        });
    }
}

async fn ask(
    connection: &mut client::Connection,
    question: Bytes,
) -> client::stream::Result<Vec<u8>> {
    let stream = connection.open_bidirectional_stream().await?;
    let (mut receive, mut send) = stream.split();
    let asking = tokio::spawn(async move {
        send.send(question).await?;
        send.close().await
    });
    let mut answer = Vec::new();
    while let Some(chunk) = receive.receive().await? {
        answer.extend_from_slice(&chunk);
    }
    asking.await.expect("sending does not panic")?;
    Ok(answer)
}

async fn ask_by_copying(
    connection: &mut client::Connection,
    mut question: &[u8],
) -> std::io::Result<Vec<u8>> {
    let stream = connection.open_bidirectional_stream().await?;
    let (mut receive, mut send) = stream.split();
    let mut answer = Vec::new();
    let asking = async {
        tokio::io::copy(&mut question, &mut send).await?;
        send.shutdown().await
    };
    let (asked, read) = tokio::join!(asking, receive.read_to_end(&mut answer));
    asked?;
    read?;
    Ok(answer)
}

#[tokio::test]
async fn r09_2_an_echo_of_chunks_answers() {
    let Pair { mut client, server, endpoints } = pair().await;
    let serving = tokio::spawn(echo_chunks(server));
    for size in [0, 1, 100_000] {
        let question = Bytes::from(vec![size as u8; size]);
        assert_eq!(ask(&mut client, question.clone()).await.unwrap(), question);
    }
    drop(client);
    serving.await.unwrap();
    drop(endpoints);
}

#[tokio::test]
async fn r09_2_an_echo_of_split_halves_answers() {
    let Pair { mut client, server, endpoints } = pair().await;
    let serving = tokio::spawn(echo_halves(server));
    for size in [0, 1, 5_000_000] {
        let question = vec![size as u8; size];
        assert!(ask_by_copying(&mut client, &question).await.unwrap() == question);
    }
    client.close(0u8.into());
    serving.await.unwrap();
    drop(endpoints);
}
