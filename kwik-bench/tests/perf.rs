//! Every scenario of `kwik-perf` works: tiny amounts, one run, keys and sanity. No figure is judged.
#![allow(clippy::unwrap_used)]

use std::process::Command;

use serde_json::Value;

/// Runs a scenario; what it reports.
fn report(scenario: &str) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_kwik-perf"))
        .args([scenario, "--tiny", "--runs", "1", "--json"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().count(), 1, "one object on one line: {text}");
    let report: Value = serde_json::from_str(&text).unwrap();
    assert!(output.status.success(), "{report}");
    assert_eq!((&report["scenario"], &report["valid"]), (&scenario.into(), &true.into()));
    report
}

/// The figures are there, finite and positive.
fn assert_positive(report: &Value, keys: &[&str]) {
    for key in keys {
        let value = report[key].as_f64().unwrap_or_else(|| panic!("{key} is missing: {report}"));
        assert!(value.is_finite() && value > 0.0, "{key} is {value}");
    }
}

fn assert_targets(report: &Value, keys: &[&str]) {
    for key in keys {
        assert!(report["targets"][key]["met"].is_boolean(), "{key} has no target: {report}");
        assert!(report[key].is_number(), "{key} is missing: {report}");
    }
}

#[test]
fn throughput_compares_four_ways() {
    let report = report("throughput");
    let speeds = ["native_default_gbps", "native_single_gbps", "kwik_gbps", "kwik_single_gbps"];
    assert_positive(&report, &speeds);
    assert_targets(&report, &["ratio_default", "ratio_single", "cpu_ratio", "header_ratio"]);
    assert_positive(&report, &["header_ratio"]);
}

#[test]
fn latency_is_what_is_added_to_a_bare_stream() {
    let report = report("latency");
    assert_positive(&report, &["native_p50_us", "kwik_p50_us", "busy_load_mbps"]);
    assert_targets(&report, &["added_p50_us", "added_p99_us", "busy_added_p99_us"]);
}

#[test]
fn isolation_compares_with_and_without_secondaries() {
    let report = report("isolation");
    assert_positive(&report, &["idle_ratio", "flood_p99_ratio", "flood_gbps", "own_load_gbps"]);
    assert_targets(&report, &["idle_ratio", "flood_p99_ratio"]);
}

#[test]
fn memory_states_its_bound() {
    let report = report("memory");
    assert_positive(&report, &["rss_bytes", "rss_bound_bytes", "large_native_rss_bytes"]);
    assert_targets(&report, &["rss_bytes", "large_rss_bytes", "idle_session_ratio"]);
}

#[test]
fn scale_has_points_in_five_series() {
    let report = report("scale");
    assert_targets(&report, &["flatness"]);
    let points = report["points"].as_array().unwrap();
    let mut series: Vec<&str> =
        points.iter().map(|point| point["series"].as_str().unwrap()).collect();
    series.dedup();
    assert_eq!(series, ["streams", "stream_bytes", "sessions", "native_sessions", "paths"]);
}

#[test]
fn a_failure_is_reported_and_the_exit_code_is_1() {
    let output = Command::new(env!("CARGO_BIN_EXE_kwik-perf"))
        .args(["role", r#"{"Nobody":{}}"#])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stdout).unwrap().contains("error"));
}
