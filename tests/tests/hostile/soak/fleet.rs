//! The processes of a soak, and the files that they serve.

use std::collections::VecDeque;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;

use anyhow::ensure;
use kwik_client::Pin;
use kwik_io::key::{IdentityKey, PublicKey};
use kwik_tests::bare::BareServer;
use kwik_tests::{Content, identity};
use rand::Rng;
use rand::rngs::StdRng;

use crate::honest::{CONTENT, EXCHANGE};
use crate::program::{Program, kwik, run};
use crate::victim::Victim;

/// Files that are there all the time: key of the content, and size.
const LASTING: &[(u64, u64)] =
    &[(1, 1 << 10), (2, 100_000), (3, 1 << 20), (4, (4 << 20) + 17), (5, 16 << 20), (6, 64 << 20)];
/// Files that nobody has hashed yet, at a time.
const FRESH: usize = 24;
/// Of those before them, files that are still there: two minutes' worth, longer than a download that was interrupted goes on.
const RETIRED: usize = 24;

/// Every so many fresh files the large ones that nobody has hashed are new too.
const ROUND: u64 = 24;

/// A served file.
#[derive(Clone, Debug)]
pub(super) struct File {
    pub(super) name: String,
    pub(super) key: u64,
    pub(super) size: u64,
}

/// A server.
pub(super) struct Member {
    pub(super) name: &'static str,
    pub(super) process: Victim,
    pub(super) address: SocketAddr,
    pub(super) pin: Pin,
    pub(super) metrics: SocketAddr,
}

/// All processes that are to hold at the end what they held at the beginning.
pub(super) struct Fleet {
    pub(super) dir: tempfile::TempDir,
    pub(super) primary: Member,
    pub(super) secondaries: Vec<Member>,
    /// Clients that use the library, see [`super::clients`].
    pub(super) clients: Victim,
    pub(super) files: Vec<File>,
    retired: VecDeque<String>,
    made: u64,
}

impl Fleet {
    pub(super) async fn start() -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let root = dir.path().join("root");
        std::fs::create_dir(&root)?;
        // What attacks ask for: an honest file, one that nobody reads, and two that take long to hash.
        std::fs::write(root.join("f"), CONTENT.bytes(0, EXCHANGE as usize))?;
        sparse(&root.join("large"), 64 << 20)?;
        let mut keygen = kwik(dir.path())?;
        keygen.args(["keygen", "--out", "keys"]);
        ensure!(run(keygen).await?.code == Some(0), "no keys");
        let (key, public) = identity();
        public.save_new(&dir.path().join("attacker.pub"))?;
        key.save_new(&dir.path().join("attacker.key"))?;

        let trust = ["--trust", "keys/primary.pub", "--trust", "attacker.pub"];
        let mut secondaries = Vec::new();
        for name in ["secondary 1", "secondary 2"] {
            secondaries.push(Member::start(&dir, name, &trust).await?);
        }
        let hostile = BareServer::start();
        let named = secondaries.iter().map(|it| format!("{}#{}", it.address, it.pin));
        let named: Vec<_> =
            named.chain([format!("{}#{}", hostile.address(), hostile.pin())]).collect();
        let mut args = vec!["--identity", "keys/primary.key"];
        named.iter().for_each(|secondary| args.extend(["--secondary", secondary.as_str()]));
        let primary = Member::start(&dir, "primary", &args).await?;
        let believed = PublicKey::load(&dir.path().join("keys/primary.pub"))?;
        tokio::spawn(super::hostile::secondary(hostile, believed));

        let (address, pin) = (primary.address.to_string(), primary.pin.to_string());
        let mut clients = Victim::start(&["clients", &address, &pin])?;
        clients.answer().await?;
        let (files, retired) = (Vec::new(), VecDeque::new());
        let mut fleet = Self { dir, primary, secondaries, clients, files, retired, made: 0 };
        for &(key, size) in LASTING {
            fleet.write(format!("file-{key}"), key, size)?;
        }
        Ok(fleet)
    }

    /// All servers.
    pub(super) fn servers(&self) -> impl Iterator<Item = &Member> {
        std::iter::once(&self.primary).chain(&self.secondaries)
    }

    /// The key of a primary that the secondaries trust, and that attackers have.
    pub(super) fn key(&self) -> anyhow::Result<IdentityKey> {
        Ok(IdentityKey::load(&self.dir.path().join("attacker.key"))?)
    }

    /// Puts a file there that nobody has hashed yet, in the place of the oldest.
    pub(super) fn refresh(&mut self, random: &mut StdRng) -> anyhow::Result<()> {
        self.made += 1;
        // What attacks have hashed for nobody. Larger ones keep a core busy for minutes, in which no peer comes.
        if self.made % ROUND == 1 {
            for name in ["one", "two"] {
                sparse(&self.root().join(name), (2 << 30) + self.made)?;
            }
        }
        let key = 100 + self.made;
        let size = 1_u64 << random.random_range(10..23_u32);
        if self.files.len() >= LASTING.len() + FRESH {
            // Who began with it may have to go on with it.
            self.retired.push_back(self.files.remove(LASTING.len()).name);
        }
        if self.retired.len() > RETIRED
            && let Some(old) = self.retired.pop_front()
        {
            std::fs::remove_file(self.root().join(old))?;
        }
        self.write(format!("fresh-{key}"), key, size)
    }

    /// One of the files, the small ones more often.
    pub(super) fn pick(&self, random: &mut StdRng) -> File {
        let most = if random.random_ratio(1, 8) { u64::MAX } else { 8 << 20 };
        let fitting: Vec<&File> = self.files.iter().filter(|it| it.size <= most).collect();
        fitting[random.random_range(0..fitting.len())].clone()
    }

    fn write(&mut self, name: String, key: u64, size: u64) -> anyhow::Result<()> {
        // Whole at once: a server must never see half of it.
        let new = self.dir.path().join("new");
        let mut file = std::fs::File::create(&new)?;
        let mut at = 0;
        while at < size {
            let step = (size - at).min(1 << 20);
            std::io::Write::write_all(&mut file, &Content(key).bytes(at, step as usize))?;
            at += step;
        }
        std::fs::rename(new, self.root().join(&name))?;
        self.files.push(File { name, key, size });
        Ok(())
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }
}

/// Zeros that take no space.
fn sparse(path: &std::path::Path, size: u64) -> anyhow::Result<()> {
    Ok(std::fs::File::create(path)?.set_len(size)?)
}

impl Member {
    async fn start(
        dir: &tempfile::TempDir,
        name: &'static str,
        args: &[&str],
    ) -> anyhow::Result<Self> {
        // Free a moment ago.
        let metrics = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let (port, state) = (metrics.to_string(), name.replace(' ', "-"));
        let args = [args, &["--state", &state, "--metrics", &port]].concat();
        let (process, address, pin) = Program::serve(dir.path(), &args, None).await?;
        Ok(Self { name, process, address, pin, metrics })
    }
}
