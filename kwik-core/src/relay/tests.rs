#![allow(clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;

use super::*;

const EDGE: PathId = PathId::new(1);

fn message(size: usize) -> Bytes {
    (0..size).map(|n| n as u8).collect::<Vec<_>>().into()
}

fn piece(message_id: u64, size: u32, offset: u32, length: usize) -> Relay {
    Relay {
        path: EDGE,
        message_id,
        message_size: size,
        piece_offset: offset,
        piece: message(length),
    }
}

fn pieces(outbox: &mut Outbox) -> Vec<Relay> {
    std::iter::from_fn(|| outbox.next_piece(EDGE)).collect()
}

#[test]
fn a_message_is_cut_into_pieces_and_put_together() {
    for size in [1, MAX_PIECE - 1, MAX_PIECE, MAX_PIECE + 1, MAX_MESSAGE] {
        let (mut outbox, mut inbox) = (Outbox::default(), Inbox::default());
        outbox.push(message(size)).unwrap();
        let pieces = pieces(&mut outbox);
        assert_eq!(pieces.len(), size.div_ceil(MAX_PIECE));
        let mut whole = None;
        for piece in pieces {
            assert_eq!(whole, None);
            whole = inbox.handle_piece(piece).unwrap();
        }
        assert_eq!(whole, Some(message(size)));
        assert!(outbox.is_empty());
    }
}

#[test]
fn empty_and_large_messages_come_back() {
    let mut outbox = Outbox::default();
    assert_eq!(outbox.push(Bytes::new()), Err(Bytes::new()));
    assert!(outbox.push(message(MAX_MESSAGE + 1)).is_err());
    assert!(outbox.is_empty());
}

#[test]
fn a_full_queue_gives_the_message_back() {
    let mut outbox = Outbox::default();
    let taken = (0..100).filter(|_| outbox.push(message(MAX_MESSAGE)).is_ok()).count();
    assert_eq!(taken, Outbox::MAX_BYTES / MAX_MESSAGE);
    let mut outbox = Outbox::default();
    let taken = (0..5_000).filter(|_| outbox.push(message(1)).is_ok()).count();
    assert_eq!(taken, Outbox::MAX_QUEUED);
    outbox.next_piece(EDGE).unwrap();
    assert!(outbox.push(message(1)).is_ok());
}

#[test]
fn nothing_goes_beyond_the_credit() {
    let mut outbox = Outbox::default();
    (0..5).for_each(|_| outbox.push(message(MAX_MESSAGE)).unwrap());
    let sent = |pieces: Vec<Relay>| pieces.iter().map(|piece| piece.piece.len()).sum::<usize>();
    assert_eq!(sent(pieces(&mut outbox)) as u64, INITIAL_CREDIT);
    outbox.handle_credit(INITIAL_CREDIT + MAX_MESSAGE as u64 - 1);
    assert_eq!(pieces(&mut outbox), [], "a message goes whole or not at all");
    outbox.handle_credit(0);
    outbox.handle_credit(INITIAL_CREDIT + MAX_MESSAGE as u64);
    assert_eq!(sent(pieces(&mut outbox)), MAX_MESSAGE);
}

#[test]
fn a_sender_beyond_its_credit_is_refused_until_the_application_reads() {
    let (mut outbox, mut inbox) = (Outbox::default(), Inbox::default());
    outbox.handle_credit(u64::MAX);
    (0..5).for_each(|_| outbox.push(message(MAX_MESSAGE)).unwrap());
    let mut refused = None;
    for piece in pieces(&mut outbox) {
        if let Err(error) = inbox.handle_piece(piece.clone()) {
            refused = Some((piece, error));
            break;
        }
    }
    let (piece, error) = refused.unwrap();
    let sent = INITIAL_CREDIT + MAX_MESSAGE as u64;
    assert_eq!(error, RelayError::Credit { sent, allowed: INITIAL_CREDIT });
    assert_eq!(error.code(), ErrorCode::FlowControl);
    assert_eq!(inbox.handle_taken(MAX_MESSAGE), sent);
    assert_eq!(inbox.handle_piece(piece), Ok(None));
}

#[test]
fn taking_more_than_came_gives_no_credit() {
    let mut inbox = Inbox::default();
    assert_eq!(inbox.handle_taken(1_000_000), INITIAL_CREDIT);
}

#[test]
fn pieces_out_of_order_are_refused() {
    let mut inbox = Inbox::default();
    inbox.handle_piece(piece(0, 5_000, 0, 4_096)).unwrap();
    for bad in [piece(0, 5_000, 0, 4_096), piece(0, 5_000, 4_097, 1), piece(1, 10, 0, 10)] {
        let error = inbox.handle_piece(bad).unwrap_err();
        assert!(matches!(error, RelayError::Order { wanted: 0, wanted_offset: 4_096, .. }));
        assert_eq!(error.code(), ErrorCode::ProtocolViolation);
    }
    assert!(inbox.handle_piece(piece(0, 5_000, 4_096, 904)).unwrap().is_some());
    assert!(inbox.handle_piece(piece(0, 5, 0, 5)).is_err(), "a number is used once");
}

#[test]
fn sizes_that_cannot_be_are_refused() {
    let mut inbox = Inbox::default();
    for size in [0, MAX_MESSAGE as u32 + 1, u32::MAX] {
        let error = inbox.handle_piece(piece(0, size, 0, 1)).unwrap_err();
        assert_eq!(error, RelayError::MessageSize { size });
    }
    for (size, length) in [(10, 0), (10, 11), (60_000, MAX_PIECE + 1)] {
        let error = inbox.handle_piece(piece(0, size, 0, length)).unwrap_err();
        assert_eq!(error, RelayError::PieceSize { size: length });
    }
}

#[test]
fn a_message_that_changes_its_size_is_refused() {
    let mut inbox = Inbox::default();
    inbox.handle_piece(piece(0, 5_000, 0, 4_096)).unwrap();
    for size in [4_096, 4_999, 5_001] {
        assert!(inbox.handle_piece(piece(0, size, 4_096, 10)).is_err(), "{size}");
    }
}

#[test]
fn an_application_that_reads_nothing_makes_it_busy() {
    let mut inbox = Inbox::default();
    for id in 0..Inbox::MAX_WAITING as u64 {
        inbox.handle_piece(piece(id, 1, 0, 1)).unwrap();
    }
    let next = Inbox::MAX_WAITING as u64;
    let error = inbox.handle_piece(piece(next, 1, 0, 1)).unwrap_err();
    assert_eq!((error, error.code()), (RelayError::Busy, ErrorCode::Busy));
    inbox.handle_taken(1);
    assert!(inbox.handle_piece(piece(next + 1, 1, 0, 1)).unwrap().is_some());
}

#[test]
fn the_client_passes_on_no_more_than_was_asked_for() {
    let mut toll = Toll::default();
    assert!(toll.pass(0).is_err() && toll.pass(MAX_PIECE + 1).is_err());
    while toll.passed() < INITIAL_CREDIT {
        toll.pass(MAX_PIECE).unwrap();
    }
    assert_eq!(toll.pass(1).unwrap_err().code(), ErrorCode::FlowControl);
    toll.handle_credit(INITIAL_CREDIT + 1);
    toll.handle_credit(0);
    assert!(toll.pass(1).is_ok() && toll.pass(1).is_err());
}

proptest! {
    #[test]
    fn messages_arrive_whole_and_in_order_under_any_credit(
        sizes in prop::collection::vec(1_usize..MAX_MESSAGE, 0..20),
        takes in prop::collection::vec(any::<bool>(), 0..600),
    ) {
        let (mut outbox, mut inbox) = (Outbox::default(), Inbox::default());
        let (mut toll, mut queued, mut got) = (Toll::default(), Vec::new(), Vec::new());
        let mut untaken: u64 = 0;
        for size in sizes {
            if outbox.push(message(size)).is_ok() {
                queued.push(size);
            }
        }
        for take in takes.into_iter().chain(std::iter::repeat_n(true, 800)) {
            if take && untaken > 0 {
                let size = got.len() - untaken as usize;
                let credit = inbox.handle_taken(got[size]);
                outbox.handle_credit(credit);
                toll.handle_credit(credit);
                untaken -= 1;
            } else if let Some(piece) = outbox.next_piece(EDGE) {
                toll.pass(piece.piece.len()).unwrap();
                if let Some(whole) = inbox.handle_piece(piece).unwrap() {
                    got.push(whole.len());
                    untaken += 1;
                }
            }
        }
        prop_assert_eq!(got, queued);
    }

    #[test]
    fn no_piece_panics(
        arrivals in prop::collection::vec((0_u64..3, any::<u32>(), any::<u32>(), 0_usize..5_000), 0..50),
    ) {
        let mut inbox = Inbox::default();
        for (id, size, offset, length) in arrivals {
            drop(inbox.handle_piece(piece(id, size % 70_000, offset % 9_000, length)));
            prop_assert!(inbox.waiting() <= Inbox::MAX_WAITING);
        }
    }
}
