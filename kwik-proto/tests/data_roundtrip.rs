//! What was encoded on a carrier comes out again, however the bytes are cut.

#![allow(clippy::unwrap_used)]

mod support;

use bytes::{Bytes, BytesMut};
use kwik_proto::data::{DataDecoder, DataEvent};
use kwik_proto::frame::{CarrierKind, StreamHeader};
use kwik_proto::{DecodeError, Offset};
use proptest::collection::vec;
use proptest::prelude::*;
use support::{Frame, any_carrier, encode_carrier, split};

/// Everything a decoder says about those chunks, and how it ends.
fn decode(chunks: &[Bytes]) -> (Vec<DataEvent>, Result<(), DecodeError>) {
    let (mut decoder, mut events) = (DataDecoder::new(), Vec::new());
    for chunk in chunks {
        decoder.push(chunk.clone());
        loop {
            match decoder.poll() {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(error) => return (events, Err(error)),
            }
        }
    }
    (events, decoder.finish())
}

/// Events without the places where the input was cut: neighbouring chunks become one.
fn joined(events: &[DataEvent]) -> Vec<DataEvent> {
    let mut out: Vec<DataEvent> = Vec::new();
    for event in events {
        if let (
            Some(DataEvent::Chunk { offset, payload }),
            DataEvent::Chunk { offset: next, payload: more },
        ) = (out.last_mut(), event)
            && offset.checked_add(payload.len() as u64) == Some(*next)
        {
            *payload = [&payload[..], more].concat().into();
            continue;
        }
        out.push(event.clone());
    }
    out
}

fn expected(header: StreamHeader, frames: &[Frame]) -> Vec<DataEvent> {
    let mut events = vec![DataEvent::Header(header)];
    for Frame { offset, fin, payload } in frames {
        if !payload.is_empty() {
            events.push(DataEvent::Chunk { offset: *offset, payload: payload.clone().into() });
        }
        if *fin {
            let final_size = offset.checked_add(payload.len() as u64).unwrap();
            events.push(DataEvent::Fin { final_size });
        }
    }
    joined(&events)
}

/// That every payload is the very memory of the input in which it lies: chunk by chunk, at its own address.
fn assert_in_place(header: &StreamHeader, frames: &[Frame], bytes: &Bytes, events: &[DataEvent]) {
    let mut head = BytesMut::new();
    kwik_proto::data::encode_stream_header(header, &mut head);
    let mut places = Vec::new();
    let mut end = head.len();
    for frame in frames {
        let mut encoded = BytesMut::new();
        support::encode_frame(header, frame, &mut encoded);
        end += encoded.len();
        places.extend(end - frame.payload.len()..end);
    }
    let mut places = places.into_iter();
    for event in events {
        let DataEvent::Chunk { payload, .. } = event else { continue };
        let place = places.nth(payload.len() - 1).unwrap() + 1 - payload.len();
        assert_eq!(payload.as_ptr(), bytes[place..].as_ptr(), "copied");
    }
    assert_eq!(places.next(), None, "payload that did not come out");
}

proptest! {
    #[test]
    fn carriers_survive_the_round_trip((header, frames) in any_carrier()) {
        let bytes = encode_carrier(&header, &frames);
        let (events, end) = decode(&[bytes]);
        prop_assert_eq!(end, Ok(()));
        prop_assert_eq!(joined(&events), expected(header, &frames));
    }

    #[test]
    fn every_split_decodes_the_same(
        (header, frames) in any_carrier(),
        cuts in vec(any::<usize>(), 0..40),
    ) {
        let bytes = encode_carrier(&header, &frames);
        let (events, end) = decode(&split(&bytes, &cuts));
        prop_assert_eq!(end, Ok(()));
        prop_assert_eq!(joined(&events), expected(header, &frames));
    }

    #[test]
    fn one_byte_at_a_time_decodes_the_same((header, frames) in any_carrier()) {
        let bytes = encode_carrier(&header, &frames);
        let single: Vec<Bytes> = (0..bytes.len()).map(|at| bytes.slice(at..=at)).collect();
        let (events, end) = decode(&single);
        prop_assert_eq!(end, Ok(()));
        prop_assert_eq!(joined(&events), expected(header, &frames));
        if header.kind == CarrierKind::Public || frames.iter().all(|f| f.payload.len() <= 1024) {
            assert_in_place(&header, &frames, &bytes, &events);
        }
    }

    #[test]
    fn payloads_are_slices_of_the_input(
        (header, frames) in any_carrier(),
        cuts in vec(any::<usize>(), 0..40),
    ) {
        let bytes = encode_carrier(&header, &frames);
        let (events, _) = decode(&split(&bytes, &cuts));
        assert_in_place(&header, &frames, &bytes, &events);
    }

    #[test]
    fn damage_is_the_same_for_every_split(
        (header, frames) in any_carrier(),
        damage in vec((any::<usize>(), any::<u8>()), 1..4),
        cuts in vec(any::<usize>(), 0..40),
    ) {
        let mut bytes = encode_carrier(&header, &frames).to_vec();
        for (at, value) in damage {
            let at = at % bytes.len();
            bytes[at] = value;
        }
        let bytes = Bytes::from(bytes);
        let (whole, whole_end) = decode(std::slice::from_ref(&bytes));
        let (parts, parts_end) = decode(&split(&bytes, &cuts));
        prop_assert_eq!(joined(&whole), joined(&parts));
        prop_assert_eq!(whole_end, parts_end);
    }

    #[test]
    fn every_prefix_waits_or_errs((header, frames) in any_carrier()) {
        let bytes = encode_carrier(&header, &frames);
        let whole = expected(header, &frames);
        for end in 0..bytes.len().min(600) {
            let (events, result) = decode(&[bytes.slice(..end)]);
            prop_assert!(events.len() <= whole.len() + 1);
            match result {
                Ok(()) | Err(DecodeError::Truncated { .. } | DecodeError::HeaderMissing { .. }) => {}
                Err(error) => prop_assert!(false, "{error}"),
            }
        }
    }
}

/// In chunks of a datagram, and in the smallest of which none is copied.
#[test]
fn the_largest_payloads_are_passed_on_where_they_lie() {
    for (kind, length) in [
        (CarrierKind::Public, kwik_proto::data::MAX_PUBLIC_PAYLOAD),
        (CarrierKind::Contribution, kwik_proto::data::MAX_CONTRIBUTION_PAYLOAD),
    ] {
        let (delegation, promised) = (None, None);
        let stream = kwik_proto::StreamId::from_wire(1).unwrap();
        let header = StreamHeader { stream, kind, delegation, promised };
        let payload: Vec<u8> = (0..length).map(|byte| byte as u8).collect();
        let offset = |index: u64| Offset::new(index * length as u64).unwrap();
        let frames = [0, 1, 2].map(|index| Frame {
            offset: offset(index),
            fin: false,
            payload: payload.clone(),
        });
        let bytes = encode_carrier(&header, &frames);
        for size in [1400, 65] {
            let cut = |at: usize| bytes.slice(at..bytes.len().min(at + size));
            let chunks: Vec<Bytes> = (0..bytes.len()).step_by(size).map(cut).collect();
            let (events, end) = decode(&chunks);
            assert_eq!(end, Ok(()));
            assert_in_place(&header, &frames, &bytes, &events);
        }
    }
}

#[test]
fn held_counts_what_was_not_given_out() {
    let header = StreamHeader {
        stream: kwik_proto::StreamId::from_wire(1).unwrap(),
        kind: CarrierKind::Contribution,
        delegation: None,
        promised: None,
    };
    let frame = Frame { offset: Offset::ZERO, fin: false, payload: vec![7; 1000] };
    let bytes = encode_carrier(&header, &[frame]);
    let mut decoder = DataDecoder::new();
    decoder.push(bytes.slice(..bytes.len() - 1));
    assert!(matches!(decoder.poll(), Ok(Some(DataEvent::Header(_)))));
    assert_eq!(decoder.poll(), Ok(None));
    assert_eq!(decoder.held(), 999);
    decoder.push(bytes.slice(bytes.len() - 1..));
    assert_eq!(decoder.held(), 1000);
    while decoder.poll().unwrap().is_some() {}
    assert_eq!(decoder.held(), 0);
}

#[test]
fn tiny_chunks_do_not_pile_up_as_entries() {
    let header = StreamHeader {
        stream: kwik_proto::StreamId::from_wire(1).unwrap(),
        kind: CarrierKind::Contribution,
        delegation: None,
        promised: None,
    };
    let payload: Vec<u8> = (0..64 * 1024).map(|byte| byte as u8).collect();
    let frame = Frame { offset: Offset::ZERO, fin: false, payload: payload.clone() };
    let bytes = encode_carrier(&header, &[frame]);
    let single: Vec<Bytes> = (0..bytes.len()).map(|at| bytes.slice(at..=at)).collect();
    let (events, end) = decode(&single);
    assert_eq!(end, Ok(()));
    assert!(events.len() <= 1025, "{} events", events.len());
    let whole = DataEvent::Chunk { offset: Offset::ZERO, payload: payload.into() };
    assert_eq!(joined(&events), [DataEvent::Header(header), whole]);
}
