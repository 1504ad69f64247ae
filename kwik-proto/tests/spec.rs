//! The specification says what the code does, where both name the same numbers.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use kwik_proto::frame::ErrorCode;

fn page(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/spec").join(name))
        .unwrap()
}

/// `TokenMissing` as `TOKEN_MISSING`.
fn screaming(name: &str) -> String {
    let mut out = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(letter.to_ascii_uppercase());
    }
    out
}

#[test]
fn the_table_of_errors_is_that_of_the_code() {
    let page = page("errors.md");
    let listed: Vec<(u64, &str)> = page
        .lines()
        .filter_map(|line| {
            let mut cells = line.split('|').map(str::trim).skip(1);
            let number = cells.next()?.parse().ok()?;
            Some((number, cells.next()?.trim_matches('`')))
        })
        .collect();
    let known: Vec<(u64, String)> =
        ErrorCode::ALL.iter().map(|code| (code.wire(), screaming(&format!("{code:?}")))).collect();
    let listed: Vec<(u64, String)> =
        listed.into_iter().map(|(number, name)| (number, name.to_owned())).collect();
    assert_eq!(listed, known);
}

#[test]
fn codes_survive_the_wire() {
    for code in ErrorCode::ALL {
        assert_eq!(ErrorCode::from_wire(code.wire()), Some(code));
        assert_eq!(ErrorCode::from_quic_code(code.quic_code()), Some(code));
    }
}

#[test]
fn every_rule_has_a_number_of_its_own_and_every_page_is_listed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/spec");
    let index = page("README.md");
    let mut last: BTreeMap<String, u32> = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(name == "README.md" || index.contains(&format!("({name})")), "{name}");
        for line in page(&name).lines() {
            let Some(rule) = line.strip_prefix("- **").and_then(|line| line.split("**").next())
            else {
                continue;
            };
            let (kind, number) = rule.split_once('-').unwrap();
            let number: u32 = number.parse().unwrap();
            let before = last.insert(kind.to_owned(), number);
            assert!(before.is_none_or(|before| before < number), "{rule} after {before:?}");
        }
    }
    assert!(last.len() >= 12, "{last:?}");
}
