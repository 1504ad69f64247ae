//! Golden vectors of the file service: committed bytes of every message, with their meaning in protobuf's JSON.
//!
//! `KWIK_REGENERATE=1 cargo test -p kwik-cli vectors` writes `kwik-cli/vectors/` anew. `kwik-proto/interop/run.sh` reads
//! the same files with Google's protobuf, and compares its own encodings with those in `vectors/python`, which are decoded
//! here.

use std::path::{Path, PathBuf};
use std::{env, fs};

use serde_json::{Value, json};

use super::*;

enum Golden {
    Get(Get),
    List(Request),
    Reply(Reply),
    Resource(Resource),
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors")
}

/// Thirty-two bytes of 9 in base64.
fn tag() -> String {
    "CQkJ".repeat(10) + "CQk="
}

fn vectors() -> Vec<(&'static str, Golden, Value)> {
    let path = "a dir/ü.bin".to_owned();
    let get =
        |offset, length, if_tag| Golden::Get(Get { path: path.clone(), offset, length, if_tag });
    let failed = Failed { code: FailureCode::TagMismatch, message: "changed".into() };
    let found = Found { size: 1 << 40, tag: TAG, offset: 300, length: 70_000 };
    let list = List { path: path.clone(), after: "z".into() };
    let entry = Entry {
        name: "ü.bin".into(),
        kind: EntryKind::File,
        size: 1 << 40,
        modified: (-2, 500),
        tag: Some(TAG),
    };
    let below = Entry {
        name: "dir".into(),
        kind: EntryKind::Directory,
        size: 0,
        modified: (0, 0),
        tag: None,
    };
    let listed = Listed { entries: vec![below, entry], more: true, unnamed: 2 };
    let resource = |shift| Golden::Resource(Resource { path: path.clone(), tag: TAG, shift });
    vec![
        ("get_whole", get(0, None, None), json!({ "path": path })),
        (
            "get_range",
            get(300, Some(0), Some(TAG)),
            json!({ "path": path, "offset": "300", "length": "0", "if_tag": tag() }),
        ),
        (
            "reply_found",
            Golden::Reply(Reply::Found(found)),
            json!({ "found": {
                "size": "1099511627776",
                "tag": tag(),
                "offset": "300",
                "length": "70000",
            } }),
        ),
        (
            "reply_failed",
            Golden::Reply(Reply::Failed(failed)),
            json!({ "failed": { "code": "FAILURE_CODE_TAG_MISMATCH", "message": "changed" } }),
        ),
        (
            "list",
            Golden::List(Request::List(list)),
            json!({ "list": { "path": path, "after": "z" } }),
        ),
        (
            "reply_listed",
            Golden::Reply(Reply::Listed(listed)),
            json!({ "listed": {
                "entries": [
                    { "name": "dir", "kind": "ENTRY_KIND_DIRECTORY" },
                    {
                        "name": "ü.bin",
                        "kind": "ENTRY_KIND_FILE",
                        "size": "1099511627776",
                        "modified_s": "-2",
                        "modified_ns": 500,
                        "tag": tag(),
                    },
                ],
                "more": true,
                "unnamed": "2",
            } }),
        ),
        ("resource", resource(5), json!({ "path": path, "tag": tag(), "shift": "5" })),
        (
            "resource_backwards",
            resource(-4096),
            json!({ "path": path, "tag": tag(), "shift": "-4096" }),
        ),
    ]
}

fn encode(golden: &Golden) -> Vec<u8> {
    match golden {
        Golden::Get(get) => get.encode().to_vec(),
        Golden::List(list) => list.encode().to_vec(),
        Golden::Reply(reply) => reply.encode().to_vec(),
        Golden::Resource(resource) => resource.to_wire(),
    }
}

fn assert_decodes(name: &str, golden: &Golden, bytes: &[u8]) {
    let message = || {
        let mut rest = bytes;
        let length = prost::decode_length_delimiter(&mut rest).unwrap();
        assert_eq!(rest.len(), length, "{name}");
        rest
    };
    match golden {
        Golden::Get(get) => assert_eq!(Get::from_wire(message()).as_ref(), Ok(get), "{name}"),
        Golden::List(list) => {
            assert_eq!(Request::from_wire(message()).as_ref(), Ok(list), "{name}");
        }
        Golden::Reply(reply) => {
            assert_eq!(Reply::from_wire(message()).as_ref(), Ok(reply), "{name}");
        }
        Golden::Resource(resource) => {
            assert_eq!(Resource::from_wire(bytes).as_ref(), Ok(resource), "{name}");
        }
    }
}

fn file(golden: &Golden, meaning: &Value) -> String {
    let (message, delimited) = match golden {
        Golden::Get(_) | Golden::List(_) => ("Get", true),
        Golden::Reply(_) => ("Reply", true),
        Golden::Resource(_) => ("Resource", false),
    };
    let hex: String = encode(golden).iter().map(|byte| format!("{byte:02x}")).collect();
    let value = json!({
        "message": format!("kwik.files.v1.{message}"),
        "length_delimited": delimited,
        "bytes": hex,
        "meaning": meaning,
    });
    serde_json::to_string_pretty(&value).unwrap() + "\n"
}

fn unhex(hex: &str) -> Vec<u8> {
    let digits = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digits).collect()
}

#[test]
fn golden_vectors_are_what_this_program_writes_and_reads() {
    for (name, golden, meaning) in vectors() {
        let path = folder().join(name).with_extension("json");
        let expected = file(&golden, &meaning);
        if env::var_os("KWIK_REGENERATE").is_some() {
            fs::write(&path, &expected).unwrap();
        }
        let committed = fs::read_to_string(&path).unwrap();
        assert_eq!(committed, expected, "{name}");
        let value: Value = serde_json::from_str(&committed).unwrap();
        assert_decodes(name, &golden, &unhex(value["bytes"].as_str().unwrap()));
    }
    let files =
        fs::read_dir(folder()).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_file());
    assert_eq!(files.count(), vectors().len(), "every file is a vector");
}

#[test]
fn bytes_of_another_implementation_decode_to_the_same() {
    for (name, golden, _) in vectors() {
        let path = folder().join("python").join(name).with_extension("hex");
        let hex = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        assert_decodes(name, &golden, &unhex(hex.trim()));
    }
}
