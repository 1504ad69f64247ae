//! Takes a control stream apart.

use bytes::Bytes;
use prost::Message;

use super::limits::{
    MAX_ADDRESSES, MAX_FEATURES, MAX_HELD, MAX_MAPPINGS, MAX_ORDERS, MAX_QUERIED, MAX_VERSIONS,
};
use super::{MAX_CONTROL_FRAME, from_wire};
use crate::error::{DecodeError, InvalidField, Problem};
use crate::frame::ControlFrame;
use crate::queue::ChunkQueue;
use crate::reader::{Extent, Form, LENGTH_DELIMITED, Reader, Stop, VARINT};
use crate::shape::{self, Holds, Shape};
use crate::varint;
use crate::wire::shapes;

/// Highest field number of this version's frames.
const LAST_FRAME: u32 = 26;

/// Most chunks in which a frame waits for its rest. A peer that sends single bytes would make 64 Ki entries of 32 bytes of
/// one frame, and hold the buffers behind them: beyond this they are copied into one.
const MAX_FRAME_CHUNKS: usize = 256;

/// A frame as it came on the wire.
#[derive(Clone, Debug, PartialEq)]
pub struct Arrived {
    /// `None`: a frame of an unknown number that may be passed over.
    pub frame: Option<ControlFrame>,
    /// Bytes that it took on the stream, with its length prefix, and with what was passed over in it.
    pub size: usize,
}

/// Decodes what arrives on a control stream, in whatever chunks it comes.
///
/// [`push`](Self::push) what QUIC delivered, then [`poll`](Self::poll) until it returns `None`. Unknown fields, and frames
/// of unknown numbers that are not critical, are passed over. A frame above [`MAX_CONTROL_FRAME`] is refused before any
/// of its bytes are waited for. Every error is fatal: each further `poll` returns it again.
#[derive(Debug, Default)]
pub struct ControlDecoder {
    queue: ChunkQueue,
    skipped: u64,
    failed: Option<DecodeError>,
}

impl ControlDecoder {
    /// A decoder for a control stream of which nothing has arrived.
    ///
    /// ```
    /// let decoder = kwik_proto::control::ControlDecoder::new();
    /// assert_eq!(decoder.held(), 0);
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes of the stream.
    pub fn push(&mut self, chunk: Bytes) {
        self.queue.push(chunk);
    }

    /// The next frame; `None`: more bytes are needed.
    ///
    /// # Errors
    /// The bytes are not what the protocol allows; above all [`DecodeError::UnknownCriticalFrame`].
    pub fn poll(&mut self) -> Result<Option<ControlFrame>, DecodeError> {
        while let Some(arrived) = self.poll_arrived()? {
            if arrived.frame.is_some() {
                return Ok(arrived.frame);
            }
        }
        Ok(None)
    }

    /// As [`poll`](Self::poll), with the size of each frame, and those that are passed over: for a receiver that counts what its
    /// peer sends.
    ///
    /// # Errors
    /// As those of `poll`.
    pub fn poll_arrived(&mut self) -> Result<Option<Arrived>, DecodeError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let result = self.next_frame();
        if let Err(error) = &result {
            self.failed = Some(error.clone());
        }
        result
    }

    /// The stream ended (QUIC's FIN). Call it when [`poll`](Self::poll) has returned `None`.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] inside a frame, and the error of `poll` after one.
    pub fn finish(&self) -> Result<(), DecodeError> {
        match &self.failed {
            Some(error) => Err(error.clone()),
            None if self.queue.is_empty() => Ok(()),
            None => Err(DecodeError::Truncated { field: "ControlFrame", at: self.queue.at() }),
        }
    }

    /// Bytes that were pushed and not decoded: less than a frame once `poll` has returned `None`.
    pub fn held(&self) -> usize {
        self.queue.len()
    }

    /// Frames of unknown numbers that were passed over.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    fn next_frame(&mut self) -> Result<Option<Arrived>, DecodeError> {
        let start = self.queue.at();
        let Some((body, at)) = self.next_body()? else { return Ok(None) };
        let frame = frame(&body, at)?;
        self.skipped += u64::from(frame.is_none());
        let size = body.len() + (at - start) as usize;
        Ok(Some(Arrived { frame, size }))
    }

    /// The next message, in one piece, and where it starts.
    fn next_body(&mut self) -> Result<Option<(Bytes, u64)>, DecodeError> {
        let at = self.queue.at();
        let mut prefix = [0; varint::MAX_LEN];
        let count = self.queue.peek(&mut prefix);
        let mut reader = Reader::new(&prefix[..count], at, Extent::Partial, Form::Shortest);
        let size = match reader.varint("ControlFrame") {
            Ok(size) => size,
            Err(Stop::More) => return Ok(None),
            Err(Stop::Wrong(error)) => return Err(error),
        };
        let limit = MAX_CONTROL_FRAME as u64;
        if size > limit {
            return Err(DecodeError::TooLarge { field: "ControlFrame", size, limit, at });
        }
        let (start, size) = (reader.index(), size as usize);
        if self.queue.len() < start + size {
            self.queue.compact(MAX_FRAME_CHUNKS);
            return Ok(None);
        }
        self.queue.skip(start);
        let body = self.queue.take_contiguous(size).unwrap_or_default();
        Ok(Some((body, at + start as u64)))
    }
}

/// Reads a `ControlFrame` message; `None`: it may be passed over.
fn frame(body: &Bytes, at: u64) -> Result<Option<ControlFrame>, DecodeError> {
    let top = whole(TopLevel::read(body, at))?;
    match (top.known, top.unknown) {
        (Some((number, start, end)), _) => {
            let inner = at + start as u64;
            known(number, body.slice(start..end), inner).map(Some)
        }
        (None, Some((number, at))) if top.critical => {
            Err(DecodeError::UnknownCriticalFrame { number, at })
        }
        (None, Some(_)) => Ok(None),
        (None, None) => {
            let invalid = InvalidField { field: "ControlFrame.frame", problem: Problem::Missing };
            Err(DecodeError::Invalid { invalid, at })
        }
    }
}

/// Running out of a whole message's bytes is an error, which the reader reports as such.
fn whole<T>(result: Result<T, Stop>) -> Result<T, DecodeError> {
    result.map_err(|stop| match stop {
        Stop::Wrong(error) => error,
        Stop::More => unreachable!("a reader of a whole message never waits"),
    })
}

/// What a `ControlFrame` holds, before any of it is decoded.
#[derive(Default)]
struct TopLevel {
    critical: bool,
    /// Field number of the frame, and where its message lies in the body.
    known: Option<(u32, usize, usize)>,
    /// Number and place of the first field that this version does not know.
    unknown: Option<(u32, u64)>,
}

impl TopLevel {
    fn read(body: &[u8], at: u64) -> Result<Self, Stop> {
        let mut reader = Reader::new(body, at, Extent::Whole, Form::Any);
        let mut top = Self::default();
        while !reader.is_empty() {
            let tag = reader.tag("ControlFrame")?;
            match tag.number {
                1 => {
                    tag.expect(VARINT, "ControlFrame.critical")?;
                    top.critical = reader.varint("ControlFrame.critical")? != 0;
                }
                number @ 2..=LAST_FRAME => {
                    tag.expect(LENGTH_DELIMITED, "ControlFrame.frame")?;
                    if let Some((first, ..)) = top.known {
                        let second = number;
                        return Err(DecodeError::TwoFrames { first, second, at: tag.at }.into());
                    }
                    let message = reader.delimited("ControlFrame.frame")?;
                    let end = reader.index();
                    top.known = Some((number, end - message.len(), end));
                }
                number => {
                    top.unknown.get_or_insert((number, tag.at));
                    reader.skip(tag, "ControlFrame")?;
                }
            }
        }
        Ok(top)
    }
}

fn known(number: u32, body: Bytes, at: u64) -> Result<ControlFrame, DecodeError> {
    let frame = match number {
        2 => from_wire::hello(message(&shapes::HELLO, body, at)?),
        3 => from_wire::welcome(message(&shapes::WELCOME, body, at)?),
        4 => from_wire::refuse(message(&shapes::REFUSE, body, at)?),
        5 => from_wire::add_path(message(&shapes::ADD_PATH, body, at)?),
        6 => from_wire::add_path_result(message(&shapes::ADD_PATH_RESULT, body, at)?),
        7 => from_wire::remove_path(message(&shapes::REMOVE_PATH, body, at)?),
        8 => from_wire::path_status(message(&shapes::PATH_STATUS, body, at)?),
        9 => from_wire::token_request(message(&shapes::TOKEN_REQUEST, body, at)?),
        10 => from_wire::signed_orders(message(&shapes::SIGNED_ORDERS, body, at)?),
        11 => from_wire::delegation_status(message(&shapes::DELEGATION_STATUS, body, at)?),
        12 => from_wire::stream_reset(message(&shapes::STREAM_RESET, body, at)?),
        13 => from_wire::stream_stop(message(&shapes::STREAM_STOP, body, at)?),
        14 => from_wire::stream_closed(message(&shapes::STREAM_CLOSED, body, at)?),
        15 => from_wire::stream_window(message(&shapes::STREAM_WINDOW, body, at)?),
        16 => from_wire::stream_blocked(message(&shapes::STREAM_BLOCKED, body, at)?),
        17 => from_wire::stream_progress(message(&shapes::STREAM_PROGRESS, body, at)?),
        18 => from_wire::gap(message(&shapes::GAP, body, at)?),
        19 => from_wire::relay(message(&shapes::RELAY, body, at)?),
        20 => from_wire::relay_credit(message(&shapes::RELAY_CREDIT, body, at)?),
        21 => from_wire::mapping_query(message(&shapes::MAPPING_QUERY, body, at)?),
        22 => from_wire::mapping_snapshot(message(&shapes::MAPPING_SNAPSHOT, body, at)?),
        23 => from_wire::ping(message(&shapes::PING, body, at)?),
        24 => from_wire::pong(message(&shapes::PONG, body, at)?),
        25 => from_wire::session_close(message(&shapes::SESSION_CLOSE, body, at)?),
        26 => from_wire::go_away(message(&shapes::GO_AWAY, body, at)?),
        _ => unreachable!("the top level was read with the same numbers"),
    };
    let frame = frame.and_then(|frame| frame.validate().map(|()| frame));
    frame.map_err(|invalid| DecodeError::Invalid { invalid, at })
}

/// Fields with several entries: number, most entries, name.
fn repeated(message: &str) -> &'static [(u32, usize, &'static str)] {
    match message {
        "Hello" => &[(1, MAX_VERSIONS, "Hello.versions"), (2, MAX_FEATURES, "Hello.features")],
        "Welcome" => &[(2, MAX_FEATURES, "Welcome.features")],
        "AddPath" => &[(3, MAX_ADDRESSES, "AddPath.addresses")],
        "Orders" => &[(5, MAX_ORDERS, "Orders.orders")],
        "StreamProgress" => &[(4, MAX_HELD, "StreamProgress.held")],
        "MappingQuery" => &[(2, MAX_QUERIED, "MappingQuery.carriers")],
        "MappingSnapshot" => &[(2, MAX_MAPPINGS, "MappingSnapshot.mappings")],
        _ => &[],
    }
}

/// Decodes one generated message. Entries are counted first: each takes a byte or two on the wire and up to a hundred in
/// memory.
pub(super) fn message<M: Message + Default>(
    shape: &Shape,
    body: Bytes,
    at: u64,
) -> Result<M, DecodeError> {
    let name = shape.name;
    whole(shape::check(shape, &body, at))?;
    for &(number, limit, field) in repeated(name) {
        let size = whole(count(shape, &body, at, number))?;
        if size > limit {
            let problem = Problem::TooLong { size: size as u64, limit: limit as u64 };
            return Err(DecodeError::Invalid { invalid: InvalidField { field, problem }, at });
        }
    }
    M::decode(body).map_err(|error| {
        let cause = error.to_string();
        let cause = cause.strip_prefix("failed to decode Protobuf message: ").unwrap_or(&cause);
        DecodeError::Malformed { message: name, cause: cause.into(), at }
    })
}

/// How many entries a message has in one field.
fn count(shape: &Shape, body: &[u8], at: u64, number: u32) -> Result<usize, Stop> {
    let numbers = |number: u32| {
        let mut fields = shape.fields.iter();
        fields.any(|field| field.number == number && matches!(field.holds, Holds::Numbers))
    };
    let mut reader = Reader::new(body, at, Extent::Whole, Form::Any);
    let mut count = 0;
    while !reader.is_empty() {
        let tag = reader.tag(shape.name)?;
        if tag.number == number && tag.wire_type == LENGTH_DELIMITED && numbers(number) {
            // One after the other in one field: each ends with a byte below 0x80.
            let packed = reader.delimited(shape.name)?;
            count += packed.iter().filter(|byte| **byte < 0x80).count();
        } else {
            count += usize::from(tag.number == number);
            reader.skip(tag, shape.name)?;
        }
    }
    Ok(count)
}
