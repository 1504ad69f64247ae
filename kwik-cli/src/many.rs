//! `kwik get` of several files, or of directories.

mod exchange;
mod tally;
mod walk;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use kwik_client::connection::Handle;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use crate::attempt::{self, Failure};
use crate::cause::{Cause, Known};
use crate::cli::GetArgs;
use crate::connect::{self, Reach, Servers, Sharing, Source};
use crate::continuing::Patience;
use crate::directory::Entry;
use crate::filter::Filter;
use crate::get::{Notes, Order, blocking, fetch, make_directory, too_long};
use crate::here;
use crate::items::{Item, Tree};
use crate::kept::{Left, kept};
use crate::output::{Making, Output};
use crate::pace::SharedPace;
use crate::part::Resume;
use crate::progress::Progress;
use crate::protocol::Get;
use crate::signals::Stop;
use crate::tag::Tag;
use crate::time_limit::TimeLimit;
use crate::url::KwikUrl;
use exchange::Trouble;
use tally::{Done, Tally, Told};

/// Files of directories that are fetched at a time, of which a server hashes 32 of one client. Fewer: a round trip for each is waited for.
const AT_ONCE: usize = 24;
/// Files that are named one by one are fetched so many at a time, and large ones.
const LARGE_AT_ONCE: usize = 4;
/// Bytes up to which a file is fetched into memory and put in its place as a whole: what a primary sends by itself. Larger ones have
/// part files, and are continued.
const SMALL: u64 = 1 << 20;
/// Files that were found and wait to be fetched.
const QUEUE: usize = 256;

/// What all files of the command have in common.
#[derive(Debug)]
struct Run {
    reach: Arc<Reach>,
    patience: Patience,
    resume: Resume,
    max_size: Option<u64>,
    pace: Option<SharedPace>,
    progress: Progress,
    notes: Notes,
    tally: Tally,
    large: Semaphore,
    /// Whether any server was ever reached.
    reached: AtomicBool,
}

/// A file to be fetched.
#[derive(Debug)]
struct Job {
    /// Its place in the order in which files were named or found.
    index: usize,
    source: Source,
    target: PathBuf,
    /// What a listing says of it.
    entry: Option<Entry>,
}

/// Fetches files that are named one by one.
pub(crate) async fn files(args: &GetArgs, items: Vec<Item>, began: Instant) -> anyhow::Result<()> {
    let mut stop = Stop::listen()?;
    let run = Arc::new(Run::new(args, began)?);
    let dir = args.output_dir.clone();
    let fetched = async {
        dir.as_deref().map_or(Ok(()), make_directory)?;
        run.fetch_items(items, dir.as_deref()).await
    };
    run.see_through(args.max_time, &mut stop, fetched, began).await
}

/// Fetches directories.
pub(crate) async fn trees(args: &GetArgs, trees: Vec<Tree>, began: Instant) -> anyhow::Result<()> {
    let mut stop = Stop::listen()?;
    let filter = Filter::new(&args.include, &args.exclude)?;
    let run = Arc::new(Run::new(args, began)?);
    let dir = args.output_dir.clone().unwrap_or_else(|| PathBuf::from("."));
    let fetched = async {
        make_directory(&dir)?;
        let plan = walk::Plan { trees, filter, dir, delete: args.delete };
        run.fetch_trees(plan).await
    };
    run.see_through(args.max_time, &mut stop, fetched, began).await
}

fn interrupted(cause: Cause) -> anyhow::Error {
    Known::error(cause, "interrupted; the same command goes on with what is left")
}

impl Run {
    fn new(args: &GetArgs, began: Instant) -> anyhow::Result<Self> {
        let patience = args.patience();
        let trusts = connect::trusts(args)?;
        let reach = Reach::new(trusts, patience.connect, args.max_mtu, Sharing::Shared)?;
        let progress = Progress::new(args.show(), began);
        Ok(Self {
            reach: Arc::new(reach),
            patience,
            resume: args.resume(),
            max_size: args.max_size.map(|size| size.0),
            pace: args.max_rate.map(|rate| SharedPace::new(rate.0)),
            notes: args.notes(),
            tally: Tally::new(args.json, args.quiet, progress.clone()),
            progress,
            large: Semaphore::new(LARGE_AT_ONCE),
            reached: AtomicBool::new(false),
        })
    }

    fn has_reached(&self) -> bool {
        self.reached.load(Ordering::Relaxed)
    }

    /// Has it done, unless a signal or the time limit comes first, and says how it ended.
    async fn see_through(
        &self,
        most: Option<TimeLimit>,
        stop: &mut Stop,
        work: impl Future<Output = anyhow::Result<()>>,
        began: Instant,
    ) -> anyhow::Result<()> {
        let outcome = tokio::select! {
            biased;
            cause = stop.wanted() => Err(interrupted(cause)),
            outcome = work => outcome,
            error = too_long(most) => Err(error),
        };
        self.reach.close().await;
        self.tally.end(outcome, began.elapsed())
    }

    async fn fetch_items(
        self: &Arc<Self>,
        items: Vec<Item>,
        dir: Option<&Path>,
    ) -> anyhow::Result<()> {
        let of = items.iter().map(|item| item.sources.len()).sum();
        let mut tasks = JoinSet::new();
        for (index, item) in items.into_iter().enumerate() {
            let source = |(number, url): (usize, KwikUrl)| {
                let path = url.path().with_context(|| url.to_string())?;
                Ok(Source { url, path, trust: self.reach.trust_of(number, of) })
            };
            let sources =
                item.sources.into_iter().map(source).collect::<anyhow::Result<Vec<_>>>()?;
            let target = dir.map_or_else(|| PathBuf::from(&item.name), |dir| dir.join(&item.name));
            while tasks.len() >= LARGE_AT_ONCE {
                let _ = tasks.join_next().await;
            }
            let run = Arc::clone(self);
            tasks.spawn(async move { run.fetch_item(index, sources, target).await });
        }
        while tasks.join_next().await.is_some() {}
        Ok(())
    }

    async fn fetch_item(&self, index: usize, sources: Vec<Source>, target: PathBuf) {
        let Some(url) = sources.first().map(|source| source.url.to_string()) else { return };
        let told = Told { index, url, target: target.clone() };
        let (outcome, left) = self.fetch_large(sources, &target, None).await;
        self.tally.tell(&told, outcome, left);
    }

    async fn fetch_trees(self: &Arc<Self>, plan: walk::Plan) -> anyhow::Result<()> {
        let (jobs, mut found) = mpsc::channel(QUEUE);
        let walking = tokio::spawn(walk::walk(Arc::clone(self), plan, jobs));
        let walking = AbortOnDrop(walking);
        let mut tasks = JoinSet::new();
        while let Some(job) = found.recv().await {
            while tasks.len() >= AT_ONCE {
                let _ = tasks.join_next().await;
            }
            let run = Arc::clone(self);
            tasks.spawn(async move { run.fetch_job(job).await });
        }
        while tasks.join_next().await.is_some() {}
        let walked = walking.join().await?;
        if let Some(walked) = walked {
            walked.remove_others(self).await;
        }
        Ok(())
    }

    async fn fetch_job(&self, job: Job) {
        let Job { index, source, target, entry } = job;
        let told = Told { index, url: source.url.to_string(), target: target.clone() };
        let began = Instant::now();
        if let Some(entry) = &entry
            && entry.size <= SMALL
        {
            match self.fetch_small(&source, &target, entry).await {
                Ok(Some((bytes, tag))) => {
                    let (seconds, blake3) = (began.elapsed().as_secs_f64(), tag.to_string());
                    let done = Done::Small { bytes, seconds, blake3 };
                    return self.tally.tell(&told, Ok(done), Left::Whole);
                }
                Err(error) => return self.tally.tell(&told, Err(error), Left::Bytes(0)),
                // It has grown.
                Ok(None) => {}
            }
        }
        let (outcome, left) = self.fetch_large(vec![source], &target, entry.as_ref()).await;
        self.tally.tell(&told, outcome, left);
    }

    /// Fetches a file as `kwik get` does one, with a part file. `entry`: what a listing says of it.
    async fn fetch_large(
        &self,
        sources: Vec<Source>,
        target: &Path,
        entry: Option<&Entry>,
    ) -> (anyhow::Result<Done>, Left) {
        let _turn = self.large.acquire().await;
        let (keeper, kept) = kept();
        let urls = sources.iter().map(|source| source.url.to_string()).collect();
        let making = Making { urls, resume: self.resume, keeper };
        let (path, modified) = (target.to_owned(), entry.map(|entry| entry.modified));
        let fetched = async {
            let file = path.clone();
            let (output, note) = blocking(move || Output::file(&file, making)).await?;
            note.into_iter().for_each(|note| self.progress.aside(|| self.notes.tell(&note)));
            let known = entry.is_some();
            let order = Order {
                servers: Arc::new(Servers::among(sources, &self.reach)),
                patience: self.patience,
                range: None,
                max_size: self.max_size,
                pace: self.pace.clone(),
                progress: if known { self.progress.of_known() } else { self.progress.clone() },
                notes: self.notes,
                began: Instant::now(),
            };
            let report = fetch(order, output).await?;
            if let Some(modified) = modified {
                blocking(move || Ok(here::set_time(&path, modified)?))
                    .await
                    .map_err(|error| cannot_write(target, &error))?;
            }
            Ok(Done::Large(Box::new(report)))
        };
        let outcome = fetched.await;
        let left = if outcome.is_err() { kept.settled().await } else { Left::Whole };
        (outcome, left)
    }

    /// Fetches a small file over the session with its server. `None`: it is large by now.
    async fn fetch_small(
        &self,
        source: &Source,
        target: &Path,
        entry: &Entry,
    ) -> anyhow::Result<Option<(u64, Tag)>> {
        let get = Get { path: source.path.to_string(), offset: 0, length: None, if_tag: None };
        let silence = self.patience.silence;
        let asked = self
            .exchange((&source.url, source.trust), |handle| receive(handle, get.clone(), silence))
            .await?;
        let Some((bytes, tag)) = asked else { return Ok(None) };
        let size = bytes.len() as u64;
        self.progress.advance(size);
        if let Some(pace) = &self.pace {
            pace.wait(size).await;
        }
        let (path, modified) = (target.to_owned(), entry.modified);
        let put = blocking(move || Ok(here::put(&path, &bytes, Some(modified))?)).await;
        put.map_err(|error| cannot_write(target, &error))?;
        Ok(Some((size, tag)))
    }
}

fn cannot_write(target: &Path, error: &anyhow::Error) -> anyhow::Error {
    let full = error.downcast_ref().map(io::Error::kind) == Some(io::ErrorKind::StorageFull);
    let advice = if full { "; free some disk space" } else { "" };
    Known::error(Cause::Disk, format!("cannot write {}: {error:#}{advice}", target.display()))
}

/// Asks for a small content and checks it. `None`: it is not small.
async fn receive(
    mut handle: Handle,
    get: Get,
    silence: Duration,
) -> Result<Option<(Vec<u8>, Tag)>, Trouble> {
    let asked =
        in_time(silence, attempt::ask(&mut handle, &get)).await?.map_err(
            |failure| match failure {
                Failure::Other(error) => Trouble::of(error),
                Failure::TagMismatch => Trouble::Lasting(wrong("no content was asked for")),
            },
        )?;
    let (mut inbound, found) = (asked.inbound, asked.found);
    if found.size > SMALL {
        return Ok(None);
    }
    let size = found.size as usize;
    let mut bytes = Vec::with_capacity(size);
    loop {
        let chunk: Option<Bytes> =
            in_time(silence, inbound.chunk()).await?.map_err(Trouble::Passing)?;
        match chunk {
            Some(chunk) if chunk.len() > size - bytes.len() => {
                return Err(Trouble::Lasting(wrong("more bytes came than were announced")));
            }
            Some(chunk) => bytes.extend_from_slice(&chunk),
            None if bytes.len() < size => {
                let error = anyhow::anyhow!("the stream ended at {} of {size} bytes", bytes.len());
                return Err(Trouble::Passing(error));
            }
            None => break,
        }
    }
    let tag = Tag::from(blake3::hash(&bytes));
    if tag != found.tag {
        let text = format!("the content has the BLAKE3 hash {tag}, not {} as announced", found.tag);
        return Err(Trouble::Lasting(wrong(&text)));
    }
    Ok(Some((bytes, tag)))
}

fn wrong(what: &str) -> anyhow::Error {
    Known::error(Cause::Integrity, format!("{what}; nothing was kept, try again"))
}

async fn in_time<T>(limit: Duration, wait: impl Future<Output = T>) -> Result<T, Trouble> {
    let waited = tokio::time::timeout(limit, wait).await;
    waited.map_err(|_| Trouble::Passing(exchange::silent(limit)))
}

/// A task that ends with what waits for it.
struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> AbortOnDrop<T> {
    async fn join(mut self) -> anyhow::Result<T> {
        (&mut self.0).await.context("the search for files")
    }
}

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
