//! Files that a server needs: its directory, its keys, and how many it may open.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use rustix::process::{Resource, getrlimit};

use crate::cause::Cause;
use crate::finding::Finding;
use crate::open_files::OpenFiles;
use crate::private::{self, Links};
use crate::state;

/// Descriptors that serve a default server: 256 files, sockets, and room for readers of the metrics.
const ENOUGH: u64 = 1_024;

/// Whether a server may open as many files as it wants to.
pub(super) fn descriptors() -> Finding {
    const WHAT: &str = "open files";
    let limit = getrlimit(Resource::Nofile);
    let files = OpenFiles::default_most();
    match limit.current {
        Some(current) if current < ENOUGH => {
            let most = limit.maximum.map_or("unlimited".to_owned(), |most| most.to_string());
            Finding::warning(
                WHAT,
                format!("{current} at most, so `kwik serve` has {files} open for sending"),
                format!(
                    "run ulimit -n {ENOUGH} before it (at most {most}), or set LimitNOFILE={ENOUGH} in its unit"
                ),
            )
        }
        Some(current) => Finding::good(WHAT, format!("{current} at most")),
        None => Finding::good(WHAT, "no limit"),
    }
}

/// Whether the state directory is the user's own, or can be made.
pub(super) fn state(named: Option<&Path>) -> Finding {
    const WHAT: &str = "state directory";
    let path = match state::path_of(named) {
        Ok(path) => path,
        Err(error) => {
            return Finding::warning(WHAT, format!("{error:#}"), "set HOME, or give --state");
        }
    };
    let name = path.display();
    if path.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        return match writable_ancestor(&path) {
            Some(_) => Finding::good(WHAT, format!("{name} is not there yet and can be made")),
            None => Finding::problem(
                WHAT,
                format!("{name} is not there and cannot be made"),
                "choose another directory with --state, or have it made for this user",
                Cause::Disk,
            ),
        };
    }
    match private::check_directory(&path) {
        Err(error) => problem(WHAT, &error, "mend it, or choose another directory with --state"),
        Ok(()) if access(&path, Access::WRITE_OK).is_err() => Finding::problem(
            WHAT,
            format!("{name} takes no new files"),
            "choose another directory with --state, or mount it writable",
            Cause::Disk,
        ),
        Ok(()) => Finding::good(WHAT, format!("{name} is closed to others")),
    }
}

/// The certificate that a server keeps there, if it has one yet.
pub(super) fn certificate(named: Option<&Path>) -> Option<Finding> {
    let path = state::path_of(named).ok()?.join(state::CERTIFICATE);
    path.symlink_metadata().ok()?;
    Some(judge("certificate's key", &path, Links::Refused))
}

/// A key file that was named.
pub(super) fn key(path: &Path) -> Finding {
    judge("key file", path, Links::Followed)
}

fn judge(what: &'static str, path: &Path, links: Links) -> Finding {
    match private::read_key(path, links) {
        Ok(_) => Finding::good(what, format!("{} is closed to others", path.display())),
        Err(error) => problem(what, &error, "a server will not start with it"),
    }
}

/// The error of this program's own rules says what to do behind its last semicolon.
fn problem(what: &'static str, error: &anyhow::Error, otherwise: &str) -> Finding {
    let text = format!("{error:#}");
    match text.split_once("; ") {
        Some((found, advice)) => Finding::problem(what, found, advice, Cause::Disk),
        None => Finding::problem(what, text.as_str(), otherwise, Cause::Disk),
    }
}

/// The nearest directory above that is there, if this user may write to it.
fn writable_ancestor(path: &Path) -> Option<PathBuf> {
    let there = path.ancestors().skip(1).map(|above| match above.as_os_str().is_empty() {
        true => Path::new("."),
        false => above,
    });
    let nearest = there.into_iter().find(|above| above.exists())?;
    access(nearest, Access::WRITE_OK | Access::EXEC_OK).ok()?;
    Some(nearest.to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::finding::Grade;

    fn with_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_key_that_others_may_read_is_a_problem_and_says_how_to_mend_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("primary.key");
        fs::write(&path, "secret").unwrap();
        with_mode(&path, 0o644);
        let found = key(&path);
        assert_eq!(found.grade, Grade::Problem);
        assert!(found.advice.unwrap().contains("chmod 600"));
        with_mode(&path, 0o600);
        assert_eq!(key(&path).grade, Grade::Good);
        assert_eq!(key(&dir.path().join("absent")).grade, Grade::Problem);
    }

    #[test]
    fn a_state_directory_is_judged_as_serve_would() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        assert_eq!(state(Some(&path)).grade, Grade::Good);
        assert!(!path.exists(), "it looks, and makes nothing");
        fs::create_dir(&path).unwrap();
        with_mode(&path, 0o777);
        let found = state(Some(&path));
        assert_eq!(found.grade, Grade::Problem);
        assert!(found.advice.unwrap().contains("chmod go-w"));
        with_mode(&path, 0o700);
        assert_eq!(state(Some(&path)).grade, Grade::Good);
    }
}
