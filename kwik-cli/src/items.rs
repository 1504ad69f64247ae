//! What `get` is asked for: a file, several, or directories.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::Path;

use anyhow::Context as _;
use globset::{Glob, GlobBuilder};

use crate::cause::{Cause, Known};
use crate::cli::GetArgs;
use crate::request_path::RequestPath;
use crate::url::KwikUrl;

#[cfg(test)]
mod tests;

/// Longest line of a file with URLs, in bytes: four paths of 4,000 bytes with each one percent-encoded.
const MAX_LINE: u64 = 48 << 10;
/// Files that are asked for by their names, at most.
const MAX_ITEMS: usize = 1_000_000;

/// What is wanted.
#[derive(Debug)]
pub(crate) enum Wanted {
    /// One file, from servers that stand in for one another.
    One(Vec<KwikUrl>),
    Files(Vec<Item>),
    Trees(Vec<Tree>),
}

/// One of several files.
#[derive(Debug)]
pub(crate) struct Item {
    /// Servers that stand in for one another, each with its index among all URLs.
    pub(crate) sources: Vec<(usize, KwikUrl)>,
    /// The name that it gets.
    pub(crate) name: String,
}

/// Files of a directory.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) url: KwikUrl,
    /// Its index among all URLs.
    pub(crate) index: usize,
    /// The directory; `None`: the server's root.
    pub(crate) base: Option<RequestPath>,
    /// What names in it have to match.
    pub(crate) pattern: Option<Glob>,
    /// The directory that it becomes; `None`: what is in it goes where the command writes to.
    pub(crate) name: Option<String>,
    /// Whether directories below are fetched too.
    pub(crate) depth: Depth,
}

/// How far down a directory is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    Files,
    All,
}

/// What the command line and the file of `-i` ask for. Blocks on that file.
pub(crate) fn wanted(args: &GetArgs) -> anyhow::Result<Wanted> {
    // What has a name given is one file, whatever the URL looks like.
    if args.output.is_some() {
        return Ok(Wanted::One(args.urls.clone()));
    }
    let lines = args.input_file.as_deref().map_or(Ok(Vec::new()), read_lines)?;
    let all = args.urls.iter().chain(lines.iter().flatten());
    if args.recursive || all.clone().any(KwikUrl::is_pattern) {
        if args.range.is_some() {
            return Err(misused("--range is for one file; percent-encode what is no pattern"));
        }
        let depth = if args.recursive { Depth::All } else { Depth::Files };
        let tree = |(index, url): (usize, &KwikUrl)| Tree::new(index, url.clone(), depth);
        let trees = all.enumerate().map(tree).collect::<anyhow::Result<Vec<_>>>()?;
        check_directories(&trees)?;
        return Ok(Wanted::Trees(trees));
    }
    let groups = by_path(&args.urls)?.into_iter().chain(lines);
    let items = items(groups)?;
    match items.as_slice() {
        [] => Err(misused("there is no URL; name a file to fetch")),
        [Item { sources, .. }] => {
            Ok(Wanted::One(sources.iter().map(|(_, url)| url.clone()).collect()))
        }
        _ if args.range.is_some() => {
            Err(misused("--range is for one file; fetch the others by themselves"))
        }
        _ => Ok(Wanted::Files(items)),
    }
}

/// URLs of the same path stand in for one another.
fn by_path(urls: &[KwikUrl]) -> anyhow::Result<Vec<Vec<KwikUrl>>> {
    let mut groups: Vec<Vec<KwikUrl>> = Vec::new();
    let mut known = BTreeMap::new();
    for url in urls {
        let path = url.path().with_context(|| url.to_string())?.to_string();
        let group = *known.entry(path).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        groups[group].push(url.clone());
    }
    Ok(groups)
}

fn items(groups: impl Iterator<Item = Vec<KwikUrl>>) -> anyhow::Result<Vec<Item>> {
    let mut items = Vec::<Item>::new();
    let mut names = BTreeMap::<String, String>::new();
    let mut next = 0;
    for group in groups {
        let mut sources = Vec::with_capacity(group.len());
        let mut servers = BTreeMap::new();
        for url in group {
            let path = url.path().with_context(|| url.to_string())?;
            if let Some(other) =
                servers.insert((url.host(), url.port(), path.to_string()), url.to_string())
            {
                return Err(twice(&other, &url.to_string(), path.file_name()));
            }
            sources.push((next, url));
            next += 1;
        }
        let Some((_, first)) = sources.first() else { continue };
        let name = first.path()?.file_name().to_owned();
        if let Some(other) = names.insert(name.clone(), first.to_string()) {
            return Err(twice(&other, &first.to_string(), &name));
        }
        items.push(Item { sources, name });
        if items.len() > MAX_ITEMS {
            return Err(misused(format!("more than {MAX_ITEMS} files; fetch them in parts")));
        }
    }
    Ok(items)
}

/// No two directories may become one: a file of either could be in the place of one of the other.
fn check_directories(trees: &[Tree]) -> anyhow::Result<()> {
    let mut names = BTreeMap::<Option<&str>, &Tree>::new();
    for tree in trees {
        // Patterns and files share a place; what they have in common is told when it is found.
        if tree.pattern.is_some() {
            continue;
        }
        if let Some(other) = names.insert(tree.name.as_deref(), tree) {
            let place = tree.name.as_deref().unwrap_or("the same directory");
            return Err(twice(&other.url.to_string(), &tree.url.to_string(), place));
        }
    }
    Ok(())
}

fn twice(first: &str, second: &str, name: &str) -> anyhow::Error {
    misused(format!("{first} and {second} would both be written to {name}; fetch one by itself"))
}

fn misused(message: impl std::fmt::Display) -> anyhow::Error {
    Known::error(Cause::Usage, message)
}

impl Tree {
    fn new(index: usize, url: KwikUrl, depth: Depth) -> anyhow::Result<Self> {
        let of_url = || url.to_string();
        let (above, last) = url.split().with_context(of_url)?;
        let directory = |path: String| match path.as_str() {
            "" => Ok(None),
            path => RequestPath::new(path).map(Some),
        };
        if url.is_pattern() || (depth == Depth::Files && !last.is_empty()) {
            let text = if url.is_pattern() { last } else { globset::escape(&last) };
            let pattern = GlobBuilder::new(&text).literal_separator(true).build();
            let pattern = pattern.map_err(|error| misused(format!("{url}: {error}")))?;
            let base = directory(above).with_context(of_url)?;
            return Ok(Self { url, index, base, pattern: Some(pattern), name: None, depth });
        }
        let (path, name) = match (last.as_str(), above.as_str()) {
            ("", _) => (above, None),
            (_, "") => (last.clone(), Some(last)),
            _ => (format!("{above}/{last}"), Some(last)),
        };
        let base = directory(path).with_context(of_url)?;
        Ok(Self { url, index, base, pattern: None, name, depth })
    }
}

fn read_lines(path: &Path) -> anyhow::Result<Vec<Vec<KwikUrl>>> {
    let cannot = |error: io::Error| {
        let text = format!("cannot read {}: {error}; -i wants a file of URLs", path.display());
        Known::error(Cause::Disk, text)
    };
    let reader: Box<dyn BufRead> = if path == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(BufReader::new(File::open(path).map_err(cannot)?))
    };
    let name = path.display();
    parse_lines(reader).map_err(|error| match error {
        LineError::Read(error) => cannot(error),
        LineError::Wrong(number, why) => misused(format!("{name}, line {number}: {why}")),
    })
}

/// Why a file of URLs is of no use.
#[derive(Debug)]
enum LineError {
    Read(io::Error),
    /// The line of that number.
    Wrong(usize, String),
}

fn parse_lines(mut reader: impl BufRead) -> Result<Vec<Vec<KwikUrl>>, LineError> {
    let mut groups = Vec::new();
    for number in 1.. {
        let mut line = Vec::new();
        let read = reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line);
        if read.map_err(LineError::Read)? == 0 {
            break;
        }
        let wrong = |why: String| LineError::Wrong(number, why);
        if line.len() as u64 == MAX_LINE && !line.ends_with(b"\n") {
            return Err(wrong(format!("it is longer than {MAX_LINE} bytes")));
        }
        let line = str::from_utf8(&line).map_err(|_| wrong("it is not UTF-8".to_owned()))?.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let urls = line.split_whitespace().map(str::parse).collect::<Result<_, _>>();
        groups.push(urls.map_err(wrong)?);
        if groups.len() > MAX_ITEMS {
            return Err(LineError::Wrong(number, format!("more than {MAX_ITEMS} files")));
        }
    }
    Ok(groups)
}
