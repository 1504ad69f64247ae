//! The page, and its event stream, over HTTP.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use futures_util::stream::unfold;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderMap, HeaderValue,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, timeout};

use super::view::Snapshot;

#[cfg(test)]
mod tests;

/// The page: one file without any outside resource.
const PAGE: &str = include_str!("page.html");
/// Viewers at a time. The counters have the other places of the port.
const MOST_VIEWERS: usize = 4;
/// How long a viewer may take nothing of what waits for it.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long nothing may be said to a viewer: middle boxes forget what is silent.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// What the port answers with.
pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// The last snapshot, for those who look on. Cheap to clone.
///
/// A viewer takes the latest when it has taken the one before: for one that is slow nothing waits but that one, and nobody waits
/// for it.
#[derive(Clone, Debug)]
pub(crate) struct Feed {
    latest: watch::Sender<Bytes>,
    places: Arc<Semaphore>,
    came: Arc<Notify>,
}

/// When a connection ends unless it moves.
#[derive(Clone, Debug)]
pub(crate) struct Deadline(Arc<Mutex<Instant>>);

impl Deadline {
    pub(crate) fn after(time: Duration) -> Self {
        Self(Arc::new(Mutex::new(Instant::now() + time)))
    }

    /// Waits until it is over.
    pub(crate) async fn over(&self) {
        loop {
            let end = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if end <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(end).await;
        }
    }

    fn extend(&self, time: Duration) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now() + time;
    }
}

/// A body that is there as a whole.
pub(crate) fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).boxed_unsync()
}

impl Default for Feed {
    fn default() -> Self {
        Self {
            latest: watch::Sender::new(Bytes::new()),
            places: Arc::new(Semaphore::new(MOST_VIEWERS)),
            came: Arc::default(),
        }
    }
}

impl Feed {
    /// Waits until somebody looks on.
    pub(super) async fn watched(&self) {
        while self.latest.receiver_count() == 0 {
            self.came.notified().await;
        }
    }

    /// The next event for everybody.
    pub(super) fn tell(&self, snapshot: &Snapshot) {
        let json = serde_json::to_string(snapshot).expect("numbers, strings and lists are JSON");
        self.latest.send_replace(format!("data: {json}\n\n").into());
    }

    /// Answers what concerns the page; `None`: something else is asked for.
    pub(crate) fn answer<B>(
        &self,
        request: &Request<B>,
        deadline: &Deadline,
    ) -> Option<Response<Body>> {
        let is_page = match request.uri().path() {
            "/" => true,
            "/events" => false,
            _ => return None,
        };
        let answer = match refusal(request) {
            Some(refused) => refused,
            None if is_page => page(),
            None => self.events(deadline),
        };
        Some(answer)
    }

    fn events(&self, deadline: &Deadline) -> Response<Body> {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            let text = format!("{MOST_VIEWERS} viewers are there already; close one of them\n");
            return refuse(StatusCode::SERVICE_UNAVAILABLE, text);
        };
        let viewer =
            Viewer { latest: self.latest.subscribe(), deadline: deadline.clone(), _place: place };
        self.came.notify_one();
        let frames = unfold(viewer, |mut viewer| async {
            let event = viewer.next().await?;
            Some((Ok::<_, Infallible>(Frame::data(event)), viewer))
        });
        let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        guard(headers);
        response
    }
}

/// Somebody who looks on.
struct Viewer {
    latest: watch::Receiver<Bytes>,
    deadline: Deadline,
    _place: OwnedSemaphorePermit,
}

impl Viewer {
    /// What to send next; called when what was sent before has room on its way.
    async fn next(&mut self) -> Option<Bytes> {
        self.deadline.extend(PATIENCE);
        match timeout(KEEP_ALIVE, self.latest.changed()).await {
            Ok(Ok(())) => Some(self.latest.borrow_and_update().clone()),
            Ok(Err(_)) => None,
            Err(_) => Some(Bytes::from_static(b": quiet\n\n")),
        }
    }
}

/// Why a request is not answered. A page of somebody else's that runs in a browser here could otherwise read this one under
/// a name of its own that leads to this address (DNS rebinding), or take the viewers' places.
fn refusal<B>(request: &Request<B>) -> Option<Response<Body>> {
    if request.method() != Method::GET {
        return Some(refuse(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered\n"));
    }
    let headers = request.headers();
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if !is_address(host) {
        let text = "open this page by the server's IP address, or as localhost\n";
        return Some(refuse(StatusCode::FORBIDDEN, text));
    }
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    let foreign = matches!(site, Some(site) if site != b"same-origin" && site != b"none");
    // Who follows a link to the page comes from another site; nobody embeds it, or its events.
    let follows = headers.get("sec-fetch-mode").is_some_and(|mode| mode == "navigate");
    (foreign && !follows)
        .then(|| refuse(StatusCode::FORBIDDEN, "another site's page may not read this\n"))
}

fn is_address(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok()
}

fn refuse(status: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(whole(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    guard(headers);
    response
}

fn page() -> Response<Body> {
    let mut response = Response::new(whole(PAGE));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    guard(headers);
    response
}

fn guard(headers: &mut HeaderMap) {
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(CONTENT_SECURITY_POLICY, POLICY.clone());
}

/// The page may do what its own two blocks do, and nothing else: what came from the network runs nothing even if it became
/// markup.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let policy = format!(
        "default-src 'none'; style-src '{}'; script-src '{}'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash(block("style")),
        hash(block("script"))
    );
    HeaderValue::from_str(&policy).expect("hashes are ASCII")
});

/// What is between a tag of the page and its end.
fn block(tag: &str) -> &'static str {
    let (begin, end) = (format!("<{tag}>"), format!("</{tag}>"));
    let (_, rest) = PAGE.split_once(&begin).expect("the page has one");
    rest.split_once(&end).expect("the page has its end").0
}

/// As Content-Security-Policy names a block: SHA-256 in base64.
fn hash(block: &str) -> String {
    format!("sha256-{}", base64(digest(&SHA256, block.as_bytes()).as_ref()))
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - group.len()));
        for index in 0..4 {
            match index <= group.len() {
                true => text.push(char::from(DIGITS[(bits >> (18 - 6 * index) & 63) as usize])),
                false => text.push('='),
            }
        }
    }
    text
}
