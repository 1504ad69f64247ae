//! The port that the counters are read from, over HTTP.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::health::{Health, Verdict};

/// Connections at a time; further ones wait in the system's queue. A monitoring system has one or two.
const MOST_CONNECTIONS: usize = 16;
/// How long a connection may last, busy or idle: one that says nothing keeps its place for no longer.
const CONNECTION_TIME: Duration = Duration::from_secs(10);
/// Pause after the system gave no connection, which may be for want of file descriptors: without it the error is met again at
/// once, for as long as they are used up.
const PAUSE: Duration = Duration::from_secs(1);
/// The text format of Prometheus.
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4");

/// Binds the port; the counters are served from it as long as the runtime lasts.
pub(super) fn listen(
    address: SocketAddr,
    counters: PrometheusHandle,
    health: Health,
) -> io::Result<()> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let listener = Arc::new(TcpListener::from_std(listener)?);
    let accept = move || {
        let listener = Arc::clone(&listener);
        async move { listener.accept().await.map(|(stream, _)| stream) }
    };
    tokio::spawn(serve_all(accept, counters, health));
    Ok(())
}

async fn serve_all<A>(accept: impl Fn() -> A, counters: PrometheusHandle, health: Health)
where
    A: Future<Output = io::Result<TcpStream>>,
{
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let place = Arc::clone(&room).acquire_owned().await.expect("nobody closes it");
        match accept().await {
            Ok(stream) => {
                let (counters, health) = (counters.clone(), health.clone());
                tokio::spawn(async move {
                    let served = serve(stream, counters, health);
                    if let Ok(Err(error)) = tokio::time::timeout(CONNECTION_TIME, served).await {
                        tracing::debug!(%error, "a reader of the counters");
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

async fn serve(stream: TcpStream, counters: PrometheusHandle, health: Health) -> hyper::Result<()> {
    let answer = service_fn(|request: Request<_>| {
        let (counters, health) = (counters.clone(), health.clone());
        async move { Ok::<_, Infallible>(answer(&request, &counters, &health).await) }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), answer)
        .await
}

async fn answer<B>(
    request: &Request<B>,
    counters: &PrometheusHandle,
    health: &Health,
) -> Response<Full<Bytes>> {
    let (status, text) = match request.uri().path() {
        "/health" | "/healthz" => (StatusCode::OK, "OK".to_owned()),
        "/readyz" => ready(health.verdict().await),
        _ => (StatusCode::OK, counters.render()),
    };
    let mut response = Response::new(Full::from(text));
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
        let mut serving = std::pin::pin!(serve_all(accept, counters, health));
        // It goes on when the pause is over, however often it is polled.
        for _ in 0..1_000 {
            assert!(futures_util::poll!(serving.as_mut()).is_pending());
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }
}
