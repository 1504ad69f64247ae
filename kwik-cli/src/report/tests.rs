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
        reason: None,
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
            "commit_ms",
            "in_order_delay_ms",
            "longest_stall_ms",
            "paths",
            "peak_buffer_bytes",
            "reconnects",
            "redundant_bytes",
            "repairs",
            "resumed_at",
            "seconds",
            "stalls"
        ]
    );
    assert_eq!(keys(&object["in_order_delay_ms"]), ["max", "p50", "p99"]);
    assert_eq!(keys(&object["paths"][0]), ["address", "bytes", "role", "rtt_ms", "state"]);
    assert_eq!(object["paths"][1]["faulty"], true);
    let stall = ["at_ms", "ended_by", "length", "ms", "offset", "path", "reason"];
    assert_eq!(keys(&object["stalls"][0]), stall);
    assert_eq!(object["paths"][0]["role"], "primary");
    assert_eq!(object["paths"][1]["rtt_ms"], serde_json::Value::Null);
    assert_eq!(object["seconds"], 1.5);
    assert_eq!(object["blake3"], "ab".repeat(32));
}

/// All bytes waited for 40 ms.
fn delays(bytes: u64) -> DelayHistogram {
    let mut delays = DelayHistogram::default();
    delays.record(Duration::from_millis(40), bytes);
    delays
}

/// What a session tells that has read so much, 47 bytes of answer before it.
fn session(number: u64, bytes: [u64; 2], read: u64) -> SessionReport {
    let Report { mut paths, stalls, .. } = report();
    paths.iter_mut().zip(bytes).for_each(|(path, bytes)| path.bytes = bytes);
    let mut session = SessionReport {
        number,
        paths,
        redundant_bytes: 5,
        repairs: 1,
        longest_stall_ms: 20.0,
        stalls,
        in_order_delay: delays(read),
        peak_buffer_bytes: 9,
    };
    session.settle(47, read);
    session.place(47, 1000, 500.0);
    session
}

fn bytes(paths: &[PathReport]) -> Vec<u64> {
    paths.iter().map(|path| path.bytes).collect()
}

#[test]
fn the_paths_bytes_add_up_once_the_reply_is_excluded() {
    let session = session(1, [1047, 3000], 4000);
    assert_eq!(bytes(&session.paths), [1000, 3000]);
    assert_eq!(session.redundant_bytes, 5);
    assert_eq!((session.stalls[0].offset, session.stalls[0].at_ms), (1100, 501.0));
}

#[test]
fn what_arrived_and_was_not_read_is_redundant() {
    let whole = session(1, [1047, 3000], 1001);
    assert_eq!(bytes(&whole.paths), [250, 751]);
    assert_eq!(whole.redundant_bytes, 5 + 2999);
    // Numbers that were told before the last bytes were read.
    assert_eq!(bytes(&session(1, [0, 0], 10).paths).iter().sum::<u64>(), 10);
    assert_eq!(bytes(&session(1, [47, 7], 10).paths), [0, 10]);
}

#[test]
fn sessions_are_added_up_by_server() {
    let mut report = Report::new(0, Duration::ZERO, Tag([0; 32]));
    let mut sum = session(1, [1047, 3000], 4000);
    let mut second = session(2, [47, 500], 500);
    second.paths.swap(0, 1);
    second.paths[0].state = "live".into();
    second.paths.push(PathReport { address: "127.0.0.1:3".into(), ..second.paths[1].clone() });
    sum.add(second);
    report.enter(sum);
    assert_eq!(bytes(&report.paths), [1000, 3500, 0]);
    assert_eq!(report.paths[1].state, "live");
    assert!(report.paths[1].faulty);
    assert_eq!((report.redundant_bytes, report.repairs, report.stalls.len()), (10, 2, 2));
    assert_eq!(report.in_order_delay.bytes(), 4500);
    let object: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
    assert_eq!(object["in_order_delay_ms"]["p99"], 40.0);
    let pause = StallReport { at_ms: 0.5, ms: 70.0, ..report.stalls[0].clone() };
    report.add_stall(pause);
    assert_eq!((report.longest_stall_ms, report.stalls[0].ms), (70.0, 70.0));
}

#[test]
fn servers_and_pauses_without_number_are_bounded_and_no_byte_of_them_is_lost() {
    let mut sum = session(1, [1047, 3000], 4000);
    for number in 2..1_000 {
        let mut next = session(number, [1047, 3000], 4000);
        for (path, port) in next.paths.iter_mut().zip([0, 1]) {
            path.address = format!("127.0.0.1:{}", number * 2 + port);
        }
        sum.add(next);
    }
    assert_eq!((sum.paths.len(), sum.stalls.len()), (MAX_SERVERS + 1, MAX_STALLS));
    assert_eq!(bytes(&sum.paths).iter().sum::<u64>(), 999 * 4000);
    assert_eq!(sum.paths[MAX_SERVERS].address, OTHERS);
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
