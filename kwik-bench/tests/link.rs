//! The process of a link, on loopback: what goes in comes out, and commands are obeyed.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

struct Link {
    process: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    address: SocketAddr,
}

impl Link {
    fn start(target: SocketAddr, delay_us: u64) -> Self {
        let shape = json!({
            "rate": null, "delay_us": delay_us, "jitter_us": 0, "lost_per_million": 0, "queue": 65536,
        });
        let settings = json!({ "target": target, "up": shape, "down": shape, "seed": 7 });
        let mut process = Command::new(env!("CARGO_BIN_EXE_kwik-perf"))
            .args(["role", &json!({ "Link": settings }).to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let commands = process.stdin.take();
        let mut answers = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        answers.read_line(&mut line).unwrap();
        let address = serde_json::from_str(&line).unwrap();
        Self { process, commands, answers, address }
    }

    fn tell(&mut self, command: &str) {
        writeln!(self.commands.as_mut().unwrap(), "{command}").unwrap();
    }

    /// The answer comes after all commands before it were obeyed.
    fn report(&mut self) -> Value {
        self.tell("report");
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// Waits until the report says so.
    fn until(&mut self, key: &str, count: u64) -> Value {
        loop {
            let report = self.report();
            if report[key].as_u64().unwrap() >= count {
                return report;
            }
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        drop(self.commands.take());
        assert!(self.process.wait().unwrap().success());
    }
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    // Longer than any machine needs; a test that fails ends.
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    socket
}

fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = [0; 2_048];
    let (length, from) = socket.recv_from(&mut buffer).unwrap();
    (buffer[..length].to_vec(), from)
}

#[test]
fn datagrams_of_each_client_go_there_and_back() {
    let server = socket();
    let mut link = Link::start(server.local_addr().unwrap(), 500);
    let clients = [socket(), socket()];
    let mut places = Vec::new();
    for (number, client) in (1..).zip(&clients) {
        for length in [1_usize, 1_200, 1_472] {
            client.send_to(&vec![number; length], link.address).unwrap();
            let (datagram, from) = receive(&server);
            assert_eq!(datagram, vec![number; length]);
            server.send_to(&datagram[..length.div_ceil(2)], from).unwrap();
            assert_eq!(receive(client), (vec![number; length.div_ceil(2)], link.address));
            places.push(from);
        }
    }
    assert_eq!(places[0], places[2], "a client keeps its place");
    assert_ne!(places[2], places[3], "and has one of its own");
    let report = link.report();
    assert_eq!((report["up"].as_u64(), report["down"].as_u64()), (Some(6), Some(6)));
    assert_eq!(report["socket_drops"], 0);
}

#[test]
fn servers_behind_one_link_have_a_door_each() {
    let servers = [socket(), socket()];
    let mut link = Link::start(servers[0].local_addr().unwrap(), 500);
    link.tell(&format!("also {}", servers[1].local_addr().unwrap()));
    let mut line = String::new();
    link.answers.read_line(&mut line).unwrap();
    let doors: [SocketAddr; 2] = [link.address, serde_json::from_str(&line).unwrap()];
    let client = socket();
    for (server, door) in servers.iter().zip(doors) {
        client.send_to(b"question", door).unwrap();
        let (datagram, from) = receive(server);
        assert_eq!(datagram, b"question");
        server.send_to(b"answer", from).unwrap();
        assert_eq!(receive(&client), (b"answer".to_vec(), door));
    }
    assert_eq!(link.report()["down"], 2);
}

#[test]
fn a_silent_link_drops_everything_until_it_is_back() {
    let server = socket();
    let mut link = Link::start(server.local_addr().unwrap(), 0);
    let client = socket();
    client.send_to(b"before", link.address).unwrap();
    let (datagram, from) = receive(&server);
    assert_eq!(datagram, b"before");
    link.tell("silent");
    link.report();
    client.send_to(b"lost", link.address).unwrap();
    server.send_to(b"lost too", from).unwrap();
    link.until("silenced", 2);
    link.tell("back");
    link.report();
    client.send_to(b"after", link.address).unwrap();
    assert_eq!(receive(&server), (b"after".to_vec(), from), "the server sees the same client");
    server.send_to(b"answer", from).unwrap();
    assert_eq!(receive(&client).0, b"answer");
}
