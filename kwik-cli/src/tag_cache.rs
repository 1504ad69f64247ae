//! Tags of served files: looked up at once, hashed in the background.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, watch};

use crate::root::{FileKey, OpenFile};
use crate::tag::Tag;
use crate::tag_store::TagStore;

#[cfg(test)]
mod tests;

/// Files that are hashed at the same time. More would compete with the transfers for the processor.
const HASHING_AT_ONCE: usize = 2;
/// Files that wait to be hashed or are. When full, requests for further files are told Busy.
const MAX_RUNNING: usize = 256;
/// Tags kept in memory. When full they are forgotten and read from the store again.
const MAX_KNOWN: usize = 4096;

/// The tags of files, shared by everything that a server does.
#[derive(Clone, Debug)]
pub(crate) struct TagCache {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    store: TagStore,
    tables: Mutex<Tables>,
    hashing: Semaphore,
}

#[derive(Debug, Default)]
struct Tables {
    known: HashMap<FileKey, Tag>,
    running: HashMap<FileKey, watch::Receiver<Option<Outcome>>>,
}

/// What hashing gave; the error as text, since several may wait for it.
type Outcome = Result<Tag, Arc<str>>;

/// Answer to a lookup.
#[derive(Clone, Debug)]
pub(crate) enum Lookup {
    Ready(Tag),
    /// The file is being hashed.
    Pending(Hashing),
    /// Too many files wait to be hashed.
    Busy,
}

/// A file that is being hashed.
#[derive(Clone, Debug)]
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
        let hashing = Semaphore::new(HASHING_AT_ONCE);
        Self { shared: Arc::new(Shared { store, tables: Mutex::default(), hashing }) }
    }

    /// The tag, if it is known; otherwise hashing is under way from now on.
    pub(crate) async fn lookup(&self, file: &Arc<OpenFile>) -> Lookup {
        let key = file.key();
        if let Some(tag) = self.shared.tables().known.get(&key) {
            return Lookup::Ready(*tag);
        }
        let store = self.shared.store.clone();
        // What cannot be loaded is hashed.
        match tokio::task::spawn_blocking(move || store.load(key)).await {
            Ok(Some(tag)) => {
                self.shared.tables().remember(key, tag);
                Lookup::Ready(tag)
            }
            _ => self.start_hashing(file),
        }
    }

    /// The tag, waiting for it if need be.
    pub(crate) async fn tag(&self, file: &Arc<OpenFile>) -> io::Result<Tag> {
        match self.lookup(file).await {
            Lookup::Ready(tag) => Ok(tag),
            Lookup::Pending(hashing) => hashing.outcome().await,
            Lookup::Busy => Err(io::Error::other("too many files wait to be hashed")),
        }
    }

    fn start_hashing(&self, file: &Arc<OpenFile>) -> Lookup {
        let key = file.key();
        let mut tables = self.shared.tables();
        // Between the two looks the hashing may have been started, or have ended.
        if let Some(tag) = tables.known.get(&key) {
            return Lookup::Ready(*tag);
        }
        if let Some(running) = tables.running.get(&key) {
            return Lookup::Pending(Hashing(running.clone()));
        }
        if tables.running.len() >= MAX_RUNNING {
            return Lookup::Busy;
        }
        let (done, pending) = watch::channel(None);
        tables.running.insert(key, pending.clone());
        tokio::spawn(hash(Arc::clone(&self.shared), Arc::clone(file), done));
        Lookup::Pending(Hashing(pending))
    }
}

async fn hash(shared: Arc<Shared>, file: Arc<OpenFile>, done: watch::Sender<Option<Outcome>>) {
    let permit = shared.hashing.acquire().await;
    let key = file.key();
    let job = {
        let store = shared.store.clone();
        move || {
            let tag = Tag::of_file(&file)?;
            if let Err(error) = store.save(key, tag) {
                tracing::warn!(%error, "tag not kept on disk");
            }
            io::Result::Ok(tag)
        }
    };
    let outcome = match tokio::task::spawn_blocking(job).await {
        Ok(outcome) => outcome.map_err(|error| error.to_string().into()),
        Err(panic) => Err(panic.to_string().into()),
    };
    drop(permit);
    shared.tables().finish(key, &outcome);
    done.send_replace(Some(outcome));
}

impl Shared {
    fn tables(&self) -> MutexGuard<'_, Tables> {
        // The tables are consistent after every statement, so a panic elsewhere does not spoil them.
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tables {
    fn remember(&mut self, key: FileKey, tag: Tag) {
        if self.known.len() >= MAX_KNOWN {
            self.known.clear();
        }
        self.known.insert(key, tag);
    }

    fn finish(&mut self, key: FileKey, outcome: &Outcome) {
        self.running.remove(&key);
        if let Ok(tag) = outcome {
            self.remember(key, *tag);
        }
    }
}
