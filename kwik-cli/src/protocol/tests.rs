#![allow(clippy::unwrap_used)]

use super::*;
use crate::directory::{Entry, EntryKind, MAX_ENTRIES};
use crate::request_path::{BadPath, RequestPath};

#[path = "../../../fuzz/src/files.rs"]
#[allow(unreachable_pub, reason = "a module of a library in fuzz/")]
mod checks;
mod corpus;
#[path = "../../../fuzz/src/file_streams.rs"]
#[allow(unreachable_pub, reason = "a module of a library in fuzz/")]
mod file_streams;
mod vectors;

const TAG: Tag = Tag([9; 32]);

fn read_back<M: Message>(message: &M) -> Result<M, Malformed> {
    M::from_wire(&message.to_wire())
}

#[test]
fn messages_read_back_as_they_were_written() {
    for get in [
        Get { path: "a/b".into(), offset: 0, length: None, if_tag: None },
        Get { path: String::new(), offset: u64::MAX, length: Some(0), if_tag: Some(TAG) },
    ] {
        assert_eq!(read_back(&get).unwrap(), get);
    }
    let found = Reply::Found(Found { size: 10, tag: TAG, offset: 4, length: 6 });
    assert_eq!(read_back(&found).unwrap(), found);
    let failed = Reply::Failed(Failed { code: FailureCode::NotFound, message: "no a/b".into() });
    assert_eq!(read_back(&failed).unwrap(), failed);
    for shift in [0, -5, 40, i64::MIN] {
        let resource = Resource { path: "a".into(), tag: TAG, shift };
        assert_eq!(read_back(&resource).unwrap(), resource);
    }
}

fn entry(name: &str) -> Entry {
    Entry {
        name: name.to_owned(),
        kind: EntryKind::File,
        size: 7,
        modified: (-3, 999_999_999),
        tag: Some(TAG),
    }
}

#[test]
fn a_listing_reads_back_as_it_was_written() {
    for list in [List::default(), List { path: "a/b".into(), after: "c".into() }] {
        let request = Request::List(list);
        assert_eq!(read_back(&request).unwrap(), request);
    }
    let get = Request::Get(Get { path: "a".into(), offset: 1, length: None, if_tag: Some(TAG) });
    assert_eq!(read_back(&get).unwrap(), get);
    let other = Entry { kind: EntryKind::Other, tag: None, ..entry("b") };
    let entries = vec![entry("a"), other, Entry { kind: EntryKind::Directory, ..entry("c") }];
    for listed in [Listed::default(), Listed { entries, more: true, unnamed: 3 }] {
        let reply = Reply::Listed(listed);
        assert_eq!(read_back(&reply).unwrap(), reply);
    }
}

#[test]
fn an_older_server_refuses_a_listing_for_its_path() {
    // It reads a Get, and does not know the field.
    let list = Request::List(List { path: "a".into(), after: String::new() });
    let get = Get::from_wire(&list.to_wire()).unwrap();
    assert_eq!(RequestPath::new(get.path), Err(BadPath::Empty));
}

#[test]
fn a_page_that_is_malformed_is_refused() {
    let reply = |listed: wire::Listed| {
        let reply = wire::Reply { reply: Some(wire::reply::Reply::Listed(listed)) };
        Reply::from_wire(&reply.encode_to_vec())
    };
    let entry = |modified_ns, tag| wire::Entry { modified_ns, tag, ..Default::default() };
    let page = |entries| wire::Listed { entries, ..Default::default() };
    assert!(reply(page(vec![entry(0, Vec::new()); MAX_ENTRIES])).is_ok());
    let malformed = Err(Malformed::Listing);
    assert_eq!(reply(page(vec![entry(0, Vec::new()); MAX_ENTRIES + 1])), malformed);
    assert_eq!(reply(page(vec![entry(1_000_000_000, Vec::new())])), malformed);
    assert_eq!(reply(wire::Listed { more: true, ..Default::default() }), malformed);
    assert_eq!(reply(page(vec![entry(0, vec![1; 31])])), Err(Malformed::Tag));
}

#[test]
fn every_failure_code_survives_the_wire() {
    for code in 0..12 {
        assert_eq!(FailureCode::from_wire(code).to_wire(), code);
    }
    assert_eq!(FailureCode::from_wire(2), FailureCode::BadPath);
    assert_eq!(FailureCode::from_wire(99), FailureCode::Other(99));
}

#[test]
fn a_message_travels_behind_its_length() {
    let get = Get { path: "x".repeat(200), offset: 0, length: None, if_tag: None };
    let bytes = get.encode();
    let message = get.to_wire();
    assert_eq!(bytes[..2], [(message.len() % 128) as u8 | 128, (message.len() / 128) as u8]);
    assert_eq!(bytes[2..], message);
}

#[test]
fn malformed_messages_are_refused() {
    assert!(matches!(Get::from_wire(&[0xff]), Err(Malformed::Protobuf(_))));
    assert_eq!(Reply::from_wire(&[]), Err(Malformed::Empty));
    let short = wire::Get { if_tag: vec![1; 31], ..Default::default() }.encode_to_vec();
    assert_eq!(Get::from_wire(&short), Err(Malformed::Tag));
    assert_eq!(Resource::from_wire(&[]), Err(Malformed::Tag));
    for (size, offset, length) in [(10, 5, 6), (10, 11, 0), (10, u64::MAX, 2)] {
        let found = Reply::Found(Found { size, tag: TAG, offset, length });
        assert_eq!(read_back(&found), Err(Malformed::Range), "{size} {offset} {length}");
    }
}

#[test]
fn text_for_people_is_one_short_line() {
    let failed = wire::Failed { code: 1, message: format!("\x1b[31m\r\n{}", "é".repeat(400)) };
    let reply = wire::Reply { reply: Some(wire::reply::Reply::Failed(failed)) };
    let Ok(Reply::Failed(failed)) = Reply::from_wire(&reply.encode_to_vec()) else { panic!() };
    assert!(failed.message.len() <= MAX_TEXT);
    assert!(failed.message.starts_with(r"\u{1b}[31m\r\n"), "{}", failed.message);
    assert!(!failed.message.contains(char::is_control));
}

#[test]
fn the_longest_request_and_resource_fit_their_caps() {
    let path = "x".repeat(4000);
    let if_tag = Some(TAG);
    let get = Get { path: path.clone(), offset: u64::MAX, length: Some(u64::MAX), if_tag };
    assert!(get.to_wire().len() <= MAX_MESSAGE);
    assert!(Resource { path, tag: TAG, shift: i64::MIN }.to_wire().len() <= 4096);
}
