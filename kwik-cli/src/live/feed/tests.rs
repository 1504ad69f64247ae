#![allow(clippy::unwrap_used)]

use super::*;

fn ask(feed: &Feed, path: &str, headers: &[(&str, &str)]) -> Option<Response<Body>> {
    let mut request = Request::builder().uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    feed.answer(&request.body(()).unwrap(), &Deadline::after(Duration::from_secs(1)))
}

fn status(headers: &[(&str, &str)]) -> StatusCode {
    ask(&Feed::default(), "/", headers).unwrap().status()
}

#[test]
fn bytes_are_written_in_base64() {
    // RFC 4648, 10.
    for (bytes, text) in
        [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
    {
        assert_eq!(base64(bytes.as_bytes()), text);
    }
}

#[test]
fn only_an_address_opens_the_page() {
    for host in ["127.0.0.1:9433", "localhost:9433", "LOCALHOST", "[::1]:9433", "10.0.0.7"] {
        assert_eq!(status(&[("host", host)]), StatusCode::OK, "{host}");
    }
    for host in ["evil.example:9433", "", "localhost.evil.example", "127.0.0.1.evil.example"] {
        assert_eq!(status(&[("host", host)]), StatusCode::FORBIDDEN, "{host}");
    }
}

#[test]
fn pages_of_other_sites_read_nothing() {
    let host = ("host", "127.0.0.1:9433");
    for (site, mode, expected) in [
        ("same-origin", "cors", StatusCode::OK),
        ("none", "navigate", StatusCode::OK),
        ("cross-site", "navigate", StatusCode::OK),
        ("cross-site", "cors", StatusCode::FORBIDDEN),
        ("same-site", "no-cors", StatusCode::FORBIDDEN),
    ] {
        let headers = [host, ("sec-fetch-site", site), ("sec-fetch-mode", mode)];
        assert_eq!(status(&headers), expected, "{site} {mode}");
    }
}

#[test]
fn the_page_runs_its_own_script_and_nothing_else() {
    let response = ask(&Feed::default(), "/", &[("host", "localhost")]).unwrap();
    let policy = response.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    // One block of each, no attribute that is code, nothing from elsewhere, and no way from text to markup.
    for (part, count) in [("<script", 1), ("<style", 1), ("style=", 0), ("src=", 0), ("href=", 0)] {
        assert_eq!(PAGE.matches(part).count(), count, "{part}");
    }
    for part in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "://"] {
        assert!(!PAGE.contains(part), "{part}");
    }
}

#[tokio::test]
async fn a_viewer_too_many_is_told_so_and_a_slow_one_gets_the_latest_alone() {
    let feed = Feed::default();
    let events = || ask(&feed, "/events", &[("host", "localhost")]).unwrap();
    let mut viewers: Vec<_> = (0..MOST_VIEWERS).map(|_| events()).collect();
    assert_eq!(events().status(), StatusCode::SERVICE_UNAVAILABLE);
    for at_ms in 0..1_000 {
        feed.tell(&Snapshot { at_ms, ..Snapshot::default() });
    }
    let body = viewers[0].body_mut();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert!(str::from_utf8(&first).unwrap().starts_with("data: {\"at_ms\":999,"));
    // One that leaves makes room.
    viewers.pop();
    assert_eq!(events().status(), StatusCode::OK);
}

#[tokio::test]
async fn a_viewer_has_time_from_what_it_took_last() {
    let feed = Feed::default();
    let deadline = Deadline::after(Duration::ZERO);
    let request = Request::builder().uri("/events").header("host", "localhost").body(()).unwrap();
    let mut response = feed.answer(&request, &deadline).unwrap();
    let left = || deadline.0.lock().unwrap().saturating_duration_since(Instant::now());
    // Answering alone gives it none.
    assert_eq!(left(), Duration::ZERO);
    deadline.over().await;
    feed.tell(&Snapshot::default());
    response.body_mut().frame().await.unwrap().unwrap();
    assert!(left() > PATIENCE / 2 && left() <= PATIENCE, "{:?}", left());
}
