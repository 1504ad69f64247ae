//! `kwik demo`.

use std::fs;
use std::io::{self, BufWriter, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use kwik_client::Trust;
use kwik_server::{CongestionControl, Env, IdentityKey, Limits, PathSpec, ServerCertificate};

use crate::access_log::AccessLog;
use crate::catalog::Catalog;
use crate::cause::Known;
use crate::cli::DemoArgs;
use crate::connect::Servers;
use crate::continuing::Patience;
use crate::get::{Notes, Order, fetch, print};
use crate::open_files::OpenFiles;
use crate::output::Output;
use crate::primary::{Clients, Directories, Primary, Proof, Share};
use crate::progress::{Progress, Show};
use crate::protocol::Get;
use crate::report::Report;
use crate::root::Root;
use crate::roster::Roster;
use crate::serve::{Running, Service};
use crate::signals::Stop;
use crate::size::ByteSize;
use crate::tag::Tag;
use crate::tag_cache::TagCache;
use crate::tag_store::TagStore;

/// The name of the file that the demo makes.
const FILE: &str = "demo.bin";
/// Any free port of this machine.
const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Runs servers and a client in this process, moves a file and tells who sent how much.
pub(crate) async fn run(args: &DemoArgs) -> anyhow::Result<()> {
    let mut stop = Stop::listen()?;
    let report = tokio::select! {
        biased;
        cause = stop.wanted() => return Err(Known::error(cause, "interrupted")),
        report = show(args) => report?,
    };
    print(io::stdout(), &if args.json { report.to_json() } else { report.to_text("demo") })
}

async fn show(args: &DemoArgs) -> anyhow::Result<Report> {
    let dir = tempfile::Builder::new()
        .prefix("kwik-demo-")
        .tempdir()
        .context("cannot make a directory for the demo; set TMPDIR to one with room")?;
    let (catalog, tag) = prepare(dir.path(), args.size).await?;
    let identity = IdentityKey::generate(&Env::system());
    let secondaries = (0..args.secondaries)
        .map(|_| start_secondary(&catalog, &identity))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let primary = start_primary(&catalog, identity, &secondaries)?;
    let url = format!("kwik://{}/{FILE}", primary.address).parse().map_err(anyhow::Error::msg)?;
    let patience =
        Patience { connect: Duration::from_secs(10), silence: Duration::from_secs(60), rate: 0 };
    let trust = vec![Trust::Pin(primary.pin)];
    let servers = Arc::new(Servers::new(&[url], trust, patience.connect, None)?);
    let show = if args.json { Show::Never } else { Show::OnTerminal };
    let began = Instant::now();
    let order = Order {
        servers,
        patience,
        range: None,
        max_size: None,
        pace: None,
        progress: Progress::new(show, began),
        notes: Notes::Silent,
        began,
    };
    let report = fetch(order, Output::discard()).await?;
    ensure!(report.blake3 == tag.to_string(), "the file that arrived is not the one that was made");
    Ok(report)
}

/// Makes the file and has it hashed, so that the secondaries take part from the start.
async fn prepare(dir: &Path, size: ByteSize) -> anyhow::Result<(Catalog, Tag)> {
    let root = dir.join("root");
    let file = root.join(FILE);
    let made = tokio::task::spawn_blocking({
        let root = root.clone();
        move || {
            fs::create_dir(&root)?;
            make_file(&file, size)
        }
    });
    let tag = made.await?.context("cannot make the demo's file; set TMPDIR to one with room")?;
    let tags = TagCache::new(TagStore::open(dir)?);
    let files = OpenFiles::new(OpenFiles::default_most());
    let catalog = Catalog::new(Root::open(&root)?, tags, files);
    let get = Get { path: FILE.to_owned(), offset: 0, length: None, if_tag: Some(tag) };
    match catalog.find(&get).await {
        Ok(_) => Ok((catalog, tag)),
        Err(failed) => bail!("the demo's file cannot be served: {}", failed.message),
    }
}

/// Writes a file of bytes that do not repeat.
fn make_file(path: &Path, size: ByteSize) -> io::Result<Tag> {
    let mut file = BufWriter::new(fs::File::create(path)?);
    let mut source = blake3::Hasher::new().update(b"kwik demo").finalize_xof();
    let mut hasher = blake3::Hasher::new();
    let mut chunk = vec![0; 1 << 20];
    let mut left = size.0;
    while left > 0 {
        let len = left.min(chunk.len() as u64);
        let part = &mut chunk[..len as usize];
        source.fill(part);
        hasher.update(part);
        file.write_all(part)?;
        left -= len;
    }
    file.flush()?;
    Ok(hasher.finalize().into())
}

fn start_secondary(catalog: &Catalog, identity: &IdentityKey) -> anyhow::Result<Running> {
    Service {
        listen: LOOPBACK,
        certificate: ServerCertificate::self_signed(["localhost"])?,
        identity: None,
        trusted: vec![identity.public().clone()],
        primary: serves(catalog, Vec::new(), Clients::Refused),
        limits: Limits::new(),
        congestion: CongestionControl::default(),
        max_mtu: None,
    }
    .start()
}

fn start_primary(
    catalog: &Catalog,
    identity: IdentityKey,
    secondaries: &[Running],
) -> anyhow::Result<Running> {
    let paths = secondaries.iter().map(Running::as_secondary).collect();
    Service {
        listen: LOOPBACK,
        certificate: ServerCertificate::self_signed(["localhost"])?,
        identity: Some(identity),
        trusted: Vec::new(),
        primary: serves(catalog, paths, Clients::Served),
        limits: Limits::new(),
        congestion: CongestionControl::default(),
        max_mtu: None,
    }
    .start()
}

fn serves(catalog: &Catalog, secondaries: Vec<PathSpec>, clients: Clients) -> Primary {
    Primary {
        catalog: catalog.clone(),
        roster: Roster::new(secondaries),
        log: AccessLog::default(),
        share: Share::Own,
        proof: Proof::Named,
        clients,
        directories: Directories::Unlisted,
    }
}
