//! Orders that are not the primary's, or that ask for more than there is.

use kwik_client::ErrorCode;
use kwik_io::sign::sign_orders;
use kwik_proto::frame::{ControlFrame, Order, Relay, Revoke, SignedOrders};
use kwik_proto::{DelegationId, Epoch, PathId, SessionId};
use kwik_tests::bare::{Message, Verdict};
use kwik_tests::identity;

use super::{Secondary, delegation, grant};
use crate::attack::Outcome::{Closed, Ignored, Throttled};
use crate::attack::{attacks, scaled};
use crate::wire::{LAST, at, id, range};

/// A piece of a message from the primary.
fn relay(message_id: u64, message_size: u32, piece_offset: u32, length: usize) -> Order {
    let (path, piece) = (PathId::new(1), vec![1; length].into());
    Order::Relay(Relay { path, message_id, message_size, piece_offset, piece })
}

attacks! { ATTACKS on Secondary;
    orders_of_another_primary => Closed(ErrorCode::OrderInvalid), |arena| {
        let mut attached = arena.attach().await;
        attached.order(&identity().0, vec![grant(3)]).await;
        attached.peer.verdict().await
    }

    orders_that_were_changed => Closed(ErrorCode::OrderInvalid), |arena| {
        let mut attached = arena.attach().await;
        let orders = attached.orders(vec![grant(3)]);
        let mut signed = sign_orders(&arena.key, orders.encode());
        let mut body = signed.body.to_vec();
        *body.last_mut().unwrap() ^= 1;
        signed.body = body.into();
        attached.peer.send(ControlFrame::Orders(signed)).await;
        attached.peer.verdict().await
    }

    orders_twice => Closed(ErrorCode::OrderInvalid), |arena| {
        let mut attached = arena.attach().await;
        let orders = attached.orders(vec![grant(3)]);
        attached.send(&arena.key, &orders).await;
        attached.send(&arena.key, &orders).await;
        attached.peer.verdict().await
    }

    /// Orders of one session, shown in another.
    orders_of_another_session => Closed(ErrorCode::OrderInvalid), |arena| {
        let mut attached = arena.attach().await;
        let mut orders = attached.orders(vec![grant(3)]);
        orders.session = SessionId([8; 16]);
        attached.send(&arena.key, &orders).await;
        attached.peer.verdict().await
    }

    orders_of_another_path => Closed(ErrorCode::OrderInvalid), |arena| {
        let mut attached = arena.attach().await;
        let mut orders = attached.orders(vec![grant(3)]);
        orders.path = PathId::new(2);
        attached.send(&arena.key, &orders).await;
        attached.peer.verdict().await
    }

    orders_of_another_epoch => Closed(ErrorCode::OrderInvalid), |arena| {
        let mut attached = arena.attach().await;
        let mut orders = attached.orders(vec![grant(3)]);
        orders.epoch = Epoch(2);
        attached.send(&arena.key, &orders).await;
        attached.peer.verdict().await
    }

    orders_with_a_hole => Closed(ErrorCode::OrderInvalid), |arena| {
        let mut attached = arena.attach().await;
        let mut orders = attached.orders(vec![grant(3)]);
        orders.number = 2;
        attached.send(&arena.key, &orders).await;
        attached.peer.verdict().await
    }

    orders_of_noise => Closed(ErrorCode::OrderInvalid), |arena| {
        let mut attached = arena.attach().await;
        let signed = sign_orders(&arena.key, vec![0xff; 40_000].into());
        attached.peer.send(ControlFrame::Orders(signed)).await;
        attached.peer.verdict().await
    }

    orders_of_a_later_kind => Closed(ErrorCode::OrderInvalid), |arena| {
        let mut attached = arena.attach().await;
        let later = Message::new().message(9, Message::new().varint(1, 1));
        let body = Message::new().bytes(1, &[9; 16]).varint(2, 1).varint(3, 1).varint(4, 1).message(5, later);
        let body = body.delimited();
        // Without the length prefix of one byte.
        let signed = sign_orders(&arena.key, body.slice(1..));
        attached.peer.send(ControlFrame::Orders(signed)).await;
        attached.peer.verdict().await
    }

    orders_without_a_signature => Closed(ErrorCode::FrameEncoding), |arena| {
        let mut attached = arena.attach().await;
        let orders = attached.orders(vec![grant(3)]);
        let frame = Message::new().bytes(1, &orders.encode()).bytes(3, b"k4.pid.x");
        attached.peer.write(Message::frame(10, true, frame)).await;
        attached.peer.verdict().await
    }

    a_key_id_with_escapes => Closed(ErrorCode::OrderInvalid), |arena| {
        let mut attached = arena.attach().await;
        let orders = attached.orders(vec![grant(3)]);
        let key_id = "\x1b]0;owned\x07".repeat(8);
        let signed = SignedOrders { key_id, ..sign_orders(&arena.key, orders.encode()) };
        attached.peer.send(ControlFrame::Orders(signed)).await;
        attached.peer.verdict().await
    }

    /// Delegations.
    a_delegation_of_nothing => Closed(ErrorCode::OrderInvalid), |arena| {
        let mut attached = arena.attach().await;
        attached.order(&arena.key, vec![delegation(1, 3, range(7, 7))]).await;
        attached.peer.verdict().await
    }

    a_delegation_of_what_the_client_sends => Closed(ErrorCode::OrderInvalid), |arena| {
        let mut attached = arena.attach().await;
        attached.order(&arena.key, vec![delegation(1, 2, range(0, 7))]).await;
        attached.peer.verdict().await
    }

    a_delegation_twice => Closed(ErrorCode::OrderInvalid), |arena| {
        let mut attached = arena.attach().await;
        let whole = || delegation(1, 3, range(0, 100 << 20));
        attached.order(&arena.key, vec![whole(), whole()]).await;
        attached.peer.verdict().await
    }

    /// All the bytes that there can be, ordered, and none read.
    a_delegation_of_everything within 64 MiB => Throttled, |arena| {
        let mut attached = arena.attach().await;
        attached.order(&arena.key, vec![delegation(1, 3, range(0, LAST))]).await;
        let carrier = attached.peer.acceptor.accept_receive_stream().await?;
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        assert_eq!(attached.peer.verdict().await, Verdict::Alive);
        drop(carrier);
        Throttled
    }

    /// More than a session may have at a time: the rest is refused.
    /// A session may hold 64 MiB of what it sends, and each of its 1,024 contributions 64 KiB in any case.
    delegations_without_number within 160 MiB => Ignored, |arena| {
        let mut attached = arena.attach().await;
        for batch in 0..scaled(40) {
            let orders = (0..256).map(|it| delegation(batch * 256 + it, 3, range(it, it + (1 << 30))));
            attached.order(&arena.key, orders.collect()).await;
        }
        attached.peer.verdict().await
    }

    delegations_that_are_revoked => Ignored, |arena| {
        let mut attached = arena.attach().await;
        for number in 0..scaled(500) {
            let revoke = Revoke { stream: id(3), delegation: Some(DelegationId(number)) };
            let orders = vec![delegation(number, 3, range(0, 1 << 30)), Order::Revoke(revoke)];
            attached.order(&arena.key, orders).await;
        }
        attached.peer.verdict().await
    }

    revocations_of_what_never_was => Ignored, |arena| {
        let mut attached = arena.attach().await;
        for number in 0..scaled(200) {
            let revoke = |it: u64| {
                let (stream, delegation) = (id(3 + 4 * it), Some(DelegationId(number * 256 + it)));
                Order::Revoke(Revoke { stream, delegation })
            };
            attached.order(&arena.key, (0..256).map(revoke).collect()).await;
        }
        attached.peer.verdict().await
    }

    resources_of_noise => Ignored, |arena| {
        let mut attached = arena.attach().await;
        for number in 0..scaled(200) {
            let Order::Delegation(mut noise) = delegation(number, 3, range(0, 9)) else { unreachable!() };
            noise.resource = vec![0xff; 4096].into();
            attached.order(&arena.key, vec![Order::Delegation(noise)]).await;
        }
        attached.peer.verdict().await
    }

    /// Grants.
    grants_for_many_streams => Ignored, |arena| {
        let mut attached = arena.attach().await;
        for batch in 0..scaled(40) {
            let grants = (0..256).map(|it| grant(3 + 4 * (batch * 256 + it)));
            attached.order(&arena.key, grants.collect()).await;
        }
        attached.peer.verdict().await
    }

    grants_of_single_bytes => Ignored, |arena| {
        let mut attached = arena.attach().await;
        for batch in 0..scaled(40) {
            let byte = |it: u64| {
                let Order::Grant(mut byte) = grant(3) else { unreachable!() };
                byte.start = at(2 * (batch * 256 + it));
                byte.end = Some(at(2 * (batch * 256 + it) + 1));
                Order::Grant(byte)
            };
            attached.order(&arena.key, (0..256).map(byte).collect()).await;
        }
        attached.peer.verdict().await
    }

    /// Messages of the primary that the application never takes.
    messages_beyond_the_credit => Closed(ErrorCode::FlowControl), |arena| {
        let mut attached = arena.attach().await;
        for message in 0..40 {
            let piece = |it: u32| relay(message, 64 << 10, it << 12, 4096);
            for half in [0..8, 8..16] {
                attached.order(&arena.key, half.map(piece).collect()).await;
            }
        }
        attached.peer.verdict().await
    }

    messages_out_of_order => Closed(ErrorCode::ProtocolViolation), |arena| {
        let mut attached = arena.attach().await;
        attached.order(&arena.key, vec![relay(0, 9000, 4096, 4096)]).await;
        attached.peer.verdict().await
    }

    messages_with_a_hole => Closed(ErrorCode::ProtocolViolation), |arena| {
        let mut attached = arena.attach().await;
        attached.order(&arena.key, vec![relay(0, 5, 0, 5), relay(2, 5, 0, 5)]).await;
        attached.peer.verdict().await
    }

    messages_longer_than_they_say => Closed(ErrorCode::OrderInvalid), |arena| {
        let mut attached = arena.attach().await;
        let relay = Message::new().varint(1, 1).varint(3, 5).bytes(5, b"more than five");
        let body = Message::new().bytes(1, &[9; 16]).varint(2, 1).varint(3, 1).varint(4, 1);
        let body = body.message(5, Message::new().message(4, relay)).delimited();
        let signed = sign_orders(&arena.key, body.slice(1..));
        attached.peer.send(ControlFrame::Orders(signed)).await;
        attached.peer.verdict().await
    }

    /// A thousand of them, none of which is read: a session may hold 64 MiB, and 64 KiB for each.
    a_thousand_delegations_unread within 144 MiB => Throttled, |arena| {
        let mut attached = arena.attach().await;
        for batch in 0..8 {
            let orders = (0..128).map(|it| delegation(batch * 128 + it, 3, range(0, 1 << 40)));
            attached.order(&arena.key, orders.collect()).await;
        }
        tokio::time::sleep(std::time::Duration::from_secs(5)).await;
        Throttled
    }
}
