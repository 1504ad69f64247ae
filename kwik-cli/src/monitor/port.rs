//! The port that the counters are read from, over HTTP.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::health::{Health, Verdict};
use crate::live::feed::{Body, Deadline, Feed, whole};

/// Connections at a time; further ones wait in the system's queue. A monitoring system has one or two.
const MOST_CONNECTIONS: usize = 16;
/// How long a connection may last, busy or idle: one that says nothing keeps its place for no longer. Viewers of the live page
/// have their own time.
const CONNECTION_TIME: Duration = Duration::from_secs(10);
/// Pause after the system gave no connection, which may be for want of file descriptors: without it the error is met again at
/// once, for as long as they are used up.
const PAUSE: Duration = Duration::from_secs(1);
/// Bytes of a connection that wait to be read or written, and beyond them one answer or event.
const MOST_BUFFERED: usize = 64 << 10;
/// The text format of Prometheus.
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4");

/// What is served.
#[derive(Clone)]
pub(super) struct Served {
    pub(super) counters: PrometheusHandle,
    pub(super) health: Health,
    /// The live page, if it is wanted.
    pub(super) live: Option<Feed>,
}

/// Binds the port; the counters are served from it as long as the runtime lasts. Returns the real address.
pub(super) fn listen(address: SocketAddr, served: Served) -> io::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind(address)?;
    let address = listener.local_addr()?;
    listener.set_nonblocking(true)?;
    let listener = Arc::new(TcpListener::from_std(listener)?);
    let accept = move || {
        let listener = Arc::clone(&listener);
        async move { listener.accept().await.map(|(stream, _)| stream) }
    };
    tokio::spawn(serve_all(accept, served));
    Ok(address)
}

async fn serve_all<A>(accept: impl Fn() -> A, served: Served)
where
    A: Future<Output = io::Result<TcpStream>>,
{
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let place = Arc::clone(&room).acquire_owned().await.expect("nobody closes it");
        match accept().await {
            Ok(stream) => {
                let served = served.clone();
                tokio::spawn(async move {
                    let deadline = Deadline::after(CONNECTION_TIME);
                    tokio::select! {
                        ended = serve(stream, served, deadline.clone()) => {
                            if let Err(error) = ended {
                                tracing::debug!(%error, "a reader of the counters");
                            }
                        }
                        () = deadline.over() => {}
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "no connection for a reader of the counters");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, served: Served, deadline: Deadline) -> hyper::Result<()> {
    let answer = service_fn(|request: Request<_>| {
        let (served, deadline) = (served.clone(), deadline.clone());
        async move { Ok::<_, Infallible>(answer(&request, &served, &deadline).await) }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .max_buf_size(MOST_BUFFERED)
        .serve_connection(TokioIo::new(stream), answer)
        .await
}

async fn answer<B>(request: &Request<B>, served: &Served, deadline: &Deadline) -> Response<Body> {
    if let Some(answer) = served.live.as_ref().and_then(|live| live.answer(request, deadline)) {
        return answer;
    }
    let (status, text) = match request.uri().path() {
        "/health" | "/healthz" => (StatusCode::OK, "OK".to_owned()),
        "/readyz" => ready(served.health.verdict().await),
        _ => (StatusCode::OK, served.counters.render()),
    };
    let mut response = Response::new(whole(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, TEXT);
    response
}

/// Who is degraded serves all the same: its clients are not to be sent away.
fn ready(verdict: Verdict) -> (StatusCode, String) {
    match verdict {
        Verdict::Ready => (StatusCode::OK, "ready\n".to_owned()),
        Verdict::Degraded(why) => (StatusCode::OK, format!("degraded: {why}\n")),
        Verdict::No(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;
    use crate::roster::Roster;

    #[tokio::test]
    async fn without_descriptors_it_pauses_before_it_asks_again() {
        let counters = PrometheusBuilder::new().build_recorder().handle();
        let asked = AtomicU32::new(0);
        let accept = || {
            asked.fetch_add(1, Ordering::Relaxed);
            std::future::ready(Err(io::Error::from_raw_os_error(24)))
        };
        let health = Health::new(crate::cli::tests::serve_args(), Roster::new(Vec::new()));
        let served = Served { counters, health, live: None };
        let mut serving = std::pin::pin!(serve_all(accept, served));
        // It goes on when the pause is over, however often it is polled.
        for _ in 0..1_000 {
            assert!(futures_util::poll!(serving.as_mut()).is_pending());
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }
}
