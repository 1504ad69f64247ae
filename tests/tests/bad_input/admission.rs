//! Tokens and pins that are wrong.

use super::*;

/// A token for `server` that is as it should be.
fn claims(server: Pin, owner: &ConfirmationKey) -> Claims {
    let now = Env::system().wall();
    Claims {
        session: SessionId([9; 16]),
        path: PathId::new(1),
        epoch: Epoch::FIRST,
        audience: ServerIdentity::Pin(server.0),
        not_before: now,
        expires: WallTime(now.0 + 60),
        confirmation_key: owner.public(),
        token_id: TokenId(Env::system().random()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_are_not_the_clients_own_admit_nobody() {
    let (key, public) = identity();
    let (other_key, _) = identity();
    let mut edge = SecondaryServer::start(&public);
    let address = edge.acceptor.local_addr();
    let ServerIdentity::Pin(pin) = edge.spec().identity else { panic!("it has a pin") };
    let env = Env::system();
    let (owner, thief) = (ConfirmationKey::generate(&env), ConfirmationKey::generate(&env));
    let good = claims(Pin(pin), &owner);
    let past = WallTime(good.not_before.0 - 1000);
    let expired = Claims { not_before: past, expires: WallTime(past.0 + 60), ..good.clone() };
    let ahead = WallTime(good.not_before.0 + 1000);
    let early = Claims { not_before: ahead, expires: WallTime(ahead.0 + 60), ..good.clone() };
    let eternal = Claims { expires: WallTime(good.expires.0 + 100_000), ..good.clone() };
    let foreign = Claims { audience: ServerIdentity::Pin([3; 32]), ..good.clone() };
    let by_name = Claims { audience: ServerIdentity::Name("localhost".into()), ..good.clone() };
    let sign = |key: &IdentityKey, claims: &Claims| token::sign(key, claims).unwrap();
    let mut tampered = sign(&key, &good);
    let middle = tampered.len() / 2;
    let swapped = if tampered.as_bytes()[middle] == b'A' { "B" } else { "A" };
    tampered.replace_range(middle..=middle, swapped);
    let cases = [
        ("forged", sign(&other_key, &good), &owner, ErrorCode::TokenInvalid),
        ("tampered", tampered, &owner, ErrorCode::TokenInvalid),
        ("expired", sign(&key, &expired), &owner, ErrorCode::TokenExpired),
        ("not valid yet", sign(&key, &early), &owner, ErrorCode::TokenExpired),
        ("too long a life", sign(&key, &eternal), &owner, ErrorCode::TokenInvalid),
        ("another server's", sign(&key, &foreign), &owner, ErrorCode::TokenAudience),
        ("another name's", sign(&key, &by_name), &owner, ErrorCode::TokenAudience),
        ("stolen", sign(&key, &good), &thief, ErrorCode::TokenProof),
    ];
    let (mut expected, good_token) = (std::collections::BTreeMap::new(), sign(&key, &good));
    for (what, token, prover, code) in cases {
        let mut client = bare::connect(address, Pin(pin)).await;
        let proof = prover.prove(&token, &client.exporter);
        let admission = Some(Admission { token: token.into(), proof });
        client.send(ControlFrame::Hello(Hello { admission, ..bare::hello() }));
        assert_eq!(client.refusal().await, code, "{what}");
        *expected.entry(code).or_default() += 1;
    }
    // No token at all: a Hello whose admission has another field instead.
    let mut silent = bare::dial(address, Pin(pin)).await.connection;
    let mut control = silent.open_bidirectional_stream().await.unwrap();
    let admission = Some(Admission { token: "x".into(), proof: [1; 64] });
    let mut encoded = bytes::BytesMut::new();
    ControlFrame::Hello(Hello { admission, ..bare::hello() }).encode(&mut encoded);
    let token = encoded.windows(3).position(|field| field == [1 << 3 | 2, 1, b'x']).unwrap();
    encoded[token] = 15 << 3 | 2;
    control.send(encoded.freeze()).await.unwrap();
    let (mut reader, _sender, _writer) = kwik_io::control::split(control);
    let code = match reader.recv().await {
        Ok(Some(ControlFrame::Refuse(refuse))) => refuse.code,
        Err(kwik_io::control::ControlError::Stream(error)) => bare::closing_code(error),
        other => panic!("expected a refusal, not {other:?}"),
    };
    assert_eq!(code, ErrorCode::TokenMissing);
    expected.insert(ErrorCode::TokenMissing, 1);
    assert_eq!(edge.acceptor.metrics().refused, expected);
    assert_eq!(edge.acceptor.metrics().secondary_sessions, 0);
    // The good one admits its owner, once; a copy with the very same proof comes too late and from elsewhere.
    for (what, code) in [("good", None), ("used before", Some(ErrorCode::TokenReplayed))] {
        let mut client = bare::connect(address, Pin(pin)).await;
        let proof = owner.prove(&good_token, &client.exporter);
        let admission = Some(Admission { token: good_token.clone().into(), proof });
        client.send(ControlFrame::Hello(Hello { admission, ..bare::hello() }));
        match code {
            Some(code) => assert_eq!(client.refusal().await, code, "{what}"),
            None => {
                assert!(matches!(client.next().await, ControlFrame::Welcome(_)), "{what}");
                edge.acceptor.accept().await.unwrap();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secondary_serves_no_client_without_a_token() {
    let (_, public) = identity();
    let edge = SecondaryServer::start(&public);
    let ServerIdentity::Pin(pin) = edge.spec().identity else { panic!("it has a pin") };
    // A Hello without admission asks for a session in which the server is primary, and nobody accepts those here.
    let mut client = bare::connect(edge.acceptor.local_addr(), Pin(pin)).await;
    client.send(ControlFrame::Hello(bare::hello()));
    assert_eq!(client.refusal().await, ErrorCode::RoleRefused);
    let metrics = edge.acceptor.metrics();
    assert_eq!((metrics.primary_sessions, metrics.secondary_sessions), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_with_another_pin_is_not_connected_to() {
    let mut rig = Rig::new().await;
    let client = Client::builder().with_tls(Pin([5; 32])).unwrap().start().unwrap();
    let error = client.connect(Connect::new(rig.server.local_addr())).await.unwrap_err();
    let ConnectError::Dial(error) = error else { panic!("{error}") };
    assert!(matches!(error, kwik_io::endpoint::DialError::Identity { .. }), "{error}");
    works(&mut rig).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secondary_with_another_pin_gets_no_payload() {
    let mut rig = Rig::new().await;
    let edge = SecondaryServer::start(&rig.key);
    let wrong = PathSpec { identity: ServerIdentity::Pin([5; 32]), ..edge.spec() };
    let path = rig.primary.handle().add_path(wrong).await.unwrap();
    loop {
        if let Event::PathDown(down, code, detail) = rig.primary.next_event().await.unwrap() {
            assert_eq!((down, code), (path, Some(ErrorCode::IdentityMismatch)), "{detail}");
            break;
        }
    }
    let metrics = rig.session.metrics().await.unwrap();
    assert_eq!((metrics.paths[1].state, metrics.paths[1].bytes), ("gone", 0));
    let fault = metrics.faults[0];
    assert_eq!(
        (fault.address, fault.code),
        (metrics.paths[1].address, ErrorCode::IdentityMismatch)
    );
    let seen = edge.acceptor.metrics();
    assert_eq!((seen.secondary_sessions, seen.primary_sessions), (0, 0));
    works(&mut rig).await;
}
