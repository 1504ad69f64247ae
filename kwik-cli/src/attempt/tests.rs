use std::io;

use bytes::Bytes;
use futures_util::stream;

use super::*;

const SIZE: u64 = 12;

fn get(offset: u64, if_tag: Option<Tag>) -> Get {
    Get { path: "x".into(), offset, length: None, if_tag }
}

fn found(offset: u64) -> Found {
    Found { size: SIZE, tag: Tag([7; 32]), offset, length: SIZE - offset }
}

async fn read(reply: Reply, get: &Get) -> Result<Found, String> {
    let bytes = stream::iter([Ok::<Bytes, io::Error>(reply.encode())]);
    match read_reply(&mut Inbound::new(bytes), get).await {
        Ok((found, len)) => {
            assert_eq!(len, reply.encode().len() as u64);
            Ok(found)
        }
        Err(Failure::TagMismatch) => Err("tag mismatch".into()),
        Err(Failure::Other(error)) => Err(format!("{error:#}")),
    }
}

#[tokio::test]
async fn the_rest_of_the_content_is_taken() {
    for offset in [0, 5, SIZE] {
        let get = get(offset, Some(Tag([7; 32])));
        assert_eq!(read(Reply::Found(found(offset)), &get).await, Ok(found(offset)));
    }
}

#[tokio::test]
async fn another_part_than_was_asked_for_is_refused() {
    for found in [found(1), Found { length: 11, ..found(0) }, Found { length: 0, ..found(0) }] {
        assert!(read(Reply::Found(found), &get(0, None)).await.is_err());
    }
    assert!(read(Reply::Found(found(0)), &get(0, Some(Tag([8; 32])))).await.is_err());
}

#[tokio::test]
async fn a_refusal_tells_the_servers_reason_and_what_to_do() {
    let failed = |code| Reply::Failed(Failed { code, message: "x does not exist".into() });
    let error = read(failed(FailureCode::NotFound), &get(0, None)).await;
    let told = "the server refuses: x does not exist; name a file below the server's root";
    assert_eq!(error, Err(told.to_owned()));
    assert_eq!(
        read(failed(FailureCode::TagMismatch), &get(0, None)).await,
        Err("tag mismatch".into())
    );
}

#[tokio::test]
async fn a_stream_that_ends_before_the_answer_is_an_error() {
    let nothing = stream::iter([Ok::<Bytes, io::Error>(Bytes::new())]);
    assert!(read_reply(&mut Inbound::new(nothing), &get(0, None)).await.is_err());
}
