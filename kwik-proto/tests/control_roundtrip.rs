//! What was encoded on a control stream comes out again, however the bytes are cut.

#![allow(clippy::unwrap_used)]

mod support;

use bytes::{Bytes, BytesMut};
use kwik_proto::DecodeError;
use kwik_proto::control::ControlDecoder;
use kwik_proto::control::limits::MAX_TEXT;
use kwik_proto::frame::{
    AddPathResult, ControlFrame, ErrorCode, Orders, Refuse, SessionClose, SignedOrders,
};
use kwik_proto::{Epoch, PathId, sanitized};
use proptest::collection::vec;
use proptest::prelude::*;
use support::{control_frame, orders, split};

fn encode(frames: &[ControlFrame]) -> Bytes {
    let mut out = BytesMut::new();
    frames.iter().for_each(|frame| frame.encode(&mut out));
    out.freeze()
}

fn decode(chunks: &[Bytes]) -> Result<Vec<ControlFrame>, DecodeError> {
    let (mut decoder, mut frames) = (ControlDecoder::new(), Vec::new());
    for chunk in chunks {
        decoder.push(chunk.clone());
        while let Some(frame) = decoder.poll()? {
            frames.push(frame);
        }
    }
    decoder.finish()?;
    Ok(frames)
}

proptest! {
    #[test]
    fn frames_survive_the_round_trip(frame in control_frame()) {
        let bytes = encode(std::slice::from_ref(&frame));
        prop_assert_eq!(decode(&[bytes]), Ok(vec![frame]));
    }

    #[test]
    fn every_split_decodes_the_same(
        frames in vec(control_frame(), 1..4),
        cuts in vec(any::<usize>(), 0..20),
    ) {
        let bytes = encode(&frames);
        let single: Vec<Bytes> = (0..bytes.len()).map(|at| bytes.slice(at..=at)).collect();
        prop_assert_eq!(&decode(&single), &Ok(frames.clone()));
        prop_assert_eq!(decode(&split(&bytes, &cuts)), Ok(frames));
    }

    #[test]
    fn every_prefix_waits_or_errs(frame in control_frame()) {
        let bytes = encode(&[frame]);
        for end in 0..bytes.len() {
            let result = decode(&[bytes.slice(..end)]);
            let expected = if end == 0 {
                Ok(vec![])
            } else {
                Err(DecodeError::Truncated { field: "ControlFrame", at: 0 })
            };
            prop_assert_eq!(result, expected);
        }
    }

    #[test]
    fn every_prefix_of_a_message_is_a_message_or_an_error(frame in control_frame()) {
        let bytes = encode(&[frame]);
        let body = length_prefix(&bytes);
        for end in body..bytes.len() {
            let mut cut = BytesMut::new();
            prefixed(&bytes[body..end], &mut cut);
            // Only that it returns counts: a shorter message may be one as well.
            let _ = decode(&[cut.freeze()]);
        }
    }

    #[test]
    fn damage_never_panics(
        frame in control_frame(),
        damage in vec((any::<usize>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = encode(&[frame]).to_vec();
        for (at, value) in damage {
            let at = at % bytes.len();
            bytes[at] = value;
        }
        let _ = decode(&[bytes.into()]);
    }

    #[test]
    fn orders_survive_the_round_trip(orders in orders()) {
        let body = orders.encode();
        prop_assert_eq!(Orders::decode(&body), Ok(orders));
        for end in 0..body.len() {
            let _ = Orders::decode(&body.slice(..end));
        }
    }

    #[test]
    fn signed_bytes_travel_unchanged(orders in orders(), signature in any::<[u8; 64]>()) {
        let body = orders.encode();
        let frame = SignedOrders { body: body.clone(), signature, key_id: "k4.pid.x".into() };
        let bytes = encode(&[ControlFrame::Orders(frame)]);
        let frames = decode(std::slice::from_ref(&bytes)).unwrap();
        let [ControlFrame::Orders(arrived)] = &frames[..] else { panic!("{frames:?}") };
        prop_assert_eq!(&arrived.body, &body);
        prop_assert!(bytes.as_ptr_range().contains(&arrived.body.as_ptr()), "a slice of the input");
    }

    #[test]
    fn long_texts_are_cut_between_characters(reason in "[ -~à-ü日本🦀]{0,400}") {
        let code = ErrorCode::Busy;
        let close = |reason: String| {
            ControlFrame::SessionClose(SessionClose {
                code,
                application_code: None,
                reason,
            })
        };
        let frames = decode(&[encode(&[close(reason.clone())])]).unwrap();
        let [ControlFrame::SessionClose(arrived)] = &frames[..] else { panic!("{frames:?}") };
        prop_assert!(reason.starts_with(&arrived.reason));
        prop_assert!(arrived.reason.len() <= MAX_TEXT);
        prop_assert!(reason.len() <= MAX_TEXT || arrived.reason.len() > MAX_TEXT - 4);
    }

    #[test]
    fn texts_arrive_sanitized_wherever_they_are(text in any::<String>()) {
        let (path, epoch, code) = (PathId::new(1), Epoch(1), ErrorCode::Busy);
        let sent = [
            ControlFrame::Refuse(Refuse { code, reason: text.clone(), retry_after_ms: None }),
            ControlFrame::AddPathResult(AddPathResult { path, epoch, code, detail: text.clone() }),
            ControlFrame::SessionClose(SessionClose { code, application_code: None, reason: text }),
        ];
        for frame in decode(&[encode(&sent)]).unwrap() {
            let shown = match &frame {
                ControlFrame::Refuse(refuse) => &refuse.reason,
                ControlFrame::AddPathResult(result) => &result.detail,
                ControlFrame::SessionClose(close) => &close.reason,
                other => panic!("{other:?}"),
            };
            prop_assert_eq!(&sanitized(shown).to_string(), shown);
        }
    }
}

/// Bytes of the length prefix.
fn length_prefix(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| byte & 0x80 == 0).unwrap() + 1
}

/// The message with a length prefix.
fn prefixed(message: &[u8], out: &mut BytesMut) {
    let mut size = message.len();
    while size >= 0x80 {
        out.extend_from_slice(&[size as u8 | 0x80]);
        size >>= 7;
    }
    out.extend_from_slice(&[size as u8]);
    out.extend_from_slice(message);
}
