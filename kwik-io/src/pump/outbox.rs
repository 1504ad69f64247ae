//! What a pump has encoded and QUIC has not taken yet.

use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use kwik_proto::data::{self, DataHeader};
use kwik_proto::frame::StreamHeader;
use s2n_quic::stream::{Result, SendStream};

use super::sent::SentBytes;

/// Headers are written one after the other into blocks of this many bytes, so that a frame costs no allocation of its
/// own: about a hundred fit.
const HEADER_BLOCK: usize = 4096;

/// Where a frame's header goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeaderPlace(usize);

/// Chunks on their way to one carrier: headers and payloads in turn, none of them copied.
///
/// Holds one batch: a pump fills it only when it is empty.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    chunks: Vec<Bytes>,
    /// Bytes of payload in each chunk: QUIC leaves those that it took empty.
    payloads: Vec<usize>,
    taken: usize,
    headers: BytesMut,
    sent: Option<SentBytes>,
    /// Bytes that were pushed and not cleared, headers included.
    pushed: u64,
}

impl Outbox {
    /// Has the payloads that QUIC takes counted.
    pub(super) fn count(&mut self, sent: SentBytes) {
        self.sent = Some(sent);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.taken == self.chunks.len()
    }

    pub(super) fn push_stream_header(&mut self, header: &StreamHeader) {
        data::encode_stream_header(header, &mut self.headers);
        let encoded = self.take_encoded();
        self.push_chunk(encoded, 0);
    }

    /// A frame's header; its payload must be pushed next.
    pub(super) fn push_header(&mut self, header: &DataHeader) {
        let place = self.reserve();
        self.fill(place, header);
    }

    /// A place for a frame's header that is known only once the payload was pushed.
    pub(super) fn reserve(&mut self) -> HeaderPlace {
        self.push_chunk(Bytes::new(), 0);
        HeaderPlace(self.chunks.len() - 1)
    }

    pub(super) fn fill(&mut self, place: HeaderPlace, header: &DataHeader) {
        header.encode(&mut self.headers);
        let encoded = self.take_encoded();
        self.pushed += encoded.len() as u64;
        self.chunks[place.0] = encoded;
    }

    pub(super) fn push(&mut self, payload: Bytes) {
        let length = payload.len();
        self.push_chunk(payload, length);
    }

    fn push_chunk(&mut self, chunk: Bytes, payload: usize) {
        self.pushed += chunk.len() as u64;
        self.chunks.push(chunk);
        self.payloads.push(payload);
    }

    fn take_encoded(&mut self) -> Bytes {
        let encoded = self.headers.split().freeze();
        if self.headers.capacity() < data::MAX_STREAM_HEADER {
            self.headers = BytesMut::with_capacity(HEADER_BLOCK);
        }
        encoded
    }

    /// Hands everything to QUIC; pending while QUIC's own send buffer is full.
    pub(super) fn poll_send(
        &mut self,
        carrier: &mut SendStream,
        cx: &mut Context<'_>,
    ) -> Poll<Result<()>> {
        while !self.is_empty() {
            let taken = ready!(carrier.poll_send_vectored(&mut self.chunks[self.taken..], cx))?;
            self.count_taken(taken);
            self.taken += taken;
        }
        self.clear();
        Poll::Ready(Ok(()))
    }

    /// Bytes of payload that QUIC has not taken.
    pub(super) fn waiting(&self) -> u64 {
        self.payloads[self.taken..].iter().map(|length| *length as u64).sum()
    }

    /// Bytes that QUIC has taken so far, headers included.
    pub(super) fn handed(&self) -> u64 {
        self.pushed - self.untaken()
    }

    fn untaken(&self) -> u64 {
        self.chunks[self.taken..].iter().map(|chunk| chunk.len() as u64).sum()
    }

    fn count_taken(&self, taken: usize) {
        if let Some(sent) = &self.sent {
            let payloads = self.payloads[self.taken..].iter().take(taken);
            sent.add(payloads.map(|length| *length as u64).sum());
        }
    }

    /// Drops what QUIC has not taken.
    pub(super) fn clear(&mut self) {
        self.pushed -= self.untaken();
        self.chunks.clear();
        self.payloads.clear();
        self.taken = 0;
    }
}
