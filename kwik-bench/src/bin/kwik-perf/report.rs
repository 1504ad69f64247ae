//! What a scenario found, as JSON and as a table.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::statistics::Summary;

/// The figures of one scenario.
///
/// Each is a key of the JSON object: a median, whose spread is under `spread`; what was aimed at is under `targets`.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    scenario: String,
    values: Vec<(String, Value)>,
    spread: Vec<(String, Summary)>,
    targets: Vec<(String, Target)>,
    notes: Vec<String>,
    skipped: Vec<String>,
    error: Option<String>,
}

/// What a figure should be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
    Below(f64),
}

impl Target {
    fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
            Self::Below(bound) => value < bound,
        }
    }

    fn text(self) -> String {
        match self {
            Self::AtLeast(bound) => format!(">= {bound}"),
            Self::AtMost(bound) => format!("<= {bound}"),
            Self::Below(bound) => format!("< {bound}"),
        }
    }
}

impl Report {
    /// Nothing found yet.
    pub(crate) fn new(scenario: impl Into<String>) -> Self {
        Self {
            scenario: scenario.into(),
            values: Vec::new(),
            spread: Vec::new(),
            targets: Vec::new(),
            notes: Vec::new(),
            skipped: Vec::new(),
            error: None,
        }
    }

    /// The scenario could not be measured, or what was measured says nothing.
    pub(crate) fn failed(scenario: &str, reason: &str) -> Self {
        Self { error: Some(reason.to_owned()), ..Self::new(scenario) }
    }

    /// The median of `samples`, with their spread.
    pub(crate) fn measure(&mut self, key: &str, samples: &[f64]) -> f64 {
        let summary = Summary::of(samples);
        self.spread.push((key.to_owned(), summary));
        self.value(key, rounded(summary.median));
        summary.median
    }

    /// As [`measure`](Self::measure), with what the median should be.
    pub(crate) fn aim(&mut self, key: &str, samples: &[f64], target: Target) -> f64 {
        self.targets.push((key.to_owned(), target));
        self.measure(key, samples)
    }

    /// A figure, or anything else, that has no spread.
    pub(crate) fn value(&mut self, key: &str, value: impl Into<Value>) {
        self.values.push((key.to_owned(), value.into()));
    }

    /// As [`value`](Self::value), with what it should be.
    pub(crate) fn aim_value(&mut self, key: &str, value: f64, target: Target) {
        self.targets.push((key.to_owned(), target));
        self.value(key, rounded(value));
    }

    /// Something that a reader of the figures has to know.
    #[allow(dead_code, reason = "for scenarios to come")]
    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// A part that can't be measured here, and why. The rest says something.
    pub(crate) fn skip(&mut self, part: impl Into<String>) {
        self.skipped.push(part.into());
    }

    /// What it is a report of.
    pub(crate) fn scenario(&self) -> &str {
        &self.scenario
    }

    /// Whether a part is left out.
    pub(crate) fn is_partial(&self) -> bool {
        !self.skipped.is_empty()
    }

    /// The figures are there, but say nothing, for this reason (a forwarder that was saturated, say).
    pub(crate) fn invalidate(&mut self, reason: impl Into<String>) {
        self.error.get_or_insert(reason.into());
    }

    /// Whether the figures say something.
    pub(crate) fn is_measured(&self) -> bool {
        self.error.is_none()
    }

    /// A figure, or the median of one.
    pub(crate) fn find(&self, key: &str) -> Option<f64> {
        self.values.iter().find(|(name, _)| name == key)?.1.as_f64()
    }

    fn is_met(&self, key: &str, target: Target) -> bool {
        self.find(key).is_some_and(|value| target.is_met(value))
    }

    /// One object on one line.
    pub(crate) fn json(&self) -> String {
        let mut object = Map::new();
        object.insert("scenario".into(), self.scenario.clone().into());
        object.insert("valid".into(), self.is_measured().into());
        if let Some(error) = &self.error {
            object.insert("error".into(), error.clone().into());
        }
        object.extend(self.values.iter().cloned());
        let spread = self.spread.iter().map(|(key, summary)| {
            let all = [summary.min, summary.quartiles[0], summary.quartiles[1], summary.max];
            (key.clone(), Value::from(all.map(rounded).to_vec()))
        });
        object.insert("spread".into(), Value::Object(spread.collect()));
        let targets = self.targets.iter().map(|(key, target)| {
            let target = json!({ "target": target.text(), "met": self.is_met(key, *target) });
            (key.clone(), target)
        });
        object.insert("targets".into(), Value::Object(targets.collect()));
        if !self.skipped.is_empty() {
            object.insert("skipped".into(), self.skipped.clone().into());
        }
        if !self.notes.is_empty() {
            object.insert("notes".into(), self.notes.clone().into());
        }
        Value::Object(object).to_string()
    }

    /// For people; Markdown.
    pub(crate) fn table(&self) -> String {
        let mut text = format!("## {}\n\n", self.scenario);
        if let Some(error) = &self.error {
            let _ = writeln!(text, "**Not measured:** {error}\n");
        }
        if !self.values.is_empty() {
            text.push_str("| figure | median | min | quartiles | max | target | met |\n");
            text.push_str("| --- | ---: | ---: | ---: | ---: | --- | --- |\n");
        }
        for (key, value) in self.values.iter().filter(|(_, value)| !value.is_array()) {
            self.row(&mut text, key, value);
        }
        for (key, value) in self.values.iter().filter(|(_, value)| value.is_array()) {
            let _ = writeln!(text, "\n`{key}`:\n");
            for element in value.as_array().into_iter().flatten() {
                let _ = writeln!(text, "- `{element}`");
            }
        }
        for part in &self.skipped {
            let _ = writeln!(text, "\n**Left out:** {part}");
        }
        for note in &self.notes {
            let _ = writeln!(text, "\n{note}");
        }
        text
    }

    fn row(&self, text: &mut String, key: &str, value: &Value) {
        let spread = self.spread.iter().find(|(name, _)| name == key);
        let [min, quartiles, max] = spread.map_or_else(Default::default, |(_, summary)| {
            let [low, high] = summary.quartiles.map(rounded);
            [
                rounded(summary.min).to_string(),
                format!("{low} to {high}"),
                rounded(summary.max).to_string(),
            ]
        });
        let target = self.targets.iter().find(|(name, _)| name == key);
        let (aim, met) = target.map_or_else(Default::default, |(_, target)| {
            let met = if self.is_met(key, *target) { "yes" } else { "**no**" };
            (target.text(), met)
        });
        let _ =
            writeln!(text, "| `{key}` | {value} | {min} | {quartiles} | {max} | {aim} | {met} |");
    }
}

/// To four digits, which is more than the noise leaves.
pub(crate) fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return 0.0;
    }
    let digits = 4 - 1 - value.abs().log10().floor() as i32;
    if digits <= 0 {
        return value.round();
    }
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_report_is_one_line_of_json() {
        let mut report = Report::new("throughput");
        report.aim("ratio", &[2.0, 1.0, 3.0], Target::AtLeast(1.8));
        report.note("a\nnote");
        let line = report.json();
        assert!(!line.contains('\n'));
        let object: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(object["ratio"], 2.0);
        assert_eq!(object["spread"]["ratio"], json!([1.0, 1.5, 2.5, 3.0]));
        assert_eq!(object["targets"]["ratio"]["met"], true);
        assert_eq!(object["valid"], true);
    }

    #[test]
    fn a_missed_target_says_so() {
        let mut report = Report::new("latency");
        report.aim_value("added", 1000.0, Target::Below(1000.0));
        assert!(report.json().contains(r#""met":false"#));
        assert!(report.table().contains("**no**"));
    }

    #[test]
    fn figures_keep_four_digits() {
        assert_eq!(rounded(1.23456), 1.235);
        assert_eq!(rounded(0.000123456), 0.0001235);
        assert_eq!(rounded(123456.7), 123457.0);
        assert_eq!(rounded(0.0), 0.0);
    }
}
