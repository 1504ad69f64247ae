//! Parts of frames.

use kwik_proto::frame::{ControlFrame, StreamReset, StreamStop, StreamWindow};
use kwik_proto::{ByteRange, Offset, StreamId};

/// The last offset, and the last id.
pub(crate) const LAST: u64 = (1 << 62) - 1;

/// A stream.
pub(crate) fn id(stream: u64) -> StreamId {
    StreamId::from_wire(stream).unwrap()
}

/// An offset.
pub(crate) fn at(offset: u64) -> Offset {
    Offset::new(offset).unwrap()
}

/// A range.
pub(crate) fn range(start: u64, end: u64) -> ByteRange {
    ByteRange::new(at(start), at(end)).unwrap()
}

/// A StreamReset.
pub(crate) fn reset(stream: u64, final_size: u64) -> ControlFrame {
    let (stream, final_size) = (id(stream), at(final_size));
    ControlFrame::StreamReset(StreamReset { stream, error_code: 7, final_size })
}

/// A StreamStop.
pub(crate) fn stop(stream: u64) -> ControlFrame {
    ControlFrame::StreamStop(StreamStop { stream: id(stream), error_code: 7 })
}

/// A StreamWindow.
pub(crate) fn window(stream: u64, max_offset: u64) -> ControlFrame {
    ControlFrame::StreamWindow(StreamWindow { stream: id(stream), max_offset: at(max_offset) })
}
