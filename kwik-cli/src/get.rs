//! `kwik get`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use kwik_client::sanitized;

use crate::byte_range::ByteRange;
use crate::cause::{Cause, Known, Told};
use crate::cli::GetArgs;
use crate::connect::{self, Servers};
use crate::continuing::Patience;
use crate::download::{Begun, Changed, Disagree, Download, WrongBytes};
use crate::items::{self, Wanted};
use crate::kept::{Keeper, Left, kept};
use crate::many;
use crate::output::{Making, Output};
use crate::pace::SharedPace;
use crate::part::Resume;
use crate::progress::{Progress, Show};
use crate::record::Content;
use crate::report::{Failure, RangeReport, Report, milliseconds};
use crate::say;
use crate::signals::Stop;
use crate::stdout;
use crate::tag::Tag;
use crate::time_limit::TimeLimit;
use crate::url::KwikUrl;
use crate::writer::{Writer, Written};

/// What is downloaded from where, and what may be said on the way.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) servers: Arc<Servers>,
    pub(crate) patience: Patience,
    /// The part of the content that is wanted; `None`: the whole.
    pub(crate) range: Option<ByteRange>,
    /// The largest content that is wanted, in bytes.
    pub(crate) max_size: Option<u64>,
    pub(crate) pace: Option<SharedPace>,
    pub(crate) progress: Progress,
    pub(crate) notes: Notes,
    /// When the command began, or what of it this is.
    pub(crate) began: Instant,
}

/// Whether the user is told what is not an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notes {
    Told,
    Silent,
}

impl Notes {
    pub(crate) fn tell(self, note: &str) {
        if self == Self::Told {
            say(&sanitized(note).to_string());
        }
    }
}

/// How long the last bytes may take to the disk after an error. What they were not in time for is fetched again.
const SETTLING: Duration = Duration::from_secs(2);

/// Fetches what is wanted, checks it and tells about it.
pub(crate) async fn run(args: &GetArgs) -> anyhow::Result<()> {
    let began = Instant::now();
    match items::wanted(args)? {
        Wanted::One(urls) => one(args, &urls, began).await,
        Wanted::Files(items) => many::files(args, items, began).await,
        Wanted::Trees(trees) => many::trees(args, trees, began).await,
    }
}

/// Fetches one file, checks it and tells about it.
async fn one(args: &GetArgs, urls: &[KwikUrl], began: Instant) -> anyhow::Result<()> {
    let mut stop = Stop::listen()?;
    let (keeper, kept) = kept();
    let outcome = tokio::select! {
        biased;
        cause = stop.wanted() => Err(Known::error(cause, "interrupted")),
        report = download(args, urls, keeper, began) => report,
        error = too_long(args.max_time) => Err(error),
    };
    let report = match outcome {
        Ok(report) => report,
        Err(error) => {
            let so_far = kept.clone();
            let kept = tokio::select! {
                kept = kept.settled() => kept,
                // Who asks again does not want to wait for the disk; nor does who asked once wait for an output that
                // nobody opens.
                _ = stop.wanted() => so_far.now(),
                () = tokio::time::sleep(SETTLING) => so_far.now(),
            };
            let starts_over = error.is::<Changed>() || error.is::<Disagree>();
            let error = error.context(urls[0].to_string());
            let error = match kept {
                Left::Bytes(0) => error,
                Left::Whole => Known::like(&error, format_args!("{error:#}; the file is whole")),
                Left::Bytes(_) if starts_over => error,
                Left::Bytes(bytes) => {
                    let how = if args.no_resume { " without --no-resume" } else { "" };
                    let text = format!(
                        "{error:#}; {bytes} bytes are kept, and the same command{how} continues there"
                    );
                    Known::like(&error, text)
                }
            };
            // If there is no place for the object, the line is for those who look.
            if args.json
                && tell(args, &Failure::of(&error, kept).to_json()).is_ok()
                && is_stdout(args)
            {
                return Err(Told(Cause::of(&error)).into());
            }
            return Err(error);
        }
    };
    let text = match (args.json, args.quiet) {
        (true, _) => report.to_json(),
        (false, true) => return Ok(()),
        (false, false) => report.to_text(&sanitized(&urls[0].path()?.to_string()).to_string()),
    };
    tell(args, &text).context("the file is whole")
}

/// Says what `get` ends with where the content is not.
fn tell(args: &GetArgs, text: &str) -> anyhow::Result<()> {
    if is_stdout(args) { print(io::stderr(), text) } else { print(io::stdout(), text) }
}

/// Waits until the command has taken longer than it may; for ever if it may.
pub(crate) async fn too_long(limit: Option<TimeLimit>) -> anyhow::Error {
    match limit {
        Some(limit) => {
            tokio::time::sleep(limit.0).await;
            let text = format!("it took longer than {limit}; give a longer --max-time");
            Known::error(Cause::Timeout, text)
        }
        None => std::future::pending().await,
    }
}

impl GetArgs {
    /// How long servers are waited for.
    pub(crate) fn patience(&self) -> Patience {
        Patience { connect: self.connect_timeout.0, silence: self.timeout.0, rate: self.min_rate.0 }
    }

    /// What is shown on the way.
    pub(crate) fn show(&self) -> Show {
        match self.progress {
            Some(show) => show,
            None if self.json || self.quiet => Show::Never,
            None => Show::OnTerminal,
        }
    }

    /// What is said on the way.
    pub(crate) fn notes(&self) -> Notes {
        if self.quiet { Notes::Silent } else { Notes::Told }
    }

    /// How a file begins.
    pub(crate) fn resume(&self) -> Resume {
        if self.no_resume { Resume::Anew } else { Resume::Continue }
    }
}

async fn download(
    args: &GetArgs,
    urls: &[KwikUrl],
    keeper: Keeper,
    began: Instant,
) -> anyhow::Result<Report> {
    let (patience, notes) = (args.patience(), args.notes());
    let trusts = connect::trusts(args)?;
    let servers = Servers::new(urls, trusts, patience.connect, args.max_mtu)?;
    let (output, note) = open_output(args, urls, keeper).await?;
    note.into_iter().for_each(|note| notes.tell(&note));
    let order = Order {
        servers: Arc::new(servers),
        patience,
        range: args.range,
        max_size: args.max_size.map(|size| size.0),
        pace: args.max_rate.map(|rate| SharedPace::new(rate.0)),
        progress: Progress::new(args.show(), began),
        notes,
        began,
    };
    fetch(order, output).await
}

/// A download that has begun.
struct Begin {
    download: Download,
    output: Output,
    /// What the output gets. Of a part of a content that is a content of its own, with another tag.
    content: Content,
    /// Which part of which content it is, if it is one.
    part: Option<(u64, Content)>,
}

/// Begins to fetch a whole content.
async fn begin_whole(order: &Order, mut output: Output) -> anyhow::Result<Begin> {
    let Order { servers, patience, notes, .. } = order;
    let start = Instant::now();
    let resumed = output.resumed().map(|resumed| (resumed.content.tag, resumed.bytes));
    let mut download = Download::new(Arc::clone(servers), *patience, resumed, start);
    let content = match download.begin().await? {
        Begun::Found(content) => content,
        Begun::OtherContent => {
            let bytes = resumed.map_or(0, |(_, bytes)| bytes);
            notes.tell(&format!(
                "the content has changed since {bytes} bytes of it were kept; starting over"
            ));
            output = blocking(move || output.restart().map(|()| output)).await?;
            download = Download::new(Arc::clone(servers), *patience, None, start);
            match download.begin().await? {
                Begun::Found(content) => content,
                Begun::OtherContent => return Err(contradiction()),
            }
        }
    };
    Ok(Begin { download, output, content, part: None })
}

/// Begins to fetch a part of a content. First it has to be known how large the content is.
async fn begin_part(order: &Order, range: ByteRange, mut output: Output) -> anyhow::Result<Begin> {
    let Order { servers, patience, .. } = order;
    let start = Instant::now();
    let mut look = Download::new(Arc::clone(servers), *patience, None, start).until(0, 0);
    let Begun::Found(whole) = look.begin().await? else { return Err(contradiction()) };
    look.end().await;
    let range = range.within(whole.size)?;
    let content = Content {
        tag: tag_of_part(whole.tag, range.start, range.end),
        size: range.end - range.start,
    };
    let here = match output.resumed() {
        Some(resumed) if resumed.content == content => resumed.bytes,
        Some(_) => {
            output = blocking(move || output.restart().map(|()| output)).await?;
            0
        }
        None => 0,
    };
    let wanted = Some((whole.tag, range.start + here));
    let mut download = Download::new(Arc::clone(servers), *patience, wanted, start);
    download = download.until(range.end, here);
    match download.begin().await? {
        Begun::Found(_) => {}
        Begun::OtherContent => return Err(contradiction()),
    }
    Ok(Begin { download, output, content, part: Some((range.start, whole)) })
}

fn contradiction() -> anyhow::Error {
    Known::error(Cause::Integrity, "the server contradicts itself; try again")
}

/// What the record of a part file calls a part of a content, so that it is not continued as another part, or as the whole.
fn tag_of_part(whole: Tag, start: u64, end: u64) -> Tag {
    let mut hasher = blake3::Hasher::new_derive_key("kwik 2026 part of a content");
    hasher.update(&whole.0).update(&start.to_le_bytes()).update(&end.to_le_bytes());
    hasher.finalize().into()
}

/// Fetches one content, or a part of it, into `output`.
pub(crate) async fn fetch(order: Order, output: Output) -> anyhow::Result<Report> {
    let begin = match order.range {
        Some(range) => begin_part(&order, range, output).await?,
        None => begin_whole(&order, output).await?,
    };
    let Begin { mut download, mut output, content, part } = begin;
    let Order { max_size, pace, progress, began, .. } = order;
    if let Some(most) = max_size.filter(|most| content.size > *most) {
        let size = content.size;
        let text = format!("the content has {size} bytes; --max-size allows {most}");
        return Err(Known::error(Cause::Refused, text));
    }
    output = blocking(move || output.begin(content).map(|()| output)).await?;
    let writer = Writer::start(output);
    progress.begin(content.size);
    progress.advance(download.position() - part.map_or(0, |(offset, _)| offset));
    let outcome = loop {
        match download.chunk().await {
            Ok(Some(bytes)) => {
                let length = bytes.len() as u64;
                progress.advance(length);
                if !writer.write(bytes).await {
                    break Ok(());
                }
                if let Some(pace) = &pace {
                    pace.wait(length).await;
                }
            }
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    drop(progress);
    // First what the writer says: if it failed, that is why bytes are left.
    let written = writer.finish().await;
    let (output, tag, at) = match (written, outcome) {
        (Ok(Written { output, tag, at }), Ok(())) => (output, tag, at),
        (Ok(Written { output, .. }), Err(error)) => {
            download.end().await;
            if error.is::<WrongBytes>() {
                reject(output).await?;
            }
            return Err(error);
        }
        (Err(error), _) => {
            // A server that is not told waits for more.
            download.end().await;
            return Err(error);
        }
    };
    if part.is_none() && tag != content.tag {
        let wanted = content.tag;
        reject(output).await?;
        let text = format!(
            "the content has the BLAKE3 hash {tag}, not {wanted} as announced; nothing was kept, try again"
        );
        return Err(Known::error(Cause::Integrity, text));
    }
    let elapsed = began.elapsed();
    // The goodbyes run beside.
    let commit = blocking(move || output.commit().map(|()| at.elapsed()));
    let (account, committed) = tokio::join!(download.end(), commit);
    let mut report = Report::new(content.size, elapsed, tag);
    report.commit_ms = milliseconds(committed?);
    account.enter(&mut report);
    report.range = part.map(|(offset, whole)| {
        let Content { tag, size } = whole;
        RangeReport { offset, size, blake3: tag.to_string() }
    });
    Ok(report)
}

/// Throws away what was written.
async fn reject(output: Output) -> anyhow::Result<()> {
    blocking(move || {
        output.reject();
        Ok(())
    })
    .await
}

/// Runs what blocks where it may.
pub(crate) async fn blocking<T: Send + 'static>(
    act: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    tokio::task::spawn_blocking(act).await.context("a thread for files")?
}

async fn open_output(
    args: &GetArgs,
    urls: &[KwikUrl],
    keeper: Keeper,
) -> anyhow::Result<(Output, Option<String>)> {
    if is_stdout(args) {
        return Output::stdout().map(|output| (output, None));
    }
    let name = match &args.output {
        Some(path) => path.clone(),
        None => PathBuf::from(urls[0].path()?.file_name()),
    };
    let path = match &args.output_dir {
        Some(dir) => {
            make_directory(dir)?;
            dir.join(name)
        }
        None => name,
    };
    let urls = urls.iter().map(ToString::to_string).collect();
    let making = Making { urls, resume: args.resume(), keeper };
    // Opening a named pipe waits for its reader.
    blocking(move || Output::file(&path, making)).await
}

/// Makes the directory of -P, if it is not there.
pub(crate) fn make_directory(dir: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(dir).map_err(|error| {
        let text = format!("cannot make {}: {error}; choose another -P", dir.display());
        Known::error(Cause::Disk, text)
    })
}

fn is_stdout(args: &GetArgs) -> bool {
    args.output.as_deref().is_some_and(|path| path == Path::new("-") || stdout::is_name(path))
}

/// Writes text and a line end.
pub(crate) fn print(mut to: impl io::Write, text: &str) -> anyhow::Result<()> {
    writeln!(to, "{text}").and_then(|()| to.flush()).context("cannot write the report")
}
