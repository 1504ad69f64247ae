//! How an endpoint decides how fast it sends.

use std::fmt;
use std::str::FromStr;

use s2n_quic::client::ClientProviders;
use s2n_quic::provider::StartError;
use s2n_quic::provider::congestion_controller::{Bbr, Cubic};
use s2n_quic::server::ServerProviders;
use s2n_quic::{Client, Server, client, server};

/// The algorithm that decides how fast an endpoint sends: s2n-quic's own two.
///
/// It concerns what the endpoint itself sends. A download is sent by servers: what counts there is the servers' choice.
/// `docs/congestion.md` has the measurements.
///
/// ```
/// use kwik_io::endpoint::CongestionControl;
///
/// assert_eq!("bbr".parse(), Ok(CongestionControl::Bbr));
/// assert_eq!(CongestionControl::Bbr.to_string(), "bbr");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CongestionControl {
    /// CUBIC (RFC 9438): a loss, or a packet that is late enough to count as lost, makes it slower by 30 %. Shares a link
    /// evenly with others of its kind and with TCP.
    #[default]
    Cubic,
    /// BBRv2 (draft-cardwell-iccrg-bbr-congestion-control-02): sends at the rate that it measures, and puts up with 2 %
    /// of loss. Keeps queues short.
    Bbr,
}

impl fmt::Display for CongestionControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cubic => "cubic",
            Self::Bbr => "bbr",
        })
    }
}

/// A name that is no congestion control's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("want cubic or bbr")]
pub struct UnknownCongestionControl;

impl FromStr for CongestionControl {
    type Err = UnknownCongestionControl;

    fn from_str(name: &str) -> Result<Self, UnknownCongestionControl> {
        match name {
            "cubic" => Ok(Self::Cubic),
            "bbr" => Ok(Self::Bbr),
            _ => Err(UnknownCongestionControl),
        }
    }
}

impl CongestionControl {
    /// Starts a client endpoint. Each controller is a type of its own to s2n-quic, so each has its own code.
    pub(super) fn start_client(
        self,
        builder: client::Builder<impl ClientProviders>,
    ) -> Result<Client, StartError> {
        match self {
            Self::Cubic => {
                let builder = builder.with_congestion_controller(Cubic::default());
                builder.unwrap_or_else(|never| match never {}).start()
            }
            Self::Bbr => {
                let builder = builder.with_congestion_controller(Bbr::default());
                builder.unwrap_or_else(|never| match never {}).start()
            }
        }
    }

    /// Starts a server endpoint.
    pub(super) fn start_server(
        self,
        builder: server::Builder<impl ServerProviders>,
    ) -> Result<Server, StartError> {
        match self {
            Self::Cubic => {
                let builder = builder.with_congestion_controller(Cubic::default());
                builder.unwrap_or_else(|never| match never {}).start()
            }
            Self::Bbr => {
                let builder = builder.with_congestion_controller(Bbr::default());
                builder.unwrap_or_else(|never| match never {}).start()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_back() {
        for control in [CongestionControl::Cubic, CongestionControl::Bbr] {
            assert_eq!(control.to_string().parse(), Ok(control));
        }
        assert_eq!("reno".parse::<CongestionControl>(), Err(UnknownCongestionControl));
    }
}
