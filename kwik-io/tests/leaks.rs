//! What refused servers leave behind: nothing. One test, alone in its process, because it counts the process's sockets.

#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use kwik_io::endpoint::{ClientEndpoints, EndpointLimits, Role, ServerEndpoint};
use kwik_io::env::Env;
use kwik_io::tls::{Pin, ServerCertificate, Trust};
use kwik_io::worker::{Placement, Workers};

/// How long a machine that is busy with other tests may take.
const PATIENCE: Duration = Duration::from_secs(60);

fn sockets() -> usize {
    std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .filter(|target| target.to_string_lossy().starts_with("socket:"))
        .count()
}

#[tokio::test]
async fn fifty_refused_pins_leave_no_socket_and_no_task() {
    let env = Env::system();
    let (there, here) = {
        let workers = Workers::start(Placement::Threads(2)).unwrap();
        (workers.next(), workers.next())
    };
    let certificate = ServerCertificate::self_signed(["localhost"]).unwrap();
    let limits = EndpointLimits::default();
    let address = "127.0.0.1:0".parse().unwrap();
    let server = ServerEndpoint::bind(&env, &there, address, &certificate, limits).unwrap();
    let endpoints = ClientEndpoints::new(env, Role::Secondary, limits);
    let tasks = || here.runtime().metrics().num_alive_tasks();
    let (sockets_before, tasks_before) = (sockets(), tasks());

    for round in 0..50 {
        let wrong = Trust::Pin(Pin([round; 32]));
        let wait = Duration::from_secs(20);
        endpoints.connect(&here, server.local_addr(), &wrong, None, wait).await.unwrap_err();
    }
    endpoints.closed().await;

    // A socket is closed by its own task, a moment after its endpoint is, and a task counts until its thread has put it
    // away. What leaked is there for ever.
    let deadline = Instant::now() + PATIENCE;
    while (sockets(), tasks()) != (sockets_before, tasks_before) {
        let (sockets, tasks) = (sockets(), tasks());
        assert!(
            Instant::now() < deadline,
            "{sockets} sockets and {tasks} tasks, not {sockets_before} and {tasks_before}"
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
