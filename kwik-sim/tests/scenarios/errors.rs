//! What cannot be helped is said with all that is known of it.

use std::time::Duration;

use kwik_sim::{Action, Cause};

use crate::common::{Download, Local, PRIMARY, SIZE, edge, edges, for_seeds};

#[test]
fn r08_5_an_error_names_what_is_needed_to_understand_it() {
    for_seeds(|seed, _| {
        // The primary dies: the reader's error says that the session's connection is over, and why.
        let mut download = Download::new(SIZE, edges(2));
        download.when_read.push((download.percent(30), Action::Crash(PRIMARY.into())));
        let failure = download.run(seed, Duration::from_secs(60)).unwrap_err();
        let Cause::Software { host, error } = &failure.cause else { panic!("{failure}") };
        println!("{host}: {error}");
        assert_eq!(host, "client");
        let error = error.downcast_ref::<kwik_client::stream::Error>().unwrap();
        assert!(matches!(error, kwik_client::stream::Error::ConnectionError { .. }), "{error:?}");

        // A secondary dies, and nobody else has the bytes: the primary hears which path was lost and why, and which bytes
        // nobody can deliver; the reader's error names the stream, the offset and the length.
        let mut download = Download { local: Local::None, ..Download::new(SIZE, edges(1)) };
        download.client = |builder| builder.with_gap_timeout(Duration::from_secs(6));
        download.when_read.push((download.percent(30), Action::Crash(edge(0))));
        let failure = download.run(seed, Duration::from_secs(60)).unwrap_err();
        let Cause::Software { error, .. } = &failure.cause else { panic!("{failure}") };
        println!("{error}");
        let error = *error.downcast_ref::<kwik_client::stream::Error>().unwrap();
        let kwik_client::stream::Error::Missing { stream, offset, len, .. } = error else {
            panic!("{error}")
        };
        assert_eq!(stream, 0);
        assert!(offset > SIZE / 4 && len > 0);
        let text = failure.to_string();
        assert!(text.contains("PathDown(PathId(1)"), "the path is not named: {text}");
        assert!(
            text.contains("Lost { stream: StreamId(0), range: "),
            "the range is not named: {text}"
        );
    });
}
