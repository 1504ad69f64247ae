#![allow(clippy::unwrap_used)]

use super::*;

const A: &str = "127.0.0.1:1";
const B: &str = "127.0.0.1:2";

fn stall(path: Option<&str>, ended_by: Option<&str>, reason: Option<&str>) -> StallReport {
    StallReport {
        at_ms: 1_234.5,
        ms: 87.0,
        offset: 1_000,
        length: 500,
        path: path.map(str::to_owned),
        ended_by: ended_by.map(str::to_owned),
        reason: reason.map(str::to_owned),
    }
}

#[test]
fn each_pause_is_one_sentence_with_source_range_reason_and_what_was_done() {
    let table = [
        (
            Some(A),
            Some(B),
            Some("late"),
            "owed by 127.0.0.1:1 and late: they were reported to the primary, and 127.0.0.1:2 sent",
        ),
        (
            Some(A),
            Some(A),
            Some("path_suspect"),
            "silent: they were reported to the primary, and 127.0.0.1:1 was faster",
        ),
        (
            Some(A),
            None,
            Some("corrupt"),
            "damaged: they were reported to the primary, and the stream ended",
        ),
        (
            Some(A),
            Some(B),
            Some("reconnect"),
            "127.0.0.1:1, whose session ended; 127.0.0.1:2 went on",
        ),
        (Some(A), Some(A), None, "127.0.0.1:1, which was slow and sent them; nothing was done"),
        (Some(A), Some(B), None, "127.0.0.1:2 had been asked too"),
        (None, Some(B), None, "no server, or this program was stopped; 127.0.0.1:2 sent"),
        (None, None, None, "the stream ended"),
        (Some(A), Some(B), Some("news"), "missing (news)"),
    ];
    for (path, by, reason, part) in table {
        let text = sentence(&stall(path, by, reason));
        assert!(text.starts_with("at 1.234 s for 87 ms: bytes 1000 to 1500 were "), "{text}");
        assert!(text.contains(part), "{text} has no {part}");
        assert!(!text.contains('\n'));
    }
}

#[test]
fn what_a_file_says_cannot_harm_a_terminal() {
    let text = sentence(&stall(Some("\u{1b}[2J"), Some(B), Some("\u{7}\n")));
    assert!(text.chars().all(|letter| !letter.is_control()), "{text:?}");
}

#[test]
fn the_last_object_counts_and_the_sums_are_those_of_its_pauses() {
    let last = r#"{"bytes":9,"seconds":2.5,"stalls":[
        {"at_ms":1,"ms":60.4,"offset":0,"length":5,"path":null,"ended_by":null},
        {"at_ms":90,"ms":100,"offset":5,"length":4,"path":"a","ended_by":"b","reason":"late"}],
        "in_order_delay_ms":{"p50":0,"p99":12.5,"max":40}}"#;
    let one_line = last.replace('\n', "");
    for text in [last.to_owned(), format!("{{\"progress\":1}}\n{one_line}\n\n")] {
        let text = explain(&told(&text).unwrap());
        assert!(
            text.starts_with(
                "9 bytes in 2.50 s, 2 pauses of more than 50 ms, 160 ms in all, the longest 100 ms"
            ),
            "{text}"
        );
        assert!(text.contains("99th percentile 12.5 ms"), "{text}");
        assert_eq!(text.lines().count(), 4);
    }
    let smooth = explain(&told(r#"{"bytes":9,"seconds":1,"stalls":[]}"#).unwrap());
    assert_eq!(smooth, "9 bytes in 1.00 s without a pause of more than 50 ms");
}

#[test]
fn what_is_no_report_is_said_to_be_none() {
    for (text, part) in [
        ("", "nothing in it"),
        (" \n\n", "nothing in it"),
        ("no json", "expected"),
        (r#"{"bytes":1}"#, "missing field `seconds`"),
        (r#"{"bytes":1,"seconds":1,"stalls":[{"ms":3}]}"#, "missing field"),
        (r#"{"bytes":1,"seconds":1,"stalls":[{"ms":"x"}]}"#, "invalid type"),
        (r#"{"bytes":-1,"seconds":1,"stalls":[]}"#, "invalid value"),
    ] {
        let error = format!("{:#}", told(text).unwrap_err());
        assert!(error.contains(part), "{text}: {error}");
    }
}
