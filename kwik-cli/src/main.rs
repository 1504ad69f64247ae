//! The program `kwik`.
fn main() {}
