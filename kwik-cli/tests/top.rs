//! `kwik top` in a terminal of its own.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};

use common::stream::Download;
use common::{Fleet, content, fail, kwik, wait_until};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

/// A `kwik top` and the terminal that it runs in.
struct Terminal {
    top: Child,
    master: File,
    /// Held open, so that the terminal outlives the program.
    slave: File,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    fn start(dir: &Path, page: SocketAddr) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let size = Winsize { ws_row: ROWS, ws_col: COLUMNS, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&master, size).unwrap();
        let slave = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
        let end = || Stdio::from(slave.try_clone().unwrap());
        let mut command = kwik(dir);
        command.args(["top", &page.to_string()]).env("TERM", "xterm-256color");
        let top = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        let master = File::from(master);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (mut screen, all) = (master.try_clone().unwrap(), Arc::clone(&seen));
        std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(len) = screen.read(&mut chunk)
                && len > 0
            {
                all.lock().unwrap().extend_from_slice(&chunk[..len]);
            }
        });
        Self { top, master, slave, seen }
    }

    /// Whether the program has written that.
    fn got(&self, text: &str) -> bool {
        String::from_utf8_lossy(&self.seen.lock().unwrap()).contains(text)
    }

    /// Whether a line on the screen has that in it.
    fn shows(&self, text: &str) -> bool {
        let seen = String::from_utf8_lossy(&self.seen.lock().unwrap()).into_owned();
        screen(&seen).iter().any(|line| line.iter().collect::<String>().contains(text))
    }

    /// Whether it echoes and waits for whole lines, as a shell wants it.
    fn is_restored(&self) -> bool {
        let modes = tcgetattr(&self.slave).unwrap().local_modes;
        modes.contains(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG)
    }

    fn press(&mut self, key: &[u8]) {
        self.master.write_all(key).unwrap();
    }

    fn ends(&mut self) -> Option<i32> {
        let mut status = None;
        wait_until("the end of top", || {
            status = self.top.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap().code()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.top.kill();
        let _ = self.top.wait();
    }
}

const ROWS: u16 = 40;
const COLUMNS: u16 = 120;

/// What is on the screen after a program has written this: it places the cursor, clears, and writes.
fn screen(seen: &str) -> Vec<Vec<char>> {
    let (rows, columns) = (usize::from(ROWS), usize::from(COLUMNS));
    let mut screen = vec![vec![' '; columns]; rows];
    let (mut row, mut column) = (0, 0);
    let mut chars = seen.chars();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => {
                if chars.next() != Some('[') {
                    continue;
                }
                let mut parameters = String::new();
                let end = loop {
                    match chars.next() {
                        Some(end @ '@'..='~') => break end,
                        Some(c) => parameters.push(c),
                        None => return screen,
                    }
                };
                let number = |text: &str| text.parse::<usize>().unwrap_or(1).max(1) - 1;
                match end {
                    'H' => {
                        let (at, along) = parameters.split_once(';').unwrap_or(("1", "1"));
                        (row, column) = (number(at), number(along));
                    }
                    'J' => screen = vec![vec![' '; columns]; rows],
                    _ => {}
                }
            }
            '\r' => column = 0,
            '\n' => row += 1,
            c => {
                if let Some(cell) = screen.get_mut(row).and_then(|line| line.get_mut(column)) {
                    *cell = c;
                }
                column += 1;
            }
        }
    }
    screen
}

const ENTER: &str = "\u{1b}[?1049h";
const LEAVE: &str = "\u{1b}[?1049l";

#[test]
fn top_shows_what_the_page_shows_and_leaves_the_terminal_as_it_was() {
    let page = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let args = ["--live", "--metrics", &page.to_string()];
    let content = content(32 << 20);
    let fleet = Fleet::start_with(1, &[("film.bin", &content)], &args, |it| it.address);
    fleet.warm_up("film.bin");
    let mut download = Download::start(&fleet, "film.bin");
    download.read(1 << 20);
    let dir = fleet.dir.path();
    for key in [&b"q"[..], b"\x03"] {
        let mut top = Terminal::start(dir, page);
        wait_until("a session on the screen", || {
            let secondary = fleet.secondaries[0].address.to_string();
            ["film.bin", &secondary, "primary", "servers"].iter().all(|text| top.shows(text))
        });
        assert!(top.got(ENTER) && !top.got(LEAVE));
        assert!(!top.is_restored());
        top.press(key);
        assert_eq!(top.ends(), Some(0));
        assert!(top.is_restored());
        wait_until("the screen before it", || top.got(LEAVE));
    }
    // A signal does the same.
    let mut top = Terminal::start(dir, page);
    wait_until("a screen", || top.shows("servers"));
    rustix::process::kill_process(
        rustix::process::Pid::from_child(&top.top),
        rustix::process::Signal::TERM,
    )
    .unwrap();
    assert_eq!(top.ends(), Some(0));
    assert!(top.is_restored());
}

#[test]
fn a_server_that_goes_away_is_said_to_be_gone_and_the_terminal_is_kept() {
    let page = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let args = ["--live", "--metrics", &page.to_string()];
    let mut fleet = Fleet::start_with(0, &[("f", b"content")], &args, |it| it.address);
    let mut top = Terminal::start(fleet.dir.path(), page);
    wait_until("a screen", || top.shows("no session is open"));
    fleet.primary.kill();
    wait_until("the loss", || top.shows("trying again"));
    top.press(b"q");
    assert_eq!(top.ends(), Some(0));
    assert!(top.is_restored());
}

#[test]
fn without_a_page_or_a_terminal_it_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let nowhere = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut top = Terminal::start(dir.path(), nowhere);
    assert_eq!(top.ends(), Some(4));
    wait_until("the message", || top.got("start `kwik serve --live` there"));
    assert!(top.is_restored() && !top.got(ENTER));
    let line = fail(kwik(dir.path()).args(["top", "127.0.0.1:1"]), 1);
    assert!(line.contains("wants a terminal"), "{line}");
    fail(kwik(dir.path()).args(["top", "here"]), 2);
}
