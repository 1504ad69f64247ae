//! `kwik get`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use kwik_client::sanitized;

use crate::cause::{Cause, Known, Told};
use crate::cli::GetArgs;
use crate::connect::{self, Servers};
use crate::continuing::Patience;
use crate::download::{Begun, Changed, Disagree, Download, WrongBytes};
use crate::kept::{Keeper, Left, kept};
use crate::output::{Making, Output};
use crate::pace::Pace;
use crate::part::Resume;
use crate::progress::{Progress, Show};
use crate::report::{Failure, Report, milliseconds};
use crate::say;
use crate::signals::Stop;
use crate::stdout;
use crate::writer::{Writer, Written};

/// What is downloaded from where, and what may be said on the way.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) servers: Arc<Servers>,
    pub(crate) patience: Patience,
    /// The largest content that is wanted, in bytes.
    pub(crate) max_size: Option<u64>,
    /// Most bytes a second to read, on the average.
    pub(crate) max_rate: Option<u64>,
    pub(crate) show: Show,
    pub(crate) notes: Notes,
}

/// Whether the user is told what is not an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notes {
    Told,
    Silent,
}

impl Notes {
    fn tell(self, note: &str) {
        if self == Self::Told {
            say(&sanitized(note).to_string());
        }
    }
}

/// How long the last bytes may take to the disk after an error. What they were not in time for is fetched again.
const SETTLING: Duration = Duration::from_secs(2);

/// Fetches a file, checks it and tells about it.
pub(crate) async fn run(args: &GetArgs) -> anyhow::Result<()> {
    let mut stop = Stop::listen()?;
    let (keeper, kept) = kept();
    let outcome = tokio::select! {
        biased;
        cause = stop.wanted() => Err(Known::error(cause, "interrupted")),
        report = download(args, keeper) => report,
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
            let error = error.context(args.urls[0].to_string());
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
        (false, false) => report.to_text(&sanitized(&args.urls[0].path()?.to_string()).to_string()),
    };
    tell(args, &text).context("the file is whole")
}

/// Says what `get` ends with where the content is not.
fn tell(args: &GetArgs, text: &str) -> anyhow::Result<()> {
    if is_stdout(args) { print(io::stderr(), text) } else { print(io::stdout(), text) }
}

async fn download(args: &GetArgs, keeper: Keeper) -> anyhow::Result<Report> {
    let patience = Patience {
        connect: args.connect_timeout.0,
        silence: args.timeout.0,
        rate: args.min_rate.0,
    };
    let trusts = connect::trusts(args)?;
    let servers = Servers::new(&args.urls, trusts, patience.connect, args.max_mtu)?;
    let servers = Arc::new(servers);
    let show = if args.json || args.quiet { Show::Never } else { Show::OnTerminal };
    let notes = if args.quiet { Notes::Silent } else { Notes::Told };
    let (output, note) = open_output(args, keeper).await?;
    note.into_iter().for_each(|note| notes.tell(&note));
    let max_size = args.max_size.map(|size| size.0);
    let max_rate = args.max_rate.map(|rate| rate.0);
    fetch(Order { servers, patience, max_size, max_rate, show, notes }, output).await
}

/// Fetches one content into `output`.
pub(crate) async fn fetch(order: Order, output: Output) -> anyhow::Result<Report> {
    let start = Instant::now();
    let resumed = output.resumed().map(|resumed| (resumed.content.tag, resumed.bytes));
    let Order { servers, patience, max_size, max_rate, show, notes } = order;
    let mut output = output;
    let mut download = Download::new(Arc::clone(&servers), patience, resumed, start);
    let content = match download.begin().await? {
        Begun::Found(content) => content,
        Begun::OtherContent => {
            let bytes = resumed.map_or(0, |(_, bytes)| bytes);
            notes.tell(&format!(
                "the content has changed since {bytes} bytes of it were kept; starting over"
            ));
            output = blocking(move || output.restart().map(|()| output)).await?;
            download = Download::new(servers, patience, None, start);
            match download.begin().await? {
                Begun::Found(content) => content,
                Begun::OtherContent => {
                    let text = "the server contradicts itself; try again";
                    return Err(Known::error(Cause::Integrity, text));
                }
            }
        }
    };
    if let Some(most) = max_size.filter(|most| content.size > *most) {
        let size = content.size;
        let text = format!("the content has {size} bytes; --max-size allows {most}");
        return Err(Known::error(Cause::Refused, text));
    }
    output = blocking(move || output.begin(content).map(|()| output)).await?;
    let writer = Writer::start(output);
    let progress = Progress::new(content.size, show);
    progress.advance(download.position());
    let mut pace = max_rate.map(Pace::new);
    let outcome = loop {
        match download.chunk().await {
            Ok(Some(bytes)) => {
                let length = bytes.len() as u64;
                progress.advance(length);
                if !writer.write(bytes).await {
                    break Ok(());
                }
                if let Some(pace) = &mut pace {
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
    if tag != content.tag {
        let wanted = content.tag;
        reject(output).await?;
        let text = format!(
            "the content has the BLAKE3 hash {tag}, not {wanted} as announced; nothing was kept, try again"
        );
        return Err(Known::error(Cause::Integrity, text));
    }
    let elapsed = start.elapsed();
    // The goodbyes run beside.
    let commit = blocking(move || output.commit().map(|()| at.elapsed()));
    let (account, committed) = tokio::join!(download.end(), commit);
    let mut report = Report::new(content.size, elapsed, tag);
    report.commit_ms = milliseconds(committed?);
    account.enter(&mut report);
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
async fn blocking<T: Send + 'static>(
    act: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    tokio::task::spawn_blocking(act).await.context("a thread for files")?
}

async fn open_output(args: &GetArgs, keeper: Keeper) -> anyhow::Result<(Output, Option<String>)> {
    if is_stdout(args) {
        return Output::stdout().map(|output| (output, None));
    }
    let name = match &args.output {
        Some(path) => path.clone(),
        None => PathBuf::from(args.urls[0].path()?.file_name()),
    };
    let path = match &args.output_dir {
        Some(dir) => {
            fs::create_dir_all(dir).map_err(|error| {
                let text = format!("cannot make {}: {error}; choose another -P", dir.display());
                Known::error(Cause::Disk, text)
            })?;
            dir.join(name)
        }
        None => name,
    };
    let resume = if args.no_resume { Resume::Anew } else { Resume::Continue };
    let urls = args.urls.iter().map(ToString::to_string).collect();
    let making = Making { urls, resume, keeper };
    // Opening a named pipe waits for its reader.
    blocking(move || Output::file(&path, making)).await
}

fn is_stdout(args: &GetArgs) -> bool {
    args.output.as_deref().is_some_and(|path| path == Path::new("-") || stdout::is_name(path))
}

/// Writes text and a line end.
pub(crate) fn print(mut to: impl io::Write, text: &str) -> anyhow::Result<()> {
    writeln!(to, "{text}").and_then(|()| to.flush()).context("cannot write the report")
}
