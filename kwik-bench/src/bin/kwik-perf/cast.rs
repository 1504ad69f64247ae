//! Certificates and keys of one measurement, and the processes that use them.

use crate::child::Child;
use crate::client::{Client, Latencies, Load, Work};
use crate::hold::{Holder, Pieces, What};
use crate::role::{
    Certificate, Congestion, Contributor, Identity, Listening, Role, Secondary, Sender, Server,
    Stack, Threads, start,
};

/// Bytes of a message of a ping-pong.
const MESSAGE: u64 = 1 << 10;

/// Who plays in a scenario.
pub(crate) struct Cast {
    certificate: Certificate,
    identity: Identity,
}

impl Cast {
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self { certificate: Certificate::new()?, identity: Identity::new() })
    }

    /// Starts secondaries, one process each.
    pub(crate) fn secondaries(&self, count: usize) -> anyhow::Result<(Vec<Child>, Vec<Listening>)> {
        let started: anyhow::Result<Vec<_>> =
            (0..count).map(|_| start(&self.secondary(1))).collect();
        Ok(started?.into_iter().unzip())
    }

    /// A process of that many secondaries.
    pub(crate) fn secondary(&self, servers: usize) -> Role {
        Role::Secondary(Secondary {
            trusts: self.identity.public.clone(),
            servers,
            congestion: Congestion::default(),
        })
    }

    /// A primary with these secondaries, not yet started.
    pub(crate) fn primary(&self, secondaries: Vec<Listening>) -> Server {
        Server {
            identity: Some(self.identity.secret.clone()),
            secondaries,
            ..Server::new(Stack::Kwik, Threads::Default, &self.certificate)
        }
    }

    /// A client, not yet started.
    pub(crate) fn client(&self, server: &Server, listening: &Listening, work: Work) -> Role {
        Role::Client(Client {
            stack: server.stack,
            threads: server.threads,
            server: listening.address,
            secondaries: server.secondaries.len(),
            streams: server.streams,
            max_mtu: server.max_mtu,
            chain: self.certificate.chain.clone(),
            work,
        })
    }

    /// A client that holds something.
    pub(crate) fn holder(&self, listening: &Listening, what: What) -> Role {
        let chain = self.certificate.chain.clone();
        Role::Holder(Holder { server: listening.address, chain, what })
    }

    /// A secondary that sends pieces when it is told to.
    pub(crate) fn contributor(&self, pieces: Pieces) -> Role {
        Role::Contributor(Contributor { trusts: self.identity.public.clone(), pieces })
    }

    /// A bare server that sends on streams of its own when it is told to.
    pub(crate) fn sender(&self, streams: u64, length: u64) -> Role {
        Role::Sender(Sender { certificate: self.certificate.clone(), streams, length })
    }

    /// Round trips to a bare server.
    pub(crate) fn native(&self, messages: u64) -> anyhow::Result<Latencies> {
        let server = Server::new(Stack::Native, Threads::Default, &self.certificate);
        self.ping_pong(&server, messages, None)
    }

    /// Round trips to a primary with that many secondaries.
    pub(crate) fn kwik(
        &self,
        messages: u64,
        secondaries: usize,
        load: Option<Load>,
    ) -> anyhow::Result<Latencies> {
        let (_processes, listening) = self.secondaries(secondaries)?;
        self.ping_pong(&self.primary(listening), messages, load)
    }

    fn ping_pong(
        &self,
        server: &Server,
        messages: u64,
        load: Option<Load>,
    ) -> anyhow::Result<Latencies> {
        let (_process, listening) = start(&Role::Server(server.clone()))?;
        let work = Work::PingPong { messages, size: MESSAGE, load };
        let mut client = Child::start(&self.client(server, &listening, work))?;
        client.ready()?;
        client.go()?;
        client.hear()
    }
}
