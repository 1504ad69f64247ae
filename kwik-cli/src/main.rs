//! The program `kwik`.

mod catalog;
mod cli;
mod fetch;
mod inbound;
mod output;
mod pin;
mod progress;
mod protocol;
mod report;
mod request_path;
mod root;
mod size;
mod source;
mod state;
mod tag;
mod tag_cache;
mod tag_store;
mod url;
mod wire;
mod writer;

fn main() {}
