#![allow(clippy::unwrap_used)]

use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::*;
use crate::live::view::Snapshot;

fn state(snapshot: Snapshot) -> State {
    let mut state = State::default();
    state.take(Ok(snapshot));
    state
}

/// The screen as text.
fn drawn(state: &mut State, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, state)).unwrap();
    let buffer = terminal.backend().buffer().clone();
    let rows = buffer.content.chunks(usize::from(width));
    rows.map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>() + "\n").collect()
}

fn busy() -> Snapshot {
    let path = |id, address: &str| Path {
        id,
        address: address.to_owned(),
        state: "live".to_owned(),
        delivered: 3 << 20,
        ..Path::default()
    };
    let stream = Stream {
        file: "big\u{1b}[2J.bin".to_owned(),
        size: 8 << 20,
        read: 4 << 20,
        cell: 1 << 20,
        cells: vec![0, 1, 1, -1, 0],
        fill: vec![100, 100, 0, 60, 20],
        ..Stream::default()
    };
    let session = Session {
        role: "primary".to_owned(),
        client: "192.0.2.9:5".to_owned(),
        paths: vec![path(0, "this server"), path(1, "192.0.2.7:4433")],
        streams: vec![stream],
        ..Session::default()
    };
    let incident = Incident {
        kind: "lost".to_owned(),
        text: "0..9 from 192.0.2.7:4433: Late".to_owned(),
        ..Incident::default()
    };
    Snapshot {
        at_ms: 5,
        address: "127.0.0.1:4433".to_owned(),
        open: 1,
        sessions: vec![session],
        incidents: vec![incident],
        ..Snapshot::default()
    }
}

#[test]
fn a_screen_shows_servers_strips_and_incidents() {
    let text = drawn(&mut state(busy()), 100, 30);
    for part in [
        "kwik 127.0.0.1:4433",
        "192.0.2.7:4433",
        "50 % of 8.0 MiB read",
        "lost",
        "0..9 from 192.0.2.7:4433: Late",
        r"big\u{1b}[2J.bin",
    ] {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
    // All of it, a part of it, next to nothing, and a hole.
    let strip = text.lines().find(|line| line.contains('▅')).unwrap();
    assert!(strip.contains('█') && strip.contains('▂') && strip.contains('·'), "{strip}");
}

#[test]
fn any_size_of_terminal_is_drawn_on() {
    for width in [1, 2, 5, 20, 80, 300] {
        for height in [1, 2, 3, 6, 10, 24, 100] {
            let mut state = state(busy());
            state.scroll_by(500);
            drawn(&mut state, width, height);
        }
    }
}

#[test]
fn what_no_server_would_send_is_drawn_all_the_same() {
    let mut snapshot = busy();
    let session = &mut snapshot.sessions[0];
    let stream = &mut session.streams[0];
    (stream.cell, stream.size, stream.read) = (0, u64::MAX, u64::MAX);
    stream.fill.pop();
    session.paths[0].address = "x".repeat(10_000);
    drawn(&mut state(snapshot), 80, 24);
}
