//! Both ends open, use, reset, stop and drop streams as they like, at small limits and over a link that loses packets.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use kwik_client::Connect;
use kwik_sim::link::{Chance, LinkConfig, Rate};
use kwik_sim::{Host, Lab, SoftwareError, for_each_seed};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

const SERVER: &str = "server";
const WORKERS: usize = 12;
const STREAMS_EACH: u64 = 12;
/// Streams of each kind that an end may have open.
const LIMITS: [u32; 4] = [1, 2, 8, 100];
const BOUND: Duration = Duration::from_secs(3000);
/// Bytes of a stream that ends well.
const SIZES: [usize; 3] = [0, 2_000, 200_000];

/// Which end sends.
#[derive(Clone, Copy)]
enum End {
    Near = 0x55,
    Far = 0xa0,
}

/// Byte `at` of what that end sends on a stream. Every end, stream and place has its own.
fn byte(end: End, id: u64, at: usize) -> u8 {
    let (low, high) = (at as u8, (at / 251) as u8);
    (id as u8).wrapping_mul(31) ^ end as u8 ^ low.wrapping_mul(7) ^ high
}

/// Checks a chunk, and returns where the next one begins.
fn check(end: End, id: u64, at: usize, chunk: &[u8]) -> Result<usize, SoftwareError> {
    let wrong = chunk.iter().zip(at..).find(|(found, at)| **found != byte(end, id, *at));
    match wrong {
        Some((_, at)) => Err(format!("a wrong byte at {at} of stream {id}").into()),
        None => Ok(at + chunk.len()),
    }
}

async fn pause(host: &Host) {
    tokio::time::sleep(Duration::from_millis(host.random(400))).await;
}

/// One end: what its application does with streams, and all of it until the end of its workers.
macro_rules! end {
    ($name:ident, $library:ident, $this:expr, $other:expr) => {
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
                let size = SIZES[if host.happens(Chance::percent(20)) { 2 } else { 1 }];
                let id = send.id();
                let bytes = || (0..size).map(|at| byte($this, id, at)).collect::<Vec<_>>().into();
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
                let id = stream.id();
                let (mut at, how) = (0, host.random(5));
                let read = match how {
                    0 => stream.stop_sending(4u8.into()),
                    1 => Ok(()),
                    2 => {
                        pause(host).await;
                        Ok(())
                    }
                    _ => loop {
                        match stream.receive().await {
                            Ok(Some(chunk)) => at = check($other, id, at, &chunk)?,
                            Ok(None) if SIZES.contains(&at) => break Ok(()),
                            Ok(None) => return Err(format!("stream {id} ends at {at}").into()),
                            Err(error) => break Err(error),
                        }
                        if how == 3 {
                            break Ok(());
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

            async fn serve(host: Host, stream: PeerStream) -> Result<(), SoftwareError> {
                match stream {
                    PeerStream::Receive(receive) => read(&host, receive).await,
                    PeerStream::Bidirectional(stream) => {
                        let (receive, send) = stream.split();
                        let (read, written) =
                            tokio::join!(read(&host, receive), write(&host, send));
                        read.and(written)
                    }
                }
            }

            /// What became of an accepted stream. The session may be over: whether it may, who opens streams knows.
            fn judge(
                ended: Result<Result<(), SoftwareError>, tokio::task::JoinError>,
            ) -> Result<(), SoftwareError> {
                match ended? {
                    Err(error) => match error.downcast_ref() {
                        Some(Error::ConnectionError { .. }) => Ok(()),
                        _ => Err(error),
                    },
                    Ok(()) => Ok(()),
                }
            }

            /// Until `over`, or the session is. What is accepted waits for nobody.
            pub(super) async fn accept(
                host: Host,
                mut acceptor: StreamAcceptor,
                over: impl Future<Output = ()>,
            ) -> Result<(), SoftwareError> {
                let mut streams = JoinSet::new();
                let mut over = std::pin::pin!(over);
                loop {
                    tokio::select! {
                        biased;
                        accepted = acceptor.accept() => {
                            let Ok(Some(stream)) = accepted else { break };
                            if host.happens(Chance::percent(20)) {
                                pause(&host).await;
                            }
                            streams.spawn(serve(host.clone(), stream));
                        }
                        Some(ended) = streams.join_next() => judge(ended)?,
                        () = &mut over => break,
                    }
                }
                while let Some(ended) = streams.join_next().await {
                    judge(ended)?;
                }
                Ok(())
            }

            pub(super) async fn work(host: &Host, handle: &Handle) -> Result<(), SoftwareError> {
                let mut workers = JoinSet::new();
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

end!(near, kwik_client, End::Near, End::Far);
end!(far, kwik_server, End::Far, End::Near);

fn run(seed: u64) {
    let loss = Chance::percent(if seed.is_multiple_of(3) { 20 } else { 5 });
    let (rate, delay) = (Some(Rate::mbit(20)), Duration::from_millis(10));
    let limit = LIMITS[(seed % 4) as usize];
    let (tell, told) = oneshot::channel();
    let tell = std::sync::Mutex::new(Some(tell));
    let mut lab = Lab::new(seed);
    lab.server(SERVER, LinkConfig { rate, delay, loss, ..LinkConfig::default() }, move |host| {
        let tell = tell.lock().unwrap().take();
        async move {
            let limits = kwik_server::Limits::new().with_max_streams(limit, limit);
            let mut server = host.server()?.with_limits(limits).start()?;
            let session = server.accept().await.ok_or("no session")?;
            let (handle, acceptor) = session.split();
            let accepting = far::accept(host.clone(), acceptor, std::future::pending());
            let working = async {
                let worked = far::work(&host, &handle).await.map_err(|error| error.to_string());
                let _ = tell.ok_or("a second start")?.send(worked);
                Ok(())
            };
            tokio::try_join!(accepting, working)?;
            std::future::pending().await
        }
    });
    let run = lab.run(BOUND, |host| async move {
        let limits = kwik_client::Limits::new().with_max_streams(limit, limit);
        let client = host.client().with_tls(host.pin_of(SERVER))?.with_limits(limits).start()?;
        let session = client.connect(Connect::new(host.address_of(SERVER))).await?;
        let (handle, acceptor) = session.split();
        let (finish, finished) = oneshot::channel();
        let finished = async { finished.await.unwrap_or_default() };
        let accepting = tokio::spawn(near::accept(host.clone(), acceptor, finished));
        near::work(&host, &handle).await?;
        told.await??;
        let _ = finish.send(());
        accepting.await??;
        drop(handle);
        // All streams end: none is left for the linger.
        client.wait_idle().await?;
        Ok(())
    });
    run.unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn whatever_becomes_of_its_streams_a_session_goes_on() {
    for_each_seed(120, run);
}
