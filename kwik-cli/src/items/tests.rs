#![allow(clippy::unwrap_used)]

use clap::Parser as _;

use super::*;
use crate::cli::{Cli, Command};

fn of(line: &str) -> Result<Wanted, String> {
    let line = ["kwik", "get"].into_iter().chain(line.split_whitespace());
    let Command::Get(args) = Cli::try_parse_from(line).unwrap().command else { panic!() };
    wanted(&args).map_err(|error| format!("{error:#}"))
}

/// Names with the hosts of their servers.
fn files(line: &str) -> Vec<(String, Vec<String>)> {
    let Wanted::Files(items) = of(line).unwrap() else { panic!("{line}") };
    let hosts = |item: &Item| item.sources.iter().map(|(_, url)| url.host()).collect();
    items.iter().map(|item| (item.name.clone(), hosts(item))).collect()
}

fn trees(line: &str) -> Vec<(String, Option<String>, Option<String>)> {
    let Wanted::Trees(trees) = of(line).unwrap() else { panic!("{line}") };
    let tree = |tree: Tree| {
        let base = tree.base.map_or(String::new(), |base| base.to_string());
        (base, tree.pattern.map(|glob| glob.glob().to_owned()), tree.name)
    };
    trees.into_iter().map(tree).collect()
}

#[test]
fn urls_of_the_same_path_stand_in_for_one_another() {
    let one = |line| matches!(of(line).unwrap(), Wanted::One(_));
    assert!(one("kwik://a/x") && one("kwik://a/x kwik://b/x"));
    assert!(one("-o f kwik://a/x kwik://b/y"), "-o names one content");
    assert!(one("-o f kwik://a/[x"), "with -o there are no patterns");
    let expected = vec![
        ("x".to_owned(), vec!["a".to_owned(), "b".to_owned()]),
        ("y".to_owned(), vec!["a".to_owned()]),
    ];
    assert_eq!(files("kwik://a/x kwik://a/y kwik://b/x"), expected);
}

#[test]
fn two_urls_of_one_name_are_both_named() {
    for (line, urls) in [
        ("kwik://a/1/x kwik://a/2/x", ["kwik://a/1/x", "kwik://a/2/x"]),
        ("kwik://a/x kwik://b/1/x kwik://a/y", ["kwik://a/x", "kwik://b/1/x"]),
        ("kwik://a/x kwik://a:4433/x", ["kwik://a/x", "kwik://a:4433/x"]),
        ("-r kwik://a/m/ kwik://b/n/", ["kwik://a/m/", "kwik://b/n/"]),
        ("-r kwik://a/m kwik://b/x/m", ["kwik://a/m", "kwik://b/x/m"]),
    ] {
        let error = of(line).unwrap_err();
        assert!(urls.iter().all(|url| error.contains(url)), "{line}: {error}");
    }
}

#[test]
fn a_directory_is_meant_with_or_without_its_name() {
    let tree = |base: &str, pattern: Option<&str>, name: Option<&str>| {
        vec![(base.to_owned(), pattern.map(str::to_owned), name.map(str::to_owned))]
    };
    assert_eq!(trees("-r kwik://a/m/"), tree("m", None, None));
    assert_eq!(trees("-r kwik://a/x/m"), tree("x/m", None, Some("m")));
    assert_eq!(trees("-r kwik://a/"), tree("", None, None));
    assert_eq!(trees("kwik://a/x/*.bin"), tree("x", Some("*.bin"), None));
    assert_eq!(trees("kwik://a/*.bin"), tree("", Some("*.bin"), None));
    assert_eq!(trees("-r kwik://a/x%20y/m"), tree("x y/m", None, Some("m")));
}

#[test]
fn what_is_for_one_file_is_not_for_several() {
    for line in [
        "--range 0-1 kwik://a/x kwik://a/y",
        "--range 0-1 kwik://a/*",
        "-r kwik://a/../x",
        "kwik://a/[x",
    ] {
        assert!(of(line).is_err(), "{line}");
    }
}

#[test]
fn lines_have_urls_comments_and_nothing() {
    let text = "# a comment\n\n  kwik://a/x  \r\nkwik://a/y\tkwik://b/y\n#kwik://a/z\nkwik://a/w";
    let groups = parse_lines(text.as_bytes()).unwrap();
    let counts: Vec<_> = groups.iter().map(Vec::len).collect();
    assert_eq!(counts, [1, 2, 1]);
    assert!(parse_lines(&b""[..]).unwrap().is_empty());
}

#[test]
fn a_line_that_is_wrong_is_named_by_its_number() {
    let long = format!("\n{}", "x".repeat(100_000));
    for (text, line) in [
        (&b"kwik://a/x\n\nhttp://b/y\n"[..], 3),
        (b"kwik://a/x\n\xff\n", 2),
        (long.as_bytes(), 2),
        (b"kwik://a/x y", 1),
    ] {
        match parse_lines(text).unwrap_err() {
            LineError::Wrong(number, _) => assert_eq!(number, line),
            LineError::Read(error) => panic!("{error}"),
        }
    }
}
