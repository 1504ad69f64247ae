//! The committed generated code is the one that `proto/kwik/files/` gives.
//!
//! `KWIK_REGENERATE=1 cargo test -p kwik-cli --test generated` writes it anew.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::{env, fs};

const BANNER: &str = "// @generated from proto/kwik/files/v1 by tests/generated.rs. \
                      Do not edit: change the schema.\n\n";

fn generate() -> String {
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto");
    let descriptors = protox::compile(["kwik/files/v1/files.proto"], [proto]).unwrap();
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("wire");
    fs::create_dir_all(&out).unwrap();
    prost_build::Config::new().out_dir(&out).compile_fds(descriptors).unwrap();
    BANNER.to_owned() + &fs::read_to_string(out.join("kwik.files.v1.rs")).unwrap()
}

#[test]
fn generated_code_is_current() {
    let committed =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("src/wire/kwik.files.v1.generated.rs");
    let generated = generate();
    if env::var_os("KWIK_REGENERATE").is_some() {
        fs::write(&committed, &generated).unwrap();
    }
    assert!(
        fs::read_to_string(&committed).unwrap_or_default() == generated,
        "{} is not what proto/ gives: run with KWIK_REGENERATE=1",
        committed.display()
    );
}
