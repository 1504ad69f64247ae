//! Attacks on a primary that are known to get through.

use kwik_proto::frame::{ControlFrame, Ping};
use kwik_tests::bare::{RawPeer, public_frame, public_header};

use super::Primary;
use crate::attack::Outcome::{Closed, Throttled};
use crate::attack::{attacks, scaled};
use crate::wire::{LAST, window};
use kwik_client::ErrorCode;

attacks! { pending ATTACKS on Primary;
    /// A hundred answers, as large as can be, of which nothing is read: their window is endless, QUIC's is not.
    a_hundred_answers_never_read within 96 MiB => Throttled, |arena| {
        let mut peer = RawPeer::client(arena.address, arena.pin).await;
        let mut held = Vec::new();
        for number in 0..100 {
            let stream = 4 * number;
            let request = public_frame(stream, 0, &(1_u64 << 40).to_be_bytes(), true);
            held.extend(peer.request([public_header(stream), request].concat()).await);
            peer.send(window(stream, LAST)).await;
        }
        tokio::time::sleep(std::time::Duration::from_secs(3)).await;
        Throttled
    }

    /// Control frames as fast as they can be written.
    half_a_million_control_frames => Closed(ErrorCode::LimitExceeded), |arena| {
        let mut peer = arena.client().await;
        peer.flood(scaled(500_000), |nonce| ControlFrame::Ping(Ping { nonce })).await;
        peer.verdict().await
    }

    /// A header for a stream that only the primary opens: STREAM-5 has the session closed.
    a_header_of_the_servers_stream => Closed(ErrorCode::StreamState), |arena| {
        let mut peer = arena.client().await;
        let _carrier = peer.carrier(public_header(3)).await;
        peer.verdict().await
    }
}
