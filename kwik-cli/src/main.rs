//! The program `kwik`.

mod inbound;
mod output;
mod pin;
mod protocol;
mod request_path;
mod root;
mod size;
mod tag;
mod tag_cache;
mod tag_store;
mod url;
mod wire;

fn main() {}
