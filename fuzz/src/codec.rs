//! The codec: control streams and carriers.

use bytes::{Bytes, BytesMut};
use kwik_proto::DecodeError;
use kwik_proto::control::ControlDecoder;
use kwik_proto::data::{self, DataDecoder, DataEvent, MAX_PUBLIC_PAYLOAD};
use kwik_proto::frame::{ControlFrame, Orders};

/// Cuts the input: its first byte says how many bytes a chunk has (0: all).
fn cut(input: &[u8]) -> (Bytes, usize) {
    let (size, rest) = input.split_first().map_or((0, input), |(size, rest)| (*size, rest));
    let rest = Bytes::copy_from_slice(rest);
    let size = if size == 0 { rest.len().max(1) } else { usize::from(size) };
    (rest, size)
}

fn chunks(bytes: &Bytes, size: usize) -> impl Iterator<Item = Bytes> {
    (0..bytes.len()).step_by(size).map(move |at| bytes.slice(at..bytes.len().min(at + size)))
}

/// A control stream: decodes the same however it is cut, and what was decoded can be sent on.
pub fn check_control(input: &[u8]) {
    let (bytes, size) = cut(input);
    let whole = decode_control(chunks(&bytes, usize::MAX));
    assert_eq!(whole, decode_control(chunks(&bytes, size)));
    let mut out = BytesMut::new();
    for frame in &whole.0 {
        frame.encode(&mut out);
        if let ControlFrame::Orders(signed) = frame
            && let Ok(orders) = Orders::decode(&signed.body)
        {
            assert_eq!(Orders::decode(&orders.encode()), Ok(orders));
        }
    }
    assert_eq!(decode_control([out.freeze()]), (whole.0, Ok(())));
}

fn decode_control(
    chunks: impl IntoIterator<Item = Bytes>,
) -> (Vec<ControlFrame>, Result<(), DecodeError>) {
    let (mut decoder, mut frames) = (ControlDecoder::new(), Vec::new());
    for chunk in chunks {
        decoder.push(chunk);
        loop {
            match decoder.poll() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Err(error)),
            }
        }
    }
    let end = decoder.finish();
    (frames, end)
}

/// A carrier: decodes the same however it is cut, copies nothing, and never holds more than a frame.
pub fn check_data(input: &[u8]) {
    let (bytes, size) = cut(input);
    let whole = decode_data(&bytes, usize::MAX);
    assert_eq!(joined(whole), joined(decode_data(&bytes, size)));
}

/// What a carrier said, errors that are not fatal among it.
type Said = Vec<Result<DataEvent, DecodeError>>;

fn decode_data(bytes: &Bytes, size: usize) -> Said {
    let (mut decoder, mut said) = (DataDecoder::new(), Vec::new());
    for chunk in chunks(bytes, size) {
        decoder.push(chunk);
        loop {
            match decoder.poll() {
                Ok(Some(event)) => said.push(Ok(event)),
                Ok(None) => break,
                Err(error) => {
                    let fatal = error.is_fatal();
                    said.push(Err(error));
                    if fatal {
                        return said;
                    }
                }
            }
        }
        assert!(decoder.held() <= MAX_PUBLIC_PAYLOAD + 2 * data::MAX_FRAME_HEAD);
    }
    said.extend(decoder.finish().err().map(Err));
    check_events(&said, bytes);
    said
}

fn check_events(said: &Said, bytes: &Bytes) {
    for (place, event) in said.iter().enumerate() {
        match event {
            Ok(DataEvent::Header(header)) => {
                assert_eq!(place, 0);
                let mut out = BytesMut::new();
                data::encode_stream_header(header, &mut out);
                let mut decoder = DataDecoder::new();
                decoder.push(out.freeze());
                assert_eq!(decoder.poll(), Ok(Some(DataEvent::Header(*header))));
            }
            Ok(DataEvent::Chunk { offset, payload }) => {
                assert!(!payload.is_empty());
                assert!(offset.checked_add(payload.len() as u64).is_some());
                let (part, all) = (payload.as_ptr_range(), bytes.as_ptr_range());
                // Beyond 1,024 chunks a frame may be copied.
                assert!(
                    bytes.len() > 1024 || all.start <= part.start && part.end <= all.end,
                    "copied"
                );
            }
            Ok(DataEvent::Fin { .. }) | Err(_) => {}
        }
    }
}

/// Without the places where the input was cut.
fn joined(said: Said) -> Said {
    let mut out = Said::new();
    for event in said {
        if let (
            Some(Ok(DataEvent::Chunk { offset, payload })),
            Ok(DataEvent::Chunk { offset: next, payload: more }),
        ) = (out.last_mut(), &event)
            && offset.checked_add(payload.len() as u64) == Some(*next)
        {
            *payload = [&payload[..], more].concat().into();
            continue;
        }
        out.push(event);
    }
    out
}
