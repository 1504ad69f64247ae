//! Directories and files that are not as they should be when `kwik serve` starts.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use anyhow::ensure;

use super::{Program, kwik, run};
use crate::attack::Outcome::Fails;
use crate::attack::{Outcome, attacks};

/// A server with that identity does not start.
async fn identity(arena: &Program, name: &str) -> anyhow::Result<Outcome> {
    let ended = arena.must_not_start(&["--identity", name]).await?;
    ended.fails()?;
    ensure!(ended.stderr.contains(name), "{ended:?}");
    Ok(Fails)
}

attacks! { ATTACKS on Program;
    a_key_that_others_may_read => Fails, |arena| {
        let mut keygen = kwik(arena.dir.path())?;
        keygen.args(["keygen", "--out", "keys"]);
        ensure!(run(keygen).await?.code == Some(0));
        let key = arena.dir.path().join("keys/primary.key");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644))?;
        identity(arena, "keys/primary.key").await?
    }

    a_certificate_that_others_may_read => Fails, |arena| {
        let kept = arena.dir.path().join("state/kwik/server.pem");
        fs::set_permissions(&kept, fs::Permissions::from_mode(0o644))?;
        let ended = arena.must_not_start(&[]).await?;
        ended.fails()?;
        Fails
    }

    a_key_of_noise => Fails, |arena| {
        let path = arena.dir.path().join("noise");
        fs::write(&path, "\x1b]0;owned\x07".repeat(1000))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        identity(arena, "noise").await?
    }

    a_key_that_is_a_directory => Fails, |arena| {
        fs::create_dir(arena.dir.path().join("folder"))?;
        identity(arena, "folder").await?
    }

    a_trusted_key_of_noise => Fails, |arena| {
        fs::write(arena.dir.path().join("noise"), [0xff; 4000])?;
        arena.must_not_start(&["--trust", "noise"]).await?.fails()?;
        Fails
    }

    a_certificate_of_noise => Fails, |arena| {
        fs::write(arena.dir.path().join("noise"), [0xff; 4000])?;
        arena.must_not_start(&["--cert", "noise", "--key", "noise"]).await?.fails()?;
        Fails
    }
}
