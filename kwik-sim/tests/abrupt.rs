//! Both ends open, use, reset, stop and drop streams as they like, at small limits and over a link that loses packets.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use kwik_client::Connect;
use kwik_sim::link::{Chance, LinkConfig, Rate};
use kwik_sim::{Host, Lab, SoftwareError, for_each_seed};

const SERVER: &str = "server";
const WORKERS: usize = 12;
const STREAMS_EACH: u64 = 12;
/// Streams of each kind that an end may have open.
const LIMITS: [u32; 4] = [1, 2, 8, 100];
const BOUND: Duration = Duration::from_secs(3000);

async fn pause(host: &Host) {
    tokio::time::sleep(Duration::from_millis(host.random(400))).await;
}

/// One end: what its application does with streams, and all of it until the end of its workers.
macro_rules! end {
    ($name:ident, $library:ident) => {
        mod $name {
            use $library::stream::{Error, PeerStream, ReceiveStream, SendStream};
            use $library::{Handle, StreamAcceptor};

            use super::*;

            /// A stream may end as either end likes; a session goes on.
            fn is_fair(result: Result<(), Error>) -> Result<(), SoftwareError> {
                match result {
                    Ok(()) | Err(Error::StreamReset { .. }) => Ok(()),
                    Err(error) => Err(error.into()),
                }
            }

            pub(super) async fn write(
                host: &Host,
                mut send: SendStream,
            ) -> Result<(), SoftwareError> {
                let size = if host.happens(Chance::percent(20)) { 200_000 } else { 2_000 };
                let bytes = || vec![7; size].into();
                let written = match host.random(7) {
                    0 => send.reset(1u8.into()),
                    1 => Ok(()),
                    2 => send.finish(),
                    3 => send.send(bytes()).await.and_then(|()| send.reset(2u8.into())),
                    4 => match send.send(bytes()).await {
                        Ok(()) => send.close().await,
                        error => error,
                    },
                    5 => send.send(bytes()).await.and_then(|()| {
                        send.finish()?;
                        send.reset(3u8.into())
                    }),
                    _ => send.send(bytes()).await,
                };
                is_fair(written)
            }

            pub(super) async fn read(
                host: &Host,
                mut stream: ReceiveStream,
            ) -> Result<(), SoftwareError> {
                let read = match host.random(5) {
                    0 => stream.stop_sending(4u8.into()),
                    1 => Ok(()),
                    2 => {
                        pause(host).await;
                        Ok(())
                    }
                    3 => stream.receive().await.map(|_| ()),
                    _ => loop {
                        match stream.receive().await {
                            Ok(Some(_)) => {}
                            end => break end.map(|_| ()),
                        }
                    },
                };
                is_fair(read)
            }

            pub(super) async fn open(host: Host, mut handle: Handle) -> Result<(), SoftwareError> {
                for _ in 0..STREAMS_EACH {
                    if host.happens(Chance::percent(50)) {
                        write(&host, handle.open_send_stream().await?).await?;
                    } else {
                        let stream = handle.open_bidirectional_stream().await?;
                        let (receive, send) = stream.split();
                        let (read, written) =
                            tokio::join!(read(&host, receive), write(&host, send));
                        read.and(written)?;
                    }
                }
                Ok(())
            }

            /// Until the session is over. What is accepted waits for nobody.
            pub(super) async fn accept(host: Host, mut acceptor: StreamAcceptor) {
                while let Ok(Some(stream)) = acceptor.accept().await {
                    if host.happens(Chance::percent(20)) {
                        pause(&host).await;
                    }
                    let host = host.clone();
                    tokio::spawn(async move {
                        match stream {
                            PeerStream::Receive(receive) => read(&host, receive).await,
                            PeerStream::Bidirectional(stream) => {
                                let (receive, send) = stream.split();
                                let (read, written) =
                                    tokio::join!(read(&host, receive), write(&host, send));
                                read.and(written)
                            }
                        }
                    });
                }
            }

            pub(super) async fn work(host: &Host, handle: &Handle) -> Result<(), SoftwareError> {
                let mut workers = tokio::task::JoinSet::new();
                for _ in 0..WORKERS {
                    workers.spawn(open(host.clone(), handle.clone()));
                }
                while let Some(worker) = workers.join_next().await {
                    worker??;
                }
                Ok(())
            }
        }
    };
}

end!(near, kwik_client);
end!(far, kwik_server);

fn run(seed: u64) {
    let loss = Chance::percent(if seed.is_multiple_of(3) { 20 } else { 5 });
    let (rate, delay) = (Some(Rate::mbit(20)), Duration::from_millis(10));
    let limit = LIMITS[(seed % 4) as usize];
    let (tell, told) = tokio::sync::oneshot::channel();
    let tell = std::sync::Mutex::new(Some(tell));
    let mut lab = Lab::new(seed);
    lab.server(SERVER, LinkConfig { rate, delay, loss, ..LinkConfig::default() }, move |host| {
        let tell = tell.lock().unwrap().take();
        async move {
            let limits = kwik_server::Limits::new().with_max_streams(limit, limit);
            let mut server = host.server()?.with_limits(limits).start()?;
            let session = server.accept().await.ok_or("no session")?;
            let (handle, acceptor) = session.split();
            tokio::spawn(far::accept(host.clone(), acceptor));
            let worked = far::work(&host, &handle).await.map_err(|error| error.to_string());
            let _ = tell.ok_or("a second start")?.send(worked);
            std::future::pending().await
        }
    });
    let run = lab.run(BOUND, |host| async move {
        let limits = kwik_client::Limits::new().with_max_streams(limit, limit);
        let client = host.client().with_tls(host.pin_of(SERVER))?.with_limits(limits).start()?;
        let session = client.connect(Connect::new(host.address_of(SERVER))).await?;
        let (handle, acceptor) = session.split();
        let accepting = tokio::spawn(near::accept(host.clone(), acceptor));
        near::work(&host, &handle).await?;
        told.await??;
        accepting.abort();
        drop(handle);
        // All streams end: none is left for the linger.
        client.wait_idle().await?;
        Ok(())
    });
    run.unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn whatever_becomes_of_its_streams_a_session_goes_on() {
    for_each_seed(24, run);
}

/// In these a stream is opened, used and reset while the Hello is lost: the server's QUIC has the header, and nobody there
/// has read it.
#[test]
fn a_reset_takes_no_header_away_that_is_not_read_yet() {
    [152, 177].into_iter().for_each(run);
}
