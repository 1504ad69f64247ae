//! `kwik keygen`.

use std::fs;
use std::io;

use anyhow::{Context as _, ensure};
use kwik_server::{Env, IdentityKey};

use crate::cli::KeygenArgs;
use crate::get::print;

/// Writes `primary.key` and `primary.pub`, or neither.
pub(crate) fn run(args: &KeygenArgs) -> anyhow::Result<()> {
    fs::create_dir_all(&args.out)
        .with_context(|| format!("cannot make {}; choose another --out", args.out.display()))?;
    let (secret, public) = (args.out.join("primary.key"), args.out.join("primary.pub"));
    // Both first: a new secret key beside an old public one would be no pair.
    for path in [&secret, &public] {
        ensure!(
            fs::symlink_metadata(path).is_err(),
            "{} exists and is not overwritten; choose another --out",
            path.display()
        );
    }
    let key = IdentityKey::generate(&Env::system());
    key.save_new(&secret).context("cannot keep the key; choose another --out")?;
    key.public().save_new(&public).context("cannot keep the key; choose another --out")?;
    let (secret, public) = (secret.display(), public.display());
    print(io::stdout(), &format!("made {secret} (keep it secret) and {public} (for secondaries)"))
}
