//! The messages of the file service: requests, answers and what a delegation names.

use crate::protocol::{Get, MAX_REPLY, Message, Reply, Request, Resource};
use crate::request_path::RequestPath;

/// Whatever a peer sends is refused, or is a message that reads back as itself.
pub fn check_files(input: &[u8]) {
    let input = &input[..input.len().min(MAX_REPLY)];
    if let Some(get) = read_back::<Get>(input)
        && let Ok(path) = RequestPath::new(get.path)
    {
        let path = path.as_path();
        assert!(path.is_relative() && path.components().all(is_plain), "{path:?} leaves the root");
    }
    match read_back::<Reply>(input) {
        Some(Reply::Found(found)) => {
            assert!(found.offset.checked_add(found.length).is_some_and(|end| end <= found.size));
        }
        Some(Reply::Failed(failed)) => {
            assert!(failed.message.len() <= 256 && !failed.message.contains(char::is_control));
        }
        Some(Reply::Listed(listed)) => {
            assert!(listed.entries.len() <= 1_000);
            assert!(listed.entries.iter().all(|entry| entry.modified.1 < 1_000_000_000));
        }
        None => {}
    }
    read_back::<Request>(input);
    read_back::<Resource>(input);
}

fn is_plain(name: std::path::Component<'_>) -> bool {
    matches!(name, std::path::Component::Normal(_))
}

fn read_back<M: Message + PartialEq + std::fmt::Debug>(input: &[u8]) -> Option<M> {
    let message = M::from_wire(input).ok()?;
    assert_eq!(M::from_wire(&message.to_wire()).as_ref(), Ok(&message));
    Some(message)
}
