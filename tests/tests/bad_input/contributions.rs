//! Secondaries that break the rules.

use super::*;

/// A session with a secondary that keeps no rule, and one that keeps all.
struct Bench {
    rig: Rig,
    offender: BareConnection,
    honest: kwik_tests::Attached,
    stream: kwik_server::stream::SendStream,
    public: kwik_client::stream::ReceiveStream,
    at: u64,
}

impl Bench {
    async fn new(grant_all: bool) -> Self {
        let mut rig = Rig::new().await;
        let honest = rig.attach().await;
        let mut server = BareServer::start();
        let path = rig.primary.handle().add_path(server.spec(grant_all)).await.unwrap();
        let (mut offender, _) = server.accept_as_secondary(&rig.key).await;
        rig.up(path).await;
        let mut stream = rig.primary.handle().open_send_stream().await.unwrap();
        stream.send(CONTENT.bytes(0, 100)).await.unwrap();
        let mut public = rig.session.accept_receive_stream().await.unwrap().unwrap();
        read_until(&mut public, CONTENT, 0, 100).await;
        if grant_all {
            offender.granted(stream.id()).await;
        }
        Self { rig, offender, honest, stream, public, at: 100 }
    }

    /// The offender's carrier is stopped with `code`, that is counted once against it, and the session is as it was.
    async fn refused(&mut self, mut carrier: Carrier, code: ErrorCode) {
        assert_eq!(carrier.refusal().await, code);
        self.counted(code).await;
    }

    async fn counted(&mut self, code: ErrorCode) {
        eventually("the fault is counted", || async {
            let metrics = self.rig.session.metrics().await.unwrap();
            let faults: Vec<_> =
                metrics.faults.iter().map(|it| (it.address, it.code, it.count)).collect();
            faults == [(metrics.paths[2].address, code, 1)]
        })
        .await;
        self.undisturbed().await;
    }

    /// Both servers' bytes still arrive, both paths are up, and the reader met nothing else.
    async fn undisturbed(&mut self) {
        let mut contribution = contribute(&self.honest.session, self.stream.id()).await;
        contribution.write_at(self.at, CONTENT.bytes(self.at, 100)).await.unwrap();
        contribution.finish().await.unwrap();
        self.stream.write_at(self.at + 100, CONTENT.bytes(self.at + 100, 100)).await.unwrap();
        read_until(&mut self.public, CONTENT, self.at, self.at + 200).await;
        self.at += 200;
        // Suspect for a moment, if the machine held one up.
        eventually("both paths are live", || async {
            let metrics = self.rig.session.metrics().await.unwrap();
            (metrics.paths[1].state, metrics.paths[2].state) == ("live", "live")
        })
        .await;
        stays_pending("a stream was offered", self.rig.session.accept()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contribution_without_a_header_is_refused() {
    let mut bench = Bench::new(true).await;
    let mut carrier = bench.offender.open().await;
    carrier.write(contribution_frame(bench.stream.id(), 100, b"who am I?")).await;
    bench.refused(carrier, ErrorCode::HeaderMissing).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contribution_to_an_unknown_stream_is_isolated() {
    let mut bench = Bench::new(true).await;
    let frame = contribution_frame(395, 0, b"nobody knows it");
    let carrier = bench.offender.contribute_at_once(395, frame).await;
    bench.refused(carrier, ErrorCode::Mapping).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contribution_to_what_the_client_sends_is_refused() {
    let mut bench = Bench::new(true).await;
    let upload = bench.rig.session.handle().open_send_stream().await.unwrap();
    let carrier = bench.offender.contribute(upload.id()).await;
    bench.refused(carrier, ErrorCode::StreamState).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contribution_to_a_closed_stream_is_refused() {
    let mut bench = Bench::new(true).await;
    let mut over = bench.rig.primary.handle().open_send_stream().await.unwrap();
    over.send(CONTENT.bytes(0, 10)).await.unwrap();
    over.finish().unwrap();
    let mut read = bench.rig.session.accept_receive_stream().await.unwrap().unwrap();
    assert_eq!(read_whole(&mut read, CONTENT).await, 10);
    let id = over.id();
    eventually("the stream is over", || async {
        let metrics = bench.rig.session.metrics().await.unwrap();
        metrics.streams.iter().all(|stream| stream.id != id || !stream.is_open)
    })
    .await;
    let carrier = bench.offender.contribute(id).await;
    bench.refused(carrier, ErrorCode::StreamClosed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contribution_past_the_final_size_is_refused() {
    let mut bench = Bench::new(true).await;
    // Finished by the primary, not read to its end yet.
    let mut ended = bench.rig.primary.handle().open_send_stream().await.unwrap();
    ended.send(CONTENT.bytes(0, 1000)).await.unwrap();
    ended.finish().unwrap();
    let mut read = bench.rig.session.accept_receive_stream().await.unwrap().unwrap();
    bench.offender.granted(ended.id()).await;
    // The client's QUIC has its end; and what came after it has been read, so its session has it too.
    ended.close().await.unwrap();
    let mut marker = bench.rig.primary.handle().open_send_stream().await.unwrap();
    marker.send(CONTENT.bytes(0, 10)).await.unwrap();
    let mut marked = bench.rig.session.accept_receive_stream().await.unwrap().unwrap();
    read_until(&mut marked, CONTENT, 0, 10).await;
    eventually("all of it has arrived", || async {
        let metrics = bench.rig.session.metrics().await.unwrap();
        metrics.streams[1].bytes.iter().map(|(_, bytes)| bytes).sum::<u64>() == 1000
    })
    .await;
    let mut carrier = bench.offender.contribute(ended.id()).await;
    carrier.write(contribution_frame(ended.id(), 995, b"0123456789")).await;
    bench.refused(carrier, ErrorCode::FinalSize).await;
    assert_eq!(read_whole(&mut read, CONTENT).await, 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contribution_outside_every_grant_is_refused() {
    // Nothing was granted at all.
    let mut bench = Bench::new(false).await;
    let carrier = bench.offender.contribute(bench.stream.id()).await;
    bench.refused(carrier, ErrorCode::NotGranted).await;
    // A little was.
    let mut bench = Bench::new(false).await;
    let path = bench.rig.primary.handle().paths().await[1].path;
    assert!(bench.rig.primary.handle().grant(path, bench.stream.id(), 100..200).await);
    bench.offender.granted(bench.stream.id()).await;
    let mut carrier = bench.offender.contribute(bench.stream.id()).await;
    carrier.write(contribution_frame(bench.stream.id(), 150, &CONTENT.bytes(150, 51))).await;
    bench.refused(carrier, ErrorCode::NotGranted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contribution_beyond_the_window_is_refused() {
    let mut bench = Bench::new(true).await;
    let mut carrier = bench.offender.contribute(bench.stream.id()).await;
    carrier.write(contribution_frame(bench.stream.id(), 1 << 40, b"far beyond")).await;
    bench.refused(carrier, ErrorCode::FlowControl).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contribution_that_changes_its_stream_is_isolated() {
    let mut bench = Bench::new(true).await;
    let id = bench.stream.id();
    let mut carrier = bench.offender.contribute(id).await;
    carrier.write(contribution_frame(id, 100, &CONTENT.bytes(100, 20))).await;
    carrier.write(contribution_frame(id + 4, 120, b"elsewhere")).await;
    bench.refused(carrier, ErrorCode::Mapping).await;
}

/// A public stream is the primary's to open.
#[tokio::test(flavor = "multi_thread")]
async fn a_secondary_that_opens_a_public_stream_is_refused() {
    let mut bench = Bench::new(true).await;
    let mut carrier = bench.offender.open().await;
    carrier.write(public_header(7)).await;
    bench.refused(carrier, ErrorCode::NotGranted).await;
}

/// QUIC gives it no stream to open: by its limits, before any rule of KWIK's.
#[tokio::test(flavor = "multi_thread")]
async fn a_secondary_gets_no_bidirectional_stream() {
    let mut bench = Bench::new(true).await;
    let mut handle = bench.offender.handle.clone();
    let opening = tokio::spawn(async move { handle.open_bidirectional_stream().await.is_ok() });
    bench.undisturbed().await;
    bench.undisturbed().await;
    assert!(!opening.is_finished(), "the client has given credit for a bidirectional stream");
    opening.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secondary_that_breaks_the_control_plane_loses_its_path_alone() {
    let mut bench = Bench::new(true).await;
    // Only a primary tells to remove paths.
    let remove = kwik_proto::frame::RemovePath { path: PathId::new(1), drain_ms: 0 };
    bench.offender.send(ControlFrame::RemovePath(remove));
    loop {
        let event = bench.rig.primary.next_event().await.unwrap();
        if let Event::PathDown(path, Some(code), _) = event {
            assert_eq!((path.value(), code), (2, ErrorCode::ProtocolViolation));
            break;
        }
    }
    let metrics = bench.rig.session.metrics().await.unwrap();
    assert_eq!((metrics.paths[1].state, metrics.paths[2].state), ("live", "gone"));
    let mut contribution = contribute(&bench.honest.session, bench.stream.id()).await;
    contribution.write_at(100, CONTENT.bytes(100, 100)).await.unwrap();
    read_until(&mut bench.public, CONTENT, 100, 200).await;
}
