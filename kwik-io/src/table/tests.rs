//! What an end means for the streams' handles.
#![allow(clippy::unwrap_used)]

use kwik_core::stream::{ReceiveConfig, SendConfig};
use kwik_proto::{Offset, PathId};

use super::*;
use crate::stream::Error;

fn opened(wire: u64) -> (StreamTable, StreamId, Incomings) {
    let (mut table, incomings) =
        StreamTable::new(Env::system(), ServiceList::default(), Ending::default());
    let id = StreamId::from_wire(wire).unwrap();
    let (receive, send) = (Some(ReceiveConfig::default()), Some(SendConfig::default()));
    table.apply(StreamAction::Open { id, receive, send });
    (table, id, incomings)
}

#[tokio::test]
async fn a_reset_that_contradicts_what_came_ends_the_stream_all_the_same() {
    let (mut table, id, _incomings) = opened(0);
    let receive = table.receive(id).unwrap().clone();
    receive.update(|half| {
        let source = half.add_source(PathId::PRIMARY, None);
        half.handle_fin(source, Offset::new(10).unwrap()).unwrap();
    });
    table.apply(StreamAction::Reset(id, 7, Offset::new(20).unwrap()));
    let error = table.halves(id).unwrap().receive_stream().receive().await.unwrap_err();
    assert!(matches!(error, Error::StreamReset { .. }), "{error:?}");
}

#[tokio::test]
async fn orphaned_streams_fail_with_the_connections_error_when_their_time_has_come() {
    let (mut table, id, _incomings) = opened(0);
    let error = connection::Error::IdleTimerExpired;
    table.orphan(error);
    let halves = table.halves(id).unwrap().clone();
    let sent = halves.send_stream().send("x".into()).await;
    assert_eq!(sent, Err(error.into()), "nobody takes it");
    assert!(!halves.receive.as_ref().unwrap().inspect(|half| half.is_finished()));
    table.apply(StreamAction::Fail(id, Failure::SessionEnded));
    assert_eq!(halves.receive_stream().receive().await, Err(error.into()));
}

#[tokio::test]
async fn a_writer_hears_that_the_receiver_gave_the_stream_up() {
    let (mut table, id, _incomings) = opened(0);
    let mut writer = table.halves(id).unwrap().send_stream();
    writer.send("x".into()).await.unwrap();
    table.apply(StreamAction::PeerDone(id, false));
    let given_up = Error::stream_reset(crate::stream::application::Error::UNKNOWN);
    assert_eq!(writer.close().await, Err(given_up));
}
