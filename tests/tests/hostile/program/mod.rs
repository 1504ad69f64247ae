//! The program `kwik` against hostile clients, servers and directories.

pub(crate) mod downloads;
pub(crate) mod greed;
mod listings;
mod names;
pub(crate) mod requests;
mod secondaries;
mod start;
mod windows;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use kwik_client::{Client, Connect, Pin, Session};
use kwik_server::stream::BidirectionalStream;
use kwik_server::{Limits, Server};
use kwik_tests::bare::{Message, RawPeer, messages};
use kwik_tests::certificate;

use crate::attack::{Arena, Attack};
use crate::honest::{CONTENT, EXCHANGE, Honest};
use crate::victim::Victim;

pub(crate) use downloads::{found, tag};

/// All attacks.
pub(crate) const LISTS: &[&[Attack<Program>]] = &[
    requests::ATTACKS,
    downloads::ATTACKS,
    start::ATTACKS,
    greed::ATTACKS,
    names::ATTACKS,
    windows::ATTACKS,
    secondaries::ATTACKS,
    listings::ATTACKS,
];

/// Most bytes that a `kwik get` may have resident.
const GET_MEMORY: u64 = 160 << 20;

/// A `kwik serve` with an honest client, and a directory.
pub(crate) struct Program {
    victim: Victim,
    /// Everything is below it: `root/`, which is served, with the file `f`, and `state/`.
    pub(crate) dir: tempfile::TempDir,
    pub(crate) address: SocketAddr,
    pub(crate) pin: Pin,
    pub(crate) metrics: SocketAddr,
}

/// A `kwik` that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stderr: String,
}

/// Where the program is: `KWIK_BIN`, or beside the tests; built where it is not there.
fn binary() -> anyhow::Result<PathBuf> {
    if let Some(named) = std::env::var_os("KWIK_BIN") {
        // Tests run in their package's folder; the variable may be meant from the workspace's.
        let named = PathBuf::from(named);
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(&named);
        return Ok(if named.exists() { named } else { root });
    }
    let own = std::env::current_exe()?;
    let profile = own.parent().and_then(Path::parent).context("tests are in target/*/deps")?;
    let binary = profile.join("kwik");
    if !binary.exists() {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo)
            .args(["build", "--locked", "-p", "kwik-cli", "--bin", "kwik"])
            .stdout(Stdio::null())
            .status()?;
        ensure!(built.success() && binary.exists(), "kwik can't be built; name it with KWIK_BIN");
    }
    Ok(binary)
}

/// A `kwik` whose state is below `dir`.
pub(crate) fn kwik(dir: &Path) -> anyhow::Result<Command> {
    let mut command = Command::new(binary()?);
    command.env("XDG_STATE_HOME", dir.join("state")).env("HOME", dir).current_dir(dir);
    command.env_remove("RUST_BACKTRACE").env("NO_COLOR", "1").stdin(Stdio::null());
    Ok(command)
}

/// Runs a `kwik` that is to end by itself, in a minute and within its memory.
pub(crate) async fn run(mut command: Command) -> anyhow::Result<Ended> {
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let ended = tokio::task::spawn_blocking(move || {
        let own = std::env::current_exe().ok();
        let mut child = command.spawn()?;
        let start = std::time::Instant::now();
        let mut peak = 0;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break Some(status);
            }
            // Linux lets us go on a moment before the child has a memory of its own: until then it shows ours.
            if std::fs::read_link(format!("/proc/{}/exe", child.id())).ok() != own {
                peak = peak.max(resident(child.id()));
            }
            if start.elapsed() > Duration::from_secs(40) {
                child.kill()?;
                child.wait()?;
                break None;
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        let mut stderr = Vec::new();
        std::io::Read::read_to_end(&mut child.stderr.take().context("it is piped")?, &mut stderr)?;
        let stderr = String::from_utf8_lossy(&stderr).into_owned();
        ensure!(status.is_some(), "it does not end: {stderr}");
        ensure!(peak < GET_MEMORY, "it grew to {} MiB", peak >> 20);
        anyhow::Ok(Ended { code: status.and_then(|status| status.code()), stderr })
    });
    ended.await?
}

fn resident(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/statm")).unwrap_or_default();
    let pages: u64 = status.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages << 12
}

impl Ended {
    /// It has failed, and says why in one line without anything that a terminal would take for a command.
    pub(crate) fn fails(&self) -> anyhow::Result<()> {
        ensure!(self.code.is_some_and(|code| code != 0), "it ended with {:?}", self.code);
        let line = self.stderr.strip_suffix('\n').with_context(|| format!("{self:?}"))?;
        ensure!(!line.chars().any(char::is_control), "a control character in {line:?}");
        ensure!(line.starts_with("kwik: "), "{line:?}");
        Ok(())
    }
}

/// A request of the file service.
pub(crate) fn request(path: &[u8]) -> Message {
    Message::new().bytes(1, path)
}

/// A session with a server of files.
pub(crate) async fn session(address: SocketAddr, pin: Pin) -> anyhow::Result<(Client, Session)> {
    let client = Client::builder().with_tls(pin)?.start()?;
    let session = client.connect(Connect::new(address)).await?;
    Ok((client, session))
}

/// Fetches the honest file, which must be right.
pub(crate) async fn fetch(session: &mut Session) -> anyhow::Result<()> {
    let answer = answer(session, request(b"f").delimited()).await?;
    let split = answer.len().checked_sub(EXCHANGE as usize).context("too short")?;
    ensure!(CONTENT.matches(0, &answer[split..]), "wrong bytes");
    Ok(())
}

/// What is answered to the bytes of a request.
pub(crate) async fn answer(session: &mut Session, request: Bytes) -> anyhow::Result<Bytes> {
    let (mut receive, mut send) = session.open_bidirectional_stream().await?.split();
    send.send(request).await?;
    send.finish()?;
    let mut answer = Vec::new();
    while let Some(chunk) = receive.receive().await? {
        answer.extend_from_slice(&chunk);
    }
    Ok(answer.into())
}

/// The number of `kwik.files.v1.FailureCode` in an answer that is a failure.
pub(crate) fn failure(answer: Bytes) -> Option<u64> {
    let failed = messages(answer).first()?.iter().find(|field| field.number == 2)?.bytes.clone();
    let failed = messages(Message::new().raw(&failed).delimited());
    Some(failed.first()?.iter().find(|field| field.number == 1).map_or(0, |field| field.value))
}

impl Program {
    /// A `kwik serve` that lasts beyond the attack. What the attacker puts into its own directory is not served.
    pub(crate) fn at(
        process: u32,
        (address, pin): (SocketAddr, Pin),
        metrics: SocketAddr,
    ) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        std::fs::create_dir(dir.path().join("root"))?;
        Ok(Self { victim: Victim::shared(process), dir, address, pin, metrics })
    }

    /// A `kwik serve` of `dir`'s `root`, with more arguments, that has said where it listens.
    pub(crate) async fn serve(
        dir: &Path,
        args: &[&str],
        shell: Option<&str>,
    ) -> anyhow::Result<(Victim, SocketAddr, Pin)> {
        let plain = kwik(dir)?;
        let mut command = match shell {
            Some(before) => {
                let mut shell = Command::new("sh");
                shell.arg("-c").arg(format!("{before}; exec \"$0\" \"$@\""));
                shell.arg(plain.get_program()).current_dir(dir).env("HOME", dir);
                shell.env("XDG_STATE_HOME", dir.join("state")).env("NO_COLOR", "1");
                shell
            }
            None => plain,
        };
        command.args(["serve", "--listen", "127.0.0.1:0", "--json", "--root", "root"]).args(args);
        let mut victim = Victim::spawn(command)?;
        let (address, pin) = crate::primary::listening(&mut victim).await?;
        Ok((victim, address, pin))
    }

    /// An honest client.
    pub(crate) async fn honest(&self) -> anyhow::Result<Honest> {
        let (client, session) = self.client().await?;
        Ok(Honest::Files { session, _client: client })
    }

    /// A client that speaks KWIK.
    pub(crate) async fn client(&self) -> anyhow::Result<(Client, Session)> {
        session(self.address, self.pin).await
    }

    /// A client that speaks frames.
    pub(crate) async fn peer(&self) -> RawPeer {
        RawPeer::client(self.address, self.pin).await
    }

    /// The code of the failure that a request meets.
    pub(crate) async fn fails(&self, request: Message) -> anyhow::Result<u64> {
        let (_client, mut session) = self.client().await?;
        let answer = answer(&mut session, request.delimited()).await?;
        failure(answer).context("it is answered")
    }

    /// A `kwik get` from a server, into `out`.
    pub(crate) async fn get(&self, from: (SocketAddr, Pin)) -> anyhow::Result<Ended> {
        let mut command = kwik(self.dir.path())?;
        command.arg("get").arg(format!("kwik://{}/f", from.0)).arg("--pin").arg(from.1.to_string());
        command.args(["-o", "out", "--timeout", "2s", "--connect-timeout", "2s"]);
        run(command).await
    }

    /// A `kwik get` from a server that answers its request like that.
    pub(crate) async fn get_from<F, R>(&self, answer: F) -> anyhow::Result<Ended>
    where
        F: Fn(BidirectionalStream) -> R + Send + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let mut server = Server::builder()
            .with_tls(certificate())?
            .with_io("127.0.0.1:0")?
            .with_limits(Limits::new())
            .start()?;
        let from = (server.local_addr(), server.pin());
        let serving = tokio::spawn(async move {
            while let Some(mut session) = server.accept().await {
                while let Ok(Some(stream)) = session.accept_bidirectional_stream().await {
                    tokio::spawn(answer(stream));
                }
            }
        });
        let ended = self.get(from).await;
        serving.abort();
        ended
    }

    /// Nothing lies under the name of the download.
    pub(crate) fn nothing_there(&self) -> anyhow::Result<()> {
        ensure!(!self.dir.path().join("out").exists(), "a file that is not right is there");
        Ok(())
    }

    /// Another `kwik serve` that must not start; it says why.
    pub(crate) async fn must_not_start(&self, args: &[&str]) -> anyhow::Result<Ended> {
        let mut command = kwik(self.dir.path())?;
        command.args(["serve", "--listen", "127.0.0.1:0", "--root", "root"]).args(args);
        run(command).await
    }

    /// The served directory.
    pub(crate) fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    /// The server's process.
    pub(crate) fn process(&mut self) -> &mut Victim {
        &mut self.victim
    }
}

impl Arena for Program {
    const PARTY: &str = "program";

    async fn start() -> anyhow::Result<(Self, Honest)> {
        let dir = tempfile::tempdir()?;
        std::fs::create_dir(dir.path().join("root"))?;
        std::fs::write(dir.path().join("root/f"), CONTENT.bytes(0, EXCHANGE as usize))?;
        // Free a moment ago.
        let metrics = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let port = metrics.to_string();
        let (victim, address, pin) = Self::serve(dir.path(), &["--metrics", &port], None).await?;
        let arena = Self { victim, dir, address, pin, metrics };
        let honest = arena.honest().await?;
        Ok((arena, honest))
    }

    fn victim(&mut self) -> &mut Victim {
        &mut self.victim
    }
}
