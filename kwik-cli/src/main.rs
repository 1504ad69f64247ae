//! The program `kwik`.

mod pin;
mod request_path;
mod root;
mod size;
mod tag;
mod tag_cache;
mod tag_store;
mod url;

fn main() {}
