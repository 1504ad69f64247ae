#![allow(clippy::unwrap_used)]

use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;

use super::*;
use crate::kept::{Kept, Left, kept};

pub(crate) mod disk;

const TAG: Tag = Tag([5; 32]);

/// A directory with a target `f` that is to be.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn try_open(&self, resume: Resume) -> anyhow::Result<(Part, Option<String>, Kept)> {
        let (keeper, kept) = kept();
        let urls = ["kwik://h:1/f".to_owned()];
        let (part, note) = Part::open(self.path("f"), None, &urls, resume, keeper)?;
        Ok((part, note, kept))
    }

    fn open(&self) -> Part {
        let (part, note, _) = self.try_open(Resume::Continue).unwrap();
        assert_eq!(note, None);
        part
    }

    /// Opens it with a reason to start over.
    fn noted(&self) -> (Part, String) {
        let (part, note, _) = self.try_open(Resume::Continue).unwrap();
        (part, note.expect("a reason"))
    }

    fn refused(&self) -> String {
        format!("{:#}", self.try_open(Resume::Continue).unwrap_err())
    }

    /// Leaves `bytes` as an interrupted download does.
    fn leave(&self, bytes: &[u8]) {
        let mut part = self.open();
        part.begin(Content { tag: TAG, size: 1000 }).unwrap();
        part.write(bytes).unwrap();
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.0.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

fn kept_bytes(part: &Part) -> Option<u64> {
    part.resumed().map(|resumed| resumed.bytes)
}

#[test]
fn what_was_written_is_kept_and_continued() {
    let place = Place::new();
    place.leave(b"some ");
    assert_eq!(place.names(), ["f.part", "f.part.kwik"]);
    let mut part = place.open();
    let content = Content { tag: TAG, size: 1000 };
    assert_eq!(part.resumed(), Some(Resumed { content, bytes: 5 }));
    part.write(b"bytes").unwrap();
    assert_eq!(part.finish().unwrap(), blake3::hash(b"some bytes").into());
    part.publish().unwrap();
    assert_eq!(place.names(), ["f"]);
    assert_eq!(fs::read(place.path("f")).unwrap(), b"some bytes");
}

#[tokio::test]
async fn the_owner_hears_how_much_is_kept() {
    let place = Place::new();
    for (bytes, sum) in [(&b"abc"[..], 3), (b"de", 5), (b"", 5)] {
        let (mut part, _, kept) = place.try_open(Resume::Continue).unwrap();
        part.begin(Content { tag: TAG, size: 1000 }).unwrap();
        part.write(bytes).unwrap();
        drop(part);
        assert_eq!(kept.settled().await, Left::Bytes(sum));
    }
    let (part, _, kept) = place.try_open(Resume::Continue).unwrap();
    part.reject();
    assert_eq!(kept.settled().await, Left::Bytes(0));
    assert!(place.names().is_empty());
}

#[test]
fn nothing_remains_where_nothing_was_written() {
    let place = Place::new();
    drop(place.open());
    assert!(place.names().is_empty());
}

#[test]
fn a_download_that_starts_anew_forgets_what_was_kept() {
    let place = Place::new();
    place.leave(b"old bytes");
    let (mut part, note, _) = place.try_open(Resume::Anew).unwrap();
    assert_eq!((part.resumed(), note), (None, None));
    part.write(b"new").unwrap();
    part.publish().unwrap();
    assert_eq!(fs::read(place.path("f")).unwrap(), b"new");
}

#[test]
fn what_is_beyond_the_record_is_written_again() {
    let place = Place::new();
    place.leave(b"durable");
    let mut file = fs::OpenOptions::new().append(true).open(place.path("f.part")).unwrap();
    io::Write::write_all(&mut file, b" and what a killed process wrote last").unwrap();
    drop(file);
    let mut part = place.open();
    assert_eq!(kept_bytes(&part), Some(7));
    part.write(b" end").unwrap();
    part.publish().unwrap();
    // Shorter than what was there: nothing of it may remain.
    assert_eq!(fs::read(place.path("f")).unwrap(), b"durable end");
}

#[test]
fn large_writes_are_recorded_on_the_way() {
    let place = Place::new();
    let mut part = place.open();
    part.begin(Content { tag: TAG, size: 1 << 30 }).unwrap();
    let chunk = vec![7; STEP as usize];
    part.write(&chunk).unwrap();
    // As after `kill -9`: nothing of this process's ends well.
    part.bookkeeper().unwrap().wait(STEP).unwrap();
    part.close_books().unwrap();
    let Books::Here(ledger) = &part.books else { panic!() };
    assert_eq!(ledger.record.durable, STEP);
    assert_eq!(ledger.record.prefix, blake3::hash(&chunk).into());
}

#[test]
fn somebody_elses_part_stays() {
    let place = Place::new();
    fs::write(place.path("f.part"), b"precious").unwrap();
    place.leave(b"ours");
    assert_eq!(place.names(), ["f.1.part", "f.part", "f.part.kwik"]);
    let part = place.open();
    assert_eq!(kept_bytes(&part), Some(4));
    part.publish().unwrap();
    assert_eq!(place.names(), ["f", "f.part"]);
    assert_eq!(fs::read(place.path("f.part")).unwrap(), b"precious");
}

#[test]
fn a_file_in_the_place_of_ours_is_not_taken_for_it() {
    let place = Place::new();
    place.leave(b"ours");
    fs::remove_file(place.path("f.part")).unwrap();
    for make in [
        (|path| fs::write(path, b"precious")) as fn(PathBuf) -> io::Result<()>,
        |path| symlink("elsewhere", path),
        |path| fs::create_dir(path),
    ] {
        make(place.path("f.part")).unwrap();
        let (part, note, _) = place.try_open(Resume::Continue).unwrap();
        assert!(note.is_some());
        assert_eq!(kept_bytes(&part), None);
        drop(part);
        assert_eq!(place.names(), ["f.part"]);
        let path = place.path("f.part");
        if fs::symlink_metadata(&path).unwrap().is_dir() {
            fs::remove_dir(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
        place.leave(b"ours");
        fs::remove_file(place.path("f.part")).unwrap();
    }
}

#[test]
fn a_part_with_a_second_name_is_not_taken() {
    let place = Place::new();
    place.leave(b"ours");
    fs::hard_link(place.path("f.part"), place.path("other")).unwrap();
    let (mut part, _) = place.noted();
    part.write(b"new").unwrap();
    drop(part);
    assert_eq!(fs::read(place.path("other")).unwrap(), b"ours");
}

#[test]
fn a_copied_part_is_known_by_its_bytes() {
    let place = Place::new();
    place.leave(b"ours");
    fs::copy(place.path("f.part"), place.path("copy")).unwrap();
    fs::rename(place.path("copy"), place.path("f.part")).unwrap();
    assert_eq!(kept_bytes(&place.open()), Some(4));
}

#[test]
fn a_part_that_is_not_what_its_record_says_is_started_over() {
    let place = Place::new();
    place.leave(b"0123456789");
    File::options().write(true).open(place.path("f.part")).unwrap().set_len(5).unwrap();
    let (part, note) = place.noted();
    assert!(note.contains("f.part has 5 bytes, and its record says 10"), "{note}");
    assert_eq!(kept_bytes(&part), None);
    drop(part);
    place.leave(b"0123456789");
    let file = File::options().write(true).open(place.path("f.part")).unwrap();
    file.write_all_at(b"x", 3).unwrap();
    let (part, note) = place.noted();
    assert!(note.contains("f.part is damaged"), "{note}");
    assert_eq!(kept_bytes(&part), None);
    drop(part);
    place.leave(b"0123456789");
    fs::remove_file(place.path("f.part")).unwrap();
    let (_, note) = place.noted();
    assert!(note.contains("f.part") && note.contains("starting over"), "{note}");
}

#[test]
fn a_record_that_is_not_ours_is_in_the_way_and_stays() {
    let place = Place::new();
    let record = place.path("f.part.kwik");
    for (content, why) in [
        (&b"my notes"[..], "not kwik's"),
        (b"kwik-part 1 00 {}", "damaged"),
        (b"kwik-part 7 00 {}", "another version"),
    ] {
        fs::write(&record, content).unwrap();
        let error = place.refused();
        assert!(error.contains("f.part.kwik") && error.contains(why), "{error}");
        assert_eq!(fs::read(&record).unwrap(), content);
    }
    fs::remove_file(&record).unwrap();
    symlink("elsewhere", &record).unwrap();
    assert!(place.refused().contains("f.part.kwik"));
    assert_eq!(place.names(), ["f.part.kwik"]);
}

#[test]
fn starting_anew_takes_the_place_of_a_record_of_no_use_and_of_nothing_else() {
    let place = Place::new();
    let record = place.path("f.part.kwik");
    fs::write(&record, b"my notes").unwrap();
    assert!(place.try_open(Resume::Anew).is_err());
    for spoiled in [&b"kwik-part 1 00 {}"[..], b"kwik-part 7 00 {}"] {
        fs::write(&record, spoiled).unwrap();
        let (mut part, note, _) = place.try_open(Resume::Anew).unwrap();
        assert_eq!(note, None);
        part.write(b"new").unwrap();
        drop(part);
        assert_eq!(kept_bytes(&place.open()), None, "nobody said of which content it is");
    }
}

#[test]
fn a_part_that_its_record_has_forgotten_is_told_of_and_stays() {
    let place = Place::new();
    place.leave(b"ours");
    File::options().write(true).open(place.path("f.part.kwik")).unwrap().set_len(0).unwrap();
    let (part, note) = place.noted();
    assert!(note.contains("f.part.kwik is empty") && note.contains("beside"), "{note}");
    drop(part);
    assert_eq!(fs::read(place.path("f.part")).unwrap(), b"ours");
}

#[test]
fn what_somebody_makes_or_changes_meanwhile_is_not_written_over() {
    let place = Place::new();
    let mut part = place.open();
    part.write(b"ours").unwrap();
    fs::write(place.path("f"), b"precious").unwrap();
    assert!(part.publish().is_err());
    assert_eq!(fs::read(place.path("f")).unwrap(), b"precious");
    fs::remove_file(place.path("f")).unwrap();
    let mut part = place.open();
    part.write(b"more").unwrap();
    part.finish().unwrap();
    File::options().write(true).open(place.path("f.part")).unwrap().set_len(0).unwrap();
    assert!(part.publish().is_err());
    assert!(!place.path("f").exists());
}

#[tokio::test]
async fn a_part_that_was_removed_is_not_promised() {
    let place = Place::new();
    let (mut part, _, kept) = place.try_open(Resume::Continue).unwrap();
    part.begin(Content { tag: TAG, size: 1000 }).unwrap();
    part.write(b"bytes").unwrap();
    fs::remove_file(place.path("f.part")).unwrap();
    drop(part);
    assert_eq!(kept.settled().await, Left::Bytes(0));
    assert!(place.names().is_empty());
}

#[test]
fn a_part_that_somebody_wrote_on_in_is_left_to_them() {
    let place = Place::new();
    place.leave(b"ours");
    fs::write(place.path("copy"), b"ours and notes").unwrap();
    fs::rename(place.path("copy"), place.path("f.part")).unwrap();
    let (part, note) = place.noted();
    assert!(note.contains("beside"), "{note}");
    drop(part);
    assert_eq!(fs::read(place.path("f.part")).unwrap(), b"ours and notes");
}

#[test]
fn the_record_is_its_owners_alone() {
    let place = Place::new();
    place.leave(b"ours");
    assert_eq!(fs::metadata(place.path("f.part.kwik")).unwrap().mode() & 0o777, 0o600);
}

#[test]
fn a_second_process_is_told_of_the_first() {
    let place = Place::new();
    let mut first = place.open();
    first.write(b"first").unwrap();
    assert!(place.refused().contains("another kwik is fetching"));
    first.publish().unwrap();
    assert_eq!(fs::read(place.path("f")).unwrap(), b"first");
}

#[test]
fn a_replaced_part_is_not_published() {
    let place = Place::new();
    let mut part = place.open();
    part.write(b"ours").unwrap();
    fs::rename(place.path("f.part"), place.path("moved")).unwrap();
    fs::write(place.path("f.part"), b"precious").unwrap();
    assert!(part.publish().is_err());
    assert_eq!(fs::read(place.path("f.part")).unwrap(), b"precious");
    assert!(!place.path("f").exists());
}

#[test]
fn the_permissions_are_the_targets() {
    let place = Place::new();
    for mode in [0o600, 0o640, 0o755, 0o200] {
        let (keeper, _) = kept();
        let open = Part::open(place.path("f"), Some(0o100_000 | mode), &[], Resume::Anew, keeper);
        let (mut part, _) = open.unwrap();
        let made = fs::metadata(place.path("f.part")).unwrap().mode() & 0o777;
        assert_eq!(made & 0o077 & !mode, 0, "not more open than the target: {made:o}");
        part.write(b"x").unwrap();
        part.publish().unwrap();
        assert_eq!(fs::metadata(place.path("f")).unwrap().mode() & 0o777, mode);
    }
}

#[test]
fn the_longest_names_are_taken() {
    let place = Place::new();
    for name in ["x".repeat(251), "ü".repeat(127), "x".repeat(255)] {
        let target = place.path(&name);
        for resume in [Resume::Continue, Resume::Anew] {
            let (keeper, _) = kept();
            let (mut part, _) = Part::open(target.clone(), None, &[], resume, keeper).unwrap();
            part.write(b"x").unwrap();
            part.publish().unwrap();
            fs::remove_file(&target).unwrap();
        }
        assert!(place.names().is_empty(), "{:?}", place.names());
    }
}

#[test]
fn a_directory_that_cannot_be_written_is_an_error() {
    let (keeper, _) = kept();
    let missing = Path::new("/no/such/dir/f").to_owned();
    let error = Part::open(missing, None, &[], Resume::Continue, keeper).unwrap_err();
    assert!(error.is::<io::Error>(), "{error:#}");
}
