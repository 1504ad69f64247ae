//! Ends of public streams: stops, resets, what is closed, and when a stream gives its place up.

use kwik_proto::frame::{ControlFrame, ErrorCode, StreamClosed, StreamReset, StreamStop};
use kwik_proto::{Offset, StreamId};

use super::{Effect, Half, PublicStreams, StreamAction};
use crate::stream::Failure;

impl PublicStreams {
    /// The peer wants no more of what this end sends. Answered with a reset by the driver's half.
    pub(in crate::session) fn handle_stop(&mut self, frame: StreamStop) -> Result<(), ErrorCode> {
        if self.known_send_half(frame.stream)? {
            self.act(StreamAction::Stopped(frame.stream, frame.error_code));
        }
        Ok(())
    }

    /// The peer is done receiving what this end sends.
    pub(in crate::session) fn handle_closed(
        &mut self,
        frame: StreamClosed,
    ) -> Result<(), ErrorCode> {
        if self.known_send_half(frame.stream)? {
            self.act(StreamAction::PeerDone(frame.stream, frame.complete));
        }
        self.close_send(frame.stream);
        Ok(())
    }

    /// The peer ends what it sends abruptly.
    pub(in crate::session) fn handle_reset(&mut self, frame: StreamReset) -> Result<(), ErrorCode> {
        if frame.stream.initiator() != self.local {
            self.announce(frame.stream, true)?;
        } else if !self.was_opened(frame.stream) {
            return Err(ErrorCode::StreamState);
        }
        let Some(stream) = self.table.get(&frame.stream) else {
            return Ok(());
        };
        match stream.receive {
            Half::Absent => Err(ErrorCode::StreamState),
            Half::Ended | Half::Closed => Ok(()),
            // As for a byte there: an end names no more than what it, and who it ordered to send, may have sent.
            Half::Open if frame.final_size > stream.window => Err(ErrorCode::FlowControl),
            Half::Open => {
                self.act(StreamAction::Reset(frame.stream, frame.error_code, frame.final_size));
                Ok(())
            }
        }
    }

    /// The application wants no more of what the peer sends.
    pub(in crate::session) fn stop(&mut self, id: StreamId, error_code: u64) {
        if self.receives(id) {
            self.tell(ControlFrame::StreamStop(StreamStop { stream: id, error_code }));
        }
    }

    /// The application, or the peer's stop, ended what this end sends. `final_size` is what was sent or delegated at most.
    pub(in crate::session) fn reset(&mut self, id: StreamId, error_code: u64, final_size: Offset) {
        if self.sends(id) {
            self.tell(ControlFrame::StreamReset(StreamReset {
                stream: id,
                error_code,
                final_size,
            }));
            self.end_send(id);
        }
    }

    /// What the peer sends on the stream broke a rule, and nothing can mend it. Whether anybody still wanted it.
    pub(in crate::session) fn break_receive(
        &mut self,
        id: StreamId,
        failure: Failure,
        code: ErrorCode,
    ) -> bool {
        let receives = self.receives(id);
        if receives {
            self.act(StreamAction::Fail(id, failure));
            self.stop(id, code.quic_code());
        }
        receives
    }

    /// The peer refused the carrier on which this end sends: as if it had stopped the stream, which it does not know.
    pub(in crate::session) fn break_send(&mut self, id: StreamId, code: ErrorCode) {
        if self.sends(id) {
            self.act(StreamAction::Stopped(id, code.quic_code()));
        }
    }

    /// The application knows the end of a half that has ended.
    pub(super) fn close_receive(&mut self, id: StreamId, complete: bool) {
        let Some(stream) = self.table.get_mut(&id).filter(|stream| stream.receive == Half::Ended)
        else {
            return;
        };
        stream.receive = Half::Closed;
        self.tell(ControlFrame::StreamClosed(StreamClosed { stream: id, complete }));
        self.settle(id);
    }

    /// Nothing more is sent. The stream keeps its place until the receiver is done with it: before that the receiver counts
    /// it too.
    pub(super) fn end_send(&mut self, id: StreamId) {
        let Some(stream) = self.table.get_mut(&id) else { return };
        if stream.send == Half::Open {
            stream.send = Half::Ended;
            self.linger.remove(id);
            self.unread.remove(id);
            self.effects.push_back(Effect::SendClosed(id));
            self.settle(id);
        }
    }

    fn close_send(&mut self, id: StreamId) {
        self.end_send(id);
        let Some(stream) = self.table.get_mut(&id) else { return };
        if stream.send == Half::Ended {
            stream.send = Half::Closed;
            self.settle(id);
        }
    }

    fn settle(&mut self, id: StreamId) {
        let Some(stream) = self.table.get_mut(&id) else { return };
        let over = stream.is_over();
        if stream.is_settled() && !std::mem::replace(&mut stream.removed, true) {
            self.act(StreamAction::Remove(id));
        }
        if !over {
            return;
        }
        self.table.remove(&id);
        self.unsaid.remove(&id);
        self.numbers.handle_closed(id);
        if id.initiator() == self.local {
            self.act(StreamAction::Available(id.kind()));
        } else {
            self.admit();
        }
    }
}
