#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::*;

fn claims() -> Claims {
    Claims {
        session: SessionId([1; 16]),
        path: PathId::new(1),
        epoch: Epoch::FIRST,
        audience: ServerIdentity::Pin([7; 32]),
        not_before: WallTime(1_000),
        expires: WallTime(1_060),
        confirmation_key: [9; 32],
        token_id: TokenId([2; 16]),
    }
}

fn own() -> Expectation {
    Expectation { pins: vec![[6; 32], [7; 32]], names: vec!["Edge.example".into(), "::1".into()] }
}

fn judged(claims: &Claims, now: u64) -> Result<(), AdmissionError> {
    judge(claims, &own(), WallTime(now))
}

#[test]
fn a_token_counts_from_a_minute_before_to_a_minute_after() {
    assert_eq!(judged(&claims(), 939), Err(AdmissionError::NotYet { seconds: 61 }));
    assert_eq!(judged(&claims(), 940), Ok(()));
    assert_eq!(judged(&claims(), 1_120), Ok(()));
    assert_eq!(judged(&claims(), 1_121), Err(AdmissionError::Expired { seconds: 61 }));
    assert!(judged(&claims(), 0).is_err() && judged(&claims(), u64::MAX).is_err());
}

#[test]
fn a_token_that_lives_longer_than_a_minute_or_backwards_is_invalid() {
    let with = |not_before, expires| Claims {
        not_before: WallTime(not_before),
        expires: WallTime(expires),
        ..claims()
    };
    assert_eq!(judged(&with(1_000, 1_061), 1_000), Err(AdmissionError::Invalid));
    assert_eq!(judged(&with(1_000, 999), 1_000), Err(AdmissionError::Invalid));
    assert_eq!(judged(&with(0, u64::MAX), 1_000), Err(AdmissionError::Invalid));
    assert_eq!(judged(&with(u64::MAX - 1, u64::MAX), u64::MAX), Ok(()));
    assert_eq!(judged(&with(1_000, 1_000), 1_000), Ok(()));
}

#[test]
fn a_token_for_another_server_is_refused() {
    let to = |audience| judged(&Claims { audience, ..claims() }, 1_000);
    let name = |text: &str| ServerIdentity::Name(text.into());
    assert_eq!(to(ServerIdentity::Pin([6; 32])), Ok(()));
    assert_eq!(to(ServerIdentity::Pin([8; 32])), Err(AdmissionError::Audience));
    assert_eq!(to(name("edge.EXAMPLE")), Ok(()));
    assert_eq!(to(name("0:0::1")), Ok(()), "an address has many spellings");
    for other in ["", "example", "edge.example.evil", "127.0.0.1"] {
        assert_eq!(to(name(other)), Err(AdmissionError::Audience), "{other}");
    }
    let nobody = judge(&claims(), &Expectation::default(), WallTime(1_000));
    assert_eq!(nobody, Err(AdmissionError::Audience));
    let nameless = Expectation { names: vec![String::new()], ..Expectation::default() };
    let empty = Claims { audience: name(""), ..claims() };
    assert_eq!(judge(&empty, &nameless, WallTime(1_000)), Err(AdmissionError::Audience));
}

#[test]
fn a_token_for_the_primary_path_or_no_epoch_is_invalid() {
    let primary = Claims { path: PathId::PRIMARY, ..claims() };
    let none = Claims { epoch: Epoch(0), ..claims() };
    assert_eq!(judged(&primary, 1_000), Err(AdmissionError::Invalid));
    assert_eq!(judged(&none, 1_000), Err(AdmissionError::Invalid));
}

#[test]
fn every_refusal_has_its_code() {
    let table = [
        (AdmissionError::Missing, ErrorCode::TokenMissing),
        (AdmissionError::Invalid, ErrorCode::TokenInvalid),
        (AdmissionError::Expired { seconds: 1 }, ErrorCode::TokenExpired),
        (AdmissionError::NotYet { seconds: 1 }, ErrorCode::TokenExpired),
        (AdmissionError::Audience, ErrorCode::TokenAudience),
        (AdmissionError::Proof, ErrorCode::TokenProof),
        (AdmissionError::Replayed, ErrorCode::TokenReplayed),
        (AdmissionError::Busy, ErrorCode::Busy),
    ];
    for (error, code) in table {
        assert_eq!(error.code(), code);
        assert_eq!(error.retry_after().is_some(), error == AdmissionError::Busy);
    }
}

fn token(n: u8) -> TokenId {
    TokenId([n; 16])
}

#[test]
fn a_token_is_used_once_for_as_long_as_it_counts() {
    let mut cache = ReplayCache::new(10);
    let expires = WallTime(1_060);
    assert_eq!(cache.admit(token(1), expires, WallTime(1_000)), Ok(()));
    for now in [1_000, 1_060, 1_120] {
        assert_eq!(judged(&claims(), now), Ok(()));
        let again = cache.admit(token(1), expires, WallTime(now));
        assert_eq!(again, Err(AdmissionError::Replayed), "at {now}");
    }
    assert_eq!(cache.admit(token(2), expires, WallTime(1_000)), Ok(()));
}

#[test]
fn a_full_cache_refuses_and_empties_itself() {
    let mut cache = ReplayCache::new(2);
    cache.admit(token(1), WallTime(1_000), WallTime(1_000)).unwrap();
    cache.admit(token(2), WallTime(1_030), WallTime(1_000)).unwrap();
    let third =
        |cache: &mut ReplayCache, now| cache.admit(token(3), WallTime(1_061), WallTime(now));
    assert_eq!(third(&mut cache, 1_060), Err(AdmissionError::Busy));
    assert_eq!(third(&mut cache, 1_061), Ok(()));
    assert_eq!(cache.len(), 2);
}

#[test]
fn a_clock_that_is_set_back_does_not_bring_a_token_back() {
    let mut cache = ReplayCache::new(10);
    cache.admit(token(1), WallTime(1_000), WallTime(1_000)).unwrap();
    cache.admit(token(2), WallTime(5_000), WallTime(5_000)).unwrap();
    assert_eq!(cache.len(), 1, "the first is forgotten");
    let again = cache.admit(token(1), WallTime(1_000), WallTime(1_000));
    assert!(matches!(again, Err(AdmissionError::Expired { .. })), "{again:?}");
}

proptest::proptest! {
    #[test]
    fn whatever_the_clock_does_no_token_is_taken_twice(
        uses in proptest::collection::vec((0_u8..20, 0_u64..500), 0..200),
    ) {
        let mut cache = ReplayCache::new(8);
        let mut taken = BTreeSet::new();
        for (n, now) in uses {
            let expires = WallTime(u64::from(n) * 20);
            if cache.admit(token(n), expires, WallTime(now)).is_ok() {
                assert!(taken.insert(n), "token {n} twice");
            }
            assert!(cache.len() <= 8);
        }
    }
}
