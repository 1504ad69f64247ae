//! Reaching the server of a URL.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use kwik_client::{Client, Connect, Session, Trust};
use tokio::net::lookup_host;

use crate::cli::GetArgs;
use crate::url::KwikUrl;

/// How long nothing may be heard of a server. Shorter than the library's 30 s: a person waits.
const SILENCE: Duration = Duration::from_secs(10);
/// How long a finished session may take to tell its servers.
const GOODBYE: Duration = Duration::from_secs(1);

/// A session, and the client that it belongs to.
#[derive(Debug)]
pub(crate) struct Connected {
    client: Client,
    pub(crate) session: Session,
}

impl Connected {
    /// Connects to the server of `url`, at the first of its addresses that answers.
    pub(crate) async fn to(url: &KwikUrl, trust: Trust) -> anyhow::Result<Self> {
        let advice = advice(&trust);
        let client = Client::builder().with_tls(trust)?.with_idle_timeout(SILENCE).start()?;
        let addresses = lookup_host((url.host(), url.port()))
            .await
            .with_context(|| format!("cannot find {}; check the name", url.host()))?;
        let mut failure = anyhow!("{} has no address; check the name", url.host());
        for address in addresses {
            match client.connect(Connect::new(address).with_server_name(url.host())).await {
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
