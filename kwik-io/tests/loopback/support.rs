//! A server and a client on loopback.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kwik_io::endpoint::{
    Accepted, ClientEndpoints, DialError, Dialled, EndpointLimits, Role, ServerEndpoint,
};
use kwik_io::env::Env;
use kwik_io::tls::{ServerCertificate, Trust};
use kwik_io::worker::{Placement, Worker, Workers};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// Long enough for a slow machine; tests that wait for it to pass use [`SHORT`].
pub(crate) const LONG: Duration = Duration::from_secs(20);
/// What no test waits for.
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
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

/// A way to a server that can be cut.
pub(crate) struct Relay {
    front: Arc<UdpSocket>,
    task: JoinHandle<()>,
}

impl Relay {
    /// To a server on loopback.
    pub(crate) async fn to(server: SocketAddr) -> Self {
        let front = Arc::new(UdpSocket::bind(any_port()).await.unwrap());
        let back = UdpSocket::bind(any_port()).await.unwrap();
        back.connect(server).await.unwrap();
        let task = tokio::spawn(relay(front.clone(), back));
        Self { front, task }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.front.local_addr().unwrap()
    }

    /// Cuts it. What the client sends from now on stays in the socket.
    pub(crate) async fn cut(self) -> Arc<UdpSocket> {
        self.task.abort();
        let _ = self.task.await;
        while self.front.try_recv(&mut [0; 1_500]).is_ok() {}
        self.front
    }
}

async fn relay(front: Arc<UdpSocket>, back: UdpSocket) {
    let (mut there, mut here) = ([0; 65_536], [0; 65_536]);
    let mut client = None;
    loop {
        tokio::select! {
            Ok((length, from)) = front.recv_from(&mut there) => {
                client = Some(from);
                let _ = back.send(&there[..length]).await;
            }
            Ok(length) = back.recv(&mut here) => {
                if let Some(client) = client {
                    let _ = front.send_to(&here[..length], client).await;
                }
            }
        }
    }
}
