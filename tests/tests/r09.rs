//! R9: programs written for s2n-quic move over. Behaviours and echo programs are one source each, run over a bare
//! s2n-quic connection (`quic::`) and over KWIK (`kwik::`).
#![allow(clippy::unwrap_used)]
// On purpose: one source, compiled against two transports.
#![allow(clippy::duplicate_mod)]
// The ends of s2n-quic have the same types, those of KWIK have not: a name that is long for one is needed for the other.
#![allow(unused_qualifications)]
// Errors that are fields in one are plain in the other.
#![allow(clippy::unneeded_struct_pattern)]

#[path = "r09/kwik.rs"]
mod kwik;
#[path = "../examples/echo/kwik.rs"]
mod kwik_program;
#[path = "r09/quic.rs"]
mod quic;
#[path = "../examples/echo/quic.rs"]
mod quic_program;

use std::collections::BTreeSet;

use tokio::io::AsyncReadExt as _;

const BEHAVIOURS: [&str; 6] = [
    include_str!("r09/behaviour/ends.rs"),
    include_str!("r09/behaviour/reads.rs"),
    include_str!("r09/behaviour/resets.rs"),
    include_str!("r09/behaviour/sessions.rs"),
    include_str!("r09/behaviour/streams.rs"),
    include_str!("r09/behaviour/writes.rs"),
];

/// Names of tests in `text` that come between `before` and `after`.
fn names<'a>(text: &'a str, before: &str, after: char) -> BTreeSet<&'a str> {
    let ends = text.split(before).skip(1);
    ends.filter_map(|rest| rest.split(after).next())
        .filter(|name| name.starts_with("r09_"))
        .collect()
}

#[test]
fn r09_5_every_behaviour_is_listed_with_its_source() {
    let listed = names(include_str!("../../docs/behaviour.md"), "| `", '`');
    let tested: BTreeSet<_> =
        BEHAVIOURS.iter().flat_map(|text| names(text, "async fn ", '(')).collect();
    assert_eq!(listed, tested);
    assert!(tested.len() >= 40, "{}", tested.len());
}

/// What the client of `examples/echo` prints when it is given `input`.
macro_rules! answer {
    ($transport:ident, $serve:ident, $local:expr, $input:expr) => {{
        let certificate = kwik_tests::certificate();
        let (cert, key) = (certificate.certificate_pem(), certificate.key_pem());
        let server = $transport::program::listen("127.0.0.1:0", &cert, &key).unwrap();
        let local: fn(&$transport::Server) -> std::net::SocketAddr = $local;
        let address = local(&server);
        let serving = tokio::spawn($transport::program::$serve(server));
        let (output, mut printed) = tokio::io::duplex(1 << 20);
        let asking = $transport::program::ask(address, &cert, $input, output);
        let mut answer = Vec::new();
        let reading = printed.read_to_end(&mut answer);
        let (asked, read) = tokio::join!(asking, reading);
        asked.unwrap();
        read.unwrap();
        serving.abort();
        answer
    }};
}

#[tokio::test]
async fn r09_2_the_same_programs_echo_over_both_transports() {
    let input: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 251) as u8).collect();
    for input in [&b""[..], b"hello", &input] {
        for answer in [
            answer!(quic_program, echo, |server| server.local_addr().unwrap(), input),
            answer!(quic_program, echo_by_copying, |server| server.local_addr().unwrap(), input),
            answer!(kwik_program, echo, |server| server.local_addr(), input),
            answer!(kwik_program, echo_by_copying, |server| server.local_addr(), input),
        ] {
            assert!(answer == input, "{} bytes for {}", answer.len(), input.len());
        }
    }
}
