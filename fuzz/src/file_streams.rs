//! The streams of the file service: messages behind their lengths, then plain bytes, cut anywhere.

use std::cell::Cell;
use std::convert::Infallible;
use std::fmt::Debug;
use std::rc::Rc;

use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, stream};

use crate::inbound::Inbound;
use crate::protocol::{Get, MAX_MESSAGE, MAX_REPLY, Message, Reply, Request, Resource};

/// Longest length in front of a message, in bytes.
const MAX_PREFIX: usize = 5;
/// Messages that are read of a stream at most.
const MOST: usize = 64;
/// Bytes that may come behind the input, so that a stream can be longer than what may be held.
const FILLER: usize = 2 * MAX_REPLY;

/// What came out of a stream: messages with the bytes that each took, then plain bytes, or an error.
#[derive(Debug, PartialEq)]
struct Read<M> {
    messages: Vec<(M, u64)>,
    rest: Option<Vec<u8>>,
}

/// However a stream is cut, the same comes out of it: messages as they were put in, the bytes behind them, or an error; and
/// never more is held than a message and a chunk.
///
/// The first byte says how many lengths of chunks follow, and whether more bytes come behind the input.
pub fn check_file_stream(input: &[u8]) {
    let Some((&how, input)) = input.split_first() else { return };
    let (cuts, input) = input.split_at(usize::from(how & 15).min(input.len()));
    let mut bytes = input.to_vec();
    if how & 0x80 != 0 {
        bytes.resize(bytes.len() + FILLER, how);
    }
    check::<Get>(cuts, &bytes);
    check::<Request>(cuts, &bytes);
    check::<Reply>(cuts, &bytes);
    check::<Resource>(cuts, &bytes);
    let path = String::from_utf8_lossy(input).into_owned();
    let get = Get { path, offset: 1, length: Some(u64::MAX), if_tag: None };
    if get.to_wire().len() <= MAX_MESSAGE {
        put_in(cuts, &[get.clone(), get], input);
    }
}

fn check<M: Message + Debug + PartialEq>(cuts: &[u8], bytes: &[u8]) {
    let seen = read::<M>(cuts, bytes, MOST);
    assert_eq!(seen, read(&[], bytes, MOST), "it matters how the stream is cut");
    assert_eq!(seen, at_once(bytes));
    let messages: Vec<M> = seen.messages.into_iter().map(|(message, _)| message).collect();
    put_in(cuts, &messages, bytes);
}

/// What is put in comes out.
fn put_in<M: Message + Debug + PartialEq>(cuts: &[u8], messages: &[M], behind: &[u8]) {
    let mut stream = Vec::new();
    let mut sizes = Vec::new();
    for message in messages {
        let encoded = message.encode();
        sizes.push(encoded.len() as u64);
        stream.extend_from_slice(&encoded);
    }
    stream.extend_from_slice(behind);
    let seen = read::<M>(cuts, &stream, messages.len());
    let (out, taken): (Vec<M>, Vec<u64>) = seen.messages.into_iter().unzip();
    assert_eq!((&out[..], &taken), (messages, &sizes));
    assert_eq!(seen.rest.as_deref(), Some(behind));
}

/// Reads so many messages, and then what is left. Chunks have the lengths of `cuts` in turn; with none there is one.
fn read<M: Message>(cuts: &[u8], bytes: &[u8], most: usize) -> Read<M> {
    let chunks = cut(cuts, bytes);
    let largest = chunks.iter().map(Bytes::len).max().unwrap_or(0);
    let pulled = Rc::<Cell<usize>>::default();
    let counted = pulled.clone();
    let arriving = stream::iter(chunks).map(move |chunk| {
        counted.set(counted.get() + chunk.len());
        Ok::<_, Infallible>(chunk)
    });
    let mut inbound = Inbound::new(arriving);
    let mut messages = Vec::new();
    let mut taken = 0;
    while messages.len() < most && taken < bytes.len() {
        let message = inbound.message::<M>().now_or_never().expect("all chunks are there");
        let held = pulled.get() - taken;
        assert!(held <= MAX_PREFIX + M::MOST + largest, "{held} bytes are held");
        let Ok((message, size)) = message else { return Read { messages, rest: None } };
        taken += size as usize;
        messages.push((message, size));
    }
    let mut rest = Vec::new();
    while let Some(chunk) = inbound.chunk().now_or_never().expect("they are there").unwrap_or(None)
    {
        assert!(!chunk.is_empty(), "a chunk of nothing");
        rest.extend_from_slice(&chunk);
    }
    Read { messages, rest: Some(rest) }
}

fn cut(cuts: &[u8], mut bytes: &[u8]) -> Vec<Bytes> {
    let mut lengths = cuts.iter().map(|length| usize::from(*length) + 1).cycle();
    let mut chunks = Vec::new();
    while !bytes.is_empty() {
        let (chunk, behind) =
            bytes.split_at(lengths.next().unwrap_or(bytes.len()).min(bytes.len()));
        chunks.push(Bytes::copy_from_slice(chunk));
        bytes = behind;
    }
    chunks
}

/// The same, from all bytes at once.
fn at_once<M: Message>(mut bytes: &[u8]) -> Read<M> {
    let mut messages = Vec::new();
    while messages.len() < MOST && !bytes.is_empty() {
        let mut behind = bytes;
        // A length in more bytes than any needs is none.
        let length = prost::decode_length_delimiter(&mut behind).ok();
        let length = length.filter(|length| *length <= M::MOST.min(behind.len()));
        let prefix = bytes.len() - behind.len();
        let message = length.filter(|_| prefix <= MAX_PREFIX).and_then(|length| {
            Some((M::from_wire(&behind[..length]).ok()?, (prefix + length) as u64))
        });
        let Some(message) = message else { return Read { messages, rest: None } };
        bytes = &bytes[message.1 as usize..];
        messages.push(message);
    }
    Read { messages, rest: Some(bytes.to_vec()) }
}
