//! What sessions leave behind: nothing. Alone in its process, because it counts the process's sockets; on one runtime, so
//! that every task counts.
#![allow(clippy::unwrap_used)]

use kwik_client::{Client, Connect, Pin, Placement};
use kwik_server::{
    PathSpec, PrimaryAcceptor, SecondaryAcceptor, SecondaryMetrics, Server, ServerIdentity,
    application,
};
use kwik_tests::{Content, certificate, contribute, eventually, identity, read_until, up};
use tokio::runtime::Handle;

const SESSIONS: u64 = 1000;
const REFUSED: u64 = 1000;
/// Sessions under way at a time, so that the test does not wait for one round trip after another.
const LANES: u64 = 8;
const CONTENT: Content = Content(1000);

fn sockets() -> usize {
    std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .filter(|target| target.to_string_lossy().starts_with("socket:"))
        .count()
}

fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

/// A primary, a secondary and a client, for one session after another.
struct Lane {
    client: Client,
    primaries: PrimaryAcceptor,
    secondaries: SecondaryAcceptor,
    pin: Pin,
    spec: PathSpec,
    _others: (SecondaryAcceptor, PrimaryAcceptor),
}

impl Lane {
    fn new() -> Self {
        let (key, public) = identity();
        let builder = || {
            let builder = Server::builder().with_tls(certificate()).unwrap();
            builder.with_io("127.0.0.1:0").unwrap().with_workers(Placement::Current)
        };
        let primary = builder().with_identity(key).unwrap().start().unwrap();
        let secondary = builder().with_trusted_primaries([public]).unwrap().start().unwrap();
        let pin = primary.pin();
        let client = Client::builder().with_tls(pin).unwrap().with_workers(Placement::Current);
        let spec = PathSpec {
            addresses: vec![secondary.local_addr()],
            identity: ServerIdentity::Pin(secondary.pin().0),
            grant_all: true,
        };
        let (primaries, no_secondaries) = primary.split();
        let (no_primaries, secondaries) = secondary.split();
        let client = client.start().unwrap();
        let _others = (no_secondaries, no_primaries);
        Self { client, primaries, secondaries, pin, spec, _others }
    }

    /// A session with contributions, from its beginning to its end, which is another one each turn.
    async fn session(&mut self, turn: u64) {
        let connecting = self.client.connect(Connect::new(self.primaries.local_addr()));
        let (session, primary) = tokio::join!(connecting, self.primaries.accept());
        let (mut session, primary) = (session.unwrap(), primary.unwrap());
        let path = primary.handle().add_path(self.spec.clone()).await.unwrap();
        let secondary = self.secondaries.accept().await.unwrap();
        up(&primary, path).await;
        let mut stream = primary.handle().open_send_stream().await.unwrap();
        stream.send(CONTENT.bytes(0, 10)).await.unwrap();
        let mut public = session.accept_receive_stream().await.unwrap().unwrap();
        let mut contribution = contribute(&secondary, stream.id()).await;
        contribution.write_at(10, CONTENT.bytes(10, 1000)).await.unwrap();
        read_until(&mut public, CONTENT, 0, 1010).await;
        let code = application::Error::new(turn).unwrap();
        match turn % 5 {
            // To its end.
            0 => {
                stream.write_at(10, CONTENT.bytes(10, 1000)).await.unwrap();
                stream.finish().unwrap();
                assert_eq!(public.receive().await.unwrap(), None);
            }
            // Reset by the primary.
            1 => {
                stream.reset(code).unwrap();
                public.receive().await.unwrap_err();
            }
            // Stopped by the client.
            2 => public.stop_sending(code).unwrap(),
            // Closed with everything open, by the one or the other.
            3 => return session.close(code),
            _ => return primary.close(code),
        }
        eventually("the client's tables are empty", || async {
            let metrics = session.metrics().await.unwrap();
            !metrics.streams.iter().any(|stream| stream.is_open)
                && metrics.paths[1].contributions == 0
        })
        .await;
        eventually("the secondary's tables are empty", || async {
            let SecondaryMetrics { contributions, delegations, .. } =
                secondary.metrics().await.unwrap();
            (contributions, delegations) == (0, 0)
        })
        .await;
    }

    async fn refusal(&self, turn: u64) {
        let mut pin = self.pin;
        pin.0[..8].copy_from_slice(&turn.to_be_bytes());
        let client = Client::builder().with_tls(pin).unwrap().with_workers(Placement::Current);
        let client = client.start().unwrap();
        client.connect(Connect::new(self.primaries.local_addr())).await.unwrap_err();
        client.wait_idle().await.unwrap();
    }
}

async fn back_to(what: &str, before: (usize, usize)) {
    eventually(&format!("after {what} there are {before:?} tasks and sockets"), || async {
        (tasks(), sockets()) == before
    })
    .await;
}

#[derive(Clone, Copy)]
enum Work {
    Sessions(u64),
    Refusals(u64),
}

/// Has all lanes work at the same time, each on its share.
async fn all(lanes: Vec<Lane>, work: Work) -> Vec<Lane> {
    let running: Vec<_> = (0..)
        .zip(lanes)
        .map(|(number, mut lane)| {
            tokio::spawn(async move {
                let (Work::Sessions(count) | Work::Refusals(count)) = work;
                for turn in (number..count).step_by(LANES as usize) {
                    match work {
                        Work::Sessions(_) => lane.session(turn).await,
                        Work::Refusals(_) => lane.refusal(turn).await,
                    }
                }
                lane
            })
        })
        .collect();
    let mut lanes = Vec::new();
    for lane in running {
        lanes.push(lane.await.unwrap());
    }
    lanes
}

#[tokio::test]
async fn a_thousand_sessions_and_a_thousand_refusals_leave_nothing_behind() {
    let bare = (tasks(), sockets());
    let lanes: Vec<Lane> = (0..LANES).map(|_| Lane::new()).collect();
    // What is made once is made now.
    let lanes = all(lanes, Work::Sessions(LANES)).await;
    let before = settled().await;
    let lanes = all(lanes, Work::Sessions(SESSIONS)).await;
    back_to("a thousand sessions", before).await;
    let lanes = all(lanes, Work::Refusals(REFUSED)).await;
    back_to("a thousand refusals", before).await;
    drop(lanes);
    back_to("all", bare).await;
}

/// Tasks and sockets once they have been the same for a while.
async fn settled() -> (usize, usize) {
    let mut last = (tasks(), sockets());
    let mut same = 0;
    while same < 100 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        let now = (tasks(), sockets());
        same = if now == last { same + 1 } else { 0 };
        last = now;
    }
    last
}
