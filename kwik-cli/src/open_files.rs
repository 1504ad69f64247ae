//! Files that are open at a time, shared out among clients.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::monitor;
use crate::request_path::RequestPath;
use crate::root::{FileKey, OpenError, OpenFile, Root};
use crate::tag_cache::Client;

mod threads;

#[cfg(test)]
mod tests;

use threads::Threads;

/// Files that are open at a time, where the system lets a process have twice as many.
const MOST: usize = 256;

/// One client's part of them.
const PART: usize = 8;

/// The descriptors that a server uses for files.
///
/// A file that is being sent is open while its bytes are read, and stays open as long as nobody needs its place. Who needs one
/// takes it from its own client's file that was not read for the longest time, if that client has its part, and else from
/// the one of all; it is opened again when its bytes are needed. While all files are being read who needs a place waits
/// for the end of one read.
#[derive(Clone, Debug)]
pub(crate) struct OpenFiles(Arc<Table>);

#[derive(Debug)]
struct Table {
    most: usize,
    part: usize,
    state: Mutex<State>,
    /// A read has ended, or a file is gone.
    freed: Condvar,
    threads: Threads,
}

#[derive(Debug, Default)]
struct State {
    /// Numbers of files, and of reads.
    next: u64,
    /// Bounded by the table's `most`.
    open: BTreeMap<u64, Place>,
}

#[derive(Debug)]
struct Place {
    client: Client,
    /// `None` while it is being opened.
    file: Option<Arc<OpenFile>>,
    /// When it was read last.
    used: u64,
}

impl Place {
    fn is_idle(&self) -> bool {
        self.file.as_ref().is_some_and(|file| Arc::strong_count(file) == 1)
    }
}

/// A file that is served, as it was when it was found. Open or not.
#[derive(Debug)]
pub(crate) struct ServedFile {
    files: OpenFiles,
    number: u64,
    root: Root,
    path: RequestPath,
    client: Client,
    key: FileKey,
}

impl OpenFiles {
    /// Places for that many files, at least one.
    pub(crate) fn new(most: usize) -> Self {
        let most = most.max(1);
        let part = (most / PART).max(1);
        let (state, freed, threads) = (Mutex::default(), Condvar::new(), Threads::default());
        Self(Arc::new(Table { most, part, state, freed, threads }))
    }

    /// How many files are open at a time where nobody says: half of what the system allows, at most 256.
    pub(crate) fn default_most() -> usize {
        let allowed = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let half = allowed.and_then(|allowed| usize::try_from(allowed / 2).ok());
        half.unwrap_or(MOST).clamp(1, MOST)
    }

    /// Finds a file, on a thread.
    pub(crate) async fn found(
        &self,
        root: Root,
        path: RequestPath,
        client: Client,
    ) -> Result<ServedFile, OpenError> {
        let files = self.clone();
        let found = self.0.threads.run(client, move || files.find(&root, path, client)).await;
        found.map_err(|error| OpenError::Unreadable(io::Error::other(error)))?
    }

    /// Does on a thread what blocks on the file system, when it is the client's turn.
    pub(crate) async fn on_thread<T: Send + 'static>(
        &self,
        client: Client,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        self.0.threads.run(client, work).await.map_err(io::Error::other)
    }

    /// Finds a file. Blocks on the file system, and while there is no place.
    pub(crate) fn find(
        &self,
        root: &Root,
        path: RequestPath,
        client: Client,
    ) -> Result<ServedFile, OpenError> {
        let number = self.0.lock().number();
        let file = self.0.opened(number, client, || root.open_file(&path))?;
        let (files, root, key) = (self.clone(), root.clone(), file.key());
        self.0.end(file);
        Ok(ServedFile { files, number, root, path, client, key })
    }

    #[cfg(test)]
    fn count(&self) -> usize {
        self.0.lock().open.len()
    }
}

impl Table {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file of that number, opened in a place that it takes if it is not open.
    fn opened(
        &self,
        number: u64,
        client: Client,
        open: impl FnOnce() -> Result<OpenFile, OpenError>,
    ) -> Result<Arc<OpenFile>, OpenError> {
        let mut state = self.lock();
        let evicted = loop {
            match state.claim(number, client, (self.most, self.part)) {
                Claim::Open(file) => return Ok(file),
                Claim::Taken(evicted) => break evicted,
                Claim::Wait => {
                    state = self.freed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            }
        };
        drop(state);
        // Closed before another one is opened.
        drop(evicted);
        let opened = open().map(Arc::new);
        let mut state = self.lock();
        state.settle(number, opened.as_ref().ok());
        self.tell(state);
        opened
    }

    /// A read of the file has ended.
    fn end(&self, file: Arc<OpenFile>) {
        let state = self.lock();
        drop(file);
        self.tell(state);
    }

    fn forget(&self, number: u64) {
        let mut state = self.lock();
        let place = state.open.remove(&number);
        self.tell(state);
        drop(place);
    }

    fn tell(&self, state: MutexGuard<'_, State>) {
        monitor::open_files(state.open.len());
        drop(state);
        self.freed.notify_all();
    }
}

/// What becomes of a file that is to be read.
enum Claim {
    Open(Arc<OpenFile>),
    /// It has a place, maybe that of another one, and is to be opened.
    Taken(Option<Place>),
    /// It is being opened, or all others are being read.
    Wait,
}

impl State {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn claim(&mut self, number: u64, client: Client, limits: (usize, usize)) -> Claim {
        let used = self.number();
        if let Some(place) = self.open.get_mut(&number) {
            place.used = used;
            return place.file.clone().map_or(Claim::Wait, Claim::Open);
        }
        let evicted = match self.room(limits, client) {
            Room::Free => None,
            Room::Of(other) => self.open.remove(&other),
            Room::None => return Claim::Wait,
        };
        self.open.insert(number, Place { client, file: None, used });
        Claim::Taken(evicted)
    }

    fn room(&self, (most, part): (usize, usize), client: Client) -> Room {
        let of_client = self.open.values().filter(|place| place.client == client).count();
        let has_part = of_client >= part;
        if !has_part && self.open.len() < most {
            return Room::Free;
        }
        let idle = self.open.iter().filter(|(_, place)| place.is_idle());
        let may = idle.filter(|(_, place)| !has_part || place.client == client);
        may.min_by_key(|(_, place)| place.used).map_or(Room::None, |(other, _)| Room::Of(*other))
    }

    /// What was to be opened is open, or takes no place.
    fn settle(&mut self, number: u64, file: Option<&Arc<OpenFile>>) {
        match file {
            Some(file) => {
                if let Some(place) = self.open.get_mut(&number) {
                    place.file = Some(file.clone());
                }
            }
            None => {
                self.open.remove(&number);
            }
        }
    }
}

/// Where a file that is to be opened goes.
enum Room {
    Free,
    /// In the place of that one.
    Of(u64),
    None,
}

impl ServedFile {
    /// What identified the content when the file was found.
    pub(crate) fn key(&self) -> FileKey {
        self.key
    }

    /// Size in bytes when the file was found.
    pub(crate) fn size(&self) -> u64 {
        self.key.size
    }

    /// Does on a thread what blocks, when it is this file's client's turn. If the future is dropped before, it is not done.
    pub(crate) async fn on_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        self.files.0.threads.run(self.client, work).await.map_err(io::Error::other)
    }

    /// What identifies the content now. Blocks.
    pub(crate) fn current_key(&self) -> io::Result<FileKey> {
        self.with(OpenFile::current_key)
    }

    /// Whether the content is no longer what it was. A new name, mode or owner is no matter while the file is open. Blocks.
    pub(crate) fn was_written(&self) -> io::Result<bool> {
        match self.with(OpenFile::was_written) {
            Err(error) if is_another(&error) => Ok(true),
            known => known,
        }
    }

    /// As [`OpenFile::read_at`]; an error also if the file had to be opened again and is another one now.
    pub(crate) fn read_at(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.with(|file| file.read_at(offset, len))
    }

    /// As [`OpenFile::start_reading`].
    pub(crate) fn start_reading(&self, offset: u64, len: u64) -> io::Result<()> {
        self.with(|file| {
            file.start_reading(offset, len);
            Ok(())
        })
    }

    fn with<T>(&self, read: impl FnOnce(&OpenFile) -> io::Result<T>) -> io::Result<T> {
        let file = self.opened()?;
        let outcome = read(&file);
        self.files.0.end(file);
        outcome
    }

    fn opened(&self) -> io::Result<Arc<OpenFile>> {
        let opened = self.files.0.opened(self.number, self.client, || self.reopen());
        opened.map_err(|error| match error {
            OpenError::Unreadable(error) => error,
            OpenError::NotFound | OpenError::Outside | OpenError::NotAFile => another(),
        })
    }

    fn reopen(&self) -> Result<OpenFile, OpenError> {
        let file = self.root.open_file(&self.path)?;
        match file.is_still(self.key) {
            true => Ok(file.opened_as(self.key)),
            false => Err(OpenError::Unreadable(another())),
        }
    }
}

impl Drop for ServedFile {
    fn drop(&mut self) {
        self.files.0.forget(self.number);
    }
}

#[derive(Debug)]
struct Another;

impl std::error::Error for Another {}

impl fmt::Display for Another {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the file is another one than when it was found")
    }
}

fn another() -> io::Error {
    io::Error::other(Another)
}

fn is_another(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|error| error.is::<Another>())
}
