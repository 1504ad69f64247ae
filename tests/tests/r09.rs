//! R9: programs written for s2n-quic move over. Behaviours and echo programs are one source each, run over a bare
//! s2n-quic connection (`quic::`) and over KWIK (`kwik::`).
#![allow(clippy::unwrap_used)]
// On purpose: one source, compiled against two transports.
#![allow(clippy::duplicate_mod)]
// The ends of s2n-quic have the same types, those of KWIK have not: a name that is long for one is needed for the other.
#![allow(unused_qualifications)]
// Errors that are fields in one are plain in the other.
#![allow(clippy::unneeded_struct_pattern)]

#[path = "r09/kwik.rs"]
mod kwik;
#[path = "r09/quic.rs"]
mod quic;

use std::collections::BTreeSet;

const BEHAVIOURS: [&str; 6] = [
    include_str!("r09/behaviour/ends.rs"),
    include_str!("r09/behaviour/reads.rs"),
    include_str!("r09/behaviour/resets.rs"),
    include_str!("r09/behaviour/sessions.rs"),
    include_str!("r09/behaviour/streams.rs"),
    include_str!("r09/behaviour/writes.rs"),
];

/// Names of tests in `text` that come between `before` and `after`.
fn names<'a>(text: &'a str, before: &str, after: char) -> BTreeSet<&'a str> {
    let ends = text.split(before).skip(1);
    ends.filter_map(|rest| rest.split(after).next())
        .filter(|name| name.starts_with("r09_"))
        .collect()
}

#[test]
fn r09_5_every_behaviour_is_listed_with_its_source() {
    let listed = names(include_str!("../../docs/behaviour.md"), "| `", '`');
    let tested: BTreeSet<_> =
        BEHAVIOURS.iter().flat_map(|text| names(text, "async fn ", '(')).collect();
    assert_eq!(listed, tested);
    assert!(tested.len() >= 40, "{}", tested.len());
}
