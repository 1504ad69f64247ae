//! A server whose QUIC takes next to nothing.

use std::net::SocketAddr;

use kwik_io::env::Env;
use kwik_io::tls::{ServerCertificate, server_config};
use kwik_server::{PathSpec, Pin, ServerIdentity};
use s2n_quic::provider::limits::Limits;
use s2n_quic::provider::tls::rustls;
use s2n_quic::{Connection, Server};

use super::raw::{RawPeer, Reads};
use crate::certificate;

/// A server with limits of QUIC's that no server of KWIK's has. It does nothing by itself.
pub struct NarrowServer {
    server: Server,
    address: SocketAddr,
    certificate: ServerCertificate,
}

impl NarrowServer {
    /// Starts one on loopback.
    ///
    /// # Errors
    /// Where there is no port.
    pub fn start(limits: Limits) -> anyhow::Result<Self> {
        let certificate = certificate();
        let tls = rustls::Server::from(server_config(&Env::system(), &certificate)?);
        let server = Server::builder().with_tls(tls)?.with_limits(limits)?;
        let server = server.with_io("127.0.0.1:0")?.start()?;
        let address = server.local_addr()?;
        Ok(Self { server, address, certificate })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its certificate's pin.
    pub fn pin(&self) -> Pin {
        self.certificate.pin()
    }

    /// As a path of a primary, with a grant for every stream.
    pub fn spec(&self) -> PathSpec {
        let identity = ServerIdentity::Pin(self.pin().0);
        PathSpec { addresses: vec![self.address], identity, grant_all: true }
    }

    /// The next connection, on which nothing was accepted.
    ///
    /// # Panics
    /// If the server has ended.
    pub async fn accept(&mut self) -> Connection {
        self.server.accept().await.expect("the endpoint runs")
    }

    /// The next connection, its Hello unread. Its peer has no keying material of it.
    ///
    /// # Errors
    /// The end of the connection before its control stream.
    pub async fn accept_raw(&mut self) -> anyhow::Result<RawPeer> {
        self.peer(Reads::All).await
    }

    /// The same of a peer that reads nothing of its control stream.
    ///
    /// # Errors
    /// As above.
    pub async fn accept_deaf(&mut self) -> anyhow::Result<RawPeer> {
        self.peer(Reads::Nothing).await
    }

    async fn peer(&mut self, reads: Reads) -> anyhow::Result<RawPeer> {
        let (handle, mut acceptor) = self.accept().await.split();
        let control = acceptor.accept_bidirectional_stream().await?;
        let control = control.ok_or_else(|| anyhow::anyhow!("no control stream"))?;
        Ok(RawPeer::over((handle, acceptor), control, [0; 32], reads))
    }
}
