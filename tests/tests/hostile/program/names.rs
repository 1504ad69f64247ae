//! A name service that lies to `kwik get`, in a network of its own.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::Program;
use crate::attack::Outcome::{Fails, Ignored};
use crate::attack::attacks;
use crate::victim::Victim;
use crate::victim::names::PUBLIC;

/// In namespaces of its own: loopback with an address that is nobody's, and the test's name service.
const NETWORK: &str = r#"ip link set lo up && ip address add "$1/32" dev lo &&
    mount --bind "$2/resolv.conf" /etc/resolv.conf && mount --bind "$2/nsswitch.conf" /etc/nsswitch.conf || exit
    echo ready; shift 2; exec "$@""#;

/// What is seen in such a network, with that name service; `None` where the system permits no namespaces.
async fn scene(arena: &Program, name: &str) -> anyhow::Result<Option<Value>> {
    let dir = arena.dir.path();
    // One that never answers is waited for much longer than a download may last.
    let service = "nameserver 127.0.0.1\noptions timeout:30 attempts:5\n";
    fs::write(dir.join("resolv.conf"), service)?;
    fs::write(dir.join("nsswitch.conf"), "hosts: files dns\n")?;
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--net", "--mount", "sh", "-c", NETWORK, "sh"]);
    command.arg(PUBLIC.to_string()).arg(dir);
    command.arg(std::env::current_exe()?).args([crate::VICTIM, "names", name]).arg(dir);
    let Ok(mut scene) = Victim::spawn(command) else { return Ok(skipped(name)) };
    if scene.line().await.as_deref() != Some("ready") {
        return Ok(skipped(name));
    }
    let said = scene.answer().await.with_context(|| scene.log())?;
    ensure!(scene.panics().is_empty(), "{:?}", scene.panics());
    Ok(Some(said))
}

fn skipped(name: &str) -> Option<Value> {
    println!("    {name}: skipped, for the system permits no namespaces");
    None
}

/// The download that the scene tells of has failed, with one line, and left nothing.
fn fails(arena: &Program, said: &Value) -> anyhow::Result<()> {
    ensure!(said["failed"] == true, "{said}");
    arena.nothing_there()
}

attacks! { ATTACKS on Program;
    /// The server goes, and its name is somebody else's on this machine: whose key is another.
    a_name_that_moves_to_this_machine => Fails, |arena| {
        if let Some(said) = scene(arena, "rebound").await? {
            fails(arena, &said)?;
            ensure!(said["asked"].as_u64() >= Some(2), "the name was looked up once: {said}");
            ensure!(said["answered"].as_u64() >= Some(1), "nobody went there: {said}");
            ensure!(said["sessions"] == 0, "the other was spoken to: {said}");
        }
        Fails
    }

    /// A public server names a secondary on this machine: that is not dialled, whatever the name is changed to meanwhile.
    a_public_name_with_a_secondary_on_this_machine => Ignored, |arena| {
        if let Some(said) = scene(arena, "narrower").await? {
            ensure!(said["public"] == serde_json::json!({ "code": 0, "datagrams": 0 }), "{said}");
            // So that it would be seen.
            ensure!(said["loopback"]["code"] == 0, "{said}");
            ensure!(said["loopback"]["datagrams"].as_u64() > Some(0), "{said}");
        }
        Ignored
    }

    /// Addresses of which none answers: as many are tried as an honest name has, not a thousand.
    a_name_with_a_thousand_addresses => Fails, |arena| {
        if let Some(said) = scene(arena, "thousand").await? {
            fails(arena, &said)?;
            ensure!(said["connections"].as_u64().is_some_and(|count| (1..=32).contains(&count)), "{said}");
        }
        Fails
    }

    a_name_without_an_address => Fails, |arena| {
        if let Some(said) = scene(arena, "nothing").await? {
            fails(arena, &said)?;
        }
        Fails
    }

    /// The name service is silent for longer than the download may last.
    a_name_that_is_never_answered => Fails, |arena| {
        if let Some(said) = scene(arena, "silent").await? {
            fails(arena, &said)?;
            ensure!(said["asked"].as_u64() >= Some(1), "{said}");
        }
        Fails
    }
}
