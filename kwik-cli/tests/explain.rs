//! `kwik explain`.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;

use common::{Fleet, fail, kwik, succeed};

#[test]
fn what_get_prints_is_explained_and_what_it_does_not_print_is_refused_in_a_line() {
    let fleet = Fleet::start(1, &[("f", &[7; 1 << 20])]);
    let dir = fleet.dir.path();
    let output = succeed(fleet.get("f").args(["--json", "-o", "out"]));
    fs::write(dir.join("report.json"), &output.stdout).unwrap();
    let explained = succeed(kwik(dir).args(["explain", "report.json"]));
    let text = String::from_utf8(explained.stdout).unwrap();
    assert!(text.starts_with("1048576 bytes in "), "{text}");
    assert!(text.contains("in-order delay: median "), "{text}");
    // A pause that somebody wrote down.
    let pause = r#"{"bytes":1,"seconds":1,"stalls":[{"at_ms":0,"ms":60,"offset":3,"length":4,"path":"a","ended_by":"b"}]}"#;
    fs::write(dir.join("pause.json"), pause).unwrap();
    let explained = succeed(kwik(dir).args(["explain", "pause.json"]));
    let text = String::from_utf8(explained.stdout).unwrap();
    assert!(text.contains("1 pause of more than 50 ms, 60 ms in all"), "{text}");
    assert!(
        text.contains("bytes 3 to 7 were owed by a, which was slow; b had been asked too"),
        "{text}"
    );
    fs::write(dir.join("other.json"), b"{\"a\": 1}").unwrap();
    fs::write(dir.join("binary"), [0xff; 9]).unwrap();
    for (file, part) in [
        ("absent", "absent can't be read: "),
        ("other.json", "other.json is not what `kwik get --json` prints"),
        ("binary", "binary can't be read: it is not text"),
    ] {
        let line = fail(kwik(dir).args(["explain", file]), 1);
        assert!(line.contains(part), "{line}");
    }
    fail(kwik(dir).arg("explain"), 2);
}
