//! Takes a carrier apart, in whatever chunks it comes.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::checksum::Checksum;
use super::head::{self, Head};
use super::{MAX_FRAME_HEAD, header, usual};
use crate::error::DecodeError;
use crate::frame::StreamHeader;
use crate::id::{Offset, StreamId};
use crate::queue::ChunkQueue;
use crate::reader::Stop;

/// Most chunks in which a frame is held. A frame in chunks of a datagram takes 60; a peer that sends single bytes would
/// make the client hold 64 Ki chunks of 32 bytes, and the buffers behind them: then, and only then, they are copied into
/// one. Chunks of 64 bytes and more never are. The sender pays for it with a datagram per chunk.
const MAX_FRAME_CHUNKS: usize = 1024;

/// What a carrier says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataEvent {
    /// The carrier's first message. Always the first event, and never again.
    Header(StreamHeader),
    /// Bytes of the header's stream; never empty. Of a contribution: the checksum of their frame matched.
    Chunk {
        /// Offset of the first byte.
        offset: Offset,
        /// The bytes: a slice of what was pushed.
        payload: Bytes,
    },
    /// The stream's final size, after the bytes of the frame that said so. Never on a contribution.
    Fin {
        /// Bytes of the stream half in all.
        final_size: Offset,
    },
}

/// Decodes what arrives on one carrier. Takes bytes in any chunks and passes payloads on as the very `Bytes` that came: a
/// frame of a contribution is copied only if it came in more than 1,024 chunks, so in less than 64 bytes each.
///
/// [`push`](Self::push) what QUIC delivered, then [`poll`](Self::poll) until it returns `None`; at the carrier's end
/// [`finish`](Self::finish). The header's kind decides what follows: chunks of a public stream come out as they went
/// in, those of a contribution are held until their frame's checksum matched (at most [`MAX_CONTRIBUTION_PAYLOAD`]
/// bytes).
///
/// Nothing is allocated per frame once the decoder has run for a while. A frame that is larger than its limit is refused
/// before any of its bytes are waited for.
///
/// After an error that [is not fatal](DecodeError::is_fatal) the frame is dropped and the next one decoded; after any
/// other each further `poll` returns that error again.
///
/// [`MAX_CONTRIBUTION_PAYLOAD`]: super::MAX_CONTRIBUTION_PAYLOAD
#[derive(Debug)]
pub struct DataDecoder {
    queue: ChunkQueue,
    state: State,
    /// What the header said; `None` before it.
    carrier: Option<StreamHeader>,
    /// Chunks of the frame whose checksum is not known yet, or that are being given out.
    frame: VecDeque<Bytes>,
    frame_bytes: usize,
    checksum: Checksum,
    failed: Option<DecodeError>,
}

/// What the next bytes are.
#[derive(Debug)]
enum State {
    /// The header.
    Header,
    /// The head of a frame.
    Head,
    /// `left` bytes of payload that go straight out; then the final size, if the frame had it.
    Pass { offset: Offset, left: usize, final_size: Option<Offset> },
    /// `left` bytes of payload that are kept until the checksum is known.
    Hold { offset: Offset, left: usize, expected: u32, length: usize, at: u64, stream: StreamId },
    /// The frame's chunks go out.
    Release { offset: Offset },
    /// `left` bytes of payload that nobody gets.
    Skip { left: usize },
}

impl Default for DataDecoder {
    fn default() -> Self {
        Self::new()
    }
}

impl DataDecoder {
    /// A decoder for a carrier of which nothing has arrived. Allocates nothing.
    ///
    /// ```
    /// let decoder = kwik_proto::data::DataDecoder::new();
    /// assert_eq!(decoder.held(), 0);
    /// ```
    pub fn new() -> Self {
        Self {
            queue: ChunkQueue::default(),
            state: State::Header,
            carrier: None,
            frame: VecDeque::new(),
            frame_bytes: 0,
            checksum: Checksum::new(),
            failed: None,
        }
    }

    /// Takes the next bytes of the carrier.
    #[inline]
    pub fn push(&mut self, chunk: Bytes) {
        self.queue.push(chunk);
    }

    /// The next event; `None`: more bytes are needed.
    ///
    /// # Errors
    /// The bytes are not what the protocol allows. See [`DecodeError::is_fatal`].
    pub fn poll(&mut self) -> Result<Option<DataEvent>, DecodeError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let result = self.advance();
        if let Err(error) = &result
            && error.is_fatal()
        {
            self.failed = Some(error.clone());
        }
        result
    }

    /// The carrier ended (QUIC's FIN). Call it when [`poll`](Self::poll) has returned `None`.
    ///
    /// # Errors
    /// [`DecodeError::HeaderMissing`] before the header, [`DecodeError::Truncated`] inside a frame, and the error of
    /// `poll` after one that is fatal.
    pub fn finish(&self) -> Result<(), DecodeError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let at = self.queue.at();
        match &self.state {
            State::Header => Err(DecodeError::HeaderMissing { at }),
            State::Head if self.queue.is_empty() => Ok(()),
            State::Head => Err(DecodeError::Truncated { field: "DataFrame", at }),
            State::Release { .. } => Ok(()),
            State::Pass { left: 0, .. } => Ok(()),
            State::Pass { .. } | State::Hold { .. } | State::Skip { .. } => {
                Err(DecodeError::Truncated { field: "DataFrame.payload", at })
            }
        }
    }

    /// Bytes that were pushed and not given out: at most a frame and what was pushed last.
    #[inline]
    pub fn held(&self) -> usize {
        self.queue.len() + self.frame_bytes
    }

    /// Lets the carrier carry another stream from the next frame on, as a mapping snapshot said it does.
    ///
    /// Before the header it has no effect.
    ///
    /// ```
    /// # use kwik_proto::{data::DataDecoder, StreamId};
    /// let mut decoder = DataDecoder::new();
    /// decoder.remap(StreamId::from_wire(8).expect("below 2^62"));
    /// ```
    pub fn remap(&mut self, stream: StreamId) {
        if let Some(carrier) = &mut self.carrier {
            carrier.stream = stream;
        }
    }

    fn advance(&mut self) -> Result<Option<DataEvent>, DecodeError> {
        loop {
            match &mut self.state {
                State::Header => return waiting(self.read_header()),
                State::Head => {
                    if self.queue.is_empty() || !self.read_head()? {
                        return Ok(None);
                    }
                }
                State::Pass { offset, left, final_size } => {
                    if *left > 0 {
                        let Some(payload) = self.queue.take_chunk(*left) else { return Ok(None) };
                        *left -= payload.len();
                        let start = *offset;
                        *offset = start.saturating_add(payload.len() as u64);
                        if *left == 0 && final_size.is_none() {
                            self.state = State::Head;
                        }
                        return Ok(Some(DataEvent::Chunk { offset: start, payload }));
                    }
                    let final_size = *final_size;
                    self.state = State::Head;
                    if let Some(final_size) = final_size {
                        return Ok(Some(DataEvent::Fin { final_size }));
                    }
                }
                // All of it in one chunk, as small frames come: it goes out as soon as it is checked.
                State::Hold { offset, left, .. }
                    if self.frame.is_empty() && (1..=self.queue.front().len()).contains(left) =>
                {
                    let offset = *offset;
                    let Some(payload) = self.queue.take_chunk(*left) else { return Ok(None) };
                    self.checksum.update(&payload);
                    self.verify()?;
                    self.state = State::Head;
                    return Ok(Some(DataEvent::Chunk { offset, payload }));
                }
                State::Hold { left, .. } => {
                    while *left > 0 {
                        let Some(chunk) = self.queue.take_chunk(*left) else { return Ok(None) };
                        *left -= chunk.len();
                        self.frame_bytes += chunk.len();
                        self.checksum.update(&chunk);
                        if self.frame.len() == MAX_FRAME_CHUNKS {
                            join(&mut self.frame);
                        }
                        self.frame.push_back(chunk);
                    }
                    self.verify()?;
                }
                State::Release { offset } => {
                    if let Some(payload) = self.frame.pop_front() {
                        self.frame_bytes -= payload.len();
                        let start = *offset;
                        *offset = start.saturating_add(payload.len() as u64);
                        if self.frame.is_empty() {
                            self.state = State::Head;
                        }
                        return Ok(Some(DataEvent::Chunk { offset: start, payload }));
                    }
                    self.state = State::Head;
                }
                State::Skip { left } => {
                    *left -= self.queue.skip(*left);
                    if *left > 0 {
                        return Ok(None);
                    }
                    self.state = State::Head;
                }
            }
        }
    }

    fn read_header(&mut self) -> Result<DataEvent, Stop> {
        let mut buffer = [0; super::MAX_STREAM_HEADER];
        let count = self.queue.peek(&mut buffer);
        let (header, size) = header::parse(&buffer[..count], self.queue.at())?;
        self.queue.skip(size);
        self.carrier = Some(header);
        self.state = State::Head;
        Ok(DataEvent::Header(header))
    }

    /// Whether the next frame's head was there, and was read.
    #[inline]
    fn read_head(&mut self) -> Result<bool, DecodeError> {
        let carrier = self.carrier.expect("frames are read after the header");
        match usual::parse(self.queue.front(), carrier.kind) {
            Some(head) if head.stream == carrier.stream => {
                self.begin(&head);
                Ok(true)
            }
            _ => self.read_any_head(carrier),
        }
    }

    /// Reads a head that is not as usual: it lies across chunks, has fields of a later version, or is wrong.
    #[cold]
    fn read_any_head(&mut self, carrier: StreamHeader) -> Result<bool, DecodeError> {
        let at = self.queue.at();
        let mut buffer = [0; MAX_FRAME_HEAD];
        let count = self.queue.peek(&mut buffer);
        let head = match head::parse(&buffer[..count], at, carrier.kind) {
            Ok(head) => head,
            Err(Stop::More) => return Ok(false),
            Err(Stop::Wrong(error)) => return Err(error),
        };
        if head.stream == carrier.stream {
            self.begin(&head);
            return Ok(true);
        }
        self.queue.skip(head.size);
        self.state = State::Skip { left: head.length };
        let Head { stream: frame, offset, length, .. } = head;
        let (header, length) = (carrier.stream, length as u64);
        Err(DecodeError::StreamMismatch { header, frame, offset, length, at })
    }

    /// Goes on to the payload of the frame whose head comes next.
    #[inline]
    fn begin(&mut self, head: &Head) {
        let Head { stream, offset, end, fin, crc32c, length, size } = *head;
        let at = self.queue.at();
        self.queue.skip(size);
        self.state = match crc32c {
            Some(expected) => {
                self.checksum.start(stream, offset, fin, length);
                State::Hold { offset, left: length, expected, length, at, stream }
            }
            None => State::Pass { offset, left: length, final_size: fin.then_some(end) },
        };
    }

    /// Compares the checksum of the frame that is held.
    fn verify(&mut self) -> Result<(), DecodeError> {
        let State::Hold { offset, expected, length, at, stream, .. } = self.state else {
            return Ok(());
        };
        let actual = self.checksum.value();
        if actual == expected {
            self.state = State::Release { offset };
            return Ok(());
        }
        self.frame.clear();
        self.frame_bytes = 0;
        self.state = State::Head;
        let length = length as u64;
        Err(DecodeError::ChecksumMismatch { stream, offset, length, expected, actual, at })
    }
}

/// Waiting for more is no event.
fn waiting(result: Result<DataEvent, Stop>) -> Result<Option<DataEvent>, DecodeError> {
    match result {
        Ok(event) => Ok(Some(event)),
        Err(Stop::More) => Ok(None),
        Err(Stop::Wrong(error)) => Err(error),
    }
}

/// Copies the chunks into one.
fn join(chunks: &mut VecDeque<Bytes>) {
    let mut whole = BytesMut::with_capacity(chunks.iter().map(Bytes::len).sum());
    chunks.drain(..).for_each(|chunk| whole.extend_from_slice(&chunk));
    chunks.push_back(whole.freeze());
}
