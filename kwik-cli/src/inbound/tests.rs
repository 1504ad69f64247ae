#![allow(clippy::unwrap_used)]

use std::io;

use futures_util::stream;

use super::*;
use crate::protocol::{Get, MAX_MESSAGE};

fn get(path: &str) -> Get {
    Get { path: path.into(), offset: 1, length: Some(2), if_tag: None }
}

fn inbound(
    bytes: &[u8],
    chunk: usize,
) -> Inbound<impl Stream<Item = Result<Bytes, io::Error>> + Unpin> {
    let chunks: Vec<_> = bytes.chunks(chunk).map(|c| Ok(Bytes::copy_from_slice(c))).collect();
    Inbound::new(stream::iter(chunks))
}

#[tokio::test]
async fn messages_and_bytes_are_told_apart_however_they_are_cut() {
    let first = get(&"x".repeat(300));
    let second = get("");
    let mut bytes = first.encode().to_vec();
    let first_len = bytes.len() as u64;
    bytes.extend_from_slice(&second.encode());
    bytes.extend_from_slice(b"the rest");
    for chunk in 1..=bytes.len() {
        let mut inbound = inbound(&bytes, chunk);
        assert_eq!(inbound.message::<Get>().await.unwrap(), (first.clone(), first_len));
        assert_eq!(inbound.message::<Get>().await.unwrap().0, second);
        let mut rest = Vec::new();
        while let Some(chunk) = inbound.chunk().await.unwrap() {
            assert!(!chunk.is_empty());
            rest.extend_from_slice(&chunk);
        }
        assert_eq!(rest, b"the rest");
    }
}

#[tokio::test]
async fn a_stream_that_ends_inside_a_message_is_an_error() {
    let bytes = get("a").encode();
    for len in 0..bytes.len() {
        assert!(inbound(&bytes[..len], 3).message::<Get>().await.is_err(), "{len}");
    }
}

#[tokio::test]
async fn an_oversized_message_is_refused_by_its_length_alone() {
    let mut bytes = Vec::new();
    prost::encode_length_delimiter(MAX_MESSAGE + 1, &mut bytes).unwrap();
    for bytes in [&bytes[..], &[0xff; 5], &[0xff; 11]] {
        let endless = stream::iter([Ok::<_, io::Error>(Bytes::copy_from_slice(bytes))])
            .chain(stream::pending());
        assert!(Inbound::new(endless).message::<Get>().await.is_err());
    }
}

#[tokio::test]
async fn an_error_of_the_stream_is_passed_on() {
    let failing = stream::iter([Err::<Bytes, _>(io::Error::other("path lost"))]);
    let error = Inbound::new(failing).chunk().await.unwrap_err();
    assert_eq!(error.to_string(), "path lost");
}
