//! Servers that list directories so that `kwik get -r` would write elsewhere, or never end.

use std::fs;

use anyhow::ensure;
use bytes::Bytes;
use kwik_server::Server;
use kwik_server::stream::BidirectionalStream;
use kwik_tests::bare::{Message, messages};
use kwik_tests::certificate;

use super::{Ended, Program, found, kwik, run};
use crate::attack::Outcome::Fails;
use crate::attack::attacks;

/// What each file has.
const FILE: &[u8] = b"content";
/// Numbers of `kwik.files.v1.EntryKind`.
const REGULAR: u64 = 1;
const DIRECTORY: u64 = 2;

fn page(entries: &[(&str, u64)], more: u64) -> Bytes {
    let mut listed = Message::new();
    for (name, kind) in entries {
        let size = FILE.len() as u64;
        let entry = Message::new().bytes(1, name.as_bytes()).varint(2, *kind).varint(3, size);
        listed = listed.message(1, entry);
    }
    Message::new().message(3, listed.varint(2, more)).delimited()
}

/// A `kwik get -r` from a server that answers each listing with this page, and each request for a file with [`FILE`].
async fn listed(arena: &Program, page: Bytes) -> anyhow::Result<Ended> {
    let mut server = Server::builder().with_tls(certificate())?.with_io("127.0.0.1:0")?.start()?;
    let (address, pin) = (server.local_addr(), server.pin());
    let serving = tokio::spawn(async move {
        while let Some(mut session) = server.accept().await {
            while let Ok(Some(stream)) = session.accept_bidirectional_stream().await {
                tokio::spawn(answer(stream, page.clone()));
            }
        }
    });
    let mut command = kwik(arena.dir.path())?;
    command.arg("get").arg(format!("kwik://{address}/")).arg("--pin").arg(pin.to_string());
    command.args(["-r", "-P", "below/here", "--timeout", "2s", "--connect-timeout", "2s"]);
    let ended = run(command).await;
    serving.abort();
    let ended = ended?;
    let harmful = |line: &str| line.chars().any(char::is_control) || !line.starts_with("kwik: ");
    ensure!(!ended.stderr.lines().any(harmful), "{ended:?}");
    Ok(ended)
}

async fn answer(mut stream: BidirectionalStream, page: Bytes) {
    let mut request = Vec::new();
    while let Ok(Some(chunk)) = stream.receive().await {
        request.extend_from_slice(&chunk);
    }
    let fields = messages(request.into());
    let lists = fields.first().is_some_and(|get| get.iter().any(|field| field.number == 5));
    if lists {
        let _ = stream.send(page).await;
    } else {
        let size = FILE.len() as u64;
        let _ = stream.send(found(size, blake3::hash(FILE).as_bytes(), 0, size)).await;
        let _ = stream.send(FILE.into()).await;
    }
    let _ = stream.close().await;
}

attacks! { ATTACKS on Program;
    names_that_lead_elsewhere => Fails, |arena| {
        let long = "x".repeat(256);
        let mut names = [".", "..", "../up", "/tmp/absolute", "a\0b", "a/b", "good", "g\x1b[2J", &long];
        names.sort_unstable();
        let ended = listed(arena, page(&names.map(|name| (name, REGULAR)), 0)).await?;
        ensure!(ended.code == Some(5), "{ended:?}");
        ensure!(ended.stderr.lines().count() == names.len() - 2, "{ended:?}");
        let mut here = Vec::new();
        for entry in fs::read_dir(arena.dir.path().join("below/here"))? {
            here.push(entry?.file_name().to_string_lossy().into_owned());
        }
        here.sort();
        ensure!(here == ["g\x1b[2J", "good"], "{here:?}");
        ensure!(fs::read_dir(arena.dir.path().join("below"))?.count() == 1, "it wrote beside");
        ensure!(!fs::exists("/tmp/absolute")?, "it wrote elsewhere");
        Fails
    }

    a_listing_that_begins_again_and_again => Fails, |arena| {
        let ended = listed(arena, page(&[("a", REGULAR), ("b", REGULAR)], 1)).await?;
        ensure!(ended.code == Some(6), "{ended:?}");
        Fails
    }

    a_listing_that_goes_back => Fails, |arena| {
        let ended = listed(arena, page(&[("b", REGULAR), ("a", REGULAR)], 0)).await?;
        ensure!(ended.code == Some(6), "{ended:?}");
        Fails
    }

    directories_without_end => Fails, |arena| {
        let ended = listed(arena, page(&[("d", DIRECTORY)], 0)).await?;
        ensure!(ended.code == Some(5) && ended.stderr.contains("64"), "{ended:?}");
        Fails
    }

    more_entries_than_a_page_has => Fails, |arena| {
        let names: Vec<_> = (0..1_001).map(|n| format!("{n:05}")).collect();
        let entries: Vec<_> = names.iter().map(|name| (&name[..], REGULAR)).collect();
        let ended = listed(arena, page(&entries, 0)).await?;
        ensure!(ended.code.is_some_and(|code| code != 0), "{ended:?}");
        Fails
    }
}
