//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::access_log::Format;
use crate::byte_range::ByteRange;
use crate::config::Origins;
use crate::duration;
use crate::filter;
use crate::progress::Show;
use crate::size::ByteSize;
use crate::time_limit::TimeLimit;
use crate::url::KwikUrl;
use kwik_client::{CongestionControl, Pin};
use kwik_server::Limits;

/// The longest name of a host (RFC 1035, 3.1).
const MAX_NAME: usize = 253;
/// The least that a server may have as memory for its clients: what a hundred streams have for sure.
const LEAST_MEMORY: u64 = 100 << 16;
/// QUIC's smallest datagram of 1,200 bytes and its headers (RFC 9000, 14).
const SMALLEST_MTU: i64 = 1_228;

/// Files up to this size come from their primary alone.
const COMPARED_LEAST: u64 = crate::primary::SMALL;
/// What `check` compares at most.
const COMPARED_MOST: u64 = 256 << 20;

#[cfg(test)]
pub(crate) mod tests;

/// Reads one file from several servers at once, over one connection to a primary server.
#[derive(Debug, Parser)]
#[command(name = "kwik", version, propagate_version = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a primary and secondaries here, fetch a file from them and show who sent how much.
    Demo(DemoArgs),
    /// Make the key pair of a primary server.
    Keygen(KeygenArgs),
    /// Serve the files below a directory.
    Serve(ServeArgs),
    /// Fetch files and directories, and check each file against its BLAKE3 hash.
    #[command(after_help = STATUS)]
    Get(GetArgs),
    /// Say of each pause of a download what it waited for, whose fault it was and what was done.
    Explain(ExplainArgs),
    /// Reach every server of a file, compare their bytes and measure them.
    #[command(after_help = CHECK_STATUS)]
    Check(CheckArgs),
    /// Look at this machine: buffers, clock, ports, files. Each finding says what to do.
    #[command(after_help = DOCTOR_STATUS)]
    Doctor(DoctorArgs),
    /// Watch in the terminal what a server does: its live page as text.
    Top(TopArgs),
    /// Print what a shell needs to complete commands and options.
    Completions(CompletionsArgs),
    /// Print the manual page, for man(1).
    Man,
}

/// What `get` exits with: see `Cause::status`.
pub(crate) const STATUS: &str = "\
Exit status:
  0    the file, or every one of several, is whole and checked; of several, the first that failed counts
  1    it failed for a reason that is none of the following
  2    the command line is wrong
  3    no server has the file
  4    no server can be reached, or none any more
  5    refused: by the server, or by the rules given here
  6    the bytes are not those that were announced
  7    a file cannot be read or written here
  8    it took longer than allowed
  130  interrupted (SIGINT); 143: terminated (SIGTERM)";

/// What `check` exits with.
const CHECK_STATUS: &str = "\
Exit status:
  0    every server is reached and sends the same bytes
  1    it failed for a reason that is none of the following
  2    the command line is wrong
  3    no server has the file
  4    a server cannot be reached
  5    refused: by a server, or by the rules given here
  6    a server sends other bytes than the primary
  8    a server sent nothing in the time allowed
  130  interrupted (SIGINT); 143: terminated (SIGTERM)";

/// What `doctor` exits with.
const DOCTOR_STATUS: &str = "\
Exit status:
  0    nothing is a problem; there may be warnings
  1    a port or socket is a problem
  2    the command line is wrong
  7    a file or directory is a problem";

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// kwik://HOST/PATH or kwik://HOST:PORT/PATH: a file of more than 1 MiB, for a primary sends smaller ones alone.
    #[arg(value_name = "URL")]
    pub(crate) url: KwikUrl,
    /// As for `kwik get`: certificates of the authorities to trust, PEM.
    #[arg(long, value_name = "PEM", conflicts_with = "pin")]
    pub(crate) ca: Option<PathBuf>,
    /// As for `kwik get`: trust the primary with this key; may be repeated.
    #[arg(long, value_name = "PIN")]
    pub(crate) pin: Vec<Pin>,
    /// Bytes from the start of the file that are fetched and compared, several times where a server sends none of them.
    #[arg(long, value_name = "SIZE", default_value = "8MiB", value_parser = compared)]
    pub(crate) most: ByteSize,
    /// How long servers have to send something, from the first connection on.
    #[arg(long, value_name = "TIME", default_value = "20s")]
    pub(crate) timeout: TimeLimit,
    /// How long the first connection may take.
    #[arg(long, value_name = "TIME", default_value = "10s")]
    pub(crate) connect_timeout: TimeLimit,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// UDP address that a server is to listen on; by default port 4433 of all addresses is tried.
    #[arg(long, value_name = "ADDR", value_parser = socket_address)]
    pub(crate) listen: Option<SocketAddr>,
    /// State directory of a server; by default $XDG_STATE_HOME/kwik.
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    /// File with a private key that a server is to use; may be repeated.
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Vec<PathBuf>,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct TopArgs {
    /// Where `kwik serve --live` shows its page.
    #[arg(value_name = "ADDR", default_value = "127.0.0.1:9433", value_parser = socket_address)]
    pub(crate) address: SocketAddr,
}

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    #[arg(value_name = "SHELL")]
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Number of secondary servers.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(0..=16))]
    pub(crate) secondaries: u8,
    /// Size of the file, such as 256MiB.
    #[arg(long, value_name = "SIZE", default_value = "256MiB")]
    pub(crate) size: ByteSize,
    /// Print one JSON object instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// What `kwik get --json` printed; - is standard input.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct KeygenArgs {
    /// Directory for primary.key (secret) and primary.pub.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ServeArgs {
    /// File with settings, TOML: its keys are these options' names. What the command line says comes first, then KWIK_LISTEN,
    /// KWIK_ROOT and so on, then the file; KWIK_CONFIG names one too. It is read again when it changes, and on SIGHUP.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where the settings come from that the command line does not give.
    #[arg(skip)]
    pub(crate) origins: Origins,
    /// Check the settings and the files that they name, say what is wrong and where, and end.
    #[arg(long)]
    pub(crate) check_config: bool,
    /// UDP address to listen on, such as 0.0.0.0:4433 or host.example:4433; port 0 takes a free one. Of a name's addresses
    /// the first counts.
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Listen,
    /// Directory whose files are served.
    #[arg(long, value_name = "DIR")]
    pub(crate) root: PathBuf,
    /// Certificate chain, PEM; without it a self-signed one is made and kept in --state.
    #[arg(long, value_name = "PEM", requires = "key")]
    pub(crate) cert: Option<PathBuf>,
    /// The certificate's private key, PEM.
    #[arg(long, value_name = "PEM", requires = "cert")]
    pub(crate) key: Option<PathBuf>,
    /// Directory for what is kept between runs; by default $XDG_STATE_HOME/kwik.
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    /// Secret key of this primary, from `kwik keygen`.
    #[arg(long, value_name = "primary.key")]
    pub(crate) identity: Option<PathBuf>,
    /// A secondary server that helps this primary; may be repeated.
    #[arg(long, value_name = "ADDR#PIN", requires = "identity")]
    pub(crate) secondary: Vec<Secondary>,
    /// Public key of a primary that this server helps; may be repeated.
    #[arg(long, value_name = "primary.pub")]
    pub(crate) trust: Vec<PathBuf>,
    /// Send nothing of large files while secondaries do, except what they fail to send.
    #[arg(long, requires = "secondary")]
    pub(crate) delegate_only: bool,
    /// Believe the secondaries: take no hashes of what they are ordered. One that lies then fails the download at its end.
    #[arg(long, requires = "secondary")]
    pub(crate) no_proof: bool,
    /// List no directories: a file is found by who knows its name.
    #[arg(long)]
    pub(crate) no_listing: bool,
    /// How long open sessions may go on after SIGTERM or SIGINT, such as 30s or 5m.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration::parse)]
    pub(crate) grace: Duration,
    /// How to decide how fast to send: bbr, or cubic, which yields more to other traffic on short queues.
    #[arg(long, value_name = "NAME", default_value_t = CongestionControl::Bbr)]
    pub(crate) congestion: CongestionControl,
    /// Largest IP packet to send, in bytes, where a path turns out to carry it; by default 9001.
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u16).range(SMALLEST_MTU..))]
    pub(crate) max_mtu: Option<u16>,
    /// Files that are open for sending at a time, of which the clients of one address have an eighth at most; the others are
    /// opened when it is their turn. By default half of what the system lets a process open, at most 256.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) open_files: Option<u16>,
    /// Sessions at a time; who comes when there are so many is told to come back. By default 10000.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_sessions: Option<u32>,
    /// Those of them that come from one IPv4 address, or IPv6 network of 56 bits. By default 1000.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_sessions_of_address: Option<u32>,
    /// Memory for what is on its way to clients, such as 512MiB; writers wait beyond it. By default 1GiB.
    #[arg(long, value_name = "SIZE", value_parser = some_memory)]
    pub(crate) send_memory: Option<ByteSize>,
    /// Memory for what clients may send. By default 1GiB.
    #[arg(long, value_name = "SIZE", value_parser = some_memory)]
    pub(crate) receive_memory: Option<ByteSize>,
    /// How long a client may take nothing of what waits for it, such as 5m; then its download is ended. By default 5m.
    #[arg(long, value_name = "TIME")]
    pub(crate) reader_patience: Option<TimeLimit>,
    /// Write a line for each request to this file; - is standard output. SIGHUP has it opened anew.
    #[arg(long, value_name = "FILE")]
    pub(crate) access_log: Option<PathBuf>,
    /// How to write it.
    #[arg(long, value_name = "FORMAT", default_value_t, value_enum)]
    pub(crate) access_log_format: Format,
    /// Address for Prometheus metrics over HTTP; /healthz and /readyz there say how the server is.
    #[arg(long, value_name = "ADDR", value_parser = socket_address)]
    pub(crate) metrics: Option<SocketAddr>,
    /// Show at the --metrics address, by default http://127.0.0.1:9433/, a page of what happens just now. It names clients and files.
    #[arg(long)]
    pub(crate) live: bool,
    /// Let --live show it at a --metrics address that other machines reach.
    #[arg(long, requires_all = ["live", "metrics"])]
    pub(crate) live_anywhere: bool,
    /// Print one JSON object for each event instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// kwik://HOST/PATH or kwik://HOST:PORT/PATH; without a port it is 4433. URLs with the same path, or all of them with -o, name
    /// the same content at servers that stand in for one another; others are files of their own. With * [ or { in its last
    /// part a URL names all files of a directory that match, unless there is -o.
    #[arg(value_name = "URL", required_unless_present = "input_file")]
    pub(crate) urls: Vec<KwikUrl>,
    /// File with more URLs; - is standard input. A file to be fetched a line; URLs on one line stand in for one another. Empty lines
    /// and those that begin with # say nothing.
    #[arg(short = 'i', long, value_name = "FILE")]
    pub(crate) input_file: Option<PathBuf>,
    /// Where to write; - is standard output. By default the last name of the first URL, here.
    #[arg(short = 'o', long, value_name = "FILE", conflicts_with_all = ["input_file", "recursive"])]
    pub(crate) output: Option<PathBuf>,
    /// Write to the last name of the URL, which is the default.
    #[arg(short = 'O', long, conflicts_with = "output")]
    pub(crate) remote_name: bool,
    /// Directory that the files go to, made if it is missing; a relative -o is within it.
    #[arg(short = 'P', long, value_name = "DIR")]
    pub(crate) output_dir: Option<PathBuf>,
    /// Fetch directories with all that is below them: what is in the directory if the URL ends with a slash, else the directory
    /// itself. Files that are here already with the same size and modification time, or the same bytes as far as the server knows
    /// their hash, are left as they are.
    #[arg(short = 'r', long)]
    pub(crate) recursive: bool,
    /// Of a directory, fetch only files that match: *.bin for a name at any depth, sub/*.bin for a path below the URL. A directory
    /// that matches stands for all below it. May be repeated.
    #[arg(long, value_name = "GLOB", value_parser = filter::pattern)]
    pub(crate) include: Vec<globset::Glob>,
    /// Of a directory, leave out what matches, as --include has it and before it; may be repeated.
    #[arg(long, value_name = "GLOB", value_parser = filter::pattern)]
    pub(crate) exclude: Vec<globset::Glob>,
    /// After all went well, remove from the directory of -P what the server does not have. What --exclude or --include leave out
    /// stays.
    #[arg(long, requires_all = ["recursive", "output_dir"])]
    pub(crate) delete: bool,
    /// Fetch only these bytes of one file: A-B (B included, counted from 0), A- (to the end) or -N (the last N).
    #[arg(long, value_name = "RANGE", allow_hyphen_values = true, conflicts_with_all = ["input_file", "recursive"])]
    pub(crate) range: Option<ByteRange>,
    /// Certificates of the authorities to trust, PEM, instead of the system's. Without --ca and --pin, KWIK_CA names such a file.
    #[arg(long, value_name = "PEM", conflicts_with = "pin")]
    pub(crate) ca: Option<PathBuf>,
    /// Trust the servers with this key, as `kwik serve` prints it; may be repeated, and each is good for every URL. Without --ca
    /// and --pin, KWIK_PIN has such pins, separated by commas.
    #[arg(long, value_name = "PIN")]
    pub(crate) pin: Vec<Pin>,
    /// Start anew instead of continuing where an earlier run ended.
    #[arg(long)]
    pub(crate) no_resume: bool,
    /// How long the first connection may take, all URLs and addresses included, such as 10s or 500ms.
    #[arg(long, value_name = "TIME", default_value = "10s")]
    pub(crate) connect_timeout: TimeLimit,
    /// How long no byte may come, or fewer than --min-rate allows, reconnecting included.
    #[arg(long, value_name = "TIME", default_value = "60s")]
    pub(crate) timeout: TimeLimit,
    /// How long the whole command may take. By default as long as bytes come.
    #[arg(long, value_name = "TIME")]
    pub(crate) max_time: Option<TimeLimit>,
    /// Bytes a second that must come on the average of --timeout; 0 takes any rate.
    #[arg(long, value_name = "SIZE", default_value = "100")]
    pub(crate) min_rate: ByteSize,
    /// Bytes a second to read at most on the average, such as 10MB. What servers have sent ahead of it waits in windows.
    #[arg(long, value_name = "SIZE", value_parser = rate)]
    pub(crate) max_rate: Option<ByteSize>,
    /// Fetch nothing that is larger, such as 4GiB.
    #[arg(long, value_name = "SIZE")]
    pub(crate) max_size: Option<ByteSize>,
    /// Largest IP packet to send, in bytes, where a path turns out to carry it; by default 9001. Servers decide for themselves.
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u16).range(SMALLEST_MTU..))]
    pub(crate) max_mtu: Option<u16>,
    /// End with one JSON object (on standard error with -o -); with several files, print one for each.
    #[arg(long)]
    pub(crate) json: bool,
    /// What to show on standard error meanwhile. By default a bar if that is a terminal, and nothing with --json or --quiet.
    #[arg(long, value_name = "HOW")]
    pub(crate) progress: Option<Show>,
    /// Print nothing but errors.
    #[arg(long)]
    pub(crate) quiet: bool,
}

impl ServeArgs {
    /// Whether the server only helps primaries, and clients get nothing from it by themselves.
    pub(crate) fn helps_only(&self) -> bool {
        self.identity.is_none() && !self.trust.is_empty()
    }

    /// The limits of the server: those that are named here, and the defaults.
    pub(crate) fn limits(&self) -> Limits {
        let mut limits = Limits::new();
        let (all, of_address) = limits.max_sessions();
        limits = limits.with_max_sessions(
            self.max_sessions.unwrap_or(all),
            self.max_sessions_of_address.unwrap_or(of_address),
        );
        if let Some(memory) = self.send_memory {
            let (_, of_session) = limits.max_send_memory();
            limits = limits.with_send_memory(memory.0, of_session);
        }
        if let Some(memory) = self.receive_memory {
            limits = limits.with_receive_memory(memory.0);
        }
        if let Some(patience) = self.reader_patience {
            limits = limits.with_reader_patience(patience.0);
        }
        limits
    }
}

/// Where to listen: an address, or a name that is looked up at the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listen(String);

impl Listen {
    /// `IP:PORT` or `HOST:PORT`.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let want =
            "want IP:PORT or HOST:PORT, such as 127.0.0.1:4433, [::]:4433 or host.example:4433";
        let name = |host: &str| {
            !host.is_empty()
                && host.len() <= MAX_NAME
                && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
        };
        let named = text
            .rsplit_once(':')
            .is_some_and(|(host, port)| name(host) && port.parse::<u16>().is_ok());
        // What has digits and dots alone is an address or nothing.
        let numbers = text.bytes().all(|byte| byte.is_ascii_digit() || b".:".contains(&byte));
        match text.parse::<SocketAddr>().is_ok() || named && !numbers {
            true => Ok(Self(text.to_owned())),
            false => Err(want.to_owned()),
        }
    }
}

/// A secondary server: where it is and which key it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Secondary {
    /// `HOST:PORT`, not resolved yet.
    pub(crate) address: String,
    pub(crate) pin: Pin,
}

impl FromStr for Secondary {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (address, pin) =
            text.split_once('#').ok_or("want ADDR#PIN, such as 192.0.2.7:4433#sha256:...")?;
        let port = address.rsplit_once(':').and_then(|(host, port)| {
            if host.is_empty() { None } else { port.parse::<u16>().ok().filter(|port| *port != 0) }
        });
        if port.is_none() {
            return Err(format!("'{address}' is not HOST:PORT"));
        }
        Ok(Self {
            address: address.to_owned(),
            pin: pin.parse::<Pin>().map_err(|e| e.to_string())?,
        })
    }
}

fn rate(text: &str) -> Result<ByteSize, String> {
    let rate: ByteSize = text.parse()?;
    if rate.0 == 0 { Err("nothing would come".to_owned()) } else { Ok(rate) }
}

fn some_memory(text: &str) -> Result<ByteSize, String> {
    let memory: ByteSize = text.parse()?;
    match memory.0 < LEAST_MEMORY {
        true => Err(format!("want at least {}", ByteSize(LEAST_MEMORY))),
        false => Ok(memory),
    }
}

/// More than secondaries are asked for, and no more than a look at a file should cost.
fn compared(text: &str) -> Result<ByteSize, String> {
    let size: ByteSize = text.parse()?;
    match size.0 {
        0..=COMPARED_LEAST => Err("want more than 1MiB".to_owned()),
        bytes if bytes > COMPARED_MOST => Err("want 256MiB at most".to_owned()),
        _ => Ok(size),
    }
}

fn socket_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "want IP:PORT, such as 127.0.0.1:4433 or [::]:4433".to_owned())
}

/// A usage error in one line: what is wrong, and where to read on.
pub(crate) fn usage_line(error: &clap::Error) -> String {
    format!("{}; try 'kwik --help'", error_line(error))
}

/// What is wrong, in one line.
pub(crate) fn error_line(error: &clap::Error) -> String {
    let rendered = error.render().to_string();
    let mut line = rendered
        .lines()
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"))
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join(" ");
    if let Some(rest) = line.strip_prefix("error: ") {
        line = rest.to_owned();
    }
    line
}
