//! Every scenario of `kwik-perf` works: tiny amounts, one run, keys and sanity. No figure is judged.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Runs a scenario; what it reports, and whether it succeeded.
fn told(scenario: &str) -> (Value, bool) {
    let output = Command::new(env!("CARGO_BIN_EXE_kwik-perf"))
        .args([scenario, "--tiny", "--runs", "1", "--json"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().count(), 1, "one object on one line: {text}");
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["scenario"], scenario);
    assert_eq!(report["valid"], output.status.success(), "{report}");
    (report, output.status.success())
}

/// What a scenario reports that has to succeed.
fn report(scenario: &str) -> Value {
    let (report, succeeded) = told(scenario);
    assert!(succeeded, "{report}");
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
fn throughput_compares_eight_ways() {
    let report = report("throughput");
    let speeds = ["native_default_gbps", "native_single_gbps", "kwik_gbps", "kwik_single_gbps"];
    assert_positive(&report, &speeds);
    assert_targets(&report, &["ratio_default", "ratio_single", "cpu_ratio", "header_ratio"]);
    assert_positive(&report, &["header_ratio"]);
    assert_positive(&report, &["found_native_default_gbps", "found_kwik_single_gbps"]);
    let found = ["found_kwik_gbps", "found_ratio_single", "found_kwik_cpu_s_per_gib"];
    assert_targets(&report, &found);
}

#[test]
fn objects_compares_requests_a_second() {
    let report = report("objects");
    assert_positive(&report, &["kwik_1_per_second", "native_100_per_second"]);
    assert_targets(&report, &["ratio_1", "ratio_16", "ratio_100"]);
}

/// Cases may be left out, each with its reason, where rivals or namespaces are missing; the last needs neither.
#[test]
fn peers_measures_what_it_can() {
    let kwik = Path::new(env!("CARGO_BIN_EXE_kwik-perf")).with_file_name("kwik");
    if !kwik.exists() {
        // `cargo test -p kwik-bench` alone does not build it.
        eprintln!("left out: {} is not built", kwik.display());
        return;
    }
    let output = Command::new(env!("CARGO_BIN_EXE_kwik-perf"))
        .args(["peers", "--tiny", "--runs", "1", "--json"])
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    // On a machine that is busy with other tests emulated links may be late: the figures are void then, and there.
    let error = report["error"].as_str().unwrap_or("0 of 0 links");
    assert!(error.contains(" links"), "{report}");
    assert_targets(&report, &["second_first_byte_ms", "loss_over_clean", "reordering_over_clean"]);
    assert_positive(&report, &["second_over_native", "clean_seconds"]);
    let left_out = report["skipped"].as_array().cloned().unwrap_or_default();
    let is_left_out =
        |case: &str| left_out.iter().any(|part| part.as_str().unwrap().starts_with(case));
    for (case, figure) in [
        ("loopback", "loopback_over_curl"),
        ("small", "small_over_curl"),
        ("equal", "equal_over_aria2c"),
        ("mixed", "mixed_over_aria2c"),
        ("silent", "silent_over_ideal"),
    ] {
        if is_left_out(&format!("{case}: ")) {
            assert!(report[figure].is_null(), "{figure}: {report}");
        } else {
            assert_targets(&report, &[figure]);
        }
    }
}

#[test]
fn peers_without_the_program_say_how_to_get_it() {
    let output = Command::new(env!("CARGO_BIN_EXE_kwik-perf"))
        .args(["peers", "--tiny", "--runs", "1", "--json", "--kwik", "/nowhere/kwik"])
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &report["valid"]), (Some(1), &false.into()));
    let error = report["error"].as_str().unwrap();
    assert!(error.contains("/nowhere/kwik") && error.contains("cargo build"), "{error}");
}

#[test]
fn bounds_that_can_not_be_read_are_found_out_before_anything_is_measured() {
    let output = Command::new(env!("CARGO_BIN_EXE_kwik-perf"))
        .args(["all", "--tiny", "--runs", "1", "--json", "--check", "/nowhere/bounds.json"])
        .output()
        .unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    assert!(String::from_utf8(output.stderr).unwrap().contains("/nowhere/bounds.json"));
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

#[test]
fn smooth_counts_pauses_and_in_order_delays() {
    let (report, succeeded) = told("smooth");
    // It has fifteen links, beside which other tests take the processor: that it says so is right, and its figures are there.
    let error = report["error"].as_str().unwrap_or_default();
    assert!(succeeded || error.contains("a link was"), "{report}");
    for case in ["equal", "unequal", "steady_8", "steady_16", "steady_25"] {
        for figure in ["pauses", "pauses_ms", "in_order_p50_ms", "in_order_p99_ms"] {
            assert!(report[format!("{case}_{figure}")].is_number(), "{case} {figure}: {report}");
        }
        assert_positive(
            &report,
            &[&format!("{case}_seconds"), &format!("{case}_peak_buffer_bytes")],
        );
    }
    assert_positive(&report, &["flood_gbps", "flood_p50_us", "flood_p99_us"]);
    assert_targets(
        &report,
        &[
            "equal_pauses",
            "unequal_pauses_ms",
            "steady_16_pauses",
            "steady_25_pauses_ms",
            "flood_p99_us",
        ],
    );
}
