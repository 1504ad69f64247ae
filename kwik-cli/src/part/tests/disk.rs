//! Disks that are slow, or lose bytes.

use std::sync::{Arc, Mutex};
use std::thread;

use super::*;
use crate::part::disk::Disk;

const MIB: u64 = 1 << 20;

/// A disk that is not done before the writer has gone as far as it goes.
#[derive(Debug)]
struct Slow {
    total: u64,
    kept: Kept,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Clone, Debug, Default)]
struct Seen {
    most_unsynced: u64,
    /// What the record said at each sync.
    durable: Vec<u64>,
}

impl Disk for Slow {
    fn sync(&mut self, part: &File) -> io::Result<()> {
        let Left::Bytes(durable) = self.kept.now() else { panic!("the file is whole") };
        let unsynced = || Ok::<_, io::Error>(part.metadata()?.len() - durable);
        while unsynced()? < MAX_UNSYNCED.min(self.total - durable) {
            thread::yield_now();
        }
        // A writer that knows no bound runs on meanwhile.
        (0..1000).for_each(|_| thread::yield_now());
        let mut seen = self.seen.lock().unwrap();
        seen.most_unsynced = seen.most_unsynced.max(unsynced()?);
        seen.durable.push(durable);
        Ok(())
    }
}

#[test]
fn what_is_not_on_disk_is_bounded_and_in_order() {
    let place = Place::new();
    let (mut part, _, kept) = place.try_open(Resume::Continue).unwrap();
    let total = 3 * MAX_UNSYNCED;
    let seen = Arc::new(Mutex::default());
    let slow = Slow { total, kept: kept.clone(), seen: Arc::clone(&seen) };
    part.ledger().unwrap().disk = Box::new(slow);
    part.begin(Content { tag: TAG, size: total }).unwrap();
    let mut hasher = blake3::Hasher::new();
    for i in 0..total / MIB {
        let piece = vec![i as u8; MIB as usize];
        hasher.update(&piece);
        part.write(&piece).unwrap();
    }
    drop(part);
    assert_eq!(kept.now(), Left::Bytes(total));
    let Seen { most_unsynced, durable } = seen.lock().unwrap().clone();
    assert_eq!(most_unsynced, MAX_UNSYNCED);
    assert!(durable.is_sorted_by(|a, b| a < b), "{durable:?}");
    let written = fs::read(place.path("f.part")).unwrap();
    assert_eq!(blake3::hash(&written), hasher.finalize());
}

/// A disk that loses what comes after `good` syncs, and says so once, as Linux does.
#[derive(Debug)]
struct Losing {
    good: u32,
    syncs: u32,
}

impl Disk for Losing {
    fn sync(&mut self, _: &File) -> io::Result<()> {
        self.syncs += 1;
        if self.syncs == self.good + 1 { Err(io::ErrorKind::QuotaExceeded.into()) } else { Ok(()) }
    }
}

/// A part file on a disk that loses what comes after `good` syncs.
pub(crate) fn on_losing_disk(part: &mut Part, good: u32) {
    part.ledger().unwrap().disk = Box::new(Losing { good, syncs: 0 });
}

#[test]
fn what_a_disk_has_lost_is_never_durable() {
    let place = Place::new();
    let (mut part, _, kept) = place.try_open(Resume::Continue).unwrap();
    on_losing_disk(&mut part, 1);
    part.begin(Content { tag: TAG, size: 1 << 40 }).unwrap();
    let piece = vec![7; MIB as usize];
    let written = (0..1 << 20).take_while(|_| part.write(&piece).is_ok()).count() as u64;
    let Left::Bytes(durable) = kept.now() else { panic!() };
    assert!(durable >= STEP && written * MIB <= durable + MAX_UNSYNCED, "{durable} {written}");
    // The next sync says nothing of it any more.
    drop(part);
    assert_eq!(kept.now(), Left::Bytes(durable));
    assert_eq!(kept_bytes(&place.open()), Some(durable));
}
