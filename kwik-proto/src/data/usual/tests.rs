use bytes::BytesMut;
use proptest::collection::vec;
use proptest::prelude::*;

use super::parse;
use crate::data::head::{self, Head};
use crate::data::{DataHeader, max_payload};
use crate::frame::CarrierKind;
use crate::id::{Offset, StreamId};

/// Numbers of every length that a varint can have here.
fn number() -> impl Strategy<Value = u64> {
    (0..62u32, any::<u64>()).prop_map(|(bits, value)| value & ((1 << (bits + 1)) - 1))
}

fn kind() -> impl Strategy<Value = CarrierKind> {
    prop_oneof![Just(CarrierKind::Public), Just(CarrierKind::Contribution)]
}

prop_compose! {
    fn header()(
        kind in kind(),
        stream in number(),
        offset in number(),
        fin in any::<bool>(),
        length in any::<prop::sample::Index>(),
        crc in any::<u32>(),
    ) -> (CarrierKind, DataHeader) {
        let length = length.index(max_payload(kind) + 1);
        let offset = Offset::new(offset.min(Offset::MAX.value() - length as u64)).expect("below 2^62");
        let stream = StreamId::from_wire(stream).expect("below 2^62");
        let crc32c = (kind == CarrierKind::Contribution).then_some(crc);
        let fin = fin && kind == CarrierKind::Public;
        (kind, DataHeader { stream, offset, fin, length, crc32c })
    }
}

/// The frame's head, and a little of its payload.
fn encoded(header: &DataHeader) -> Vec<u8> {
    let mut out = BytesMut::new();
    header.encode(&mut out);
    out.extend_from_slice(&[0xff; 8]);
    out.to_vec()
}

/// Nothing, or what the general parser says too.
fn assert_same(bytes: &[u8], kind: CarrierKind) -> Option<Head> {
    let head = parse(bytes, kind)?;
    assert_eq!(head::parse(bytes, 0, kind).ok().as_ref(), Some(&head), "{bytes:?} {kind:?}");
    Some(head)
}

proptest! {
    #[test]
    fn what_is_taken_is_what_was_written((kind, header) in header()) {
        let head = assert_same(&encoded(&header), kind);
        // Varints of nine bytes are the general parser's.
        if header.stream.value().max(header.offset.value()) < 1 << 56 {
            let Head { stream, offset, fin, crc32c, length, .. } = head.expect("as usual");
            prop_assert_eq!(DataHeader { stream, offset, fin, crc32c, length }, header);
        } else {
            prop_assert_eq!(head, None);
        }
    }

    #[test]
    fn a_damaged_head_is_taken_only_if_the_general_parser_takes_it(
        (kind, header) in header(),
        damage in vec((0..50usize, any::<u8>()), 1..4),
        other in kind(),
    ) {
        let mut bytes = encoded(&header);
        for (at, value) in damage {
            let at = at % bytes.len();
            bytes[at] = value;
        }
        assert_same(&bytes, kind);
        assert_same(&bytes, other);
    }

    #[test]
    fn a_part_of_a_head_is_left_to_the_general_parser((kind, header) in header()) {
        let bytes = encoded(&header);
        for end in 0..bytes.len() - 8 {
            prop_assert_eq!(parse(&bytes[..end], kind), None);
        }
    }
}

/// What this parser refuses must reach the general parser as it is: each of these is one step from a head that is taken.
#[test]
fn what_is_not_as_usual_is_refused() {
    use CarrierKind::{Contribution, Public};
    let refused: [(&str, CarrierKind, &[u8]); 11] = [
        ("length prefix too small", Public, &[3, 0x08, 5, 0x7a, 1, 9]),
        ("length prefix too large", Public, &[6, 0x08, 5, 0x7a, 1, 9, 9]),
        ("fields out of order", Public, &[6, 0x10, 1, 0x08, 5, 0x7a, 0]),
        ("a field twice", Public, &[6, 0x08, 5, 0x08, 5, 0x7a, 0]),
        ("an unknown field", Public, &[6, 0x08, 5, 0x70, 5, 0x7a, 0]),
        ("fin of 2", Public, &[6, 0x08, 5, 0x18, 2, 0x7a, 0]),
        ("a checksum on a public stream", Public, &[9, 0x08, 5, 0x25, 0, 0, 0, 0, 0x7a, 0]),
        ("no checksum on a contribution", Contribution, &[4, 0x08, 5, 0x7a, 0]),
        ("fin on a contribution", Contribution, &[9, 0x18, 1, 0x25, 0, 0, 0, 0, 0x7a, 0]),
        (
            "a payload of 64 KiB and 1 on a contribution",
            Contribution,
            &[0x8a, 0x80, 4, 0x25, 0, 0, 0, 0, 0x7a, 0x81, 0x80, 4],
        ),
        (
            "a payload of 1 MiB and 1 on a public stream",
            Public,
            &[0x85, 0x80, 0x40, 0x7a, 0x81, 0x80, 0x40],
        ),
    ];
    for (what, kind, bytes) in refused {
        assert_eq!(parse(&[bytes, &[0; 8]].concat(), kind), None, "{what}");
    }
    let taken = [4, 0x08, 5, 0x7a, 0];
    assert!(parse(&taken, Public).is_some());
    let largest = [0x84, 0x80, 0x40, 0x7a, 0x80, 0x80, 0x40, 0, 0, 0, 0, 0];
    assert!(parse(&largest, Public).is_some());
    let padded: [&[u8]; 3] = [
        &[0x84, 0x00, 0x08, 5, 0x7a, 0],
        &[5, 0x08, 0x85, 0x00, 0x7a, 0],
        &[5, 0x08, 5, 0x7a, 0x80, 0x00],
    ];
    for bytes in padded {
        assert_eq!(parse(&[bytes, &[0; 8]].concat(), Public), None, "not the shortest form");
    }
}
