#![allow(clippy::unwrap_used)]

use super::*;

fn filter(include: &[&str], exclude: &[&str]) -> Filter {
    let globs =
        |texts: &[&str]| texts.iter().map(|text| pattern(text).unwrap()).collect::<Vec<_>>();
    Filter::new(&globs(include), &globs(exclude)).unwrap()
}

#[test]
fn without_patterns_everything_is_wanted() {
    assert!(filter(&[], &[]).wants("a/b/c"));
}

#[test]
fn a_pattern_without_a_slash_is_of_a_name_at_any_depth() {
    let filter = filter(&["*.bin"], &["tmp*"]);
    for (path, wanted) in [
        ("a.bin", true),
        ("a/b/c.bin", true),
        ("a.txt", false),
        ("tmp.bin", false),
        ("tmp/a.bin", false),
        ("a/tmp-2/b.bin", false),
    ] {
        assert_eq!(filter.wants(path), wanted, "{path}");
    }
    assert!(filter.enters("a") && !filter.enters("a/tmp"));
}

#[test]
fn a_pattern_with_a_slash_is_of_a_path() {
    let filter = filter(&["sub/*.bin", "deep/**/x"], &["/top"]);
    for (path, wanted) in [
        ("sub/a.bin", true),
        ("sub/b/a.bin", false),
        ("a.bin", false),
        ("other/sub/a.bin", false),
        ("deep/x", true),
        ("deep/1/2/x", true),
    ] {
        assert_eq!(filter.wants(path), wanted, "{path}");
    }
    assert!(!filter.enters("top") && filter.enters("sub/top"));
}

#[test]
fn a_directory_that_is_included_stands_for_all_below_it() {
    let filter = filter(&["models/"], &[]);
    assert!(filter.wants("models/a/b") && filter.wants("x/models/a") && !filter.wants("other/a"));
}

#[test]
fn what_is_no_pattern_is_refused() {
    for text in ["", "/", "[a", "{a", "a{b{c"] {
        assert!(pattern(text).is_err(), "{text}");
    }
}
