//! Tokens and proofs that are not the client's own.

use kwik_client::ErrorCode;
use kwik_core::admission::Claims;
use kwik_core::time::WallTime;
use kwik_io::env::Env;
use kwik_io::sign::ConfirmationKey;
use kwik_io::token;
use kwik_proto::PathId;
use kwik_proto::frame::{ControlFrame, Hello, ServerIdentity};
use kwik_tests::bare::{Message, RawPeer, hello};
use kwik_tests::identity;

use super::Secondary;
use crate::attack::Outcome::{Closed, Ignored};
use crate::attack::{Outcome, attacks, scaled};

/// The verdict on a token whose claims were changed; counted.
async fn changed(
    arena: &mut Secondary,
    code: ErrorCode,
    change: impl FnOnce(&mut Claims),
) -> anyhow::Result<Outcome> {
    let mut claims = arena.claims();
    change(&mut claims);
    let token = token::sign(&arena.key, &claims)?;
    let end = arena.show(&token).await.end().await;
    arena.refused(code, 1).await?;
    Ok(end.into())
}

attacks! { ATTACKS on Secondary;
    a_forged_token => Closed(ErrorCode::TokenInvalid), |arena| {
        let (key, _) = identity();
        let token = token::sign(&key, &arena.claims())?;
        arena.show(&token).await.end().await
    }

    a_token_with_another_letter => Closed(ErrorCode::TokenInvalid), |arena| {
        let mut token = arena.token();
        let middle = token.len() / 2;
        let letter = if token.as_bytes()[middle] == b'A' { "B" } else { "A" };
        token.replace_range(middle..=middle, letter);
        arena.show(&token).await.end().await
    }

    a_token_of_noise => Closed(ErrorCode::TokenInvalid), |arena| {
        arena.show(&"v4.public.".repeat(400)).await.end().await
    }

    a_token_that_has_expired => Closed(ErrorCode::TokenExpired), |arena| {
        changed(arena, ErrorCode::TokenExpired, |claims| {
            claims.not_before.0 -= 1000;
            claims.expires.0 = claims.not_before.0 + 60;
        })
        .await?
    }

    a_token_of_tomorrow => Closed(ErrorCode::TokenExpired), |arena| {
        changed(arena, ErrorCode::TokenExpired, |claims| {
            claims.not_before.0 += 86_400;
            claims.expires.0 = claims.not_before.0 + 60;
        })
        .await?
    }

    a_token_for_ever => Closed(ErrorCode::TokenInvalid), |arena| {
        changed(arena, ErrorCode::TokenInvalid, |claims| claims.expires = WallTime(claims.expires.0 + 1_000_000)).await?
    }

    a_token_that_ends_before_it_begins => Closed(ErrorCode::TokenInvalid), |arena| {
        changed(arena, ErrorCode::TokenInvalid, |claims| claims.expires = WallTime(claims.not_before.0 - 10)).await?
    }

    a_token_for_another_server => Closed(ErrorCode::TokenAudience), |arena| {
        changed(arena, ErrorCode::TokenAudience, |claims| claims.audience = ServerIdentity::Pin([3; 32])).await?
    }

    a_token_for_another_name => Closed(ErrorCode::TokenAudience), |arena| {
        let name = "\x1b[2J.example".to_owned();
        changed(arena, ErrorCode::TokenAudience, |claims| claims.audience = ServerIdentity::Name(name)).await?
    }

    a_token_for_the_primarys_path => Closed(ErrorCode::TokenInvalid), |arena| {
        changed(arena, ErrorCode::TokenInvalid, |claims| claims.path = PathId::PRIMARY).await?
    }

    a_stolen_token => Closed(ErrorCode::TokenProof), |arena| {
        let thief = ConfirmationKey::generate(&Env::system());
        arena.show_as(&arena.token(), &thief).await.end().await
    }

    /// A token, and the very proof that its owner gave on another connection.
    a_replayed_proof => Closed(ErrorCode::TokenProof), |arena| {
        let token = arena.token();
        let first = arena.show(&token).await;
        let proof = arena.owner.prove(&token, &first.exporter);
        let mut peer = RawPeer::silent_client(arena.address, arena.pin).await;
        let admission = Some(kwik_proto::frame::Admission { token: token.into(), proof });
        peer.send(ControlFrame::Hello(Hello { admission, ..hello() })).await;
        peer.end().await
    }

    a_token_shown_again_and_again => Closed(ErrorCode::TokenReplayed), |arena| {
        let token = arena.token();
        let first = arena.show(&token).await;
        first.next(|frame| matches!(frame, ControlFrame::Welcome(_)).then_some(())).await;
        let mut end = None;
        for _ in 0..scaled(50) {
            end = Some(arena.show(&token).await.end().await);
        }
        arena.refused(ErrorCode::TokenReplayed, scaled(50)).await?;
        end.unwrap()
    }

    no_token => Closed(ErrorCode::TokenMissing), |arena| {
        let limits = Message::new().varint(1, 9).varint(2, 9).varint(3, 64 << 10);
        let admission = Message::new().bytes(2, &[1; 64]);
        let hello = Message::new().bytes(1, &[1]).message(3, limits).message(5, admission);
        let mut peer = RawPeer::silent_client(arena.address, arena.pin).await;
        peer.write(Message::frame(2, true, hello)).await;
        peer.end().await
    }

    a_token_of_60_kilobytes => Closed(ErrorCode::FrameEncoding), |arena| {
        let limits = Message::new().varint(1, 9).varint(2, 9).varint(3, 64 << 10);
        let admission = Message::new().bytes(1, &[b'v'; 60_000]).bytes(2, &[1; 64]);
        let hello = Message::new().bytes(1, &[1]).message(3, limits).message(5, admission);
        let mut peer = RawPeer::silent_client(arena.address, arena.pin).await;
        peer.write(Message::frame(2, true, hello)).await;
        peer.end().await
    }

    a_session_of_its_own => Closed(ErrorCode::RoleRefused), |arena| {
        // A Hello without admission asks for a session in which the server is primary. Its application accepts none, and has
        // said so.
        let mut peer = RawPeer::silent_client(arena.address, arena.pin).await;
        peer.send(ControlFrame::Hello(hello())).await;
        peer.end().await
    }

    /// Good tokens, one for each of many connections that do nothing.
    many_good_tokens => Ignored, |arena| {
        let mut held = Vec::new();
        for _ in 0..scaled(50) {
            held.push(arena.attach().await);
        }
        held[0].peer.verdict().await
    }
}
