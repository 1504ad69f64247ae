//! Every criterion of docs/requirements.md has a test that bears its name.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Criteria whose tests come with later work. This list may only shrink: a test for one of these fails the check until
/// its line is taken out.
const DUE: &[&str] = &[];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The criteria, as the first column of the tables has them.
fn criteria() -> BTreeSet<String> {
    let text = std::fs::read_to_string(root().join("docs/requirements.md")).unwrap();
    let cells = text.lines().filter_map(|line| line.strip_prefix("| R")?.split(' ').next());
    cells.map(|number| format!("R{number}")).collect()
}

/// `r03_2_data_lands` tests R3.2, `r01_3_and_4_accept` tests R1.3 and R1.4.
fn criteria_of(function: &str) -> Vec<String> {
    let parts: Vec<&str> = function.split('_').collect();
    let [requirement, number, promise @ ..] = &parts[..] else { return Vec::new() };
    let digits = requirement.strip_prefix('r').filter(|digits| digits.len() == 2);
    let Some(Ok(requirement)) = digits.map(str::parse::<u32>) else { return Vec::new() };
    let (mut numbers, mut promise) = (vec![*number], promise);
    while let ["and", number, rest @ ..] = promise {
        numbers.push(number);
        promise = rest;
    }
    let numbers: Result<Vec<u32>, _> = numbers.iter().map(|number| number.parse()).collect();
    match numbers {
        Ok(numbers) if promise.iter().any(|word| !word.is_empty()) => {
            numbers.iter().map(|number| format!("R{requirement}.{number}")).collect()
        }
        _ => Vec::new(),
    }
}

/// Names of the functions under that folder that are tests.
fn tests_under(folder: &Path, names: &mut BTreeSet<String>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                tests_under(&path, names);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            names.extend(tests_in(&std::fs::read_to_string(&path).unwrap()));
        }
    }
}

fn tests_in(source: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut is_test = false;
    for line in source.lines().map(str::trim) {
        let declared = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if let Some(declared) = declared {
            if is_test {
                names.extend(declared.split('(').next().map(str::to_owned));
            }
            is_test = false;
        } else if line == "#[ignore]" || line.starts_with("#[ignore ") {
            is_test = false;
        }
    }
    names
}

#[test]
fn every_criterion_has_its_test() {
    let mut names = BTreeSet::new();
    for folder in ["tests/tests", "kwik-sim/tests", "kwik-cli/tests", "kwik-client/tests"] {
        tests_under(&root().join(folder), &mut names);
    }
    let tested: BTreeSet<String> = names.iter().flat_map(|name| criteria_of(name)).collect();
    let criteria = criteria();
    assert_eq!(criteria.len(), 50, "the criteria are the rows of the tables");
    let due: BTreeSet<String> = DUE.iter().map(|&criterion| criterion.to_owned()).collect();
    let unknown: Vec<_> = tested.union(&due).filter(|it| !criteria.contains(*it)).collect();
    assert!(unknown.is_empty(), "no such criterion: {unknown:?}");
    let missing: Vec<_> = criteria.iter().filter(|it| !tested.contains(*it)).collect();
    let missing: Vec<_> = missing.into_iter().filter(|it| !due.contains(*it)).collect();
    assert!(missing.is_empty(), "criteria without a test: {missing:?}");
    let done: Vec<_> = due.intersection(&tested).collect();
    assert!(done.is_empty(), "tested now, so no longer due: {done:?}");
}

#[test]
fn names_of_tests_are_read_as_they_are_meant() {
    assert_eq!(criteria_of("r03_2_data_lands_at_its_offset"), ["R3.2"]);
    assert_eq!(criteria_of("r10_5_under_load"), ["R10.5"]);
    assert_eq!(criteria_of("r01_3_and_4_accept_returns_streams"), ["R1.3", "R1.4"]);
    for other in ["r3_2_x", "r03_x_y", "r03_2", "reads_all", "r03_2_"] {
        assert!(criteria_of(other).is_empty(), "{other}");
    }
    let source = "#[test]\nfn a() {}\nfn b() {}\n#[tokio::test(flavor = \"x\")]\nasync fn c() {}\n#[test]\n#[ignore]\nfn d() {}";
    assert_eq!(tests_in(source), ["a", "c"]);
}
