//! Ratios that must not become worse: the file that `kwik-perf all --check` compares with.

use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};
use serde::Deserialize;

use crate::report::Report;

/// What one ratio, KWIK's over its rival's in the same run, has been, and how much it varies by itself.
#[derive(Clone, Debug, Deserialize)]
struct Bound {
    scenario: String,
    ratio: String,
    #[serde(flatten)]
    limit: Limit,
    /// How far beyond the bound a median may be without having become worse.
    spread: f64,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Limit {
    AtLeast(f64),
    AtMost(f64),
}

/// All of them.
#[derive(Clone, Debug)]
pub(crate) struct Bounds(Vec<Bound>);

impl Bounds {
    /// From a file of JSON: an array of bounds.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(path)
            .with_context(|| format!("the bounds in {} can't be read", path.display()))?;
        Self::parse(&text).with_context(|| format!("the bounds in {}", path.display()))
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let bounds: Vec<Bound> = serde_json::from_str(text)?;
        ensure!(!bounds.is_empty(), "there are none");
        for bound in &bounds {
            ensure!(bound.spread >= 0.0, "the spread of {} is below 0", bound.name());
        }
        Ok(Self(bounds))
    }

    /// Every ratio that is worse than its bound by more than the spread, and every one that was not measured; in words.
    pub(crate) fn failures(&self, reports: &[Report]) -> Vec<String> {
        self.0.iter().filter_map(|bound| bound.failure(reports)).collect()
    }
}

impl Bound {
    fn name(&self) -> String {
        format!("{}: {}", self.scenario, self.ratio)
    }

    fn failure(&self, reports: &[Report]) -> Option<String> {
        let report = reports.iter().find(|report| report.scenario() == self.scenario);
        match report.and_then(|report| report.find(&self.ratio)) {
            Some(value) => self.excess(value),
            // The rival is not installed, which the report says.
            None if report.is_some_and(Report::is_partial) => None,
            None => Some(format!("{} was not measured", self.name())),
        }
    }

    fn excess(&self, value: f64) -> Option<String> {
        let (worse_by, words) = match self.limit {
            Limit::AtLeast(least) => (least - value, format!("at least {least}")),
            Limit::AtMost(most) => (value - most, format!("at most {most}")),
        };
        let spread = self.spread;
        (worse_by > spread)
            .then(|| format!("{} is {value}, bound {words}, spread {spread}", self.name()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const TWO: &str = r#"[
        { "scenario": "throughput", "ratio": "ratio_single", "at_least": 0.95, "spread": 0.05 },
        { "scenario": "throughput", "ratio": "cpu_ratio", "at_most": 1.1, "spread": 0.1 }
    ]"#;

    fn failures(single: f64, cpu: f64) -> Vec<String> {
        let mut report = Report::new("throughput");
        report.value("ratio_single", single);
        report.measure("cpu_ratio", &[cpu]);
        Bounds::parse(TWO).unwrap().failures(&[Report::new("latency"), report])
    }

    #[test]
    fn what_is_within_bound_and_spread_passes() {
        assert_eq!(failures(1.2, 0.5), [""; 0]);
        assert_eq!(failures(0.91, 1.19), [""; 0]);
    }

    #[test]
    fn every_ratio_that_is_worse_is_named() {
        assert_eq!(
            failures(0.89, 1.25),
            [
                "throughput: ratio_single is 0.89, bound at least 0.95, spread 0.05",
                "throughput: cpu_ratio is 1.25, bound at most 1.1, spread 0.1",
            ]
        );
    }

    #[test]
    fn what_was_not_measured_fails_unless_its_part_was_left_out() {
        let bounds = Bounds::parse(TWO).unwrap();
        assert_eq!(bounds.failures(&[]).len(), 2);
        let mut report = Report::new("throughput");
        assert_eq!(
            bounds.failures(&[report.clone()])[0],
            "throughput: ratio_single was not measured"
        );
        report.skip("no rival");
        assert_eq!(bounds.failures(&[report]), [""; 0]);
    }

    #[test]
    fn files_that_say_nothing_are_refused() {
        let bare = r#"[{ "scenario": "a", "ratio": "b", "spread": 0.1 }]"#;
        for text in ["[]", "{}", "", bare] {
            assert!(Bounds::parse(text).is_err(), "{text}");
        }
    }

    /// Every bound that is committed is one of a ratio, and none is stricter than its spread allows for.
    #[test]
    fn the_committed_bounds_can_be_read() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("bounds.json");
        Bounds::read(&path).unwrap();
    }
}
