//! The suite's table: a row for each attack.

use std::fs::File;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use crate::attack::Outcome;
use crate::honest::Measured;

/// What came of one attack.
pub(crate) struct Row {
    party: &'static str,
    attack: &'static str,
    expected: Outcome,
    bound: u64,
    seen: Option<Outcome>,
    grown: u64,
    logged: u64,
    pace: Option<(Measured, Measured)>,
    faults: Vec<String>,
}

impl Row {
    pub(crate) fn new(
        party: &'static str,
        attack: &'static str,
        expected: Outcome,
        bound: u64,
    ) -> Self {
        let (seen, grown, logged, pace, faults) = (None, 0, 0, None, Vec::new());
        Self { party, attack, expected, bound, seen, grown, logged, pace, faults }
    }

    pub(crate) fn fail(&mut self, fault: String) {
        self.faults.push(fault);
    }

    pub(crate) fn seen(&mut self, seen: Outcome) {
        if seen != self.expected {
            self.fail(format!("expected {}, and saw {seen}", self.expected));
        }
        self.seen = Some(seen);
    }

    pub(crate) fn memory(&mut self, grown: u64) {
        self.grown = grown;
        if grown > self.bound << 20 {
            self.fail(format!("it grew by {} MiB, more than {}", grown >> 20, self.bound));
        }
    }

    pub(crate) fn log(&mut self, logged: u64, most: u64) {
        self.logged = logged;
        if logged > most {
            self.fail(format!("it logged {logged} bytes, more than {most}"));
        }
    }

    pub(crate) fn panics(&mut self, panics: Vec<String>) {
        self.faults.extend(panics.into_iter().map(|panic| format!("a panic: {panic}")));
    }

    pub(crate) fn pace(&mut self, before: Measured, during: Measured) {
        self.pace = Some((before, during));
    }

    fn line(&self) -> String {
        let seen = self.seen.map_or_else(|| "nothing".to_owned(), |seen| seen.to_string());
        let pace = self.pace.map_or_else(
            || "-".to_owned(),
            |(before, during)| {
                let rate = during.rate() / before.rate();
                format!("rate x{rate:.2}, p99 {} -> {}", ms(before.p99), ms(during.p99))
            },
        );
        let state = if self.faults.is_empty() { "ok" } else { "FAILED" };
        format!(
            "| {} | {} | {}, {} MiB | {seen}, {} MiB, log {} B | {pace} | {state} |",
            self.party,
            self.attack.replace('_', " "),
            self.expected,
            self.bound,
            self.grown >> 20,
            self.logged
        )
    }
}

fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

/// All rows so far.
pub(crate) struct Table {
    file: Option<File>,
    rows: usize,
    failed: Vec<String>,
}

const HEAD: &str =
    "| attacked | attack | bound | seen | honest session | |\n|---|---|---|---|---|---|";

impl Table {
    pub(crate) fn open() -> Self {
        let path = std::env::var_os("KWIK_HOSTILE_TABLE");
        let mut table = Self {
            file: path.map(|path| File::create(path).unwrap()),
            rows: 0,
            failed: Vec::new(),
        };
        table.print(HEAD);
        table
    }

    fn print(&mut self, line: &str) {
        println!("{line}");
        if let Some(file) = &mut self.file {
            writeln!(file, "{line}").unwrap();
        }
    }

    pub(crate) fn add(&mut self, row: Row) {
        self.rows += 1;
        self.print(&row.line());
        for fault in &row.faults {
            println!("    {}: {fault}", row.attack);
        }
        if !row.faults.is_empty() {
            self.failed.push(row.attack.to_owned());
        }
    }

    /// What the process ends with.
    pub(crate) fn verdict(&self) -> ExitCode {
        println!("\n{} attacks, {} failed {:?}", self.rows, self.failed.len(), self.failed);
        if self.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
