//! The program `kwik`.

mod cli;
mod inbound;
mod output;
mod pin;
mod progress;
mod protocol;
mod report;
mod request_path;
mod root;
mod size;
mod state;
mod tag;
mod tag_cache;
mod tag_store;
mod url;
mod wire;
mod writer;

fn main() {}
