//! Whose a file is that lies beside a target: ours, somebody else's, or another process's.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::fs::OFlags;

use super::Resume;
use super::names::Names;
use crate::record::{FileId, Record, RecordFile, Stored};

/// Part files of one target that may be somebody else's.
const MAX_PARTS: u8 = 100;
/// How often and how far apart a directory's lock is tried.
const TRIES: u32 = 50;
const BETWEEN_TRIES: Duration = Duration::from_millis(20);

/// A part file that is this process's alone, and its record.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) part: File,
    pub(crate) file: RecordFile,
    pub(crate) record: Record,
    /// Why what was kept is of no use, for the user.
    pub(crate) note: Option<String>,
}

/// The right to change what lies in a directory beside targets, until it is dropped.
///
/// Of two processes that begin at the same time one sees what the other has made. A file system without locks does without.
#[derive(Debug)]
pub(crate) struct Turn(
    #[expect(dead_code, reason = "the lock lasts as long as the file is open")] Option<File>,
);

impl Turn {
    /// Waits for it for a second at most. kwik never holds it for long, but anybody may who can read the directory, as the
    /// program `flock` does for the very process that it runs.
    pub(crate) fn take(dir: &Path) -> Self {
        let Ok(dir) = File::open(dir) else { return Self(None) };
        for _ in 0..TRIES {
            match dir.try_lock() {
                Ok(()) => return Self(Some(dir)),
                Err(TryLockError::WouldBlock) => thread::sleep(BETWEEN_TRIES),
                Err(TryLockError::Error(_)) => break,
            }
        }
        Self(None)
    }
}

/// Takes the part file that a valid record names, or makes one. A download that starts anew also takes the place of a record
/// that is of no use; what is not this program's stays in any case.
pub(crate) fn claim(
    names: &Names,
    urls: &[String],
    mode: Option<u32>,
    resume: Resume,
) -> anyhow::Result<Claim> {
    let _turn = Turn::take(names.dir());
    let path = names.record();
    let Some(file) = open_record(&path)? else {
        return begin(names, make_record(&path)?, urls, mode, None);
    };
    let (file, stored) = RecordFile::open(file)?;
    let wrong = match stored {
        Stored::Nothing => {
            return begin(names, file, urls, mode, orphan(names, &path, "is empty"));
        }
        Stored::Valid(record, _) => return take_up(names, file, record, urls, mode),
        Stored::Damaged => "is damaged",
        Stored::OtherVersion => "is of another version of kwik",
        Stored::Foreign => bail!(
            "{} is not kwik's and in the way; move it away or choose another -o",
            path.display()
        ),
    };
    if resume == Resume::Anew {
        return begin(names, file, urls, mode, orphan(names, &path, wrong));
    }
    bail!(
        "{} {wrong} and in the way; give --no-resume, move it away or choose another -o",
        path.display()
    );
}

/// What to tell the user of a record that does not say whose the part file is that is there.
fn orphan(names: &Names, record: &Path, wrong: &str) -> Option<String> {
    let part = names.part(0);
    fs::symlink_metadata(&part).is_ok().then(|| {
        format!(
            "{} {wrong}; starting over beside {}, which you may remove if it is not yours",
            record.display(),
            part.display()
        )
    })
}

fn take_up(
    names: &Names,
    file: RecordFile,
    record: Record,
    urls: &[String],
    mode: Option<u32>,
) -> anyhow::Result<Claim> {
    let path = names.part(record.part);
    let Some(part) = open_own(&path)? else {
        let what = match fs::symlink_metadata(&path) {
            Ok(_) => "is not a file of yours alone; starting over beside it",
            Err(_) => "is gone; starting over",
        };
        let note = (record.durable > 0).then(|| format!("{} {what}", path.display()));
        return begin(names, file, urls, mode, note);
    };
    match part.try_lock() {
        Err(TryLockError::WouldBlock) => {
            bail!(
                "another kwik is fetching {}; wait for it or choose another -o",
                names.target.display()
            )
        }
        // A file system without locks.
        Ok(()) | Err(TryLockError::Error(_)) => {}
    }
    let metadata = part.metadata()?;
    let id = FileId::of(&metadata);
    // A file that was copied with its record is another one: then its bytes tell. More than the record says may be
    // somebody's own.
    let ours = metadata.len() == 0
        || (id.is_some() && record.file == id)
        || (metadata.len() == record.durable && super::has_prefix(&part, &record)?);
    if !ours {
        let note =
            format!("{} is not the file of its record; starting over beside it", path.display());
        return begin(names, file, urls, mode, Some(note));
    }
    let record = Record { file: id, ..record };
    Ok(Claim { part, file, record, note: None })
}

/// Makes a part file. The record names it before it exists, so that no file of ours is ever without a record.
fn begin(
    names: &Names,
    mut file: RecordFile,
    urls: &[String],
    mode: Option<u32>,
    note: Option<String>,
) -> anyhow::Result<Claim> {
    for number in 0..MAX_PARTS {
        let path = names.part(number);
        if fs::symlink_metadata(&path).is_ok() {
            continue;
        }
        let mut record = Record::new(number, urls);
        if let Err(error) = file.fill(&record) {
            // It was made here, or what it said is of no use.
            remove(&names.record(), file.file());
            return Err(error.into());
        }
        // Readable by its owner, who has to read it to go on; a new file is as open as the user's mask lets it be.
        let mode = mode.map_or(0o666, |mode| mode & 0o777 | 0o600);
        let made =
            OpenOptions::new().read(true).write(true).create_new(true).mode(mode).open(&path);
        let part = match made {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(error) => {
                remove(&names.record(), file.file());
                return Err(error.into());
            }
            Ok(part) => part,
        };
        // Nobody else has it: its name is not known until the turn is over.
        let _ = part.try_lock();
        record.file = FileId::of(&part.metadata()?);
        file.write(&record)?;
        return Ok(Claim { part, file, record, note });
    }
    bail!("{} and {} more are in the way; move them away", names.part(0).display(), MAX_PARTS - 1)
}

/// Its owner's alone: URLs may say more than the content does.
fn make_record(path: &Path) -> io::Result<RecordFile> {
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
    Ok(RecordFile::open(file)?.0)
}

/// The record's file, if there is one. An error names one that can't be ours.
fn open_record(path: &Path) -> anyhow::Result<Option<File>> {
    if fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        return Ok(None);
    }
    let in_the_way = || {
        format!(
            "{} is not kwik's and in the way; move it away or choose another -o",
            path.display()
        )
    };
    open_own(path)?.map(Some).with_context(in_the_way)
}

/// A regular file of this user's with no other name, opened without following a link; `None` if there is none.
fn open_own(path: &Path) -> io::Result<Option<File>> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let opened =
        OpenOptions::new().read(true).write(true).custom_flags(flags.bits() as i32).open(path);
    let file = match opened {
        Ok(file) => file,
        // It may be there and ours: then it must not be taken for gone.
        Err(error) if is_passing(&error) => return Err(error),
        Err(_) => return Ok(None),
    };
    let metadata = file.metadata()?;
    let own = metadata.is_file()
        && metadata.nlink() == 1
        && metadata.uid() == rustix::process::geteuid().as_raw();
    Ok(own.then_some(file))
}

/// Whether an open failed for a reason that does not lie in the file.
fn is_passing(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let passing = [Errno::MFILE, Errno::NFILE, Errno::IO, Errno::NOMEM, Errno::ROFS, Errno::INTR];
    error.raw_os_error().is_some_and(|code| passing.iter().any(|it| it.raw_os_error() == code))
}

/// Whether `path` names `file` itself.
pub(crate) fn names_file(path: &Path, file: &File) -> io::Result<bool> {
    let (named, open) = (fs::symlink_metadata(path)?, file.metadata()?);
    Ok((named.dev(), named.ino()) == (open.dev(), open.ino()))
}

/// Renames, unless somebody has made a file of the new name meanwhile.
pub(crate) fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use rustix::io::Errno;
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(()),
        Err(Errno::EXIST) => {
            Err(io::Error::other("somebody has made a file of that name; move it away"))
        }
        // A file system, or a system, that cannot.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => fs::rename(from, to),
        Err(error) => Err(error.into()),
    }
}

/// Removes `path` if it names `file`.
pub(crate) fn remove(path: &Path, file: &File) {
    let removed =
        names_file(path, file).and_then(|same| if same { fs::remove_file(path) } else { Ok(()) });
    if let Err(error) = removed {
        tracing::warn!(%error, path = %path.display(), "left behind");
    }
}
