//! R10, as far as it shows without a clock: copies, allocations, wake-ups, memory, steps. (What takes time is measured by
//! `kwik-perf`; R10.1 and R10.5 are tested in simulated time.)
//!
//! Each test counts what its own thread allocates: the client runs there, servers have threads of their own.
#![allow(clippy::unwrap_used)]

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::task::{Context, Wake, Waker};

use allocation_counter::{AllocationInfo, measure};
use bytes::{Bytes, BytesMut};
use kwik_client::{Client, Connect, Limits, Placement};
use kwik_core::reassembly::{Hint, Reassembler};
use kwik_core::stream::{Read, ReceiveConfig, ReceiveHalf};
use kwik_core::time::Instant;
use kwik_io::endpoint::{EndpointLimits, Role};
use kwik_proto::data::{self, DataDecoder, DataEvent, DataHeader};
use kwik_proto::frame::{CarrierKind, StreamHeader};
use kwik_proto::{Offset, PathId, StreamId};
use kwik_tests::{Rig, certificate, contribute, eventually};
use tokio::runtime::{Builder, Runtime};

const MIB: u64 = 1 << 20;
static DATA: [u8; 64 << 10] = [7; 64 << 10];

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Runs a server on a thread of its own; where it listens, and the PEM of its certificate.
fn serve(server: fn(mpsc::Sender<(SocketAddr, String)>)) -> (SocketAddr, String) {
    let (ready, listens) = mpsc::channel();
    std::thread::spawn(move || server(ready));
    listens.recv().unwrap()
}

/// Answers a request of eight bytes with that many.
macro_rules! answer {
    ($session:ident) => {
        while let Ok(Some(mut stream)) = $session.accept_bidirectional_stream().await {
            let request = stream.receive().await.unwrap().unwrap();
            let length = u64::from_be_bytes(request[..].try_into().unwrap());
            for _ in 0..length / DATA.len() as u64 {
                stream.send(Bytes::from_static(&DATA)).await.unwrap();
            }
            stream.finish().unwrap();
        }
    };
}

fn kwik_server(ready: mpsc::Sender<(SocketAddr, String)>) {
    runtime().block_on(async {
        let certificate = certificate();
        let pem = certificate.certificate_pem();
        let builder = kwik_server::Server::builder().with_tls(certificate).unwrap();
        let mut server = builder.with_io("127.0.0.1:0").unwrap().start().unwrap();
        ready.send((server.local_addr(), pem)).unwrap();
        let mut session = server.accept().await.unwrap();
        answer!(session);
    });
}

fn bare_server(ready: mpsc::Sender<(SocketAddr, String)>) {
    runtime().block_on(async {
        let certificate = certificate();
        let (pem, key) = (certificate.certificate_pem(), certificate.key_pem());
        let limits = EndpointLimits::default().quic(Role::Server).unwrap();
        let builder = s2n_quic::Server::builder().with_tls((pem.as_str(), key.as_str())).unwrap();
        let builder = builder.with_limits(limits).unwrap().with_io("127.0.0.1:0").unwrap();
        let mut server = builder.start().unwrap();
        ready.send((server.local_addr().unwrap(), pem)).unwrap();
        let mut session = server.accept().await.unwrap();
        answer!(session);
    });
}

/// What reading a stream took.
#[derive(Debug)]
struct Cost {
    allocations: AllocationInfo,
    /// Batches that the reader got.
    batches: u64,
    /// Times that the reader was woken.
    wakes: u64,
}

struct Counting {
    wakes: Arc<AtomicU64>,
    waker: Waker,
}

impl Wake for Counting {
    fn wake(self: Arc<Self>) {
        self.wakes.fetch_add(1, Ordering::Relaxed);
        self.waker.wake_by_ref();
    }
}

/// As the future, whose wake-ups are counted.
async fn counted<T>(wakes: &Arc<AtomicU64>, future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    poll_fn(|cx| {
        let counting = Counting { wakes: wakes.clone(), waker: cx.waker().clone() };
        future.as_mut().poll(&mut Context::from_waker(&Waker::from(Arc::new(counting))))
    })
    .await
}

/// Reads streams of a session: one to warm up, one that is measured.
macro_rules! cost_of_reading {
    ($runtime:expr, $session:ident, $length:expr) => {{
        let wakes = Arc::new(AtomicU64::new(0));
        let mut read = |length: u64| {
            let before = wakes.load(Ordering::Relaxed);
            let mut batches = 0;
            let allocations = measure(|| {
                $runtime.block_on(async {
                    let mut stream = $session.open_bidirectional_stream().await.unwrap();
                    stream.send(Bytes::copy_from_slice(&length.to_be_bytes())).await.unwrap();
                    let mut chunks = vec![Bytes::new(); 64];
                    let (mut total, mut open) = (0, true);
                    while open {
                        let received = stream.receive_vectored(&mut chunks);
                        let (count, more) = counted(&wakes, received).await.unwrap();
                        total += chunks[..count].iter().map(Bytes::len).sum::<usize>();
                        chunks.fill(Bytes::new());
                        batches += 1;
                        open = more;
                    }
                    assert_eq!(total as u64, length);
                })
            });
            Cost { allocations, batches, wakes: wakes.load(Ordering::Relaxed) - before }
        };
        read(4 * MIB);
        read($length)
    }};
}

#[test]
fn r10_4_a_byte_is_stored_no_more_often_than_by_bare_quic() {
    const LENGTH: u64 = 32 * MIB;
    let runtime = runtime();
    let (address, pem) = serve(kwik_server);
    let mut session = runtime.block_on(async {
        let client = Client::builder().with_tls(pem.as_str()).unwrap();
        let client = client.with_workers(Placement::Current).start().unwrap();
        client.connect(Connect::new(address).with_server_name("localhost")).await.unwrap()
    });
    let kwik = cost_of_reading!(runtime, session, LENGTH);
    let (address, pem) = serve(bare_server);
    let mut session = runtime.block_on(async {
        let limits = EndpointLimits::default().quic(Role::Primary).unwrap();
        let client = s2n_quic::Client::builder().with_tls(pem.as_str()).unwrap();
        let client = client.with_limits(limits).unwrap().with_io("0.0.0.0:0").unwrap();
        let connect = s2n_quic::client::Connect::new(address).with_server_name("localhost");
        client.start().unwrap().connect(connect).await.unwrap()
    });
    let bare = cost_of_reading!(runtime, session, LENGTH);
    println!("kwik {kwik:?}\nbare {bare:?}");
    // A copy would show as the length once more.
    let (ours, theirs) = (kwik.allocations.bytes_total, bare.allocations.bytes_total);
    assert!(ours <= theirs + LENGTH / 20, "{ours} bytes were allocated, {theirs} by bare QUIC");
    // Deliveries and window updates cost a few for each 64 KiB; one for each datagram would be 45.
    let (ours, theirs) = (kwik.allocations.count_total, bare.allocations.count_total);
    let most = theirs + 4 * LENGTH / DATA.len() as u64;
    assert!(ours <= most, "{ours} allocations, {theirs} by bare QUIC");
    // One hop from the pump to the reader: it is woken once for a batch, and finds one.
    assert!(kwik.wakes <= kwik.batches + 1, "{} for {}", kwik.wakes, kwik.batches);
}

/// A carrier of one frame as QUIC hands it out, and the frame's payload within.
fn carrier(kind: CarrierKind, payload: &[u8]) -> Bytes {
    let stream = StreamId::from_wire(1).unwrap();
    let (offset, length) = (Offset::ZERO, payload.len());
    let header = StreamHeader { stream, kind, delegation: None, promised: None };
    let mut bytes = BytesMut::new();
    data::encode_stream_header(&header, &mut bytes);
    let crc32c = (kind == CarrierKind::Contribution)
        .then(|| data::checksum(stream, offset, false, length, [payload]));
    DataHeader { stream, offset, fin: false, length, crc32c }.encode(&mut bytes);
    bytes.extend_from_slice(payload);
    bytes.freeze()
}

#[test]
fn r10_4_the_reader_gets_the_very_memory_that_quic_filled() {
    for kind in [CarrierKind::Public, CarrierKind::Contribution] {
        let carrier = carrier(kind, &DATA);
        let memory = carrier.as_ptr_range();
        let mut decoder = DataDecoder::new();
        let mut half = ReceiveHalf::new(ReceiveConfig::default());
        let source = half.add_source(PathId::new(1), None);
        let now = Instant::from_start(std::time::Duration::ZERO);
        for at in (0..carrier.len()).step_by(1_400) {
            let chunk = carrier.slice(at..carrier.len().min(at + 1_400));
            let allocation = carrier.len();
            decoder.push(chunk);
            while let Some(event) = decoder.poll().unwrap() {
                if let DataEvent::Chunk { offset, payload } = event {
                    half.insert(source, offset, payload, allocation, now).unwrap();
                }
            }
        }
        let mut read = 0;
        while let Read::Data(bytes) = half.read(usize::MAX, now) {
            let place = carrier.len() - DATA.len() + read;
            assert_eq!(bytes.as_ptr(), memory.start.wrapping_add(place), "{kind:?}, byte {read}");
            read += bytes.len();
        }
        assert_eq!(read, DATA.len(), "{kind:?}");
    }
}

#[test]
fn r10_2_a_thousand_contributions_stay_within_the_budget_and_16_kib_each() {
    const STREAMS: usize = 16;
    const EACH: usize = 63;
    const WINDOW: u64 = 4 * MIB;
    const BUDGET: u64 = STREAMS as u64 * WINDOW * 3 / 2;
    let piece = DATA.len() as u64;
    let runtime = runtime();
    let (mut rig, secondary) = runtime.block_on(async {
        // Enough for the windows of all streams.
        let limits = Limits::new().with_session_budget(2 * BUDGET);
        let mut rig =
            Rig::with(|client| client.with_workers(Placement::Current).with_limits(limits)).await;
        let secondary = rig.attach().await;
        (rig, secondary)
    });
    // Nobody reads, so that every byte stays.
    let (mut publics, mut open) = (Vec::new(), Vec::new());
    let used = measure(|| {
        runtime.block_on(async {
            for _ in 0..STREAMS {
                let mut stream = rig.primary.handle().open_send_stream().await.unwrap();
                stream.send(Bytes::from_static(&[1])).await.unwrap();
                let public = rig.session.accept_receive_stream().await.unwrap().unwrap();
                for index in 0..EACH as u64 {
                    let mut contribution = contribute(&secondary.session, stream.id()).await;
                    let data = Bytes::from_static(&DATA);
                    contribution.write_at(1 + index * piece, data).await.unwrap();
                    open.push(contribution);
                }
                publics.push((stream, public));
            }
            eventually("all bytes arrive", || async {
                let metrics = rig.session.metrics().await.unwrap();
                metrics.paths[1].bytes == (STREAMS * EACH) as u64 * piece
            })
            .await;
        });
    });
    let metrics = runtime.block_on(rig.session.metrics()).unwrap();
    println!("{used:?}, peak {}, promised {}", metrics.peak_buffer_bytes, metrics.promised_bytes);
    assert_eq!(metrics.paths[1].contributions, STREAMS * EACH, "all at once");
    let contributions = (STREAMS * EACH) as u64;
    assert!(contributions >= 1_000);
    // The budget: windows, half as much again for the ends of buffers. And what a carrier takes by itself.
    let bound = BUDGET + contributions * (16 << 10);
    assert!(used.bytes_max <= bound, "{} bytes of {bound}", used.bytes_max);
    assert!(metrics.peak_buffer_bytes <= WINDOW * 3 / 2, "{}", metrics.peak_buffer_bytes);
    assert!(metrics.promised_bytes <= 2 * BUDGET, "{}", metrics.promised_bytes);
}

/// Frames of 8 sources that append in turns, while `ranges` others are held far ahead: places that were looked up, and
/// allocations.
fn appending(ranges: u64) -> (u64, u64) {
    const SOURCES: u64 = 8;
    const FRAMES: u64 = 54;
    const FRAME: u64 = 1_200;
    let at = |offset| Offset::new(offset).unwrap();
    let mut reassembler = Reassembler::new();
    let mut far = Hint::default();
    for index in 0..ranges {
        let payload = Bytes::from_static(&DATA[..16]);
        reassembler.insert(
            &mut far,
            PathId::new(99),
            at((1 << 40) + index * 32),
            payload,
            16,
            Instant::ZERO,
        );
    }
    let mut hints = [Hint::default(); SOURCES as usize];
    let mut round = || {
        let start = reassembler.read_offset().value();
        for frame in 0..FRAMES {
            // The head comes last, so that all others wait.
            for source in (0..SOURCES).rev() {
                let offset = start + (source * FRAMES + frame) * FRAME;
                let payload = Bytes::from_static(&DATA[..FRAME as usize]);
                let (hint, path) = (&mut hints[source as usize], PathId::new(source as u16));
                reassembler.insert(hint, path, at(offset), payload, FRAME as usize, Instant::ZERO);
            }
        }
        while reassembler.read(usize::MAX).is_some() {}
        reassembler.searches()
    };
    let before = round();
    let mut after = 0;
    let allocations = measure(|| after = round()).count_total;
    assert_eq!(reassembler.read_offset().value(), 2 * SOURCES * FRAMES * FRAME);
    (after - before, allocations)
}

#[test]
fn r10_3_a_frame_costs_the_same_with_1_and_with_a_million_ranges_buffered() {
    let (_, few) = appending(1);
    for ranges in [1, 1_000, 100_000, 1_000_000] {
        let (searches, allocations) = appending(ranges);
        // One for each of the seven runs that begin beyond the head, not one for each of the 432 frames.
        assert_eq!(searches, 7, "{ranges} ranges");
        // Give or take a node of the map.
        assert!(allocations <= few + 7, "{allocations} with {ranges} ranges, {few} with one");
    }
}
