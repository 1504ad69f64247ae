//! What programs serve and fetch: a directory of files, certificates and keys, removed at the end.

use std::env;
use std::fs::{self, File};
use std::io::Write;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use kwik_server::ServerCertificate;
use tempfile::TempDir;

use super::hosts;
use super::program::{Program, need};
use crate::child::Child;
use crate::role::Listening;

/// How long a server may take to listen.
const PATIENCE: Duration = Duration::from_secs(10);

/// The directory, and the program `kwik`.
pub(crate) struct Site {
    directory: TempDir,
    kwik: PathBuf,
}

/// A server of files: where, and the prefix of commands that run there.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) host: Option<Program>,
    pub(crate) address: IpAddr,
}

impl Place {
    /// This machine itself.
    pub(crate) fn loopback() -> Self {
        Self { host: None, address: IpAddr::from([127, 0, 0, 1]) }
    }

    /// Runs a program there.
    pub(crate) fn run(&self, program: impl Into<String>) -> Program {
        match &self.host {
            Some(host) => host.clone().arg(program),
            None => Program::new(program),
        }
    }
}

impl Site {
    /// With certificates for every address that a case uses, and a primary's key pair.
    pub(crate) fn new(kwik: Option<&Path>) -> anyhow::Result<Self> {
        let site = Self { directory: TempDir::with_prefix("kwik-perf-")?, kwik: program(kwik)? };
        let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        names.extend((0..hosts::MOST).map(|index| hosts::address(index).to_string()));
        let certificate = ServerCertificate::self_signed(names)?;
        write_private(&site.path("cert.pem"), &certificate.certificate_pem())?;
        write_private(&site.path("key.pem"), &certificate.key_pem())?;
        for directory in ["root", "out"] {
            fs::create_dir(site.path(directory))?;
        }
        Program::new(site.kwik()).args(["keygen", "--out", &site.text("keys")]).time()?;
        Ok(site)
    }

    fn kwik(&self) -> String {
        self.kwik.display().to_string()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Where a client writes; what was there is removed, and the disk comes to rest.
    pub(crate) fn output(&self, name: &str) -> anyhow::Result<String> {
        let path = self.path("out").join(name);
        if path.exists() {
            fs::remove_file(&path)?;
        }
        rustix::fs::sync();
        Ok(path.display().to_string())
    }

    /// Whether a client wrote all of a file. It is removed.
    pub(crate) fn check_output(&self, name: &str, length: u64) -> anyhow::Result<()> {
        let path = self.path("out").join(name);
        let came = fs::metadata(&path).with_context(|| format!("{name} was not written"))?.len();
        ensure!(came == length, "{name}: {came} bytes came of {length}");
        Ok(fs::remove_file(path)?)
    }

    /// A file that servers have, of bytes that nothing makes smaller. Its name is its length.
    pub(crate) fn file(&self, length: u64) -> anyhow::Result<String> {
        let name = length.to_string();
        let path = self.path("root").join(&name);
        if path.exists() {
            return Ok(name);
        }
        let mut file = File::create(path)?;
        let (mut left, mut state) = (length, 0x9e37_79b9_7f4a_7c15u64);
        let mut block = vec![0; 1 << 20];
        while left > 0 {
            for word in block.chunks_exact_mut(8) {
                // xorshift64
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                word.copy_from_slice(&state.to_le_bytes());
            }
            let next = left.min(block.len() as u64);
            file.write_all(&block[..usize::try_from(next)?])?;
            left -= next;
        }
        file.sync_all()?;
        Ok(name)
    }

    /// Starts nginx as Debian configures it, with TLS 1.3 alone.
    pub(crate) fn nginx(&self, place: &Place) -> anyhow::Result<(Child, SocketAddr)> {
        need(&["nginx", "curl"])?;
        let port = match place.host {
            Some(_) => 8443,
            None => TcpListener::bind((place.address, 0))?.local_addr()?.port(),
        };
        let address = SocketAddr::new(place.address, port);
        let configuration = self.path(&format!("nginx-{address}.conf"));
        fs::write(&configuration, self.nginx_configuration(address))?;
        let configuration = configuration.display().to_string();
        let server = place.run("nginx").args(["-e", "stderr", "-c", &configuration]).keep()?;
        Ok((server, address))
    }

    fn nginx_configuration(&self, address: SocketAddr) -> String {
        let directory = self.directory.path().display();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|name| format!("{name}_temp_path {directory}/nginx-temp;\n"))
            .collect();
        // Its workers read a directory that only this user may read.
        format!(
            "daemon off;\nuser root;\nworker_processes auto;\npid {directory}/nginx-{address}.pid;\n\
             events {{ worker_connections 768; }}\n\
             http {{\nsendfile on;\ntcp_nopush on;\naccess_log off;\n{temporary}\
             default_type application/octet-stream;\n\
             server {{\nlisten {address} ssl;\nroot {directory}/root;\nssl_protocols TLSv1.3;\n\
             ssl_certificate {directory}/cert.pem;\nssl_certificate_key {directory}/key.pem;\n}}\n}}\n"
        )
    }

    /// Waits until a server of TLS answers a client at `client`.
    pub(crate) fn await_nginx(&self, client: &Place, address: SocketAddr) -> anyhow::Result<()> {
        let name = self.file(1)?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.curl(client, address, &name, "/dev/null").time() {
                Err(error) if Instant::now() > deadline => {
                    bail!("nginx does not listen: {error:#}");
                }
                Err(_) => thread::sleep(Duration::from_millis(20)),
                Ok(_) => return Ok(()),
            }
        }
    }

    /// curl, which fetches a file.
    pub(crate) fn curl(
        &self,
        client: &Place,
        server: SocketAddr,
        file: &str,
        output: &str,
    ) -> Program {
        client
            .run("curl")
            .args(["--silent", "--show-error", "--fail", "--tlsv1.3", "--cacert"])
            .arg(self.text("cert.pem"))
            .args(["--output", output])
            .arg(format!("https://{server}/{file}"))
    }

    /// aria2c, which fetches a file from several servers at once, a connection to each.
    pub(crate) fn aria2c(
        &self,
        client: &Place,
        servers: &[SocketAddr],
        file: &str,
        output: &str,
    ) -> Program {
        let connections = servers.len();
        client
            .run("aria2c")
            .args(["--no-conf", "--quiet", "--min-split-size=1M", "--file-allocation=none"])
            .args([format!("-x{connections}"), format!("-s{connections}")])
            .arg(format!("--ca-certificate={}", self.text("cert.pem")))
            .arg(format!("--dir={}", self.text("out")))
            .arg(format!("--out={output}"))
            .args(servers.iter().map(|server| format!("https://{server}/{file}")))
    }

    /// `kwik get`.
    pub(crate) fn get(
        &self,
        client: &Place,
        server: SocketAddr,
        file: &str,
        output: &str,
    ) -> Program {
        let ca = self.text("cert.pem");
        client
            .run(self.kwik())
            .args(["get", &format!("kwik://{server}/{file}"), "--ca", &ca])
            .args(["--quiet", "--output", output])
    }

    /// Starts `kwik serve` as a primary with these secondaries.
    pub(crate) fn primary(
        &self,
        place: &Place,
        secondaries: &[Listening],
    ) -> anyhow::Result<(Child, Listening)> {
        let mut program = self.serve(place, "primary");
        program = program.args(["--identity", &self.text("keys/primary.key")]);
        for secondary in secondaries {
            program =
                program.arg("--secondary").arg(format!("{}#{}", secondary.address, secondary.pin));
        }
        listening(program)
    }

    /// Starts `kwik serve` as a secondary, the first, second ...
    pub(crate) fn secondary(
        &self,
        place: &Place,
        index: usize,
    ) -> anyhow::Result<(Child, Listening)> {
        let program = self.serve(place, &format!("secondary-{index}"));
        listening(program.args(["--trust", &self.text("keys/primary.pub")]))
    }

    fn serve(&self, place: &Place, state: &str) -> Program {
        place
            .run(self.kwik())
            .args(["serve", "--json", "--grace", "100ms", "--listen"])
            .arg(SocketAddr::new(place.address, 0).to_string())
            .args(["--root", &self.text("root"), "--state", &self.text(state)])
            .args(["--cert", &self.text("cert.pem"), "--key", &self.text("key.pem")])
    }
}

fn listening(program: Program) -> anyhow::Result<(Child, Listening)> {
    let mut server = program.keep()?;
    let listening = server.hear()?;
    Ok((server, listening))
}

/// Readable by this user alone, as `kwik serve` wants it of keys.
fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
    Ok(file.write_all(text.as_bytes())?)
}

/// The program `kwik`: as it is named, or as KWIK_BIN names it, or beside this one.
fn program(named: Option<&Path>) -> anyhow::Result<PathBuf> {
    let path = match (named, env::var_os("KWIK_BIN")) {
        (Some(path), _) => path.to_owned(),
        (None, Some(path)) => path.into(),
        (None, None) => env::current_exe()?.with_file_name("kwik"),
    };
    fs::canonicalize(&path).with_context(|| {
        format!(
            "the program {} is not there: build it with `cargo build --release -p kwik-cli`, or name it with --kwik PATH \
             or KWIK_BIN",
            path.display()
        )
    })
}
