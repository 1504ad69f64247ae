//! The generated messages of `proto/kwik/files/v1`. Only [`protocol`](crate::protocol) uses them.

#![allow(missing_docs, clippy::all, unreachable_pub, dead_code, rustdoc::all)]

include!("wire/kwik.files.v1.generated.rs");
