//! Reaching the servers of a download.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use kwik_client::connection::Handle;
use kwik_client::{Client, Connect, Limits, Pin, Session, Trust};
use tokio::net::lookup_host;
use tokio::task::JoinSet;

use crate::cause::{Cause, Known};
use crate::cli::GetArgs;
use crate::request_path::RequestPath;
use crate::sessions::Sessions;
use crate::url::KwikUrl;

/// How long nothing may be heard of a server. Shorter than the library's 30 s: a person waits.
const SILENCE: Duration = Duration::from_secs(10);
/// How long after one address of a server the next is tried (RFC 8305, 5).
const STAGGER: Duration = Duration::from_millis(250);
/// Addresses of a server that are tried.
const MAX_ADDRESSES: usize = 8;
/// What the goodbye may take beside its round trip: the threads that say it have to get their turn.
const SLACK: Duration = Duration::from_millis(20);

/// The primaries of a download: where they are, what they are asked for, and how they prove who they are.
#[derive(Debug)]
pub(crate) struct Servers {
    sources: Vec<Source>,
    reach: Arc<Reach>,
}

/// A content at a server.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) url: KwikUrl,
    pub(crate) path: RequestPath,
    /// Which trust is tried first.
    pub(crate) trust: usize,
}

/// How servers are reached.
#[derive(Debug)]
pub(crate) struct Reach {
    /// One for each trust.
    clients: Vec<Client>,
    advice: &'static str,
    /// `None`: each download has sessions of its own.
    sessions: Option<Sessions>,
}

/// Whether downloads from one server share a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sharing {
    Shared,
    Apart,
}

impl Reach {
    /// Servers have to satisfy any of `trusts`. `dial`: what a handshake may take; `max_mtu`: the largest packet to send, in bytes,
    /// if not the library's own.
    pub(crate) fn new(
        trusts: Vec<Trust>,
        dial: Duration,
        max_mtu: Option<u16>,
        sharing: Sharing,
    ) -> anyhow::Result<Self> {
        let advice = advice(trusts.first());
        let limits = Limits::new().with_idle_timeout(SILENCE).with_dial_timeout(dial);
        let client = |trust| {
            let builder = Client::builder().with_tls(trust)?.with_limits(limits);
            let builder = match max_mtu {
                Some(bytes) => builder.with_max_mtu(bytes),
                None => builder,
            };
            Ok(builder.start()?)
        };
        let clients = trusts.into_iter().map(client).collect::<anyhow::Result<_>>()?;
        let sessions = (sharing == Sharing::Shared).then(Sessions::default);
        Ok(Self { clients, advice, sessions })
    }

    /// Which trust is tried first for the URL of that index, of so many: as many pins as URLs are meant pair by pair, and the others
    /// are tried as well.
    pub(crate) fn trust_of(&self, url: usize, of: usize) -> usize {
        if self.clients.len() == of { url } else { 0 }
    }

    /// A session with the server of a URL, which has to satisfy that trust or another one: one that is there already, if sessions
    /// are shared.
    pub(crate) async fn connect(&self, url: &KwikUrl, trust: usize) -> anyhow::Result<Handle> {
        match &self.sessions {
            Some(sessions) => {
                let place = (url.host(), url.port());
                sessions.take(place, || self.dial(url, trust)).await
            }
            None => self.dial(url, trust).await.map(|session| session.handle()),
        }
    }

    /// Connects to a server, at whichever of its addresses answers first.
    ///
    /// They are tried one after the other without waiting for each to fail (RFC 8305): an address that is silent
    /// would cost the time of a whole handshake.
    async fn dial(&self, url: &KwikUrl, trust: usize) -> anyhow::Result<Session> {
        let addresses: Vec<SocketAddr> = lookup_host((url.host(), url.port()))
            .await
            .map_err(|error| {
                let text = format!("cannot find {}; check the name: {error}", url.host());
                Known::error(Cause::Unreachable, text)
            })?
            .take(MAX_ADDRESSES)
            .collect();
        let mut candidates = Vec::new();
        for client in self.clients_for(trust) {
            candidates.extend(addresses.iter().map(|address| (client.clone(), *address)));
        }
        let mut candidates = candidates.into_iter();
        let mut tries = JoinSet::new();
        let nowhere = format!("{} has no address; check the name", url.host());
        let mut failure = Known::error(Cause::Unreachable, nowhere);
        loop {
            let next = candidates.next();
            let more = next.is_some();
            if let Some((client, address)) = next {
                let connect = Connect::new(address).with_server_name(url.host());
                tries.spawn(async move { client.connect(connect).await });
            }
            // After a while, or a failure, the next is tried too.
            let stagger = async {
                if more { tokio::time::sleep(STAGGER).await } else { std::future::pending().await }
            };
            tokio::select! {
                tried = tries.join_next() => match tried {
                    Some(Ok(Ok(session))) => return Ok(session),
                    Some(Ok(Err(error))) => {
                        let text = format!("{error}; {}", self.advice);
                        failure = Known::like(&error.into(), text);
                    }
                    Some(Err(error)) => failure = error.into(),
                    None if more => {}
                    None => return Err(failure),
                },
                () = stagger => {}
            }
        }
    }

    fn clients_for(&self, trust: usize) -> impl Iterator<Item = &Client> {
        let (before, from) = self.clients.split_at(trust.min(self.clients.len()));
        from.iter().chain(before)
    }

    /// Ends the sessions that downloads shared.
    pub(crate) async fn close(&self) {
        if let Some(sessions) = &self.sessions {
            let rtt = sessions.close().await;
            self.say_goodbye(rtt).await;
        }
    }

    /// Gives the goodbyes of sessions that were dropped the time to leave: a round trip of `rtt`.
    async fn say_goodbye(&self, rtt: Duration) {
        let said = async {
            for client in &self.clients {
                // They would find out by themselves; nobody waits for that.
                let _ = client.wait_idle().await;
            }
        };
        let _ = tokio::time::timeout(rtt + SLACK, said).await;
    }
}

impl Servers {
    /// The servers of `urls`, each of which has to satisfy any of `trusts`, as [`Reach::new`] has it.
    pub(crate) fn new(
        urls: &[KwikUrl],
        trusts: Vec<Trust>,
        dial: Duration,
        max_mtu: Option<u16>,
    ) -> anyhow::Result<Self> {
        let reach = Arc::new(Reach::new(trusts, dial, max_mtu, Sharing::Apart)?);
        let source = |(index, url): (usize, &KwikUrl)| {
            let path = url.path().with_context(|| url.to_string())?;
            Ok(Source { url: url.clone(), path, trust: reach.trust_of(index, urls.len()) })
        };
        let sources = urls.iter().enumerate().map(source).collect::<anyhow::Result<_>>()?;
        Ok(Self { sources, reach })
    }

    /// Servers that are reached as others are.
    pub(crate) fn among(sources: Vec<Source>, reach: &Arc<Reach>) -> Self {
        Self { sources, reach: Arc::clone(reach) }
    }

    /// Whether sessions are shared with other downloads.
    pub(crate) fn shares(&self) -> bool {
        self.reach.sessions.is_some()
    }

    pub(crate) fn count(&self) -> usize {
        self.sources.len()
    }

    /// What is asked of the server of that index.
    pub(crate) fn source(&self, server: usize) -> &Source {
        &self.sources[server]
    }

    /// A session with a server: one that is there already, if sessions are shared.
    pub(crate) async fn connect(&self, server: usize) -> anyhow::Result<Handle> {
        let Source { url, trust, .. } = self.source(server);
        self.reach.connect(url, *trust).await
    }

    /// Gives the goodbyes of sessions that were dropped the time to leave. Sessions that are shared go on.
    pub(crate) async fn say_goodbye(&self, rtt: Duration) {
        if !self.shares() {
            self.reach.say_goodbye(rtt).await;
        }
    }
}

/// Pins that are trusted where the command line names nobody.
const PIN: &str = "KWIK_PIN";
/// As [`PIN`], a file with authorities.
const CA: &str = "KWIK_CA";

/// Whom `get` trusts: the pins, the authorities in a file, or the system's.
pub(crate) fn trusts(args: &GetArgs) -> anyhow::Result<Vec<Trust>> {
    trusts_in(&args.pin, args.ca.as_deref())
}

/// The same, of these options.
pub(crate) fn trusts_in(pins: &[Pin], ca: Option<&Path>) -> anyhow::Result<Vec<Trust>> {
    trusts_of(pins, ca, |name| std::env::var(name).ok().filter(|value| !value.is_empty()))
}

fn trusts_of(
    pins: &[Pin],
    ca: Option<&Path>,
    variable: impl Fn(&str) -> Option<String>,
) -> anyhow::Result<Vec<Trust>> {
    if !pins.is_empty() {
        return Ok(pins.iter().map(|pin| Trust::Pin(*pin)).collect());
    }
    if let Some(path) = ca {
        return Ok(vec![authorities("--ca", path)?]);
    }
    match (variable(PIN), variable(CA)) {
        (Some(_), Some(_)) => {
            bail!("both {PIN} and {CA} are set; unset one, or give --pin or --ca")
        }
        (Some(pins), None) => {
            pins.split(',').map(|pin| Ok(Trust::Pin(pin.trim().parse().context(PIN)?))).collect()
        }
        (None, Some(path)) => Ok(vec![authorities(CA, Path::new(&path))?]),
        (None, None) => Ok(vec![Trust::System]),
    }
}

fn authorities(option: &str, path: &Path) -> anyhow::Result<Trust> {
    let pem = fs::read_to_string(path).map_err(|error| {
        let text = format!("cannot read {}; {option} wants a PEM file: {error}", path.display());
        Known::error(Cause::Disk, text)
    })?;
    Ok(Trust::ca(pem))
}

fn advice(trust: Option<&Trust>) -> &'static str {
    match trust {
        Some(Trust::Ca(_)) => "check the address and the certificates of --ca, or give --pin",
        Some(Trust::Pin(_)) => "check the address and the pin, which `kwik serve` prints",
        _ => "check the address; for a certificate of your own give --pin or --ca",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    fn pin(digit: char) -> String {
        format!("sha256:{}", digit.to_string().repeat(64))
    }

    /// What is trusted with these options and variables: the pins of it, in order.
    fn trusted(options: &[&str], variables: &[(&str, String)]) -> Result<Vec<String>, String> {
        let line = ["kwik", "get", "kwik://h/x"].iter().chain(options);
        let Command::Get(args) = Cli::try_parse_from(line).unwrap().command else { panic!() };
        let variable = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
        };
        let trusts = trusts_of(&args.pin, args.ca.as_deref(), variable)
            .map_err(|error| format!("{error:#}"))?;
        let name = |trust: Trust| match trust {
            Trust::Pin(pin) => pin.to_string(),
            Trust::System => "system".to_owned(),
            _ => "authorities".to_owned(),
        };
        Ok(trusts.into_iter().map(name).collect())
    }

    #[test]
    fn the_command_line_comes_before_the_environment() {
        let set = [("KWIK_PIN", format!("{}, {}", pin('a'), pin('b')))];
        assert_eq!(trusted(&[], &[]), Ok(vec!["system".to_owned()]));
        assert_eq!(trusted(&[], &set), Ok(vec![pin('a'), pin('b')]));
        assert_eq!(trusted(&["--pin", &pin('c')], &set), Ok(vec![pin('c')]));
    }

    #[test]
    fn a_variable_that_is_wrong_is_named() {
        for (variables, named) in [
            (vec![("KWIK_PIN", "sha256:00".to_owned())], "KWIK_PIN"),
            (vec![("KWIK_CA", "/nowhere.pem".to_owned())], "KWIK_CA"),
            (vec![("KWIK_PIN", pin('a')), ("KWIK_CA", "x".to_owned())], "KWIK_CA"),
        ] {
            let error = trusted(&[], &variables).unwrap_err();
            assert!(error.contains(named), "{error}");
        }
    }
}
