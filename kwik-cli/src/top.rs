//! `kwik top`: the live page in a terminal.

mod feed;
mod screen;
mod state;

use std::io::{IsTerminal as _, stdout};
use std::time::Duration;

use anyhow::Context as _;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::{Terminal, backend::CrosstermBackend};
use tokio::sync::mpsc;

use crate::cause::{Cause, Known};
use crate::cli::TopArgs;
use crate::signals::Stop;
use feed::Feed;
use state::State;

/// How long the keyboard is waited for before it is looked whether to end.
const GLANCE: Duration = Duration::from_millis(100);

/// What a key wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Leave,
    Up,
    Down,
    Redraw,
}

/// Shows what a server does until q, Ctrl-C or a signal.
pub(crate) async fn run(args: &TopArgs) -> anyhow::Result<()> {
    let mut stop = Stop::listen()?;
    if !stdout().is_terminal() {
        let text = "`kwik top` wants a terminal; in scripts read the events: curl -N http://ADDRESS/events";
        return Err(Known::error(Cause::Failed, text));
    }
    // The first connection fails before the terminal is changed.
    let mut feed = Feed::connect(args.address).await?;
    let screen = Screen::take()?;
    let (wishes, mut wished) = mpsc::channel(16);
    let keys = std::thread::spawn(move || read_keys(&wishes));
    let outcome = show(&mut feed, &mut wished, &mut stop).await;
    drop(wished);
    // It has seen by now that nobody listens, or does so at its next glance.
    let _ = tokio::task::spawn_blocking(move || keys.join()).await;
    drop(screen);
    outcome
}

async fn show(
    feed: &mut Feed,
    wished: &mut mpsc::Receiver<Wish>,
    stop: &mut Stop,
) -> anyhow::Result<()> {
    let mut terminal = Terminal::new(CrosstermBackend::new(stdout()))?;
    let mut state = State::default();
    loop {
        terminal.draw(|frame| screen::draw(frame, &mut state))?;
        tokio::select! {
            biased;
            _ = stop.wanted() => return Ok(()),
            wish = wished.recv() => match wish {
                Some(Wish::Leave) | None => return Ok(()),
                Some(Wish::Up) => state.scroll_by(-1),
                Some(Wish::Down) => state.scroll_by(1),
                Some(Wish::Redraw) => {}
            },
            snapshot = feed.next() => state.take(snapshot),
        }
    }
}

/// Reads keys until nobody wants them any more.
fn read_keys(wishes: &mpsc::Sender<Wish>) {
    while !wishes.is_closed() {
        match event::poll(GLANCE) {
            Ok(false) => {}
            Ok(true) => match event::read() {
                Ok(event) => {
                    if let Some(wish) = wish(&event)
                        && wishes.blocking_send(wish).is_err()
                    {
                        return;
                    }
                }
                Err(_) => return,
            },
            Err(_) => return,
        }
    }
}

fn wish(event: &Event) -> Option<Wish> {
    let key = match event {
        Event::Resize(..) => return Some(Wish::Redraw),
        Event::Key(key) if key.kind != KeyEventKind::Release => key,
        _ => return None,
    };
    match key.code {
        KeyCode::Char('q') | KeyCode::Esc => Some(Wish::Leave),
        // In raw mode the terminal sends no signal.
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Some(Wish::Leave),
        KeyCode::Up | KeyCode::Char('k') => Some(Wish::Up),
        KeyCode::Down | KeyCode::Char('j') => Some(Wish::Down),
        _ => None,
    }
}

/// The terminal, until it is dropped: however that comes, it is as it was before.
struct Screen;

impl Screen {
    fn take() -> anyhow::Result<Self> {
        enable_raw_mode().context("the terminal cannot be used")?;
        let screen = Self;
        execute!(stdout(), EnterAlternateScreen).context("the terminal cannot be used")?;
        Ok(screen)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Nobody is left to be told that the terminal is gone.
        let _ = execute!(stdout(), LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
    }
}

#[cfg(test)]
mod tests {
    use ratatui::crossterm::event::KeyEvent;

    use super::*;

    #[test]
    fn q_and_control_c_leave() {
        let pressed = |code, modifiers| wish(&Event::Key(KeyEvent::new(code, modifiers)));
        assert_eq!(pressed(KeyCode::Char('q'), KeyModifiers::NONE), Some(Wish::Leave));
        assert_eq!(pressed(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Wish::Leave));
        assert_eq!(pressed(KeyCode::Char('c'), KeyModifiers::NONE), None);
        assert_eq!(pressed(KeyCode::Down, KeyModifiers::NONE), Some(Wish::Down));
        assert_eq!(wish(&Event::Resize(80, 24)), Some(Wish::Redraw));
    }
}
