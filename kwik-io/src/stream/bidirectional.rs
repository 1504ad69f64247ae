//! Both halves of a stream in one handle.

use super::{ReceiveStream, Result, SendStream, SharedReceive, SharedSend};

/// A stream that can be read and written.
///
/// Every call is that of [`ReceiveStream`] or [`SendStream`] with the same name. Dropping it drops both.
///
/// ```no_run
/// # async fn example(stream: kwik_io::stream::BidirectionalStream) -> kwik_io::stream::Result<()> {
/// let (mut receive, mut send) = stream.split();
/// while let Some(chunk) = receive.receive().await? {
///     send.send(chunk).await?;
/// }
/// send.finish()
/// # }
/// ```
#[derive(Debug)]
pub struct BidirectionalStream {
    receive: ReceiveStream,
    send: SendStream,
}

impl BidirectionalStream {
    /// The application's end of both halves of one stream.
    pub fn new(receive: SharedReceive, send: SharedSend) -> Self {
        Self { receive: ReceiveStream::new(receive), send: SendStream::new(send) }
    }

    /// Id of the stream (RFC 9000, 2.1).
    pub fn id(&self) -> u64 {
        self.send.id()
    }

    /// Both halves, each with a life of its own.
    pub fn split(self) -> (ReceiveStream, SendStream) {
        (self.receive, self.send)
    }

    fn readable(&mut self) -> Result<&mut ReceiveStream> {
        Ok(&mut self.receive)
    }

    fn writable(&mut self) -> Result<&mut SendStream> {
        Ok(&mut self.send)
    }
}

crate::receive_api!(BidirectionalStream);
crate::send_api!(BidirectionalStream);
