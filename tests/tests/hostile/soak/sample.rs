//! What processes hold, second by second.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// The gauges of a server that must return to where they were.
const GAUGES: &[&str] = &[
    "kwik_tasks",
    "kwik_sessions",
    "kwik_open_files",
    "kwik_send_memory_bytes",
    "kwik_receive_memory_bytes",
];

/// What one process holds, by the name of it.
pub(super) type Holds = BTreeMap<&'static str, f64>;

/// What all processes hold, by their names.
pub(super) type Sample = BTreeMap<&'static str, Holds>;

/// What the system knows of a process: resident bytes, descriptors, threads.
pub(super) fn of_process(id: u32) -> Holds {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok())
    };
    let open = std::fs::read_dir(format!("/proc/{id}/fd")).map_or(0, Iterator::count);
    let mut holds = Holds::from([("descriptors", open as f64)]);
    holds.extend(field("VmRSS:").map(|kib| ("resident MiB", kib / 1024.0)));
    holds.extend(field("Threads:").map(|threads| ("threads", threads)));
    holds
}

/// What a server says of itself. Empty if it does not answer: an attack may have all places of the metrics' port.
pub(super) fn of_metrics(address: SocketAddr) -> Holds {
    let text = scrape(address).unwrap_or_default();
    let mut holds = Holds::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some((name, value)) = line.rsplit_once(' ') else { continue };
        let name = name.split('{').next().unwrap_or(name);
        let known = GAUGES.iter().copied().find(|gauge| *gauge == name);
        if let (Some(known), Ok(value)) = (known, value.parse::<f64>()) {
            // One line for each role.
            *holds.entry(known).or_default() += value;
        }
    }
    holds
}

fn scrape(address: SocketAddr) -> std::io::Result<String> {
    let patience = Duration::from_secs(2);
    let mut stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_read_timeout(Some(patience))?;
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Processor time that this process, what it started and ended, and these processes have used, in seconds.
pub(super) fn used(running: &[u32]) -> f64 {
    let own = ticks(std::process::id(), 4);
    let others: u64 = running.iter().map(|id| ticks(*id, 2)).sum();
    (own + others) as f64 / 100.0
}

/// The first fields of a process's times: its own, in and out of the kernel, then those of its children that have ended.
fn ticks(id: u32, fields: usize) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let all = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    all.skip(11).take(fields).filter_map(|field| field.parse::<u64>().ok()).sum()
}
