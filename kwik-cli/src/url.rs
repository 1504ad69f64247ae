//! `kwik://HOST[:PORT]/PATH`.

use std::fmt;
use std::str::FromStr;

use anyhow::Context as _;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use url::Host;

use crate::request_path::RequestPath;

/// The UDP port of a URL that names none.
pub(crate) const DEFAULT_PORT: u16 = 4433;

/// What a path may have as itself.
const ENCODED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Where a file is: a server and a path below its root.
///
/// Parsing checks the form of the address; the path is judged by [`path`](Self::path), since a path that leaves the
/// root is a refused request, not a misused command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KwikUrl {
    text: String,
    host: Host<String>,
    port: u16,
    encoded_path: String,
}

impl KwikUrl {
    /// Name or IP literal of the server, without brackets.
    pub(crate) fn host(&self) -> String {
        match &self.host {
            Host::Domain(name) => name.clone(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        }
    }

    /// UDP port of the server.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The path, percent-decoded once.
    pub(crate) fn path(&self) -> anyhow::Result<RequestPath> {
        let decoded = percent_decode_str(&self.encoded_path)
            .decode_utf8()
            .context("the path is not UTF-8; percent-encode UTF-8")?;
        Ok(RequestPath::new(decoded)?)
    }

    /// The URL of another path at the same server.
    pub(crate) fn at(&self, path: &RequestPath) -> Self {
        let authority = self.text.len() - self.encoded_path.len();
        let encoded_path = utf8_percent_encode(&path.to_string(), ENCODED).to_string();
        let text = format!("{}{encoded_path}", &self.text[..authority]);
        Self { text, encoded_path, ..self.clone() }
    }

    /// Whether the last part of the path is a pattern. A character of patterns that is meant as itself is percent-encoded.
    pub(crate) fn is_pattern(&self) -> bool {
        let last = self.encoded_path.rsplit('/').next().unwrap_or_default();
        last.contains(['*', '[', '{'])
    }

    /// The directory of the path, which may be empty, and its last part, which is empty after a slash: percent-decoded once,
    /// and not checked.
    pub(crate) fn split(&self) -> anyhow::Result<(String, String)> {
        let decode = |encoded| {
            let decoded = percent_decode_str(encoded).decode_utf8();
            decoded.map(String::from).context("the path is not UTF-8; percent-encode UTF-8")
        };
        let (above, last) = self.encoded_path.rsplit_once('/').unwrap_or(("", &self.encoded_path));
        Ok((decode(above)?, decode(last)?))
    }
}

impl FromStr for KwikUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const FORM: &str = "want kwik://HOST/PATH or kwik://HOST:PORT/PATH";
        let rest = text.strip_prefix("kwik://").ok_or(FORM)?;
        let (authority, encoded_path) = rest.split_once('/').ok_or(FORM)?;
        // The colons of an IPv6 address stand within its brackets.
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !authority.ends_with(']') => (host, Some(port)),
            _ => (authority, None),
        };
        if text.contains(['?', '#']) {
            return Err(
                "a kwik URL has no query and no fragment; write %3F for ?, %23 for #".into()
            );
        }
        let port = match port {
            Some(port) => port.parse().ok().filter(|port| *port != 0),
            None => Some(DEFAULT_PORT),
        };
        Ok(Self {
            text: text.to_owned(),
            host: Host::parse(host).map_err(|error| format!("{error}; {FORM}"))?,
            port: port.ok_or_else(|| format!("the port is a number from 1 to 65535; {FORM}"))?,
            encoded_path: encoded_path.to_owned(),
        })
    }
}

impl fmt::Display for KwikUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn path_of(text: &str) -> anyhow::Result<String> {
        Ok(text.parse::<KwikUrl>().unwrap().path()?.to_string())
    }

    #[test]
    fn host_port_and_path_are_taken_apart() {
        let url: KwikUrl = "kwik://Origin.Example:4433/sub/big.bin".parse().unwrap();
        assert_eq!((url.host().as_str(), url.port()), ("origin.example", 4433));
        assert_eq!(url.path().unwrap().to_string(), "sub/big.bin");
        let url: KwikUrl = "kwik://[::1]:1/x".parse().unwrap();
        assert_eq!((url.host().as_str(), url.port()), ("::1", 1));
    }

    #[test]
    fn a_url_without_a_port_means_4433() {
        for (text, host) in [("kwik://h/x", "h"), ("kwik://[::1]/x", "::1")] {
            let url: KwikUrl = text.parse().unwrap();
            assert_eq!((url.host().as_str(), url.port()), (host, 4433));
            assert_eq!(url.path().unwrap().to_string(), "x");
        }
    }

    #[test]
    fn the_path_is_percent_decoded_exactly_once() {
        assert_eq!(path_of("kwik://h:1/a%20b%2Fc").unwrap(), "a b/c");
        assert_eq!(path_of("kwik://h:1/%252e%252e/x").unwrap(), "%2e%2e/x");
        assert_eq!(path_of("kwik://h:1/%C3%BC").unwrap(), "ü");
    }

    #[test]
    fn a_path_that_leaves_the_root_is_refused_before_anything_is_sent() {
        for path in [
            "..",
            "../etc/passwd",
            "a/../../etc/passwd",
            "%2e%2e/etc/passwd",
            "%2E%2E%2Fetc%2Fpasswd",
            "..%2fetc",
            "/etc/passwd",
            "%2Fetc/passwd",
            "a%00b",
            "",
            "%ff",
        ] {
            let error = path_of(&format!("kwik://h:1/{path}")).unwrap_err();
            assert!(format!("{error:#}").starts_with("the path "), "{error:#}");
        }
    }

    #[test]
    fn another_path_has_a_url_at_the_same_server() {
        let url: KwikUrl = "kwik://h:1/a/*".parse().unwrap();
        let path = RequestPath::new("a b/ü*#").unwrap();
        let other = url.at(&path);
        assert_eq!(other.to_string(), "kwik://h:1/a%20b/%C3%BC%2A%23");
        assert_eq!(other.path().unwrap(), path);
        assert_eq!(other.to_string().parse::<KwikUrl>().unwrap(), other);
    }

    #[test]
    fn a_pattern_is_in_the_last_part_and_not_encoded() {
        for (text, is_pattern) in
            [("x/*", true), ("[ab]", true), ("{a,b}.bin", true), ("*/x", false), ("%2A", false)]
        {
            let url: KwikUrl = format!("kwik://h/{text}").parse().unwrap();
            assert_eq!(url.is_pattern(), is_pattern, "{text}");
        }
        let url: KwikUrl = "kwik://h/a%20b/c/".parse().unwrap();
        assert_eq!(url.split().unwrap(), ("a b/c".to_owned(), String::new()));
    }

    #[test]
    fn what_is_no_kwik_url_is_refused() {
        for text in [
            "",
            "http://h:1/x",
            "kwik:///x",
            "kwik://h:/x",
            "kwik://h:1",
            "kwik://h:0/x",
            "kwik://h:65536/x",
            "kwik://:1/x",
            "kwik://user@h:1/x",
            "kwik://[::1/x",
            "kwik://h:1/x?y",
            "kwik://h:1/x#y",
            "kwik://a b:1/x",
        ] {
            assert!(text.parse::<KwikUrl>().is_err(), "{text}");
        }
    }
}
