//! What `kwik top` draws.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph, Sparkline};

use super::state::State;
use crate::live::short;
use crate::live::view::{Incident, Path, Session, Stream};
use crate::size::ByteSize;

#[cfg(test)]
mod tests;

/// Colours of servers, in the order in which they were seen.
const COLOURS: [Color; 8] = [
    Color::Blue,
    Color::Yellow,
    Color::Green,
    Color::Magenta,
    Color::Cyan,
    Color::Red,
    Color::LightYellow,
    Color::LightBlue,
];
/// Lines for incidents.
const INCIDENTS: u16 = 8;
/// Characters of a text of the network.
const MOST_TEXT: usize = 120;

/// Draws all of it.
pub(super) fn draw(frame: &mut Frame<'_>, state: &mut State) {
    let incidents = INCIDENTS.min(frame.area().height / 3);
    let rows = [
        Constraint::Length(1),
        Constraint::Length(5),
        Constraint::Min(3),
        Constraint::Length(incidents),
    ];
    let [head, rates, sessions, below] = Layout::vertical(rows).areas(frame.area());
    frame.render_widget(Paragraph::new(headline(state)), head);
    draw_rates(frame, rates, state);
    let lines: Vec<Line<'_>> = state
        .snapshot
        .sessions
        .iter()
        .flat_map(|session| session_lines(session, state, sessions.width))
        .collect();
    let most = u16::try_from(lines.len())
        .unwrap_or(u16::MAX)
        .saturating_sub(sessions.height.saturating_sub(2));
    let scroll = state.scroll.min(most);
    let title = match state.snapshot.open {
        0 => "no session is open".to_owned(),
        open => format!("sessions: {open}"),
    };
    let list = Paragraph::new(lines).scroll((scroll, 0)).block(Block::bordered().title(title));
    frame.render_widget(list, sessions);
    state.scroll = scroll;
    draw_incidents(frame, below, &state.snapshot.incidents);
}

fn headline(state: &State) -> Line<'static> {
    let total: f64 = state.rates.values().sum();
    let name = format!("kwik {} ", text(&state.snapshot.address));
    let mut spans = vec![Span::styled(name, Style::new().add_modifier(Modifier::BOLD))];
    match &state.trouble {
        Some(trouble) => spans.push(Span::styled(
            format!("{}; trying again ", text(trouble)),
            Style::new().fg(Color::Red),
        )),
        None => spans.push(Span::raw(format!("{}  ", bits(total)))),
    }
    spans.push(Span::styled("q leaves, arrows scroll", Style::new().fg(Color::DarkGray)));
    Line::from(spans)
}

fn draw_rates(frame: &mut Frame<'_>, area: Rect, state: &State) {
    let [chart, legend] =
        Layout::horizontal([Constraint::Percentage(50), Constraint::Percentage(50)]).areas(area);
    let block = Block::bordered().title("rate, all servers");
    let width = usize::from(chart.width.saturating_sub(2));
    let newest = state.history.len().saturating_sub(width);
    let data: Vec<u64> = state.history.iter().skip(newest).copied().collect();
    frame.render_widget(Sparkline::default().data(&data).block(block), chart);
    let lines: Vec<_> = state
        .sources
        .iter()
        .map(|address| {
            let rate = state.rates.get(address).copied().unwrap_or_default();
            Line::from(vec![
                Span::styled("█ ", colour(state, address)),
                Span::raw(format!("{:<22} {:>12}", text(address), bits(rate))),
            ])
        })
        .collect();
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title("servers")), legend);
}

fn session_lines(session: &Session, state: &State, width: u16) -> Vec<Line<'static>> {
    let Session { number, role, client, sent, .. } = session;
    let what = match role.as_str() {
        "secondary" => format!("{} orders, {}", session.orders, text(&session.file)),
        _ => format!("{} repairs, {} hedges", session.repairs, session.hedges),
    };
    let head =
        format!("{number} {} for {}: {} sent, {what}", text(role), text(client), ByteSize(*sent));
    let mut lines = vec![Line::styled(head, Style::new().add_modifier(Modifier::BOLD))];
    lines.extend(session.paths.iter().map(|path| path_line(path, state)));
    for stream in &session.streams {
        lines.push(Line::raw(format!("  {}", stream_caption(stream))));
        lines.push(strip(stream, session, state, usize::from(width.saturating_sub(4))));
    }
    lines
}

fn path_line(path: &Path, state: &State) -> Line<'static> {
    let rtt = path.rtt_ms.map_or("-".to_owned(), |rtt| format!("{rtt:.1} ms"));
    Line::from(vec![
        Span::styled("  █ ", colour(state, &path.address)),
        Span::raw(format!(
            "{:<22} {:<9} {:>11} {:>11} due {rtt:>9}",
            text(&path.address),
            text(&path.state),
            ByteSize(path.delivered).to_string(),
            ByteSize(path.outstanding).to_string()
        )),
    ])
}

fn stream_caption(stream: &Stream) -> String {
    let name = match stream.file.is_empty() {
        true => format!("stream {}", stream.id),
        false => text(&stream.file),
    };
    match stream.size {
        0 => format!("{name}: {} read", ByteSize(stream.read)),
        size => {
            let percent = u128::from(stream.read) * 100 / u128::from(size);
            format!("{name}: {percent} % of {} read", ByteSize(size))
        }
    }
}

/// The stream in one line: a full block where all of a part has arrived, a lower one where there is a hole in it.
fn strip(stream: &Stream, session: &Session, state: &State, width: usize) -> Line<'static> {
    let cells = stream.cells.len().min(stream.fill.len());
    let size = stream.size.max(stream.cell.saturating_mul(cells as u64)).max(1);
    let mut spans = vec![Span::raw("  ")];
    for column in 0..width {
        let offset = (u128::from(size) * column as u128 / width.max(1) as u128) as u64;
        let index = usize::try_from(offset / stream.cell.max(1)).unwrap_or(usize::MAX);
        let (Some(path), Some(fill)) = (stream.cells.get(index), stream.fill.get(index)) else {
            spans.push(Span::styled("·", Style::new().fg(Color::DarkGray)));
            continue;
        };
        let symbol = match *fill {
            0 => "·",
            1..50 => "▂",
            50..99 => "▅",
            _ => "█",
        };
        let known = session.paths.iter().find(|known| i32::from(known.id) == *path);
        let style = known.map_or(Style::new().fg(Color::Gray), |path| colour(state, &path.address));
        spans.push(Span::styled(symbol, style));
    }
    Line::from(spans)
}

fn draw_incidents(frame: &mut Frame<'_>, area: Rect, incidents: &[Incident]) {
    let line = |incident: &Incident| {
        let seconds = incident.at_ms / 1_000;
        let colour = match incident.kind.as_str() {
            "done" | "up" | "repaired" => Color::Green,
            "hedged" => Color::Yellow,
            _ => Color::Red,
        };
        Line::from(vec![
            Span::styled(
                format!("{:>3}:{:02}:{:02} ", seconds / 3_600, seconds / 60 % 60, seconds % 60),
                Style::new().fg(Color::DarkGray),
            ),
            Span::styled(format!("{:<12}", text(&incident.kind)), Style::new().fg(colour)),
            Span::raw(text(&incident.text)),
        ])
    };
    let lines: Vec<_> = incidents.iter().rev().map(line).collect();
    let block = Block::bordered().title("repairs and failures");
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn colour(state: &State, address: &str) -> Style {
    let index = state.sources.iter().position(|known| known == address);
    let colour = index.map_or(Color::Gray, |index| COLOURS[index % COLOURS.len()]);
    Style::new().fg(colour)
}

/// A text of the network: the server has escaped it, and it may be another than it says.
fn text(text: &str) -> String {
    short(text, MOST_TEXT)
}

fn bits(rate: f64) -> String {
    let bits = rate * 8.0;
    match bits {
        _ if bits >= 1e9 => format!("{:.2} Gbit/s", bits / 1e9),
        _ if bits >= 1e6 => format!("{:.1} Mbit/s", bits / 1e6),
        _ => format!("{:.0} kbit/s", bits / 1e3),
    }
}
