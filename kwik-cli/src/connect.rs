//! Reaching the server of a URL.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use kwik_client::{Client, Connect, Limits, Session, Trust};
use tokio::net::lookup_host;
use tokio::task::JoinSet;

use crate::cli::GetArgs;
use crate::url::KwikUrl;

/// How long nothing may be heard of a server. Shorter than the library's 30 s: a person waits.
const SILENCE: Duration = Duration::from_secs(10);
/// How long a finished session may take to tell its servers.
const GOODBYE: Duration = Duration::from_secs(1);
/// How long after one address of a server the next is tried.
const STAGGER: Duration = Duration::from_millis(250);
/// Addresses of a server that are tried.
const MAX_ADDRESSES: usize = 8;

/// A session, and the client that it belongs to.
#[derive(Debug)]
pub(crate) struct Connected {
    client: Client,
    pub(crate) session: Session,
}

impl Connected {
    /// Connects to the server of `url`, at whichever of its addresses answers first.
    ///
    /// They are tried one after the other without waiting for each to fail (RFC 8305): an address that is silent
    /// would cost the time of a whole handshake.
    pub(crate) async fn to(url: &KwikUrl, trust: Trust) -> anyhow::Result<Self> {
        let advice = advice(&trust);
        let limits = Limits::new().with_idle_timeout(SILENCE);
        let client = Client::builder().with_tls(trust)?.with_limits(limits).start()?;
        let addresses = lookup_host((url.host(), url.port()))
            .await
            .with_context(|| format!("cannot find {}; check the name", url.host()))?;
        let mut tries = JoinSet::new();
        for (delay, address) in (0..).map(|i| STAGGER * i).zip(addresses.take(MAX_ADDRESSES)) {
            let connect = Connect::new(address).with_server_name(url.host());
            let client = client.clone();
            tries.spawn(async move {
                tokio::time::sleep(delay).await;
                client.connect(connect).await
            });
        }
        let mut failure = anyhow!("{} has no address; check the name", url.host());
        while let Some(tried) = tries.join_next().await {
            match tried? {
                Ok(session) => return Ok(Self { client, session }),
                Err(error) => failure = anyhow!("{error}; {advice}"),
            }
        }
        Err(failure)
    }

    /// Ends the session and gives the servers a moment to hear of it.
    pub(crate) async fn close(self) {
        let Self { client, session } = self;
        drop(session);
        // They would find out by themselves; nobody waits for that.
        let _ = tokio::time::timeout(GOODBYE, client.wait_idle()).await;
    }
}

/// Whom `get` trusts: the pin, the authorities in a file, or the system's.
pub(crate) fn trust(args: &GetArgs) -> anyhow::Result<Trust> {
    match (&args.pin, &args.ca) {
        (Some(pin), _) => Ok(Trust::Pin(*pin)),
        (None, Some(path)) => authorities(path),
        (None, None) => Ok(Trust::System),
    }
}

fn authorities(path: &Path) -> anyhow::Result<Trust> {
    let pem = fs::read_to_string(path)
        .with_context(|| format!("cannot read {}; --ca wants a PEM file", path.display()))?;
    Ok(Trust::ca(pem))
}

fn advice(trust: &Trust) -> &'static str {
    match trust {
        Trust::System => "check the address; for a certificate of your own give --pin or --ca",
        Trust::Ca(_) => "check the address and the certificates of --ca, or give --pin",
        Trust::Pin(_) => "check the address and the pin, which `kwik serve` prints",
    }
}
