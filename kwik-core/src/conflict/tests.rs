#![allow(clippy::unwrap_used)]

use kwik_proto::{ByteRange, Offset, PathId};

use super::{Conflict, Referee, Verdict, differences};
use crate::interval::RangeSet;

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

fn question(start: u64) -> Conflict {
    let range = ByteRange::with_length(at(start), 1).unwrap();
    Conflict { range, holder: A, rival: B, verdict: Verdict::Undecided }
}

/// Every question and verdict that the session hears.
fn heard(referee: &mut Referee) -> Vec<(u64, u64, Verdict)> {
    let next = || referee.next_verdict();
    std::iter::from_fn(next)
        .map(|one| (one.range.start().value(), one.range.end().value(), one.verdict))
        .collect()
}

#[test]
fn the_primary_is_asked_for_the_same_bytes_once_until_its_copy_came() {
    let mut referee = Referee::default();
    for _ in 0..3 {
        referee.open(question(7), b"x", b"y");
    }
    assert_eq!(heard(&mut referee), [(7, 8, Verdict::Undecided)]);
    assert_eq!(referee.decide(at(7), b"x").len(), 3, "the claims stand all the same");
    referee.open(question(7), b"x", b"y");
    assert_eq!(heard(&mut referee), [(7, 8, Verdict::Undecided)]);
}

#[test]
fn no_question_is_lost_when_there_are_too_many() {
    let mut referee = Referee::default();
    referee.announce(Conflict { verdict: Verdict::Wrong(B), ..question(1) });
    for start in 0..500 {
        referee.open(question(2 * start), b"x", b"y");
    }
    let heard = heard(&mut referee);
    assert!(heard.len() <= 64, "{}", heard.len());
    assert_eq!(heard[0].2, Verdict::Wrong(B));
    let covered: RangeSet =
        heard[1..].iter().filter_map(|one| ByteRange::new(at(one.0), at(one.1))).collect();
    for start in 0..500 {
        assert!(covered.contains(at(2 * start)), "{start}");
    }
}

#[test]
fn the_memory_for_open_differences_has_a_bound() {
    let mut referee = Referee::default();
    for start in 0..500 {
        let range = ByteRange::with_length(at(1_000 * start), 1_000).unwrap();
        let conflict = Conflict { range, holder: A, rival: B, verdict: Verdict::Undecided };
        referee.open(conflict, &[1; 1_000], &[2; 1_000]);
    }
    // 16 of them, and 256 bytes of each side.
    assert_eq!(referee.memory(), 16 * 2 * 256);
}
