//! An echo server and its client, after the examples of s2n-quic.
// s2n-quic's `Client::wait_idle` takes `&mut self`, KWIK's does not need it.
#![allow(unused_mut)]

use std::error::Error;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

use super::{Client, Connect, Server};

pub(crate) fn listen(address: &str, cert: &str, key: &str) -> Result<Server, Box<dyn Error>> {
    Ok(Server::builder().with_tls((cert, key))?.with_io(address)?.start()?)
}

pub(crate) async fn echo(mut server: Server) {
    while let Some(mut connection) = server.accept().await {
        tokio::spawn(async move {
            eprintln!("connection from {:?}", connection.remote_addr());
            while let Ok(Some(mut stream)) = connection.accept_bidirectional_stream().await {
                tokio::spawn(async move {
                    eprintln!("stream {} of {:?}", stream.id(), stream.connection().remote_addr());
                    while let Ok(Some(data)) = stream.receive().await {
                        stream.send(data).await.expect("stream should be open");
                    }
                });
            }
        });
    }
}

pub(crate) async fn echo_by_copying(mut server: Server) {
    while let Some(connection) = server.accept().await {
        tokio::spawn(async move {
            let (_handle, mut acceptor) = connection.split();
            while let Ok(Some(stream)) = acceptor.accept_bidirectional_stream().await {
                tokio::spawn(async move {
                    let (mut receive, mut send) = stream.split();
                    tokio::io::copy(&mut receive, &mut send).await.expect("stream should be open");
                    send.shutdown().await.expect("the client should read to the end");
                });
            }
        });
    }
}

pub(crate) async fn ask(
    address: SocketAddr,
    cert: &str,
    mut input: impl AsyncRead + Unpin,
    mut output: impl AsyncWrite + Send + Unpin + 'static,
) -> Result<(), Box<dyn Error>> {
    let mut client = Client::builder().with_tls(cert)?.with_io("0.0.0.0:0")?.start()?;
    let connect = Connect::new(address).with_server_name("localhost");
    let mut connection = client.connect(connect).await?;
    connection.keep_alive(true)?;

    let stream = connection.open_bidirectional_stream().await?;
    let (mut receive, mut send) = stream.split();
    let answer = tokio::spawn(async move {
        tokio::io::copy(&mut receive, &mut output).await?;
        output.shutdown().await
    });
    tokio::io::copy(&mut input, &mut send).await?;
    send.close().await?;
    answer.await??;

    connection.close(0u8.into());
    drop((send, connection));
    client.wait_idle().await?;
    Ok(())
}
