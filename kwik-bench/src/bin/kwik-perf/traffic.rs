//! The application: what servers do with a stream, and clients ask for, whichever library carries it.

use std::time::Duration;

use anyhow::{Context, bail};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::spread::Own;

/// Chunks that are read at once, from both libraries.
const CHUNKS: usize = 64;
/// How often a sender with a rate sends.
const TICK: Duration = Duration::from_millis(1);

/// A bidirectional stream of either library, as both have it.
pub(crate) trait Stream: Send + 'static {
    fn receive_vectored(
        &mut self,
        chunks: &mut [Bytes],
    ) -> impl Future<Output = anyhow::Result<(usize, bool)>> + Send;
    fn send(&mut self, data: Bytes) -> impl Future<Output = anyhow::Result<()>> + Send;
    fn finish(&mut self) -> anyhow::Result<()>;
}

macro_rules! stream {
    ($stream:path) => {
        impl Stream for $stream {
            async fn receive_vectored(
                &mut self,
                chunks: &mut [Bytes],
            ) -> anyhow::Result<(usize, bool)> {
                Ok(<$stream>::receive_vectored(self, chunks).await?)
            }

            async fn send(&mut self, data: Bytes) -> anyhow::Result<()> {
                Ok(<$stream>::send(self, data).await?)
            }

            fn finish(&mut self) -> anyhow::Result<()> {
                Ok(<$stream>::finish(self)?)
            }
        }
    };
}

stream!(s2n_quic::stream::BidirectionalStream);
stream!(kwik_client::stream::BidirectionalStream);
stream!(kwik_server::stream::BidirectionalStream);

/// A connection of either library, at the client.
pub(crate) trait Session: Send {
    type Stream: Stream;

    fn open(&mut self) -> impl Future<Output = anyhow::Result<Self::Stream>> + Send;

    /// Bytes that came on QUIC streams for streams, headers included; 0 where there are no headers.
    fn carried(&mut self) -> impl Future<Output = anyhow::Result<u64>> + Send;
}

impl Session for s2n_quic::Connection {
    type Stream = s2n_quic::stream::BidirectionalStream;

    async fn open(&mut self) -> anyhow::Result<Self::Stream> {
        Ok(self.open_bidirectional_stream().await?)
    }

    async fn carried(&mut self) -> anyhow::Result<u64> {
        Ok(0)
    }
}

impl Session for kwik_client::Session {
    type Stream = kwik_client::stream::BidirectionalStream;

    async fn open(&mut self) -> anyhow::Result<Self::Stream> {
        Ok(self.open_bidirectional_stream().await?)
    }

    async fn carried(&mut self) -> anyhow::Result<u64> {
        let metrics = self.handle().metrics().await?;
        Ok(metrics.paths.iter().map(|path| path.received_bytes).sum())
    }
}

/// What a client asks for: the first bytes on a stream that it opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// So many bytes, sent as fast as the stream takes chunks of this size.
    Bulk { length: u64, chunk: u64 },
    /// So many bytes, at so many a second.
    Paced { length: u64, rate: u64 },
    /// Messages of this size, each sent back.
    Echo { size: u64 },
    /// So many bytes, sent by the secondaries, each at so many a second; 0: as fast as it can.
    Delegated { length: u64, rate: u64 },
    /// So many bytes, sent by the secondaries and, as it says, the server itself.
    Spread { length: u64, own: Own },
    /// Nothing: the stream stays open.
    Nothing,
}

impl Request {
    const LENGTH: usize = 17;

    fn encode(self) -> Bytes {
        let (kind, a, b) = match self {
            Self::Bulk { length, chunk } => (0, length, chunk),
            Self::Paced { length, rate } => (1, length, rate),
            Self::Echo { size } => (2, size, 0),
            Self::Delegated { length, rate } => (3, length, rate),
            Self::Spread { length, own: Own::Fallback } => (4, length, 0),
            Self::Spread { length, own: Own::Share } => (4, length, 1),
            Self::Nothing => (5, 0, 0),
        };
        let mut bytes = BytesMut::with_capacity(Self::LENGTH);
        bytes.put_u8(kind);
        bytes.put_u64(a);
        bytes.put_u64(b);
        bytes.freeze()
    }

    fn decode(mut bytes: &[u8]) -> anyhow::Result<Self> {
        let (kind, a, b) = (bytes.get_u8(), bytes.get_u64(), bytes.get_u64());
        Ok(match kind {
            0 => Self::Bulk { length: a, chunk: b },
            1 => Self::Paced { length: a, rate: b },
            2 => Self::Echo { size: a },
            3 => Self::Delegated { length: a, rate: b },
            4 => Self::Spread { length: a, own: if b == 0 { Own::Fallback } else { Own::Share } },
            5 => Self::Nothing,
            other => bail!("no request has the number {other}"),
        })
    }
}

/// Opens a stream with a request.
pub(crate) async fn ask<S: Session>(
    session: &mut S,
    request: Request,
) -> anyhow::Result<S::Stream> {
    let mut stream = session.open().await?;
    stream.send(request.encode()).await?;
    Ok(stream)
}

/// Reads the request off a stream; what came behind it is returned too.
pub(crate) async fn hear(stream: &mut impl Stream) -> anyhow::Result<(Request, BytesMut)> {
    let mut bytes = BytesMut::new();
    read_at_least(stream, &mut bytes, Request::LENGTH).await?;
    let request = Request::decode(&bytes.split_to(Request::LENGTH))?;
    Ok((request, bytes))
}

/// Does what a client asks for, as far as any server can.
pub(crate) async fn serve(mut stream: impl Stream) -> anyhow::Result<()> {
    let (request, rest) = hear(&mut stream).await?;
    answer(stream, request, rest).await
}

/// As [`serve`], where the request was read.
pub(crate) async fn answer(
    mut stream: impl Stream,
    request: Request,
    rest: BytesMut,
) -> anyhow::Result<()> {
    match request {
        Request::Bulk { length, chunk } => send_bulk(&mut stream, length, chunk).await,
        Request::Paced { length, rate } => send_paced(&mut stream, length, rate).await,
        Request::Echo { size } => echo(&mut stream, usize::try_from(size)?, rest).await,
        Request::Delegated { .. } | Request::Spread { .. } => {
            bail!("this server has no secondaries")
        }
        Request::Nothing => std::future::pending().await,
    }
}

async fn send_bulk(stream: &mut impl Stream, length: u64, chunk: u64) -> anyhow::Result<()> {
    let data = Bytes::from(vec![0x5a; usize::try_from(chunk.min(length))?]);
    let mut left = length;
    while left > 0 {
        let next = left.min(chunk);
        stream.send(data.slice(..usize::try_from(next)?)).await?;
        left -= next;
    }
    stream.finish()
}

async fn send_paced(stream: &mut impl Stream, length: u64, rate: u64) -> anyhow::Result<()> {
    let chunk = (rate / 1000).max(1);
    let data = Bytes::from(vec![0x5a; usize::try_from(chunk)?]);
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut left = length;
    while left > 0 {
        ticks.tick().await;
        let next = left.min(chunk);
        stream.send(data.slice(..usize::try_from(next)?)).await?;
        left -= next;
    }
    stream.finish()
}

async fn echo(stream: &mut impl Stream, size: usize, mut bytes: BytesMut) -> anyhow::Result<()> {
    loop {
        if !read_at_least(stream, &mut bytes, size)
            .await
            .is_ok_and(|open| open || !bytes.is_empty())
        {
            return Ok(());
        }
        while bytes.len() >= size {
            stream.send(bytes.split_to(size).freeze()).await?;
        }
    }
}

/// Reads until `bytes` has that many; whether the stream is still open.
async fn read_at_least(
    stream: &mut impl Stream,
    bytes: &mut BytesMut,
    size: usize,
) -> anyhow::Result<bool> {
    let mut chunks = [const { Bytes::new() }; 8];
    while bytes.len() < size {
        let (count, is_open) = stream.receive_vectored(&mut chunks).await?;
        for chunk in &mut chunks[..count] {
            bytes.extend_from_slice(&std::mem::take(chunk));
        }
        if !is_open && bytes.len() < size {
            bail!("the stream ended after {} bytes", bytes.len());
        }
    }
    Ok(true)
}

/// Reads a stream to its end; how many bytes came. `each` is told of every batch.
pub(crate) async fn drain(
    stream: &mut impl Stream,
    mut each: impl FnMut(u64) + Send,
) -> anyhow::Result<u64> {
    let mut chunks = vec![Bytes::new(); CHUNKS];
    let mut total = 0;
    loop {
        let (count, is_open) = stream.receive_vectored(&mut chunks).await?;
        let bytes = chunks[..count].iter().map(|chunk| chunk.len() as u64).sum();
        chunks[..count].fill(Bytes::new());
        total += bytes;
        each(bytes);
        if !is_open {
            return Ok(total);
        }
    }
}

/// Sends a message on a stream that echoes and waits for it; how long that took.
pub(crate) async fn round_trip(
    stream: &mut impl Stream,
    message: &Bytes,
) -> anyhow::Result<Duration> {
    let start = std::time::Instant::now();
    stream.send(message.clone()).await?;
    let mut chunks = [const { Bytes::new() }; 8];
    let mut left = message.len();
    while left > 0 {
        let (count, is_open) = stream.receive_vectored(&mut chunks).await?;
        let bytes: usize = chunks[..count].iter().map(Bytes::len).sum();
        chunks[..count].fill(Bytes::new());
        left = left.checked_sub(bytes).context("more came back than was sent")?;
        if !is_open && left > 0 {
            bail!("the stream ended");
        }
    }
    Ok(start.elapsed())
}

/// Lets bytes go at a rate, on average.
#[derive(Debug)]
pub(crate) struct Pace {
    start: Instant,
    sent: u64,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now(), sent: 0 }
    }

    /// When that many more bytes may go, at `rate` bytes a second.
    pub(crate) fn book(&mut self, bytes: u64, rate: u64) -> Instant {
        let due = self.start + Duration::from_secs_f64(self.sent as f64 / rate as f64);
        self.sent += bytes;
        due
    }

    /// Waits until it is due.
    pub(crate) async fn wait(due: Instant) {
        if due > Instant::now() + TICK {
            sleep_until(due).await;
        }
    }
}
