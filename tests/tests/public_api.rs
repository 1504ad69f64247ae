//! The public interface of `kwik-client`: kept as a snapshot, and without a word of secondaries (R1.5, R2.2, R9.1).
//!
//! The interface is read off rustdoc's JSON. What the crate re-exports from the crates below it is followed into their
//! JSON. After a wanted change: `UPDATE_SNAPSHOTS=1 cargo test -p kwik-tests --test public_api`, and commit the file.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// Crates that `kwik-client` re-exports from, and itself.
const CRATES: [&str; 4] = ["kwik-client", "kwik-io", "kwik-core", "kwik-proto"];
/// Where users may read that other servers exist: counters, which address nothing.
const COUNTERS: [&str; 3] =
    ["kwik_client::PathMetrics::", "kwik_client::StreamMetrics::", "kwik_client::SessionMetrics::"];

static INTERFACE: LazyLock<Vec<String>> = LazyLock::new(interface);

fn snapshot() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("snapshots/kwik-client.txt")
}

/// rustdoc's JSON is unstable: rustdoc alone is told that this is wanted, so that nothing else is built anew.
fn rustdoc() -> PathBuf {
    let script = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rustdoc-json.sh");
    fs::write(&script, "#!/bin/sh\nRUSTC_BOOTSTRAP=1 exec rustdoc \"$@\"\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    script
}

/// What one crate offers.
struct Documented {
    items: Vec<String>,
    /// What it re-exports from other crates: under which name, from where.
    uses: Vec<(String, String)>,
}

fn document(package: &str, rustdoc: &Path) -> Documented {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let output = Command::new(env!("CARGO"))
        .args(["rustdoc", "--offline", "--locked", "--lib", "--package", package, "--target-dir"])
        .arg(target)
        .args(["--", "-Z", "unstable-options", "--output-format", "json", "--cap-lints", "allow"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("RUSTDOC", rustdoc)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let json = target.join("doc").join(package.replace('-', "_")).with_extension("json");
    let uses = uses(&serde_json::from_slice(&fs::read(&json).unwrap()).unwrap());
    let interface = public_api::Builder::from_rustdoc_json(json)
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .build()
        .unwrap();
    Documented { items: interface.items().map(ToString::to_string).collect(), uses }
}

fn uses(json: &serde_json::Value) -> Vec<(String, String)> {
    let index = json["index"].as_object().unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    index
        .values()
        .filter_map(|item| item["inner"].get("use"))
        .filter(|used| !index.contains_key(&used["id"].to_string()))
        .map(|used| (text(&used["name"]), text(&used["source"])))
        .filter(|(_, source)| source.starts_with("kwik_"))
        .collect()
}

/// The items of the client, and those that it re-exports, wherever they are defined.
fn interface() -> Vec<String> {
    let rustdoc = rustdoc();
    let crates: BTreeMap<String, Documented> = CRATES
        .iter()
        .map(|package| (package.replace('-', "_"), document(package, &rustdoc)))
        .collect();
    let mut items = crates["kwik_client"].items.clone();
    let mut wanted: Vec<String> =
        crates["kwik_client"].uses.iter().map(|(_, source)| source.clone()).collect();
    while let Some(path) = wanted.pop() {
        let (of, _) = path.split_once("::").unwrap();
        let (_, name) = path.rsplit_once("::").unwrap();
        let Documented { items: there, uses } = &crates[of];
        let found = there.iter().filter(|item| is_about(item, &path));
        let found: Vec<String> =
            found.filter(|item| !item.starts_with("pub use ")).cloned().collect();
        if found.is_empty() {
            let further = uses.iter().find(|(under, _)| under == name);
            wanted.push(further.unwrap_or_else(|| panic!("{path} is nowhere")).1.clone());
        }
        items.extend(found);
    }
    items.sort_unstable();
    items.dedup();
    items
}

/// Whether the item is `path`, a part of it, or an implementation for it.
fn is_about(item: &str, path: &str) -> bool {
    item.match_indices(path).any(|(at, _)| {
        let ends = !item[at + path.len()..]
            .starts_with(|next: char| next.is_alphanumeric() || next == '_');
        let before = &item[..at];
        let owns = [
            "pub ", "enum ", "struct ", "fn ", "const ", "type ", "trait ", "mod ", "for ",
            "impl ", "<<",
        ];
        ends && !before.contains('(') && owns.iter().any(|word| before.ends_with(word))
    })
}

#[test]
fn r09_1_the_public_interface_is_the_committed_one() {
    let now = INTERFACE.join("\n") + "\n";
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::create_dir_all(snapshot().parent().unwrap()).unwrap();
        fs::write(snapshot(), &now).unwrap();
    }
    let committed = fs::read_to_string(snapshot()).unwrap_or_default();
    let lines =
        |text: &str| text.lines().map(str::to_owned).collect::<std::collections::BTreeSet<_>>();
    let (old, new) = (lines(&committed), lines(&now));
    let gone: Vec<_> = old.difference(&new).collect();
    let added: Vec<_> = new.difference(&old).collect();
    assert!(gone.is_empty() && added.is_empty(), "gone: {gone:#?}\nadded: {added:#?}");
}

#[test]
fn r09_1_the_interface_has_what_programs_for_s2n_quic_call() {
    let stream =
        ["receive", "receive_vectored", "stop_sending", "send", "send_vectored", "send_data"];
    let ends =
        ["flush", "finish", "close", "reset", "split", "connection", "id", "poll_send_ready"];
    for call in stream.into_iter().chain(ends) {
        has(&format!("kwik_client::stream::BidirectionalStream::{call}("));
    }
    let session =
        ["open_bidirectional_stream", "open_send_stream", "open_stream", "accept", "ping"];
    let more = ["accept_bidirectional_stream", "accept_receive_stream", "split", "handle", "close"];
    let facts =
        ["keep_alive", "local_addr", "remote_addr", "server_name", "application_protocol", "id"];
    for call in session.into_iter().chain(more).chain(facts) {
        has(&format!("kwik_client::Session::{call}("));
    }
    for error in ["StreamReset", "SendAfterFinish", "ConnectionError", "Missing", "DataConflict"] {
        has(&format!("kwik_io::stream::Error::{error}"));
    }
}

fn has(item: &str) {
    assert!(INTERFACE.iter().any(|line| line.contains(item)), "{item} is not in the interface");
}

#[test]
fn r01_5_no_public_item_mentions_a_secondary() {
    let telling: Vec<_> =
        INTERFACE.iter().filter(|item| item.to_lowercase().contains("secondar")).collect();
    assert!(telling.is_empty(), "{telling:#?}");
}

#[test]
fn r02_2_contributions_are_counted_in_public_and_nothing_else() {
    let counted = |item: &&String| COUNTERS.iter().any(|of| item.starts_with(&format!("pub {of}")));
    let telling: Vec<_> = INTERFACE
        .iter()
        .filter(|item| item.to_lowercase().contains("contribution"))
        .filter(|item| !counted(item))
        .collect();
    assert!(telling.is_empty(), "{telling:#?}");
}
