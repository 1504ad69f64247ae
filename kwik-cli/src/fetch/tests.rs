#![allow(clippy::unwrap_used)]

use std::io;

use futures_util::{StreamExt as _, stream};

use super::*;
use crate::output::Output;
use crate::protocol::Message as _;
use crate::tag::Tag;

const CONTENT: &[u8] = b"some content";

fn found() -> Found {
    let size = CONTENT.len() as u64;
    Found { size, tag: blake3::hash(CONTENT).into(), offset: 0, length: size }
}

async fn fetch_from(chunks: Vec<Result<Bytes, io::Error>>) -> anyhow::Result<Fetched> {
    fetch(stream::iter(chunks), Writer::start(Output::discard()), Show::Never).await
}

async fn error_from(chunks: Vec<Result<Bytes, io::Error>>) -> String {
    format!("{:#}", fetch_from(chunks).await.unwrap_err())
}

fn ok(bytes: &'static [u8]) -> Result<Bytes, io::Error> {
    Ok(bytes.into())
}

#[tokio::test]
async fn a_content_with_the_announced_hash_is_fetched() {
    let reply = Reply::Found(found()).encode();
    let len = reply.len() as u64;
    let fetched = fetch_from(vec![Ok(reply), ok(b"some"), ok(b" content")]).await.unwrap();
    assert_eq!((fetched.written.tag, fetched.reply), (found().tag, len));
}

#[tokio::test]
async fn a_content_with_another_hash_is_refused() {
    let reply = Reply::Found(Found { tag: Tag([0; 32]), ..found() }).encode();
    let error = error_from(vec![Ok(reply), ok(CONTENT)]).await;
    assert!(error.contains("hash"), "{error}");
}

#[tokio::test]
async fn too_few_and_too_many_bytes_are_refused() {
    let reply = || Ok(Reply::Found(found()).encode());
    let error = error_from(vec![reply(), ok(b"some")]).await;
    assert!(error.contains("8 bytes before the end"), "{error}");
    let error = error_from(vec![reply(), ok(CONTENT), ok(b"x")]).await;
    assert!(error.contains("more than the 12 bytes"), "{error}");
}

#[tokio::test]
async fn another_part_than_was_asked_for_is_refused() {
    for found in [Found { offset: 1, length: 11, ..found() }, Found { length: 11, ..found() }] {
        assert!(fetch_from(vec![Ok(Reply::Found(found).encode()), ok(CONTENT)]).await.is_err());
    }
}

#[tokio::test]
async fn a_refusal_tells_the_servers_reason_and_what_to_do() {
    let failed = Failed { code: FailureCode::NotFound, message: "x does not exist".into() };
    let error = error_from(vec![Ok(Reply::Failed(failed).encode())]).await;
    assert_eq!(error, "the server refuses: x does not exist; name a file below the server's root");
}

#[tokio::test]
async fn an_error_of_the_stream_is_passed_on() {
    let reply = Ok(Reply::Found(found()).encode());
    let error = error_from(vec![reply, ok(b"some"), Err(io::Error::other("path lost"))]).await;
    assert!(error.contains("path lost"), "{error}");
}

#[tokio::test]
async fn a_full_disk_ends_the_fetch_and_is_named() {
    let size = 64 << 20;
    let found = Found { size, length: size, ..found() };
    let chunks = std::iter::once(Ok::<_, io::Error>(Reply::Found(found).encode()))
        .chain((0..64).map(|_| Ok(vec![0; 1 << 20].into())));
    let full = Output::file(std::path::Path::new("/dev/full")).unwrap();
    let stream = stream::iter(chunks).boxed();
    let error = fetch(stream, Writer::start(full), Show::Never).await.unwrap_err();
    assert!(format!("{error:#}").contains("/dev/full"), "{error:#}");
}
