//! What a server does just now, for people who look on: the page at the metrics address, and `kwik top`.

pub(crate) mod board;
pub(crate) mod feed;
mod sample;
pub(crate) mod view;

use std::net::SocketAddr;

use anyhow::bail;

use crate::cli::ServeArgs;

pub(crate) use sample::run;

/// Where the page is if nobody says.
const ADDRESS: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9_433);

/// Where counters, and the page if it is wanted, are to be served.
pub(crate) fn address(args: &ServeArgs) -> anyhow::Result<Option<SocketAddr>> {
    match args.metrics {
        metrics if !args.live => Ok(metrics),
        None => Ok(Some(ADDRESS)),
        Some(address) if address.ip().is_loopback() || args.live_anywhere => Ok(Some(address)),
        Some(address) => bail!(
            "--live shows addresses of clients and names of files to whoever reaches {address}; give a --metrics address of 127.0.0.1, or --live-anywhere as well"
        ),
    }
}

/// At most so many bytes of a text, escaped.
pub(crate) fn short(text: &str, most: usize) -> String {
    let end = text.floor_char_boundary(most);
    let shown = kwik_server::sanitized(&text[..end]).to_string();
    let shown_end = shown.floor_char_boundary(most);
    match end < text.len() || shown_end < shown.len() {
        true => format!("{}…", &shown[..shown_end]),
        false => shown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped_and_cut_between_characters() {
        assert_eq!(short("a\u{1b}[2J", 40), r"a\u{1b}[2J");
        assert_eq!(short("äöü", 3), "ä…");
        assert_eq!(short("\u{1b}\u{1b}\u{1b}", 3), r"\u{…");
        assert_eq!(short("", 3), "");
    }
}
