#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender};

use serde_json::Value;

use super::*;

fn request<'a>(path: &'a str, sources: &'a [(String, u64)]) -> Request<'a> {
    let client = Some("192.0.2.9:5000".parse().unwrap());
    Request { client, path, sources, took: Duration::from_millis(812), result: "Ok" }
}

fn sources() -> Vec<(String, u64)> {
    vec![("primary".to_owned(), 5), ("192.0.2.7:4434".to_owned(), 7)]
}

#[test]
fn a_text_line_has_everything_and_can_be_taken_apart() {
    let sources = sources();
    let line = request("a \"b\"\\c\u{1b}[2J\n\u{202e}ü", &sources).line(Format::Text);
    let (time, rest) = line.split_once(' ').unwrap();
    assert!(time.ends_with('Z') && time.contains('T'), "{time}");
    let expected = "192.0.2.9:5000 \"a \\\"b\\\"\\\\c\\u{1b}[2J\\n\\u{202e}ü\" Ok 12 0.812 primary=5 192.0.2.7:4434=7\n";
    assert_eq!(rest, expected);
}

#[test]
fn a_json_line_is_one_object() {
    let sources = sources();
    let line = request("a\u{2028}\nb\"", &sources).line(Format::Json);
    assert_eq!(line.matches('\n').count(), 1);
    assert!(!line.contains('\u{2028}'));
    let object: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(object["path"], "a\\u{2028}\\nb\"");
    assert_eq!((&object["bytes"], &object["seconds"]), (&12.into(), &0.812.into()));
    assert_eq!(object["sources"]["192.0.2.7:4434"], 7);
    assert_eq!((&object["client"], &object["result"]), (&"192.0.2.9:5000".into(), &"Ok".into()));
}

#[test]
fn the_longest_path_has_its_end_cut_off() {
    let path = "\u{1b}".repeat(8 << 10);
    for format in [Format::Text, Format::Json] {
        assert!(request(&path, &[]).line(format).len() < 9_000);
    }
}

/// Takes what it is allowed to, one write after another: that many bytes, or an error.
struct Scripted {
    script: Receiver<io::Result<usize>>,
    written: Arc<Mutex<Vec<u8>>>,
}

impl Write for Scripted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let most = self.script.recv().map_err(|_| io::Error::other("the script is over"))??;
        let taken = bytes.len().min(most);
        self.written.lock().unwrap().extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Reopen for Scripted {
    fn reopen(&mut self) -> io::Result<()> {
        Ok(())
    }
}

type Script = Sender<io::Result<usize>>;

fn scripted() -> (AccessLog, Script, Arc<Mutex<Vec<u8>>>) {
    let (allow, script) = mpsc::channel();
    let written = Arc::<Mutex<Vec<u8>>>::default();
    let target = Scripted { script, written: written.clone() };
    (AccessLog::write_to(Box::new(target), Format::Text).unwrap(), allow, written)
}

fn lines(written: &Mutex<Vec<u8>>) -> Vec<String> {
    let text = String::from_utf8(written.lock().unwrap().clone()).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_pipe_that_takes_nothing_holds_nobody_up_and_what_was_lost_is_said() {
    let (log, allow, written) = scripted();
    // Nothing is allowed yet: one line is with the thread at most, the others wait, and the rest is left out.
    let all = QUEUE as u64 + 100;
    (0..all).for_each(|_| log.log(&request("f", &[])));
    let dropped = log.0.as_ref().unwrap().dropped.load(Ordering::Relaxed);
    assert!((99..=100).contains(&dropped), "{dropped}");
    (0..3 * all).for_each(|_| allow.send(Ok(usize::MAX)).unwrap());
    log.flush();
    let lines = lines(&written);
    assert_eq!(lines.len() as u64, all - dropped + 1);
    let notices: Vec<_> = lines.iter().filter(|line| line.starts_with('#')).collect();
    assert_eq!(notices, [&format!("# {dropped} lines were left out")]);
}

#[test]
fn a_disk_that_was_full_goes_on_with_whole_lines() {
    let (log, allow, written) = scripted();
    let full = || Err(io::Error::from(io::ErrorKind::StorageFull));
    // The first line in part, then nothing: the second is lost too. Then there is room.
    for step in [Ok(10), full(), full()] {
        allow.send(step).unwrap();
    }
    (0..20).for_each(|_| allow.send(Ok(usize::MAX)).unwrap());
    for path in ["one", "two", "three"] {
        log.log(&request(path, &[]));
    }
    log.flush();
    let lines = lines(&written);
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert_eq!((lines[0].len(), lines[1].as_str()), (10, "# 2 lines were left out"));
    assert!(lines[2].contains("\"three\""), "{lines:?}");
}

#[test]
fn a_file_is_appended_to_and_opened_anew() {
    let dir = tempfile::tempdir().unwrap();
    let (path, old) = (dir.path().join("log"), dir.path().join("log.1"));
    std::fs::write(&path, "before\n").unwrap();
    let log = AccessLog::open(path.clone(), Format::Text).unwrap();
    log.log(&request("one", &[]));
    log.flush();
    std::fs::rename(&path, &old).unwrap();
    log.reopen();
    log.log(&request("two", &[]));
    log.flush();
    let text = |path| std::fs::read_to_string(path).unwrap();
    assert!(text(&old).starts_with("before\n") && text(&old).contains("\"one\""));
    assert!(text(&path).contains("\"two\"") && !text(&path).contains("\"one\""));
}

#[test]
fn a_file_that_cannot_be_written_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let error = AccessLog::open(dir.path().join("no/log"), Format::Text).unwrap_err();
    assert!(format!("{error:#}").contains("no/log"), "{error:#}");
    assert!(format!("{error:#}").contains("--access-log"), "{error:#}");
}
