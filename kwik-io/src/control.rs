//! The control channel of a path: frames over the first bidirectional stream that the client opens.

mod queue;
mod reader;
mod writer;

pub use queue::PushError;
pub use reader::{ControlError, ControlReader};
pub use writer::{ControlSender, ControlWriter};

use s2n_quic::stream::BidirectionalStream;

/// Splits a control stream into its reader, the end that frames are pushed into, and the task that writes them.
///
/// ```no_run
/// # async fn open(mut connection: s2n_quic::Connection, worker: kwik_io::worker::Worker)
/// # -> Result<(), Box<dyn std::error::Error>> {
/// use kwik_proto::frame::{ControlFrame, Ping};
///
/// let stream = connection.open_bidirectional_stream().await?;
/// let (mut reader, sender, writer) = kwik_io::control::split(stream);
/// worker.spawn(writer.run());
/// sender.push(&ControlFrame::Ping(Ping { nonce: 1 }))?;
/// println!("{:?}", reader.recv().await?);
/// # Ok(())
/// # }
/// ```
pub fn split(stream: BidirectionalStream) -> (ControlReader, ControlSender, ControlWriter) {
    let (receive, send) = stream.split();
    let (sender, writer) = writer::channel(send);
    (ControlReader::new(receive), sender, writer)
}
