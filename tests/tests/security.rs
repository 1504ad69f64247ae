//! docs/security.md: the tests that it names exist, and its defaults are those of the code.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn page() -> String {
    fs::read_to_string(root().join("docs/security.md")).unwrap()
}

/// All sources, by their path from the root.
fn sources() -> BTreeMap<String, String> {
    let mut sources = BTreeMap::new();
    for entry in fs::read_dir(root()).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if name == "tests" || name.starts_with("kwik-") {
            collect(&entry.path(), &name, &mut sources);
        }
    }
    sources
}

fn collect(path: &Path, name: &str, sources: &mut BTreeMap<String, String>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap().map(Result::unwrap) {
            let below = format!("{name}/{}", entry.file_name().to_str().unwrap());
            collect(&entry.path(), &below, sources);
        }
    } else if name.ends_with(".rs") {
        sources.insert(name.to_owned(), fs::read_to_string(path).unwrap());
    }
}

/// The sources whose path ends with these names.
fn of<'s>(
    sources: &'s BTreeMap<String, String>,
    file: &str,
) -> impl Iterator<Item = &'s str> + use<'s> {
    let end = format!("/{file}");
    sources.iter().filter(move |(path, _)| format!("/{path}").ends_with(&end)).map(|it| &**it.1)
}

/// What stands between backticks and names something in a file.
fn names(text: &str) -> Vec<(&str, &str)> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted
        .filter_map(|name| {
            name.split_once(".rs::")
                .map(|(file, _)| (&name[..file.len() + 3], &name[file.len() + 5..]))
        })
        .collect()
}

/// Whether the source has a test of that name, or an attack.
fn has_test(source: &str, name: &str) -> bool {
    let mut is_test = false;
    source.lines().map(str::trim).any(|line| {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
            return false;
        }
        if line.starts_with("#[") {
            is_test &= !line.starts_with("#[ignore");
            return false;
        }
        let function = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
        let found = is_test
            && function
                .is_some_and(|it| it.strip_prefix(name).is_some_and(|it| it.starts_with('(')));
        is_test = false;
        let attack = line.strip_prefix(name).is_some_and(|rest| {
            (rest.starts_with(" => ") || rest.starts_with(" within ")) && line.ends_with("| {")
        });
        found || attack
    })
}

/// What the source says that the constant, the field or the arm of a match is.
fn values(source: &str, name: &str) -> Vec<Amount> {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let mut values = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let bare = line.strip_prefix("pub(super) ").or(line.strip_prefix("pub(crate) "));
        let bare = bare.or(line.strip_prefix("pub ")).unwrap_or(line);
        let Some(rest) = bare.strip_prefix("const ").unwrap_or(bare).strip_prefix(name) else {
            continue;
        };
        if let Some((_, arm)) = bare.split_once(" => ").filter(|_| name.starts_with("Class::")) {
            values.extend(amount(arm.trim_end_matches(',')));
        } else if let Some(rest) = rest.strip_prefix(": ") {
            let value = rest.split_once(" = ").map_or(rest, |(_, value)| value);
            values.extend(amount(value.trim_end_matches([';', ','])));
            let option =
                at.checked_sub(1).and_then(|before| lines[before].split_once("default_value = \""));
            if let Some((_, default)) = option {
                values.extend(default.split('"').next().and_then(written));
            }
        }
    }
    values
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Amount {
    Number(u64),
    Micros(u64),
}

/// The value of an expression as constants have them.
fn amount(text: &str) -> Option<Amount> {
    for (unit, micros) in [("secs", 1_000_000), ("millis", 1_000), ("micros", 1)] {
        let time = text.strip_prefix(&format!("Duration::from_{unit}("));
        if let Some(time) = time.and_then(|text| text.strip_suffix(')')) {
            return number(time).map(|time| Amount::Micros(time * micros));
        }
    }
    if let Some((low, shift)) = text.split_once(" << ") {
        return Some(Amount::Number(number(low)? << number(shift)?));
    }
    let factors: Option<Vec<u64>> = text.split(" * ").map(number).collect();
    Some(Amount::Number(factors?.into_iter().product()))
}

fn number(text: &str) -> Option<u64> {
    text.trim().replace(['_', ','], "").parse().ok()
}

/// The value of an amount as a document, or an option of the program, has it.
fn written(text: &str) -> Option<Amount> {
    let text = text.trim();
    let digits = text.find(|letter: char| !letter.is_ascii_digit() && !",.".contains(letter));
    let (value, unit) = text.split_at(digits.unwrap_or(text.len()));
    let times = |micros: f64| {
        let value: f64 = value.replace(',', "").parse().ok()?;
        Some(Amount::Micros((value * micros) as u64))
    };
    let sizes = |shift: u32| number(value).map(|value| Amount::Number(value << shift));
    match unit.trim() {
        "" => sizes(0),
        "KiB" => sizes(10),
        "MiB" => sizes(20),
        "GiB" => sizes(30),
        "ms" => times(1e3),
        "s" => times(1e6),
        "min" => times(6e7),
        _ => None,
    }
}

#[test]
fn every_test_that_is_named_exists() {
    let (page, sources) = (page(), sources());
    let tests = |line: &str| line.rsplit('|').nth(1).unwrap_or(line).to_owned();
    let mut count = 0;
    for line in page.lines() {
        // A table's last cell, or a paragraph.
        for (file, name) in names(&tests(line)) {
            let found = of(&sources, file).any(|source| has_test(source, name));
            assert!(found, "no test {name} in {file}");
            count += 1;
        }
    }
    assert!(count > 150, "{count}");
}

#[test]
fn every_default_is_that_of_the_code() {
    let (page, sources) = (page(), sources());
    let mut count = 0;
    for line in page.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, limit, default, constants, ..] = cells[..] else { continue };
        let constants = names(constants);
        let functions = constants.iter().any(|(_, name)| name.ends_with("()"));
        if functions {
            for (file, name) in constants {
                let declared = format!("fn {}(", name.trim_end_matches("()"));
                assert!(of(&sources, file).any(|it| it.contains(&declared)), "{file}: {declared}");
            }
            continue;
        }
        if constants.is_empty() || default == "none" {
            continue;
        }
        let defaults: Vec<&str> = default.split(';').collect();
        let same = if defaults.len() == 1 { vec![defaults[0]; constants.len()] } else { defaults };
        assert_eq!(same.len(), constants.len(), "{limit}");
        for (default, (file, name)) in same.into_iter().zip(constants) {
            let value = written(default);
            let found: Vec<Amount> = of(&sources, file).flat_map(|it| values(it, name)).collect();
            assert!(
                value.is_some_and(|it| found.contains(&it)),
                "{limit}: {default}, {name}: {found:?}"
            );
            count += 1;
        }
    }
    assert!(count > 80, "{count}");
}

#[test]
fn amounts_are_read_as_they_are_meant() {
    for (code, document) in [
        ("1 << 20", "1 MiB"),
        ("64 * 1024", "64 KiB"),
        ("10_000", "10,000"),
        ("Duration::from_millis(2_500)", "2.5 s"),
        ("Duration::from_secs(300)", "5 min"),
        ("100", "100"),
    ] {
        assert!(amount(code).is_some());
        assert_eq!(amount(code), written(document), "{code}");
    }
    assert_eq!(amount("MIN_INITIAL_WINDOW"), None);
    assert!(has_test("#[test]\nfn a_b() {", "a_b") && !has_test("fn a_b() {", "a_b"));
    assert!(!has_test("#[test]\nfn a_b_c() {", "a_b"));
    assert!(has_test("    pings => Outcome::Throttled, |it| {", "pings"));
}
