#![allow(clippy::unwrap_used)]

use super::*;

fn key(inode: u64) -> FileKey {
    FileKey { device: 1, inode, size: 10, modified: (100, 5), changed: (200, 7) }
}

fn store() -> (tempfile::TempDir, TagStore) {
    let state = tempfile::tempdir().unwrap();
    let store = TagStore::open(state.path()).unwrap();
    (state, store)
}

#[test]
fn a_tag_is_found_again_after_a_restart() {
    let (state, store) = store();
    store.save(key(1), Tag([7; 32])).unwrap();
    let reopened = TagStore::open(state.path()).unwrap();
    assert_eq!(reopened.load(key(1)), Some(Tag([7; 32])));
    assert_eq!(reopened.load(key(2)), None);
}

#[test]
fn a_tag_of_another_state_of_the_file_is_not_used() {
    let (_state, store) = store();
    store.save(key(1), Tag([7; 32])).unwrap();
    for other in [
        FileKey { device: 2, ..key(1) },
        FileKey { size: 11, ..key(1) },
        FileKey { modified: (100, 6), ..key(1) },
        FileKey { modified: (101, 5), ..key(1) },
        FileKey { changed: (200, 8), ..key(1) },
        FileKey { changed: (199, 7), ..key(1) },
    ] {
        assert_eq!(store.load(other), None, "{other:?}");
    }
}

#[test]
fn a_torn_or_foreign_entry_counts_as_absent() {
    let (_state, store) = store();
    store.save(key(1), Tag([7; 32])).unwrap();
    let slot = store.slot(key(1));
    let whole = fs::read(&slot).unwrap();
    for len in 0..whole.len() {
        fs::write(&slot, &whole[..len]).unwrap();
        assert_eq!(store.load(key(1)), None, "{len}");
    }
    fs::write(&slot, vec![0xff; 10_000]).unwrap();
    assert_eq!(store.load(key(1)), None);
}

#[test]
fn the_store_stays_within_its_slots() {
    let (_state, store) = store();
    let slots: std::collections::BTreeSet<_> = (0..100_000).map(|i| store.slot(key(i))).collect();
    assert!(slots.len() <= SLOTS as usize);
    assert!(slots.len() > SLOTS as usize / 2, "slots are spread: {}", slots.len());
}

#[test]
fn no_temporary_file_remains() {
    let (_state, store) = store();
    for i in 0..10 {
        store.save(key(1), Tag([i; 32])).unwrap();
    }
    assert_eq!(fs::read_dir(&store.dir).unwrap().count(), 1);
    assert_eq!(store.load(key(1)), Some(Tag([9; 32])));
}

#[test]
fn what_is_no_regular_file_in_a_slot_counts_as_absent_and_hangs_nothing() {
    let (_state, store) = store();
    let slot = store.slot(key(1));
    let fifo = rustix::fs::FileType::Fifo;
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &slot, fifo, mode, 0).unwrap();
    assert_eq!(store.load(key(1)), None);
    store.save(key(1), Tag([7; 32])).unwrap();
    assert_eq!(store.load(key(1)), Some(Tag([7; 32])));
    // Nor is another file behind a link taken for it.
    let kept = slot.with_extension("kept");
    fs::rename(&slot, &kept).unwrap();
    std::os::unix::fs::symlink(&kept, &slot).unwrap();
    assert_eq!(store.load(key(1)), None);
}
