//! A link that can fall silent: datagrams are passed on in user space, until they are not.

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often a thread looks whether it should end.
const LOOK: Duration = Duration::from_millis(50);

#[derive(Default)]
struct State {
    silent: AtomicBool,
    over: AtomicBool,
}

/// Passes datagrams between clients and one server. Nothing is told to either end when it falls silent, as with a cable
/// that was pulled somewhere on the way.
pub struct Forwarder {
    pub address: SocketAddr,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

impl Forwarder {
    pub fn start(server: SocketAddr) -> Self {
        let front = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = front.local_addr().unwrap();
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let thread = std::thread::spawn(move || forward(&front, server, &shared));
        Self { address, state, thread: Some(thread) }
    }

    pub fn fall_silent(&self) {
        self.state.silent.store(true, Ordering::SeqCst);
    }

    pub fn heal(&self) {
        self.state.silent.store(false, Ordering::SeqCst);
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.state.over.store(true, Ordering::SeqCst);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn forward(front: &UdpSocket, server: SocketAddr, state: &Arc<State>) {
    front.set_read_timeout(Some(LOOK)).unwrap();
    let mut clients: HashMap<SocketAddr, UdpSocket> = HashMap::new();
    let mut threads = Vec::new();
    let mut datagram = vec![0; 65_536];
    while !state.over.load(Ordering::SeqCst) {
        let Ok((len, client)) = front.recv_from(&mut datagram) else { continue };
        let back = clients.entry(client).or_insert_with(|| {
            let back = UdpSocket::bind("127.0.0.1:0").unwrap();
            back.connect(server).unwrap();
            let (from, to) = (back.try_clone().unwrap(), front.try_clone().unwrap());
            let state = Arc::clone(state);
            threads.push(std::thread::spawn(move || answer(&from, &to, client, &state)));
            back
        });
        if !state.silent.load(Ordering::SeqCst) {
            // A server that is gone refuses; its client must find out by itself.
            let _ = back.send(&datagram[..len]);
        }
    }
    threads.into_iter().for_each(|thread| drop(thread.join()));
}

fn answer(back: &UdpSocket, front: &UdpSocket, client: SocketAddr, state: &State) {
    back.set_read_timeout(Some(LOOK)).unwrap();
    let mut datagram = vec![0; 65_536];
    while !state.over.load(Ordering::SeqCst) {
        if let Ok(len) = back.recv(&mut datagram)
            && !state.silent.load(Ordering::SeqCst)
        {
            let _ = front.send_to(&datagram[..len], client);
        }
    }
}
