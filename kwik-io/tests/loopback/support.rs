//! A server and a client on loopback.

use std::net::SocketAddr;
use std::time::Duration;

use kwik_io::endpoint::{
    Accepted, ClientEndpoints, DialError, Dialled, EndpointLimits, Role, ServerEndpoint,
};
use kwik_io::env::Env;
use kwik_io::tls::{ServerCertificate, Trust};
use kwik_io::worker::{Placement, Worker, Workers};

/// Long enough for a slow machine; tests that wait for it to pass use [`SHORT`].
pub(crate) const LONG: Duration = Duration::from_secs(20);
/// For dials that nobody answers.
pub(crate) const SHORT: Duration = Duration::from_millis(300);

pub(crate) fn any_port() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

pub(crate) fn certificate() -> ServerCertificate {
    ServerCertificate::self_signed(["localhost", "127.0.0.1", "::1"]).unwrap()
}

pub(crate) fn worker() -> Worker {
    Workers::start(Placement::Threads(1)).unwrap().next()
}

pub(crate) fn bind(worker: &Worker, certificate: &ServerCertificate) -> ServerEndpoint {
    let limits = EndpointLimits::default();
    ServerEndpoint::bind(&Env::system(), worker, any_port(), certificate, limits).unwrap()
}

pub(crate) fn endpoints(role: Role) -> ClientEndpoints {
    ClientEndpoints::new(Env::system(), role, EndpointLimits::default())
}

/// A server that runs, with all that a client needs to reach it.
pub(crate) struct Lab {
    pub(crate) worker: Worker,
    pub(crate) server: ServerEndpoint,
    pub(crate) certificate: ServerCertificate,
    pub(crate) endpoints: ClientEndpoints,
}

impl Lab {
    pub(crate) fn new() -> Self {
        Self::with(certificate())
    }

    pub(crate) fn with(certificate: ServerCertificate) -> Self {
        let worker = worker();
        let server = bind(&worker, &certificate);
        Self { worker, server, certificate, endpoints: endpoints(Role::Primary) }
    }

    pub(crate) fn pin(&self) -> Trust {
        Trust::Pin(self.certificate.pin())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.local_addr()
    }

    pub(crate) async fn dial(
        &self,
        trust: &Trust,
        name: Option<&str>,
    ) -> Result<Dialled, DialError> {
        self.endpoints.connect(&self.worker, self.address(), trust, name, LONG).await
    }

    pub(crate) async fn connect(&mut self) -> (Dialled, Accepted) {
        let trust = self.pin();
        let (dialled, accepted) = tokio::join!(
            self.endpoints.connect(&self.worker, self.server.local_addr(), &trust, None, LONG),
            async { self.server.accept().await.unwrap() }
        );
        (dialled.unwrap(), accepted)
    }
}
