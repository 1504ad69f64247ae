//! What has to hold for any input. The fuzz targets call this, and so do the tests that replay the corpora.

// The messages of the file service are the program's own: they are built here without it.
extern crate kwik_proto as kwik_client;

pub mod codec;
pub mod file_streams;
pub mod files;
pub mod session;

#[allow(dead_code, reason = "the program uses the rest")]
#[path = "../../kwik-cli/src/directory.rs"]
mod directory;
#[allow(dead_code, reason = "the program uses the rest")]
#[path = "../../kwik-cli/src/inbound.rs"]
mod inbound;
#[allow(dead_code, reason = "the program uses the rest")]
#[path = "../../kwik-cli/src/protocol.rs"]
mod protocol;
#[allow(dead_code, reason = "the program uses the rest")]
#[path = "../../kwik-cli/src/request_path.rs"]
mod request_path;
#[path = "../../kwik-cli/src/wire.rs"]
mod wire;

mod tag {
    /// As the program has it, without what takes one.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct Tag(pub(crate) [u8; 32]);
}
