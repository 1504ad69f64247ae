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
//! use std::future::{Future, pending};
//! use std::pin::Pin;
//! use std::time::Duration;
//!
//! use kwik_client::{Client, Connect, PrimaryState, Session, stream::BidirectionalStream};
//!
//! type Asked = Result<(Session, BidirectionalStream), Box<dyn std::error::Error>>;
//!
//! /// Asks whichever server answers for the content from `offset` on, with the application's own request.
//! async fn ask(client: Client, servers: Vec<Connect>, offset: usize, wait: Duration) -> Asked {
//!     // A server that is being restarted refuses for a moment. With jitter, where many clients wait for one.
//!     tokio::time::sleep(wait).await;
//!     let mut session = client.connect_any(servers).await?;
//!     let mut stream = session.open_bidirectional_stream().await?;
//!     stream.send(format!("GET /film from={offset}\n").into()).await?;
//!     stream.finish()?;
//!     Ok((session, stream))
//! }
//!
//! async fn read(client: &Client, servers: &[Connect]) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
//!     let asking = |offset, wait| -> Pin<Box<dyn Future<Output = Asked>>> {
//!         Box::pin(ask(client.clone(), servers.to_vec(), offset, wait))
//!     };
//!     let mut content: Vec<u8> = Vec::new();
//!     // What is read from, with its next offset; and a replacement that was asked for, with its first offset.
//!     let mut current: Option<(Session, BidirectionalStream, usize)> = None;
//!     let mut next = Some((asking(0, Duration::ZERO), 0));
//!     let mut failures = 0;
//!     loop {
//!         let mut primary = current.as_ref().map(|(session, ..)| session.primary());
//!         tokio::select! {
//!             // While a replacement is being found, what secondaries were ordered to send still arrives here.
//!             chunk = async {
//!                 match &mut current {
//!                     Some((_, stream, _)) => stream.receive().await,
//!                     None => pending().await,
//!                 }
//!             } => match (chunk, &mut current) {
//!                 (Ok(Some(chunk)), Some((.., offset))) => {
//!                     // What the one before had brought meanwhile is skipped.
//!                     let known = content.len().saturating_sub(*offset).min(chunk.len());
//!                     content.extend_from_slice(&chunk[known..]);
//!                     *offset += chunk.len();
//!                     failures = 0;
//!                 }
//!                 (Ok(None), _) => return Ok(content),
//!                 // This server has no more, or gave up: whichever answers is asked, but not for ever.
//!                 (Err(error), _) if failures == 10 => return Err(error.into()),
//!                 _ => {
//!                     (current, failures) = (None, failures + 1);
//!                     let (from, wait) = (content.len(), Duration::from_millis(20 << failures));
//!                     next.get_or_insert_with(|| (asking(from, wait), from));
//!                 }
//!             },
//!             // Silent, about to go away, or gone.
//!             state = async {
//!                 match &mut primary {
//!                     Some(primary) => primary.changed().await,
//!                     None => pending().await,
//!                 }
//!             }, if next.is_none() => if state != PrimaryState::Live {
//!                 let from = content.len();
//!                 next = Some((asking(from, Duration::ZERO), from));
//!             },
//!             asked = async {
//!                 match &mut next {
//!                     Some((asked, _)) => asked.await,
//!                     None => pending().await,
//!                 }
//!             } => {
//!                 let from = next.take().map_or(0, |(_, from)| from);
//!                 match asked {
//!                     Ok((session, stream)) => current = Some((session, stream, from)),
//!                     Err(error) if failures == 10 && current.is_none() => return Err(error),
//!                     Err(_) => {
//!                         failures = 10.min(failures + 1);
//!                         // There may be more by now.
//!                         let from = content.len();
//!                         next = Some((asking(from, Duration::from_millis(250)), from));
//!                     }
//!                 }
//!             }
//!         }
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
pub use kwik_core::delay::{DelayHistogram, DelaySummary};
pub use kwik_core::path::policy::Scope;
pub use kwik_core::path::primary::PrimaryState;
pub use kwik_core::throttle::Class as FrameClass;
pub use kwik_io::endpoint::{CongestionControl, DialError};
pub use kwik_io::tls::{Pin, Trust};
pub use kwik_io::worker::Placement;
pub use kwik_proto::frame::{ErrorCode, GapReason};
pub use kwik_proto::{Sanitized, sanitized};
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
