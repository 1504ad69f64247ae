//! Somebody on the way between a client and a server, who plays with the datagrams.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What is done to datagrams.
#[derive(Clone, Copy, Debug)]
pub(super) enum Game {
    /// Those larger than so many bytes are lost, from the hundredth on: the path was probed before.
    Narrows(usize),
    /// The same, but that they are cut.
    Cuts(usize),
    /// Each comes that often.
    Repeats(usize),
    /// The client's come from another port after so many.
    Moves(usize),
    /// Each comes once more from each of so many other ports.
    Copies(usize),
    /// Each comes once more, from one of so many other ports after the other.
    CopiesInTurn(usize),
}

/// Datagrams that pass before the path becomes narrow.
const PROBED: usize = 100;
/// How often threads look whether it is over.
const LOOK: Duration = Duration::from_millis(50);

/// A relay, until it is dropped.
pub(super) struct Relay {
    shared: Arc<Shared>,
    pub(super) address: SocketAddr,
}

struct Shared {
    game: Game,
    server: SocketAddr,
    /// Where the client sends to.
    front: UdpSocket,
    client: Mutex<Option<SocketAddr>>,
    /// Which of the ports towards the server answers are taken from.
    port: AtomicUsize,
    passed: AtomicUsize,
    /// Where copies come from, and how many came.
    others: Vec<UdpSocket>,
    copied: AtomicUsize,
    over: AtomicBool,
}

impl Relay {
    pub(super) fn start(server: SocketAddr, game: Game) -> io::Result<Self> {
        let front = UdpSocket::bind("127.0.0.1:0")?;
        front.set_read_timeout(Some(LOOK))?;
        let address = front.local_addr()?;
        let (client, port, passed, over) =
            (Mutex::default(), AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
        let others = match game {
            Game::Copies(ports) | Game::CopiesInTurn(ports) => ports,
            _ => 0,
        };
        let others =
            (0..others).map(|_| UdpSocket::bind("127.0.0.1:0")).collect::<io::Result<_>>()?;
        let copied = AtomicUsize::new(0);
        let shared = Shared { game, server, front, client, port, passed, others, copied, over };
        let shared = Arc::new(shared);
        let up = shared.clone();
        std::thread::spawn(move || up.run());
        Ok(Self { shared, address })
    }

    /// Copies that it has sent.
    pub(super) fn copied(&self) -> usize {
        self.shared.copied.load(Ordering::Relaxed)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    /// What becomes of a datagram on its way in either direction.
    fn played<'a>(&self, datagram: &'a [u8]) -> (&'a [u8], usize) {
        let narrow = self.passed.fetch_add(1, Ordering::Relaxed) >= PROBED;
        match self.game {
            Game::Narrows(most) if narrow && datagram.len() > most => (datagram, 0),
            Game::Cuts(most) if narrow => (&datagram[..datagram.len().min(most)], 1),
            Game::Repeats(times) => (datagram, times),
            _ => (datagram, 1),
        }
    }

    /// Sends what the game has come from other ports. What is answered there nobody reads.
    fn copy(&self, datagram: &[u8], to: SocketAddr) {
        let from = match self.game {
            Game::Copies(_) => &self.others[..],
            Game::CopiesInTurn(ports) => {
                let turn = self.copied.load(Ordering::Relaxed) % ports;
                &self.others[turn..=turn]
            }
            _ => return,
        };
        for port in from {
            if port.send_to(datagram, to).is_ok() {
                self.copied.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// From the client to the server.
    fn run(self: Arc<Self>) {
        let mut back = self.open(0);
        let (mut datagram, mut count) = (vec![0; 65_536], 0);
        while !self.over.load(Ordering::Relaxed) {
            let Ok((length, from)) = self.front.recv_from(&mut datagram) else { continue };
            *self.client.lock().unwrap_or_else(PoisonError::into_inner) = Some(from);
            count += 1;
            if let Game::Moves(after) = self.game
                && count % after == 0
            {
                back = self.open(count / after);
            }
            let (bytes, times) = self.played(&datagram[..length]);
            for _ in 0..times {
                let _ = back.send_to(bytes, self.server);
            }
            self.copy(bytes, self.server);
        }
    }

    /// Another port towards the server. Answers to those before go nowhere from now on.
    fn open(self: &Arc<Self>, number: usize) -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port of loopback is free");
        socket.set_read_timeout(Some(LOOK)).expect("a time above zero");
        let answers = socket.try_clone().expect("a descriptor is free");
        self.port.store(number, Ordering::Relaxed);
        let shared = self.clone();
        std::thread::spawn(move || shared.answer(&answers, number));
        socket
    }

    /// From the server to the client.
    fn answer(&self, socket: &UdpSocket, number: usize) {
        let mut datagram = vec![0; 65_536];
        let current = || self.port.load(Ordering::Relaxed) == number;
        while current() && !self.over.load(Ordering::Relaxed) {
            let Ok(length) = socket.recv(&mut datagram) else { continue };
            let client = *self.client.lock().unwrap_or_else(PoisonError::into_inner);
            let (Some(client), true) = (client, current()) else { continue };
            let (bytes, times) = self.played(&datagram[..length]);
            for _ in 0..times {
                let _ = self.front.send_to(bytes, client);
            }
            self.copy(bytes, client);
        }
    }
}
