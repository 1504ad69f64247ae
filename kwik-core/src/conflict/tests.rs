#![allow(clippy::unwrap_used)]

use kwik_proto::{Offset, PathId};

use super::differences;

const A: PathId = PathId::new(1);
const B: PathId = PathId::new(2);

fn at(offset: u64) -> Offset {
    Offset::new(offset).unwrap()
}

/// Differences of `copy` at offset 10 as (start, end, holder).
fn found(held: &[(u64, PathId, &'static str)], copy: &str) -> Vec<(u64, u64, PathId)> {
    let held = held.iter().map(|(start, path, text)| (at(*start), *path, text.as_bytes()));
    differences(held, at(10), copy.as_bytes())
        .iter()
        .map(|difference| {
            assert!(difference.held.len() as u64 <= difference.range.len());
            let range = difference.range;
            (range.start().value(), range.end().value(), difference.holder)
        })
        .collect()
}

#[test]
fn equal_bytes_do_not_differ() {
    assert_eq!(found(&[(8, A, "xxabcd"), (14, B, "ef")], "abcdef"), []);
}

#[test]
fn bytes_outside_the_overlap_do_not_count() {
    assert_eq!(found(&[(8, A, "xxab"), (15, B, "fxxx")], "abXXXf"), []);
    assert_eq!(found(&[(5, A, "xx"), (20, B, "yy")], "abcdef"), []);
}

#[test]
fn difference_spans_first_to_last_byte() {
    assert_eq!(found(&[(10, A, "abcdef")], "aXcXef"), [(11, 14, A)]);
}

#[test]
fn pieces_of_one_stretch_make_one_difference() {
    assert_eq!(found(&[(10, A, "ab"), (12, A, "cd"), (14, A, "ef")], "aXcdXf"), [(11, 15, A)]);
}

#[test]
fn holes_and_other_paths_part_differences() {
    assert_eq!(found(&[(10, A, "ab"), (13, A, "de")], "XbcXe"), [(10, 11, A), (13, 14, A)]);
    assert_eq!(found(&[(10, A, "ab"), (12, B, "cd")], "XbcX"), [(10, 11, A), (13, 14, B)]);
}

#[test]
fn evidence_starts_at_the_first_difference() {
    let held = [(at(10), A, &b"ab"[..]), (at(12), A, &b"cd"[..])];
    let found = differences(held.into_iter(), at(10), b"aXXd");
    assert_eq!(found[0].held, b"bc");
}
