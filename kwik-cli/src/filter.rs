//! Which files of a directory are wanted.

use anyhow::Context as _;
use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};

#[cfg(test)]
mod tests;

/// What `--include` and `--exclude` say.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    /// `None`: everything.
    include: Option<Patterns>,
    exclude: Patterns,
}

/// Patterns of either kind.
#[derive(Clone, Debug)]
struct Patterns {
    /// Without a slash: of a name, at any depth.
    names: GlobSet,
    /// Of a whole path below the directory.
    paths: GlobSet,
}

/// A pattern of the command line. A star stays within a name, two stars do not.
pub(crate) fn pattern(text: &str) -> Result<Glob, String> {
    let trimmed = text.trim_matches('/');
    if trimmed.is_empty() {
        return Err("an empty pattern matches nothing".to_owned());
    }
    // A pattern that began with a slash is one of a path, and stays one.
    let anchored = if text.starts_with('/') && !trimmed.contains('/') {
        format!("{{{trimmed},./{trimmed}}}")
    } else {
        trimmed.to_owned()
    };
    let glob = GlobBuilder::new(&anchored).literal_separator(true).build();
    glob.map_err(|error| error.to_string())
}

impl Filter {
    pub(crate) fn new(include: &[Glob], exclude: &[Glob]) -> anyhow::Result<Self> {
        let include = match include {
            [] => None,
            globs => Some(Patterns::new(globs).context("--include")?),
        };
        Ok(Self { include, exclude: Patterns::new(exclude).context("--exclude")? })
    }

    /// Whether the file at that path below the directory is wanted: nothing on its way is left out, and something on it is
    /// included.
    pub(crate) fn wants(&self, below: &str) -> bool {
        let included = match &self.include {
            Some(include) => on_the_way(below).any(|path| include.match_one(path)),
            None => true,
        };
        included && self.enters(below)
    }

    /// Whether there may be wanted files in the directory at that path.
    pub(crate) fn enters(&self, below: &str) -> bool {
        !on_the_way(below).any(|path| self.exclude.match_one(path))
    }
}

/// The directories above a path, and itself.
fn on_the_way(below: &str) -> impl Iterator<Item = &str> {
    let ends = below.match_indices('/').map(|(at, _)| at).chain([below.len()]);
    ends.map(|end| &below[..end])
}

impl Patterns {
    fn new(globs: &[Glob]) -> anyhow::Result<Self> {
        let (mut names, mut paths) = (GlobSetBuilder::new(), GlobSetBuilder::new());
        for glob in globs {
            let set = if glob.glob().contains('/') { &mut paths } else { &mut names };
            set.add(glob.clone());
        }
        Ok(Self { names: names.build()?, paths: paths.build()? })
    }

    fn match_one(&self, path: &str) -> bool {
        let name = path.rsplit('/').next().unwrap_or(path);
        self.names.is_match(name) || self.paths.is_match(path)
    }
}
