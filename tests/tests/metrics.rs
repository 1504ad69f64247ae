//! What can be seen of a session from outside: metrics (R9.4) and spans.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock, Mutex};

use kwik_server::{Delegate, LocalSupply};
use kwik_tests::{Content, Gated, Rig, contribute, eventually, read_until};
use tracing::span;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

#[tokio::test(flavor = "multi_thread")]
async fn r09_4_metrics_have_the_internal_streams_by_path_and_by_stream() {
    LazyLock::force(&SPANS);
    let mut rig = Rig::new().await;
    let (left, right) = (rig.attach().await, rig.attach().await);
    let (mut streams, mut contributions) = (Vec::new(), Vec::new());
    for (key, sources) in [(0, vec![&left, &right]), (1, vec![&left])] {
        let mut stream = rig.primary.handle().open_send_stream().await.unwrap();
        stream.send(Content(key).bytes(0, 10)).await.unwrap();
        let mut public = rig.session.accept_receive_stream().await.unwrap().unwrap();
        for (turn, secondary) in (0..).zip(sources) {
            let mut contribution = contribute(&secondary.session, stream.id()).await;
            let offset = 10 + turn * 100;
            contribution.write_at(offset, Content(key).bytes(offset, 100)).await.unwrap();
            read_until(&mut public, Content(key), if turn == 0 { 0 } else { offset }, offset + 100)
                .await;
            contributions.push(contribution);
        }
        streams.push((stream, public));
    }
    let metrics = rig.session.metrics().await.unwrap();
    let by_path: Vec<_> =
        metrics.paths.iter().map(|path| (path.contributions, path.bytes)).collect();
    assert_eq!(by_path, [(0, 20), (2, 200), (1, 100)]);
    let by_stream: Vec<_> = metrics
        .streams
        .iter()
        .map(|stream| {
            let bytes: Vec<u64> = stream.bytes.iter().map(|(_, bytes)| *bytes).collect();
            (stream.id, bytes, stream.sources.len())
        })
        .collect();
    assert_eq!(by_stream, [(3, vec![10, 100, 100], 2), (7, vec![10, 100], 1)]);
    assert_eq!(left.session.metrics().await.unwrap().contributions, 2);
    assert_eq!(right.session.metrics().await.unwrap().contributions, 1);
    // What is over counts on for its path.
    drop((contributions, streams));
    eventually("nothing is open", || async {
        let metrics = rig.session.metrics().await.unwrap();
        !metrics.streams.iter().any(|stream| stream.is_open)
            && metrics.paths.iter().all(|path| path.contributions == 0 && path.carriers == 0)
            && metrics.paths[1].bytes == 200
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_counts_what_it_supplies_itself() {
    LazyLock::force(&SPANS);
    let mut rig = Rig::new().await;
    let (gate, copy) = Gated::new(Content(9));
    let mut stream = rig.primary.handle().open_send_stream().await.unwrap();
    let order = Delegate::new(0..2000, "copy".into());
    let order = order.with_local(copy, LocalSupply::Fallback);
    stream.delegate(order).await.unwrap();
    stream.finish().unwrap();
    let mut public = rig.session.accept_receive_stream().await.unwrap().unwrap();
    read_until(&mut public, Content(9), 0, 1000).await;
    let supplies = rig.primary.handle().metrics().await.unwrap().supplies;
    assert_eq!((supplies.len(), supplies[0].stream, supplies[0].range.clone()), (1, 3, 0..2000));
    // The client sees the same internal stream, under the same number.
    let metrics = rig.session.metrics().await.unwrap();
    assert_eq!(metrics.streams[0].sources[0].quic_id, supplies[0].quic_id);
    drop(gate);
    read_until(&mut public, Content(9), 1000, 2000).await;
    eventually("the supply is over", || async {
        rig.primary.handle().metrics().await.unwrap().supplies.is_empty()
    })
    .await;
}

/// The names of the spans that there were, each with those around it.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<BTreeSet<String>>>);

/// Those of this process; the first test sets them up for all.
static SPANS: LazyLock<Spans> = LazyLock::new(|| {
    let spans = Spans::default();
    tracing_subscriber::registry().with(spans.clone()).init();
    spans
});

impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn on_new_span(&self, _: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        let span = context.span(id).unwrap();
        let names: Vec<&str> = span.scope().from_root().map(|span| span.name()).collect();
        self.0.lock().unwrap().insert(names.join(" "));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_paths_and_streams_have_their_spans() {
    let spans = LazyLock::force(&SPANS);
    let mut rig = Rig::new().await;
    let secondary = rig.attach().await;
    let mut stream = rig.primary.handle().open_send_stream().await.unwrap();
    stream.send(Content(0).bytes(0, 10)).await.unwrap();
    let mut contribution = contribute(&secondary.session, stream.id()).await;
    contribution.write_at(10, Content(0).bytes(10, 10)).await.unwrap();
    let mut public = rig.session.accept_receive_stream().await.unwrap().unwrap();
    read_until(&mut public, Content(0), 0, 20).await;
    let seen = spans.0.lock().unwrap().clone();
    for expected in ["session", "session path", "session path carrier", "session stream"] {
        assert!(seen.contains(expected), "no {expected:?} in {seen:?}");
    }
}
