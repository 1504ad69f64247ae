//! Tags of served files: looked up at once, hashed in the background.

mod turns;

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, watch};

use crate::open_files::ServedFile;
use crate::root::FileKey;
use crate::tag::{Tag, Tagging};
use crate::tag_store::TagStore;

use turns::Turns;

#[cfg(test)]
mod tests;

/// Files that are hashed at the same time. More would compete with the transfers for the processor.
const HASHING_AT_ONCE: usize = 2;
/// Files that wait to be hashed or are. When full, requests for further files are told Busy.
const MAX_RUNNING: usize = 256;
/// Of these, files that one client asked for first. When full, its requests for further files are told Busy.
const MAX_OF_CLIENT: usize = 32;
/// Of these, files that nobody waits for any more. They are hashed on while nothing else is to be done, slowly
/// ([`ABANDONED_SHARE`]), so that who comes back for a large file finds it further; those beyond are given up.
const MAX_ABANDONED: usize = 4;
/// Of one worker's time, the part that files which nobody waits for may have all together: one in so many. Clients that ask
/// for large files and leave cost the server a twentieth of a core and of its disk, however often they do so; 100 GB that
/// take three minutes to hash are there an hour later, for who comes back then. Smaller: they cost more. Larger: who comes
/// back finds little more than there was when it left.
const ABANDONED_SHARE: u32 = 20;
/// Bytes that are hashed of a file before it is another's turn: 8 MiB take some milliseconds, from a disk a tenth of a second.
/// Larger: a small file waits longer. Smaller: disks seek.
const SLICE: u64 = 8 << 20;
/// Tags that are read from the store at a time: each takes a descriptor.
const LOADING_AT_ONCE: usize = 16;
/// Tags kept in memory. When full they are forgotten and read from the store again.
const MAX_KNOWN: usize = 4096;

/// Whose turn it is: clients are told apart by their host. `None`: one whose address is not known.
pub(crate) type Client = Option<IpAddr>;

/// The tags of files, shared by everything that a server does.
#[derive(Clone, Debug)]
pub(crate) struct TagCache {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    store: TagStore,
    loading: Arc<Semaphore>,
    tables: Mutex<Tables>,
}

#[derive(Debug, Default)]
struct Tables {
    known: HashMap<FileKey, Tag>,
    running: HashMap<FileKey, Job>,
    /// Of those jobs that are not at work.
    turns: Turns,
    /// Tasks that hash, at most [`HASHING_AT_ONCE`].
    workers: usize,
    /// A file that nobody waits for is at work, or rests after a slice: until that is over there is no turn for such files.
    resting: bool,
}

/// A turn of a file.
#[derive(Debug)]
struct Turn {
    key: FileKey,
    tagging: Tagging,
    /// Nobody waited for it when it began.
    abandoned: bool,
}

/// A file that is hashed, or is to be.
#[derive(Debug)]
struct Job {
    client: Client,
    /// Receivers are those that wait.
    done: watch::Sender<Option<Outcome>>,
    /// `None` while a slice of it is hashed.
    tagging: Option<Tagging>,
}

impl Job {
    fn is_abandoned(&self) -> bool {
        self.done.receiver_count() == 0
    }
}

/// What hashing gave; the error as text, since several may wait for it.
type Outcome = Result<Tag, Arc<str>>;

/// Answer to a lookup.
#[derive(Debug)]
pub(crate) enum Lookup {
    Ready(Tag),
    /// The file is being hashed.
    Pending(Hashing),
    /// Too many files wait to be hashed.
    Busy,
}

/// A file that is being hashed, as long as somebody has one of these.
#[derive(Debug)]
pub(crate) struct Hashing(watch::Receiver<Option<Outcome>>);

impl Hashing {
    /// Waits for the tag.
    pub(crate) async fn outcome(mut self) -> io::Result<Tag> {
        let outcome = self.0.wait_for(Option::is_some).await.map_err(io::Error::other)?.clone();
        let outcome = outcome.expect("waited until there is an outcome");
        outcome.map_err(|message| io::Error::other(message.to_string()))
    }
}

impl TagCache {
    pub(crate) fn new(store: TagStore) -> Self {
        let loading = Arc::new(Semaphore::new(LOADING_AT_ONCE));
        Self { shared: Arc::new(Shared { store, loading, tables: Mutex::default() }) }
    }

    /// The tag, if it is known; otherwise hashing is under way from now on.
    pub(crate) async fn lookup(&self, file: &Arc<ServedFile>, client: Client) -> Lookup {
        let key = file.key();
        if let Some(tag) = self.shared.tables().known.get(&key) {
            return Lookup::Ready(*tag);
        }
        let store = self.shared.store.clone();
        let turn = Arc::clone(&self.shared.loading);
        let turn = turn.acquire_owned().await.expect("nobody closes it");
        // Its turn lasts as long as the thread does, whoever still waits.
        let load = move || {
            let loaded = store.load(key);
            drop(turn);
            loaded
        };
        let loaded = tokio::task::spawn_blocking(load).await;
        // What cannot be loaded is hashed.
        match loaded {
            Ok(Some(tag)) => {
                self.shared.tables().remember(key, tag);
                Lookup::Ready(tag)
            }
            _ => self.start_hashing(file, client),
        }
    }

    /// The tag, if it is known without hashing. Blocks.
    pub(crate) fn known(&self, key: FileKey) -> Option<Tag> {
        let known = self.shared.tables().known.get(&key).copied();
        known.or_else(|| self.shared.store.load(key))
    }

    fn start_hashing(&self, file: &Arc<ServedFile>, client: Client) -> Lookup {
        let lookup = self.shared.tables().enter(file, client);
        if matches!(lookup, Lookup::Pending(_)) {
            Shared::put_to_work(&self.shared);
        }
        lookup
    }
}

/// Hashes slice by slice, until there is nothing to be hashed now.
async fn work(shared: Arc<Shared>) {
    loop {
        let Some(turn) = shared.tables().next_or_leave() else { return };
        let (key, abandoned) = (turn.key, turn.abandoned);
        let start = Instant::now();
        let outcome = slice(&shared.store, turn).await;
        let mut tables = shared.tables();
        match outcome {
            Ok(Slice::More(tagging)) => tables.put_back(key, tagging),
            Ok(Slice::Last(tag)) => tables.finish(key, Ok(tag)),
            Err(error) => tables.finish(key, Err(error)),
        }
        drop(tables);
        if abandoned {
            tokio::spawn(rest(Arc::clone(&shared), pause_after(start.elapsed())));
        }
    }
}

/// Has files that nobody waits for rest, and then go on.
async fn rest(shared: Arc<Shared>, pause: Duration) {
    tokio::time::sleep(pause).await;
    shared.tables().resting = false;
    Shared::put_to_work(&shared);
}

/// How long files that nobody waits for rest after a slice that took so long.
fn pause_after(took: Duration) -> Duration {
    took.saturating_mul(ABANDONED_SHARE - 1)
}

/// Hashes a slice of a file.
async fn slice(store: &TagStore, turn: Turn) -> Result<Slice, Arc<str>> {
    let store = store.clone();
    let Turn { key, mut tagging, .. } = turn;
    let slice = move || {
        let tag = tagging.advance(SLICE)?;
        if let Some(Err(error)) = tag.map(|tag| store.save(key, tag)) {
            tracing::warn!(%error, "tag not kept on disk");
        }
        io::Result::Ok(match tag {
            Some(tag) => Slice::Last(tag),
            None => Slice::More(tagging),
        })
    };
    match tokio::task::spawn_blocking(slice).await {
        Ok(Ok(slice)) => Ok(slice),
        Ok(Err(error)) => Err(error.to_string().into()),
        Err(panic) => Err(panic.to_string().into()),
    }
}

enum Slice {
    More(Tagging),
    Last(Tag),
}

impl Shared {
    fn tables(&self) -> MutexGuard<'_, Tables> {
        // The tables are consistent after every statement, so a panic elsewhere does not spoil them.
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has one more task hash, unless there are enough.
    fn put_to_work(shared: &Arc<Self>) {
        let mut tables = shared.tables();
        if tables.workers < HASHING_AT_ONCE {
            tables.workers += 1;
            tokio::spawn(work(Arc::clone(shared)));
        }
    }
}

impl Tables {
    fn remember(&mut self, key: FileKey, tag: Tag) {
        if self.known.len() >= MAX_KNOWN {
            self.known.clear();
        }
        self.known.insert(key, tag);
    }

    /// Enters a file to be hashed, unless it is there.
    fn enter(&mut self, file: &Arc<ServedFile>, client: Client) -> Lookup {
        let key = file.key();
        // Between the two looks the hashing may have been started, or have ended.
        if let Some(tag) = self.known.get(&key) {
            return Lookup::Ready(*tag);
        }
        if let Some(job) = self.running.get(&key) {
            return Lookup::Pending(Hashing(job.done.subscribe()));
        }
        self.give_up_abandoned();
        let of_client = self.running.values().filter(|job| job.client == client).count();
        if self.running.len() >= MAX_RUNNING || of_client >= MAX_OF_CLIENT {
            return Lookup::Busy;
        }
        let (done, pending) = watch::channel(None);
        let tagging = Some(Tagging::new(Arc::clone(file)));
        self.running.insert(key, Job { client, done, tagging });
        self.turns.push(client, key);
        Lookup::Pending(Hashing(pending))
    }

    /// The turn that is next; `None`: nothing is to be done now, and the worker that asked has left.
    fn next_or_leave(&mut self) -> Option<Turn> {
        let turn = self.next();
        if turn.is_none() {
            self.workers -= 1;
        }
        turn
    }

    /// The job whose turn it is. Those that nobody waits for come after all others, and one at a time.
    fn next(&mut self) -> Option<Turn> {
        self.give_up_abandoned();
        let Self { running, turns, resting, .. } = self;
        let wanted = |key: &FileKey| running.get(key).is_some_and(|job| !job.is_abandoned());
        let (key, abandoned) = match turns.take(wanted) {
            Some(key) => (key, false),
            None if *resting => return None,
            None => (turns.take(|_| true)?, true),
        };
        let tagging = running.get_mut(&key)?.tagging.take()?;
        *resting |= abandoned;
        Some(Turn { key, tagging, abandoned })
    }

    fn put_back(&mut self, key: FileKey, tagging: Tagging) {
        if let Some(job) = self.running.get_mut(&key) {
            job.tagging = Some(tagging);
            self.turns.push(job.client, key);
        }
    }

    fn finish(&mut self, key: FileKey, outcome: Outcome) {
        if let Ok(tag) = &outcome {
            self.remember(key, *tag);
        }
        if let Some(job) = self.running.remove(&key) {
            job.done.send_replace(Some(outcome));
        }
    }

    /// Forgets what nobody waits for, but for the few that may be asked for again.
    fn give_up_abandoned(&mut self) {
        let Self { running, turns, .. } = self;
        let abandoned = |key: &FileKey| running.get(key).is_none_or(Job::is_abandoned);
        for key in turns.beyond(MAX_ABANDONED, abandoned) {
            running.remove(&key);
        }
    }
}
