//! Where the figures come from.

use std::fs;
use std::process::Command;
use std::thread;

/// What a reader has to know of the machine and the program, in lines of name and value.
pub(crate) fn description() -> Vec<(&'static str, String)> {
    vec![
        ("commit", commit()),
        ("processor", processor()),
        ("cores", thread::available_parallelism().map_or(0, usize::from).to_string()),
        ("memory", memory()),
        ("kernel", read("/proc/sys/kernel/osrelease")),
        ("load at the end", load()),
    ]
}

/// The commit, and whether files differ from it.
fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git")
            .arg("-C")
            .arg(env!("CARGO_MANIFEST_DIR"))
            .args(arguments)
            .output()
            .ok()
            .filter(|output| output.status.success())?;
        String::from_utf8(output.stdout).ok().map(|text| text.trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "HEAD"]) else { return "unknown".to_owned() };
    match git(&["status", "--porcelain", "--untracked-files=no"]) {
        Some(changes) if changes.is_empty() => commit,
        _ => format!("{commit}, with changes"),
    }
}

fn processor() -> String {
    field("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

fn memory() -> String {
    field("/proc/meminfo", "MemTotal").unwrap_or_else(|| "unknown".to_owned())
}

fn load() -> String {
    let averages = read("/proc/loadavg");
    averages.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

fn read(path: &str) -> String {
    fs::read_to_string(path).map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
}

fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
