//! KWIK server: a primary that delegates ranges of its streams, a secondary that contributes, or both at once.
//!
//! ```no_run
//! use kwik_server::Server;
//!
//! # async fn example(cert: &str, key: &str) -> Result<(), Box<dyn std::error::Error>> {
//! let mut server = Server::builder().with_tls((cert, key))?.with_io("0.0.0.0:4433")?.start()?;
//! while let Some(mut session) = server.accept().await {
//!     tokio::spawn(async move {
//!         while let Ok(Some(mut stream)) = session.accept_bidirectional_stream().await {
//!             while let Ok(Some(chunk)) = stream.receive().await {
//!                 stream.send(chunk).await?;
//!             }
//!         }
//!         Ok::<(), kwik_server::stream::Error>(())
//!     });
//! }
//! # Ok(())
//! # }
//! ```

mod admission;
mod builder;
mod census;
mod delegate;
mod delegation;
mod handle;
mod leaving;
mod limits;
mod metrics;
mod primary;
mod reads;
mod refused;
mod secondary;
mod server;
mod settings;

pub mod connection;
pub mod stream;

pub use builder::{Builder, IntoCertificate, StartError};
pub use connection::{Handle, StreamAcceptor};
pub use delegate::{Delegate, DelegateError, LocalSupply, Paths, RangeSource};
pub use delegation::{DelegationError, DelegationHandle, SourceError};
pub use handle::ServerHandle;
pub use kwik_core::delegation::{
    Cell, Event as RangeEvent, PathShare, PlanId, SchedulerStats, StreamView, Strip,
};
pub use kwik_core::path::lifecycle::PathState;
pub use kwik_core::session::primary::{AddPathError, Event, PathReport, PathSpec};
pub use kwik_core::stream::WriteError;
pub use kwik_core::throttle::Class as FrameClass;
pub use kwik_io::endpoint::CongestionControl;
pub use kwik_io::env::Env;
pub use kwik_io::key::{IdentityKey, KeyFileError, PublicKey};
pub use kwik_io::tls::{CertificateError, Pin, ServerCertificate};
pub use kwik_io::worker::Placement;
pub use kwik_proto::frame::{ErrorCode, GapReason, ServerIdentity};
pub use kwik_proto::{ByteRange, Offset, PathId, Sanitized, StreamId, sanitized};
pub use limits::Limits;
pub use metrics::ServerMetrics;
pub use primary::{PrimaryMetrics, PrimarySession, Supply};
pub use refused::{Party, Refused};
pub use secondary::{
    Contribution, ContributionError, ContributionOpenError, Delegation, Refusal, SecondaryMetrics,
    SecondarySession,
};
pub use server::{PrimaryAcceptor, SecondaryAcceptor, Server};

/// The application's error codes.
pub mod application {
    pub use kwik_io::stream::application::{Error, OutOfRange};
}
