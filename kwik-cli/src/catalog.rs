//! What a server has: files below a root, and their tags.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::directory::{List, Listed};
use crate::listing;
use crate::open_files::{OpenFiles, ServedFile};
use crate::protocol::{Failed, FailureCode, Found, Get, Resource};
use crate::request_path::RequestPath;
use crate::root::{OpenError, Root};
use crate::source::FileSource;
use crate::tag_cache::{Client, Lookup, TagCache};

#[cfg(test)]
mod tests;

/// The files of a server, as primary and as secondary.
#[derive(Clone, Debug)]
pub(crate) struct Catalog {
    root: Root,
    tags: TagCache,
    files: OpenFiles,
    /// For whom it is used: hashing and open files are shared out among clients.
    client: Client,
}

/// A file that was asked for and can be sent.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    pub(crate) file: Arc<ServedFile>,
    pub(crate) found: Found,
}

/// Why a secondary does not send a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// There is no such file here.
    NotFound,
    /// The file here has another content.
    Stale,
    /// Too much to do; a later try may succeed.
    Busy,
    /// The resource is malformed, or the file cannot be read.
    Failed,
}

impl Catalog {
    pub(crate) fn new(root: Root, tags: TagCache, files: OpenFiles) -> Self {
        Self { root, tags, files, client: None }
    }

    /// The same files, for a client of its own.
    pub(crate) fn for_client(&self, client: Client) -> Self {
        Self { client, ..self.clone() }
    }

    /// Finds what a client asks for. Waits until the file is hashed.
    pub(crate) async fn find(&self, get: &Get) -> Result<Content, Failed> {
        let path = RequestPath::new(&*get.path)
            .map_err(|bad| failed(FailureCode::BadPath, bad.to_string()))?;
        let mut file = self.open(path.clone()).await.map_err(|error| explain(&path, &error))?;
        let unhashed = |error: &dyn fmt::Display| {
            failed(FailureCode::Unreadable, format!("{path} cannot be hashed: {error}"))
        };
        let tag = match self.tags.lookup(&file, self.client).await {
            Lookup::Ready(tag) => tag,
            Lookup::Busy => return Err(unhashed(&"too many files wait for it; try again later")),
            Lookup::Pending(hashing) => {
                let key = file.key();
                drop(file);
                let tag = hashing.outcome().await.map_err(|error| unhashed(&error))?;
                file = self.open(path.clone()).await.map_err(|error| explain(&path, &error))?;
                if file.key() != key {
                    return Err(unhashed(&"the file changed meanwhile"));
                }
                tag
            }
        };
        if get.if_tag.is_some_and(|wanted| wanted != tag) {
            return Err(failed(FailureCode::TagMismatch, format!("{path} has the hash {tag}")));
        }
        let size = file.size();
        let available = size.checked_sub(get.offset);
        match (available, get.length) {
            (Some(available), None) => Ok(Content {
                found: Found { size, tag, offset: get.offset, length: available },
                file,
            }),
            (Some(available), Some(length)) if length <= available => {
                Ok(Content { found: Found { size, tag, offset: get.offset, length }, file })
            }
            _ => Err(failed(FailureCode::BadRange, format!("{path} has {size} bytes"))),
        }
    }

    /// A page of a directory.
    pub(crate) async fn list(&self, list: List) -> Result<Listed, Failed> {
        let path = match list.path.as_str() {
            "" => None,
            path => Some(
                RequestPath::new(path)
                    .map_err(|bad| failed(FailureCode::BadPath, bad.to_string()))?,
            ),
        };
        let Self { root, tags, files, client } = self.clone();
        let page = move || {
            let listed = listing::page(&root, path.as_ref(), &list.after, &tags);
            listed.map_err(|error| explain_directory(path.as_ref(), &error))
        };
        let unreadable = |error| failed(FailureCode::Unreadable, format!("{error}"));
        files.on_thread(client, page).await.map_err(unreadable)?
    }

    /// The bytes of a delegated range, if the file here has the content that the primary means.
    ///
    /// Calls `wait` if it has to be hashed first, and then waits for that.
    pub(crate) async fn check(
        &self,
        resource: &Resource,
        range: &Range<u64>,
        wait: impl FnOnce(),
    ) -> Result<FileSource, Refused> {
        let path = RequestPath::new(&*resource.path).map_err(|_| Refused::Failed)?;
        let file = self.open(path.clone()).await.map_err(|error| match error {
            OpenError::NotFound | OpenError::Outside | OpenError::NotAFile => Refused::NotFound,
            OpenError::Unreadable(_) => Refused::Failed,
        })?;
        let (file, tag) = match self.tags.lookup(&file, self.client).await {
            Lookup::Ready(tag) => (file, tag),
            Lookup::Pending(hashing) => {
                wait();
                let key = file.key();
                drop(file);
                let tag = hashing.outcome().await.map_err(|_| Refused::Failed)?;
                let file = self.open(path).await.map_err(|_| Refused::Failed)?;
                if file.key() != key {
                    return Err(Refused::Failed);
                }
                (file, tag)
            }
            Lookup::Busy => return Err(Refused::Busy),
        };
        let source = FileSource::new(file, resource.shift);
        match source.covers(range) {
            _ if tag != resource.tag => Err(Refused::Stale),
            false => Err(Refused::Failed),
            true => Ok(source),
        }
    }

    async fn open(&self, path: RequestPath) -> Result<Arc<ServedFile>, OpenError> {
        let Self { root, files, client, .. } = self.clone();
        files.found(root, path, client).await.map(Arc::new)
    }
}

fn failed(code: FailureCode, message: String) -> Failed {
    Failed { code, message }
}

fn explain_directory(path: Option<&RequestPath>, error: &OpenError) -> Failed {
    match (path, error) {
        (Some(path), OpenError::NotAFile) => {
            failed(FailureCode::NotADirectory, format!("{path} is not a directory"))
        }
        (Some(path), error) => explain(path, error),
        (None, error) => {
            tracing::warn!(?error, "the root is not readable");
            failed(FailureCode::Unreadable, "the server cannot read its root".to_owned())
        }
    }
}

/// The system's own words stay in the log: clients have no use for them.
fn explain(path: &RequestPath, error: &OpenError) -> Failed {
    match error {
        OpenError::NotFound => failed(FailureCode::NotFound, format!("{path} does not exist")),
        OpenError::Outside => {
            failed(FailureCode::BadPath, format!("{path} leads out of the server's root"))
        }
        OpenError::NotAFile => {
            failed(FailureCode::NotAFile, format!("{path} is not a regular file"))
        }
        OpenError::Unreadable(error) => {
            tracing::warn!(%path, %error, "not readable");
            failed(FailureCode::Unreadable, format!("the server cannot read {path}"))
        }
    }
}
