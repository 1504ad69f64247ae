//! KWIK client: one session with a primary server, and as many secondaries behind it as the primary orders.
//!
//! The API is that of a QUIC connection, with s2n-quic's names. What secondaries send arrives inside the primary's
//! streams, in order; an application never meets a secondary.
//!
//! ```no_run
//! use kwik_client::{Client, Connect};
//!
//! # async fn example(ca_pem: &str) -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::builder().with_tls(ca_pem)?.with_io("0.0.0.0:0")?.start()?;
//! let connect = Connect::new("192.0.2.1:4433".parse()?).with_server_name("origin.example");
//! let mut session = client.connect(connect).await?;
//! let mut stream = session.open_bidirectional_stream().await?;
//! stream.send("hello".into()).await?;
//! stream.finish()?;
//! while let Some(chunk) = stream.receive().await? {
//!     println!("{} bytes", chunk.len());
//! }
//! # Ok(())
//! # }
//! ```

mod builder;
mod client;
mod connect;
mod limits;
mod metrics;
mod primary;
mod session;
mod task;

pub mod connection;
pub mod stream;

pub use builder::{Builder, IntoTrust, StartError};
pub use client::{Client, ConnectError};
pub use connect::Connect;
pub use connection::{Handle, StreamAcceptor};
pub use kwik_core::conflict::ConflictPolicy;
pub use kwik_core::path::policy::Scope;
pub use kwik_core::path::primary::PrimaryState;
pub use kwik_io::endpoint::DialError;
pub use kwik_io::tls::{Pin, Trust};
pub use kwik_io::worker::Placement;
pub use kwik_proto::frame::ErrorCode;
pub use limits::Limits;
pub use metrics::{
    Fault, PathMetrics, PathRole, SessionMetrics, SourceMetrics, Stall, StreamMetrics,
};
pub use primary::PrimaryWatch;
pub use session::Session;

/// The application's error codes.
pub mod application {
    pub use kwik_io::stream::application::{Error, OutOfRange};
}
