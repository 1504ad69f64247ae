//! What programs and shells that use `kwik` rely on.

#![allow(clippy::unwrap_used)]

mod common;

use std::process::{Command, Stdio};
use std::time::Instant;
use std::{fs, str};

use common::{Fleet, content, fail, kwik, names, succeed};

fn object(output: &[u8]) -> serde_json::Value {
    let text = str::from_utf8(output).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(text).unwrap()
}

#[test]
fn json_tells_of_a_failure_too() {
    let fleet = Fleet::start(0, &[("f", b"content")]);
    let output = fleet.get("missing").args(["--json", "-o", "out"]).output().unwrap();
    let told = object(&output.stdout);
    assert_eq!((&told["cause"], &told["status"]), (&"not-found".into(), &3.into()));
    assert_eq!((&told["code"], &told["kept_bytes"]), (&"NotFound".into(), &0.into()));
    assert!(told["error"].as_str().unwrap().contains("missing"), "{told}");
    assert_eq!(output.status.code(), Some(3));
    // Where the content goes to standard output, the object does not.
    let output = fleet.get("missing").args(["--json", "-o", "-"]).output().unwrap();
    assert!(output.stdout.is_empty());
    assert_eq!(object(&output.stderr)["status"], 3);
}

#[test]
fn a_server_that_refuses_is_told_by_the_name_of_its_code() {
    // A secondary sends nothing to clients that come by themselves.
    let fleet = Fleet::start(1, &[("f", b"content")]);
    let secondary = &fleet.secondaries[0];
    let mut get = kwik(fleet.dir.path());
    get.args(["get", &secondary.url("f"), "--pin", &secondary.pin, "--json", "-o", "out"]);
    let output = get.output().unwrap();
    let told = object(&output.stdout);
    assert_eq!((&told["cause"], &told["code"]), (&"refused".into(), &"BadRequest".into()));
    assert_eq!(output.status.code(), Some(5));
}

#[test]
fn a_directory_for_the_file_is_made() {
    let fleet = Fleet::start(0, &[("sub/f", b"content")]);
    let dir = fleet.dir.path();
    succeed(fleet.get("sub/f").args(["-P", "new/dir"]));
    succeed(fleet.get("sub/f").args(["-P", "new", "-o", "g"]));
    assert_eq!(fs::read(dir.join("new/dir/f")).unwrap(), b"content");
    assert_eq!(fs::read(dir.join("new/g")).unwrap(), b"content");
    assert!(!names(dir).contains(&"f".to_owned()));
    let line = fail(fleet.get("sub/f").args(["-P", "new/g/below"]), 7);
    assert!(line.contains("new/g/below"), "{line}");
}

#[test]
fn a_rate_is_kept_on_the_average() {
    let fleet = Fleet::start(0, &[("f", &content(4 << 20))]);
    let start = Instant::now();
    succeed(fleet.get("f").args(["--max-rate", "2MiB", "-o", "out"]));
    // The last piece comes when the time of those before it is over.
    assert!(start.elapsed().as_secs_f64() > 1.5, "{:?}", start.elapsed());
    fail(fleet.get("f").args(["--max-rate", "0", "-o", "out"]), 2);
}

#[test]
fn pins_may_come_from_the_environment() {
    let fleet = Fleet::start(0, &[("f", b"content")]);
    let (url, pin) = (fleet.primary.url("f"), fleet.primary.pin.to_uppercase());
    let mut get = kwik(fleet.dir.path());
    succeed(get.args(["get", &url, "-o", "out"]).env("KWIK_PIN", pin));
    let mut get = kwik(fleet.dir.path());
    get.args(["get", &url, "-o", "out"]).env("KWIK_PIN", "sha256:00");
    assert!(fail(&mut get, 1).contains("KWIK_PIN"));
}

#[test]
fn shells_and_man_take_what_they_are_given() {
    let dir = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let text = succeed(kwik(dir.path()).args(["completions", shell])).stdout;
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("max-rate") && text.contains("kwik"), "{shell}");
        if shell == "bash" {
            fs::write(dir.path().join("kwik.bash"), text).unwrap();
            let mut bash = Command::new("bash");
            bash.args(["-c", ". ./kwik.bash && complete -p kwik"]).current_dir(dir.path());
            succeed(bash.stdin(Stdio::null()));
        }
    }
    let manual = String::from_utf8(succeed(kwik(dir.path()).arg("man")).stdout).unwrap();
    for part in [".TH kwik 1", "kwik\\-get", "Exit status", "max\\-rate"] {
        assert!(manual.contains(part), "{part}");
    }
}
