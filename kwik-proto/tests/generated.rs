//! The committed generated code is the one that `proto/` gives: prost's messages, and the shapes of the control plane's
//! messages, by which the decoder says where one breaks its schema.
//!
//! `KWIK_REGENERATE=1 cargo test -p kwik-proto --test generated` writes it anew.

#![allow(clippy::unwrap_used)]

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

const FILES: [&str; 3] = ["kwik/v1/types.proto", "kwik/v1/control.proto", "kwik/v1/data.proto"];
const BANNER: &str =
    "// @generated from proto/kwik/v1 by tests/generated.rs. Do not edit: change the schema.\n\n";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto")
}

fn generate() -> String {
    let descriptors = protox::compile(FILES, [root()]).unwrap();
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("wire");
    fs::create_dir_all(&out).unwrap();
    prost_build::Config::new().bytes(["."]).out_dir(&out).compile_fds(descriptors).unwrap();
    BANNER.to_owned() + &fs::read_to_string(out.join("kwik.v1.rs")).unwrap()
}

/// `StreamReset` as `STREAM_RESET`.
fn screaming(name: &str) -> String {
    let mut out = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(letter.to_ascii_uppercase());
    }
    out
}

/// Wire type and content of a field, by the numbers of `FieldDescriptorProto.Type` (descriptor.proto).
fn shape(kind: i32, repeated: bool, of: &str) -> (&'static str, String) {
    match kind {
        9 => ("LENGTH_DELIMITED", "Text".into()),
        11 => {
            let name = of.rsplit('.').next().unwrap();
            ("LENGTH_DELIMITED", format!("Message(&{})", screaming(name)))
        }
        12 => ("LENGTH_DELIMITED", "Plain".into()),
        4 | 8 | 13 | 14 | 17 if repeated => ("VARINT", "Numbers".into()),
        4 | 8 | 13 | 14 | 17 => ("VARINT", "Plain".into()),
        other => panic!("a field of type {other}: say here what it looks like on the wire"),
    }
}

fn generate_shapes() -> String {
    let mut out = BANNER.to_owned();
    for file in protox::compile(FILES, [root()]).unwrap().file {
        // The data plane's messages have a decoder of their own.
        if file.name() == "kwik/v1/data.proto" {
            continue;
        }
        for message in &file.message_type {
            let (name, constant) = (message.name(), screaming(message.name()));
            writeln!(out, "pub(crate) static {constant}: Shape = Shape {{").unwrap();
            writeln!(out, "    name: \"{name}\",\n    fields: &[").unwrap();
            for field in &message.field {
                let repeated = field.label == Some(3);
                let (wire, holds) = shape(field.r#type.unwrap(), repeated, field.type_name());
                writeln!(
                    out,
                    "        Field {{ number: {}, name: \"{name}.{}\", wire_type: {wire}, holds: Holds::{holds} }},",
                    field.number(),
                    field.name(),
                )
                .unwrap();
            }
            out.push_str("    ],\n};\n");
        }
    }
    out
}

fn assert_current(name: &str, generated: &str) {
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/wire").join(name);
    if env::var_os("KWIK_REGENERATE").is_some() {
        fs::write(&committed, generated).unwrap();
    }
    assert!(
        fs::read_to_string(&committed).unwrap_or_default() == generated,
        "{} is not what proto/ gives: run with KWIK_REGENERATE=1",
        committed.display()
    );
}

#[test]
fn generated_code_is_current() {
    assert_current("kwik.v1.generated.rs", &generate());
}

#[test]
fn generated_shapes_are_current() {
    assert_current("kwik.v1.shapes.generated.rs", &generate_shapes());
}
