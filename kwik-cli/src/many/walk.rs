//! The search for the files of directories, page by page.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use globset::GlobMatcher;
use kwik_client::connection::Handle;
use kwik_client::sanitized;
use tokio::sync::mpsc;

use super::exchange::Trouble;
use super::tally::{Done, Told};
use super::{Job, Run};
use crate::attempt;
use crate::cause::{Cause, Known, code_name};
use crate::connect::Source;
use crate::directory::{Entry, EntryKind, List, Listed};
use crate::filter::Filter;
use crate::get::blocking;
use crate::here::{self, Case, Seen};
use crate::items::{Depth, Tree};
use crate::kept::Left;
use crate::request_path::RequestPath;

/// Directories within one another that are entered.
const MAX_DEPTH: usize = 64;
/// Entries that a command takes from listings, of all directories together: a server could list for ever.
const MAX_ENTRIES: usize = 10_000_000;

/// What is searched, and where it goes.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) trees: Vec<Tree>,
    pub(super) filter: Filter,
    pub(super) dir: PathBuf,
    /// Whether what servers do not have is removed.
    pub(super) delete: bool,
}

/// What was seen, by which the files are known that servers do not have.
#[derive(Debug)]
pub(super) struct Walked {
    plan: Plan,
    patterns: Vec<GlobMatcher>,
    seen: Seen,
}

/// A search on its way.
#[derive(Debug)]
struct Walk {
    plan: Plan,
    patterns: Vec<GlobMatcher>,
    /// All that is listed, whatever becomes of it: it is not removed here.
    seen: Seen,
    /// What is fetched, or here already.
    taken: Seen,
    /// `None`: it does not matter.
    folded: Option<Seen>,
    entries: usize,
    /// Files that were told of.
    index: usize,
    jobs: mpsc::Sender<Job>,
}

/// A directory on the way.
#[derive(Debug)]
struct Frame {
    /// `None`: the server's root.
    path: Option<RequestPath>,
    /// Its path below what was asked for, which is where it goes.
    below: String,
    /// The last name that was listed.
    after: String,
    more: bool,
    /// Directories of the page, still to be entered.
    directories: VecDeque<String>,
}

/// Lists everything and hands out what has to be fetched. `None`: nobody wants it any more.
pub(super) async fn walk(run: Arc<Run>, plan: Plan, jobs: mpsc::Sender<Job>) -> Option<Walked> {
    let patterns = plan.trees.iter().filter_map(|tree| tree.pattern.as_ref());
    let patterns = patterns.map(globset::Glob::compile_matcher).collect();
    let dir = plan.dir.clone();
    let case = blocking(move || Ok(Case::of(&dir)?)).await.unwrap_or(Case::Kept);
    let folded = (case == Case::Folded).then(Seen::default);
    let (seen, taken) = (Seen::default(), Seen::default());
    let trees = plan.trees.len();
    let mut walk = Walk { plan, patterns, seen, taken, folded, entries: 0, index: 0, jobs };
    for tree in 0..trees {
        walk.walk_tree(&run, tree).await?;
    }
    // With the sender goes the end of what is handed out.
    let Walk { plan, patterns, seen, .. } = walk;
    Some(Walked { plan, patterns, seen })
}

/// A file that was found, and whether it is here already.
struct Candidate {
    path: RequestPath,
    target: PathBuf,
    entry: Entry,
    same: bool,
}

impl Walk {
    async fn walk_tree(&mut self, run: &Arc<Run>, number: usize) -> Option<()> {
        let tree = &self.plan.trees[number];
        let below = tree.name.clone().unwrap_or_default();
        let tree_may_be_file = tree.name.is_some();
        if !below.is_empty() {
            self.seen.add(below.as_bytes());
        }
        let mut frames = vec![Frame::new(tree.base.clone(), below)];
        while let Some(frame) = frames.last_mut() {
            if let Some(name) = frame.directories.pop_front() {
                let (path, below) = (frame.path_of(&name), frame.below_of(&name));
                match path {
                    _ if frames.len() >= MAX_DEPTH => {
                        let why = format!("it is deeper than {MAX_DEPTH} directories");
                        self.refuse(run, number, &below, &why);
                    }
                    Ok(path) => frames.push(Frame::new(Some(path), below)),
                    Err(bad) => self.refuse(run, number, &below, &bad.to_string()),
                }
                continue;
            }
            if !frame.more {
                frames.pop();
                continue;
            }
            let page = match self.page(run, number, frame).await {
                Ok(page) => page,
                Err(error) => {
                    // A URL that ends with a slash means a directory, and so does --delete: its place would be emptied.
                    let may_be_file = tree_may_be_file && !self.plan.delete;
                    let is_file = may_be_file
                        && frames.len() == 1
                        && code_name(&error).as_deref() == Some("NotADirectory");
                    let frame = frames.pop()?;
                    if is_file {
                        self.hand_out_file(run, number, frame).await?;
                    } else {
                        self.fail(run, number, &frame.below, error);
                    }
                    continue;
                }
            };
            self.take(run, number, frames.last_mut()?, page).await?;
        }
        Some(())
    }

    async fn page(&self, run: &Run, number: usize, frame: &Frame) -> anyhow::Result<Listed> {
        let tree = &self.plan.trees[number];
        let path = frame.path.as_ref().map(ToString::to_string).unwrap_or_default();
        let list = List { path, after: frame.after.clone() };
        let silence = run.patience.silence;
        let place = (&tree.url, self.trust_of(run, number));
        let listed = run
            .exchange(place, |handle| receive(handle, list.clone(), silence))
            .await
            .map_err(|error| explain(tree, error))?;
        let names = std::iter::once(frame.after.as_str())
            .chain(listed.entries.iter().map(|entry| entry.name.as_str()));
        // A listing that goes back would never end.
        if !names.clone().zip(names.skip(1)).all(|(a, b)| a < b) && !listed.entries.is_empty() {
            let text = "the server lists a directory out of order";
            return Err(Known::error(Cause::Integrity, text));
        }
        if self.entries + listed.entries.len() > MAX_ENTRIES {
            let text =
                format!("the server lists more than {MAX_ENTRIES} files; fetch them in parts");
            return Err(Known::error(Cause::Refused, text));
        }
        Ok(listed)
    }

    /// Takes a page: directories are entered later, files handed out.
    async fn take(
        &mut self,
        run: &Arc<Run>,
        number: usize,
        frame: &mut Frame,
        page: Listed,
    ) -> Option<()> {
        self.entries += page.entries.len();
        frame.more = page.more;
        if let Some(last) = page.entries.last() {
            frame.after.clone_from(&last.name);
        }
        if !page.more && page.unnamed > 0 {
            let count = page.unnamed;
            let why = format!("{count} names in it are not UTF-8, which no request can say");
            self.refuse(run, number, &frame.below, &why);
        }
        let mut candidates = Vec::new();
        for entry in page.entries {
            self.sort(run, number, frame, entry, &mut candidates);
        }
        let candidates = blocking(move || Ok(compare(candidates))).await.ok()?;
        for Candidate { path, target, entry, same } in candidates {
            let source = self.source(run, number, path);
            let index = self.next();
            if same {
                let told = Told { index, url: source.url.to_string(), target };
                let done = Done::Unchanged { bytes: entry.size };
                run.tally.tell(&told, Ok(done), Left::Whole);
                continue;
            }
            if let Some(most) = run.max_size.filter(|most| entry.size > *most) {
                let told = Told { index, url: source.url.to_string(), target };
                let size = entry.size;
                let text = format!("the content has {size} bytes; --max-size allows {most}");
                let error = Known::error(Cause::Refused, text);
                run.tally.tell(&told, Err(error), Left::Bytes(0));
                continue;
            }
            run.progress.expect(entry.size);
            let job = Job { index, source, target, entry: Some(entry) };
            self.jobs.send(job).await.ok()?;
        }
        Some(())
    }

    /// Judges an entry.
    fn sort(
        &mut self,
        run: &Run,
        number: usize,
        frame: &mut Frame,
        entry: Entry,
        candidates: &mut Vec<Candidate>,
    ) {
        let below = frame.below_of(&entry.name);
        if let Some(fault) = here::fault_of(&entry.name) {
            return self.refuse(run, number, &below, fault);
        }
        self.seen.add(below.as_bytes());
        let tree = &self.plan.trees[number];
        let is_top = frame.path == tree.base;
        if is_top && tree.pattern.is_some() {
            let pattern = self.pattern_of(number);
            if !pattern.is_some_and(|pattern| pattern.is_match(&entry.name)) {
                return;
            }
        }
        match entry.kind {
            EntryKind::Other => return,
            EntryKind::Directory => {
                if tree.depth == Depth::All && self.plan.filter.enters(inside(tree, &below)) {
                    frame.directories.push_back(entry.name);
                }
                return;
            }
            EntryKind::File if !self.plan.filter.wants(inside(tree, &below)) => return,
            EntryKind::File => {}
        }
        let folded = self.folded.as_mut().is_some_and(|folded| {
            let key = Case::Folded.key(&below);
            !folded.add(key.as_bytes())
        });
        if folded {
            let why = "it differs from another name in case only, which is one name here";
            return self.refuse(run, number, &below, why);
        }
        if !self.taken.add(below.as_bytes()) {
            return self.refuse(run, number, &below, "another URL has a file of that name");
        }
        match frame.path_of(&entry.name) {
            Ok(path) => {
                let target = self.plan.dir.join(&below);
                candidates.push(Candidate { path, target, entry, same: false });
            }
            Err(bad) => self.refuse(run, number, &below, &bad.to_string()),
        }
    }

    /// A URL that was to be a directory and is a file.
    async fn hand_out_file(&mut self, run: &Run, number: usize, frame: Frame) -> Option<()> {
        let path = frame.path?;
        let target = self.plan.dir.join(path.file_name());
        self.seen.add(path.file_name().as_bytes());
        let source = self.source(run, number, path);
        let job = Job { index: self.next(), source, target, entry: None };
        self.jobs.send(job).await.ok()
    }

    fn source(&self, run: &Run, number: usize, path: RequestPath) -> Source {
        let tree = &self.plan.trees[number];
        Source { url: tree.url.at(&path), path, trust: self.trust_of(run, number) }
    }

    fn trust_of(&self, run: &Run, number: usize) -> usize {
        run.reach.trust_of(self.plan.trees[number].index, self.plan.trees.len())
    }

    fn pattern_of(&self, number: usize) -> Option<&GlobMatcher> {
        let before = self.plan.trees[..number].iter().filter(|tree| tree.pattern.is_some());
        self.patterns.get(before.count())
    }

    fn next(&mut self) -> usize {
        self.index += 1;
        self.index
    }

    /// Tells of a name that is not used here.
    fn refuse(&mut self, run: &Run, number: usize, below: &str, why: &str) {
        let name = if below.is_empty() { "the directory" } else { below };
        let text = format!("{} is left out: {why}", sanitized(name));
        self.fail(run, number, below, Known::error(Cause::Refused, text));
    }

    fn fail(&mut self, run: &Run, number: usize, below: &str, error: anyhow::Error) {
        let url = self.plan.trees[number].url.to_string();
        let told = Told { index: self.next(), url, target: self.plan.dir.join(harmless(below)) };
        run.tally.tell(&told, Err(error), Left::Bytes(0));
    }
}

impl Walked {
    /// Removes files that no server has, if that is wanted and everything went well.
    pub(super) async fn remove_others(self, run: &Run) {
        let Self { plan, patterns, seen } = self;
        if !plan.delete {
            return;
        }
        if !run.tally.is_well() {
            let note = "nothing is removed, for not everything went well";
            return run.progress.aside(|| run.notes.tell(note));
        }
        let removed = blocking(move || {
            let wants = |below: &str, is_directory: bool| {
                is_within(&plan.trees, &patterns, below).is_some_and(|below| match is_directory {
                    true => plan.filter.enters(below),
                    false => plan.filter.wants(below),
                })
            };
            Ok(here::remove_others(&plan.dir, &seen, &wants))
        });
        let Ok((removed, failed)) = removed.await else { return };
        removed.iter().for_each(|path| run.tally.tell_removed(path));
        for (path, error) in failed {
            let text = format!("cannot remove {}: {error}", path.display());
            let told = Told { index: usize::MAX, url: String::new(), target: path };
            run.tally.tell(&told, Err(Known::error(Cause::Disk, text)), Left::Whole);
        }
    }
}

async fn receive(mut handle: Handle, list: List, silence: Duration) -> Result<Listed, Trouble> {
    let page = attempt::list(&mut handle, list);
    super::in_time(silence, page).await?.map_err(Trouble::of)
}

/// Where a path below the target is within what was asked for; `None`: it is not.
fn is_within<'b>(trees: &[Tree], patterns: &[GlobMatcher], below: &'b str) -> Option<&'b str> {
    let mut patterns = patterns.iter();
    let first = below.split('/').next().unwrap_or(below);
    let within = |tree: &&Tree| match (&tree.pattern, &tree.name) {
        (Some(_), _) => patterns.next().is_some_and(|pattern| pattern.is_match(first)),
        (None, Some(name)) => first == name,
        (None, None) => true,
    };
    trees.iter().find(within).map(|tree| inside(tree, below))
}

/// A path below the target as a path below the URL: without the name that the URL ends with.
fn inside<'b>(tree: &Tree, below: &'b str) -> &'b str {
    match (&tree.pattern, &tree.name) {
        (None, Some(name)) => {
            let rest = below.strip_prefix(name.as_str()).unwrap_or(below);
            rest.strip_prefix('/').unwrap_or(rest)
        }
        _ => below,
    }
}

/// What stands in a message for a name that may be anything.
fn harmless(below: &str) -> PathBuf {
    below.split('/').filter(|name| here::fault_of(name).is_none()).collect()
}

/// Looks at what is here, and makes directories for what is not. Blocks.
fn compare(mut candidates: Vec<Candidate>) -> Vec<Candidate> {
    let mut made: Option<PathBuf> = None;
    for candidate in &mut candidates {
        candidate.same = here::is_same(&candidate.target, &candidate.entry);
        let dir = candidate.target.parent().unwrap_or(Path::new(""));
        if !candidate.same && made.as_deref() != Some(dir) {
            // Whoever writes there says what is wrong.
            let _ = fs::create_dir_all(dir);
            made = Some(dir.to_owned());
        }
    }
    candidates
}

/// An old server takes a listing for a file without a name.
fn explain(tree: &Tree, error: anyhow::Error) -> anyhow::Error {
    let is_root = tree.base.is_none();
    match code_name(&error).as_deref() {
        Some("BadPath" | "NotAFile") if is_root || error.to_string().contains("names no file") => {
            let text = "the server lists no directories: it is older than this program; update it, or name the files";
            Known::like(&error, text)
        }
        _ => error,
    }
}

impl Frame {
    fn new(path: Option<RequestPath>, below: String) -> Self {
        Self { path, below, after: String::new(), more: true, directories: VecDeque::new() }
    }

    /// Where a name in it is on the server.
    fn path_of(&self, name: &str) -> anyhow::Result<RequestPath> {
        let path = match &self.path {
            Some(path) => format!("{path}/{name}"),
            None => name.to_owned(),
        };
        Ok(RequestPath::new(path)?)
    }

    /// Where it is below the target.
    fn below_of(&self, name: &str) -> String {
        if self.below.is_empty() { name.to_owned() } else { format!("{}/{name}", self.below) }
    }
}
