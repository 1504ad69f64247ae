#![allow(clippy::unwrap_used)]

use super::*;

fn report() -> Report {
    let mut report = Report::new(1 << 20, Duration::from_millis(1500), Tag([0xab; 32]));
    report.paths = vec![
        PathReport {
            address: "127.0.0.1:1".into(),
            role: Role::Primary,
            bytes: 1000 + 47,
            state: "live".into(),
            faulty: false,
            rtt_ms: Some(0.25),
        },
        PathReport {
            address: "127.0.0.1:2".into(),
            role: Role::Secondary,
            bytes: (1 << 20) - 1000,
            state: "gone".into(),
            faulty: true,
            rtt_ms: None,
        },
    ];
    report.stalls = vec![StallReport {
        at_ms: 1.0,
        ms: 20.0,
        offset: 147,
        length: 10,
        path: None,
        ended_by: Some("127.0.0.1:1".into()),
    }];
    report
}

fn keys(object: &serde_json::Value) -> Vec<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn the_json_object_has_the_promised_fields_on_one_line() {
    let json = report().to_json();
    assert!(!json.contains('\n'));
    let object: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        keys(&object),
        [
            "blake3",
            "bytes",
            "longest_stall_ms",
            "paths",
            "peak_buffer_bytes",
            "redundant_bytes",
            "repairs",
            "seconds",
            "stalls"
        ]
    );
    assert_eq!(keys(&object["paths"][0]), ["address", "bytes", "role", "rtt_ms", "state"]);
    assert_eq!(object["paths"][1]["faulty"], true);
    assert_eq!(keys(&object["stalls"][0]), ["at_ms", "ended_by", "length", "ms", "offset", "path"]);
    assert_eq!(object["paths"][0]["role"], "primary");
    assert_eq!(object["paths"][1]["rtt_ms"], serde_json::Value::Null);
    assert_eq!(object["seconds"], 1.5);
    assert_eq!(object["blake3"], "ab".repeat(32));
}

#[test]
fn the_paths_bytes_add_up_once_the_reply_is_excluded() {
    let mut report = report();
    report.exclude_reply(47);
    assert_eq!(report.paths.iter().map(|path| path.bytes).sum::<u64>(), report.bytes);
    assert_eq!(report.stalls[0].offset, 100);
}

#[test]
fn the_text_names_every_server_and_its_part() {
    let text = report().to_text("f");
    for part in [
        "f: 1.0 MiB in 1.50 s",
        "primary   127.0.0.1:1",
        "secondary 127.0.0.1:2",
        "gone, sent wrong bytes",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn an_empty_transfer_has_a_report() {
    let text = Report::new(0, Duration::ZERO, Tag([0; 32])).to_text("f");
    assert!(text.contains("0 B in 0.00 s"), "{text}");
}
