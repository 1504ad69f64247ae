//! The generated messages. They do not leave this crate.

#![allow(missing_docs, clippy::all, unreachable_pub, dead_code, rustdoc::all)]

include!("wire/kwik.v1.generated.rs");
