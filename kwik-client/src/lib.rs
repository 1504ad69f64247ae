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
//!
//! # Going on when a primary is lost
//!
//! A session ends with its primary: no other server can go on with streams that it does not know. An application whose
//! servers have the same content goes on itself, where its protocol can ask for the rest: it keeps its offset, connects to
//! whichever server answers, and asks for what comes after. What was read stays read, and is not fetched again.
//!
//! The servers must agree on what they serve: send a tag (a hash) with the first answer, give it along with the offset, and
//! have a server refuse another. What the primary had delegated is still delivered before the stream's error, so the offset
//! is exact: the bytes that were read.
//!
//! ```no_run
//! use std::time::Duration;
//! use kwik_client::{Client, Connect, Session};
//!
//! /// One try: asks for the content from the end of `content` on, and reads to its end or to the stream's.
//! async fn read_rest(session: &mut Session, content: &mut Vec<u8>) -> Result<(), Box<dyn std::error::Error>> {
//!     let mut stream = session.open_bidirectional_stream().await?;
//!     // The application's own request.
//!     stream.send(format!("GET /film from={}\n", content.len()).into()).await?;
//!     stream.finish()?;
//!     while let Some(chunk) = stream.receive().await? {
//!         content.extend_from_slice(&chunk);
//!     }
//!     Ok(())
//! }
//!
//! async fn read(client: &Client, servers: &[Connect]) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
//!     let (mut content, mut failures) = (Vec::new(), 0);
//!     loop {
//!         let before = content.len();
//!         let outcome = match client.connect_any(servers.iter().cloned()).await {
//!             Ok(mut session) => read_rest(&mut session, &mut content).await,
//!             Err(error) => Err(error.into()),
//!         };
//!         let Err(error) = outcome else { return Ok(content) };
//!         failures = if content.len() > before { 0 } else { failures + 1 };
//!         if failures == 5 {
//!             return Err(error);
//!         }
//!         // A server that is being restarted refuses for a moment. With jitter, where many clients wait for one.
//!         tokio::time::sleep(Duration::from_millis(100 << failures)).await;
//!     }
//! }
//! ```

mod attempt;
mod builder;
mod client;
mod connect;
mod connect_error;
mod limits;
mod metrics;
mod primary;
mod session;
mod task;

pub mod connection;
pub mod stream;

pub use builder::{Builder, IntoTrust, StartError};
pub use client::Client;
pub use connect::Connect;
pub use connect_error::{ConnectError, Failures};
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
