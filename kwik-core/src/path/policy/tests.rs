#![allow(clippy::unwrap_used, reason = "a test may panic")]

use kwik_proto::{Epoch, PathId};

use super::*;

fn socket(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn add(addresses: &[&str]) -> AddPath {
    AddPath {
        path: PathId::new(1),
        epoch: Epoch::FIRST,
        addresses: addresses.iter().map(|text| socket(text)).collect(),
        identity: ServerIdentity::Pin([7; 32]),
        token: "v4.public.abc-_DEF123".into(),
    }
}

fn check(primary: &str, addresses: &[&str]) -> Result<Vec<SocketAddr>, PolicyError> {
    PathPolicy::default().check(socket(primary), &add(addresses))
}

const GLOBAL: &str = "198.51.100.1:443";

#[test]
fn each_address_has_its_scope() {
    use Scope::{Global, LinkLocal, Loopback, Private};
    let table: &[(&str, Option<Scope>)] = &[
        ("127.0.0.1", Some(Loopback)),
        ("127.255.255.254", Some(Loopback)),
        ("::1", Some(Loopback)),
        ("169.254.169.254", Some(LinkLocal)),
        ("fe80::1", Some(LinkLocal)),
        ("febf::1", Some(LinkLocal)),
        ("10.0.0.1", Some(Private)),
        ("172.15.255.255", Some(Global)),
        ("172.16.0.1", Some(Private)),
        ("172.31.255.255", Some(Private)),
        ("172.32.0.1", Some(Global)),
        ("192.168.0.1", Some(Private)),
        ("192.169.0.1", Some(Global)),
        ("100.63.255.255", Some(Global)),
        ("100.64.0.1", Some(Private)),
        ("100.127.255.255", Some(Private)),
        ("100.128.0.1", Some(Global)),
        ("192.0.0.8", Some(Private)),
        ("198.18.0.1", Some(Private)),
        ("198.19.255.255", Some(Private)),
        ("198.20.0.1", Some(Global)),
        ("fc00::1", Some(Private)),
        ("fdff::1", Some(Private)),
        ("fec0::1", Some(Private)),
        ("64:ff9b:1::1", Some(Private)),
        ("8.8.8.8", Some(Global)),
        ("2001:db8::1", Some(Global)),
        ("::ffff:127.0.0.1", Some(Loopback)),
        ("::ffff:10.0.0.1", Some(Private)),
        ("::ffff:8.8.8.8", Some(Global)),
        ("::127.0.0.1", Some(Loopback)),
        ("64:ff9b::10.0.0.1", Some(Private)),
        ("64:ff9b::8.8.8.8", Some(Global)),
        ("2002:7f00:1::", Some(Loopback)),
        ("2002:808:808::1", Some(Global)),
        ("0.0.0.0", None),
        ("0.1.2.3", None),
        ("224.0.0.1", None),
        ("239.255.255.255", None),
        ("240.0.0.1", None),
        ("255.255.255.255", None),
        ("::", None),
        ("ff02::1", None),
        ("::ffff:0.0.0.0", None),
        ("::ffff:224.0.0.1", None),
        ("::ffff:255.255.255.255", None),
        ("64:ff9b::224.0.0.1", None),
    ];
    for (text, scope) in table {
        assert_eq!(Scope::of(text.parse().unwrap()), *scope, "{text}");
    }
}

#[test]
fn a_secondary_is_as_far_away_as_the_primary_or_further() {
    let by_scope = ["127.0.0.1:1", "169.254.0.1:1", "10.0.0.1:1", "8.8.8.8:1"];
    for (own, primary) in by_scope.iter().enumerate() {
        for (other, secondary) in by_scope.iter().enumerate() {
            let allowed = check(primary, &[secondary]).is_ok();
            assert_eq!(allowed, other >= own, "primary {primary}, secondary {secondary}");
        }
    }
}

#[test]
fn a_primary_whose_address_cannot_be_told_counts_as_global() {
    assert!(check("0.0.0.0:0", &["10.0.0.1:1"]).is_err());
    assert!(check("0.0.0.0:0", &["8.8.8.8:1"]).is_ok());
}

#[test]
fn narrower_scopes_are_allowed_only_where_the_client_says_so() {
    let policy = PathPolicy::default().with_narrowest(Scope::Private);
    let primary = socket(GLOBAL);
    assert!(policy.check(primary, &add(&["192.168.1.1:1"])).is_ok());
    assert!(policy.check(primary, &add(&["169.254.169.254:80"])).is_err());
    let local = socket("127.0.0.1:1");
    assert!(
        policy.check(local, &add(&["127.0.0.1:2"])).is_ok(),
        "it never narrows what is allowed"
    );
}

#[test]
fn what_is_allowed_comes_in_order_without_repetitions_and_as_ipv4() {
    let offered =
        ["10.0.0.1:1", "[::ffff:8.8.8.8]:443", "[2001:db8::1]:443", "8.8.8.8:443", "8.8.8.8:444"];
    let wanted = ["8.8.8.8:443", "[2001:db8::1]:443", "8.8.8.8:444"].map(socket);
    assert_eq!(check(GLOBAL, &offered).unwrap(), wanted);
}

#[test]
fn the_first_address_says_why_none_is_left() {
    let error = check(GLOBAL, &["8.8.8.8:0", "10.0.0.1:1"]).unwrap_err();
    let reason = AddressFault::PortZero;
    assert_eq!(error, PolicyError::Address { address: socket("8.8.8.8:0"), reason });
    assert_eq!(error.code(), ErrorCode::PathPolicy);
    let nobody = check("127.0.0.1:1", &["224.0.0.1:1"]).unwrap_err();
    assert!(matches!(nobody, PolicyError::Address { reason: AddressFault::NoHost, .. }));
}

#[test]
fn one_to_eight_addresses() {
    assert_eq!(check(GLOBAL, &[]), Err(PolicyError::AddressCount { count: 0 }));
    assert!(check(GLOBAL, &["8.8.8.8:1"; 8]).is_ok());
    let error = check(GLOBAL, &["8.8.8.8:1"; 9]).unwrap_err();
    assert_eq!(error.code(), ErrorCode::ProtocolViolation);
}

#[test]
fn a_name_is_a_dns_name_or_an_ip_literal() {
    let label = "a".repeat(63);
    let longest = format!("{label}.{label}.{label}.{}", "a".repeat(61));
    let valid = [
        "localhost",
        "edge.example",
        "EDGE-1.example",
        "_dns.example",
        "1.example",
        "xn--mnchen-3ya.de",
        "10.0.0.1",
        "::1",
        "2001:db8::1",
        &longest,
    ];
    for name in valid {
        assert!(server_name_is_valid(name), "{name}");
    }
    let too_long = format!("{longest}a");
    let long_label = format!("{label}a.example");
    let invalid = [
        "",
        ".",
        "a..b",
        ".a",
        "a.",
        "-a.example",
        "a-.example",
        "a b",
        "a\0b",
        "a/b",
        "a:443",
        "é.example",
        "[::1]",
        "fe80::1%eth0",
        "256.1.1.1",
        "1.2.3",
        "12",
        "a\n",
        &too_long,
        &long_label,
    ];
    for name in invalid {
        assert!(!server_name_is_valid(name), "{name:?}");
        let bad = AddPath { identity: ServerIdentity::Name(name.into()), ..add(&["8.8.8.8:1"]) };
        assert_eq!(PathPolicy::default().check(socket(GLOBAL), &bad), Err(PolicyError::Name));
    }
}

#[test]
fn a_token_is_short_and_plain() {
    for token in [String::new(), "a b".into(), "a\0".into(), "é".into(), "a".repeat(4097)] {
        let bad = AddPath { token: token.into(), ..add(&["8.8.8.8:1"]) };
        assert_eq!(PathPolicy::default().check(socket(GLOBAL), &bad), Err(PolicyError::Token));
    }
    let longest = AddPath { token: "a".repeat(4096).into(), ..add(&["8.8.8.8:1"]) };
    assert!(PathPolicy::default().check(socket(GLOBAL), &longest).is_ok());
}

#[test]
fn numbers_start_at_one() {
    let good = add(&["8.8.8.8:1"]);
    for bad in
        [AddPath { path: PathId::PRIMARY, ..good.clone() }, AddPath { epoch: Epoch(0), ..good }]
    {
        assert_eq!(PathPolicy::default().check(socket(GLOBAL), &bad), Err(PolicyError::Number));
    }
}

proptest::proptest! {
    #[test]
    fn what_is_allowed_was_offered_and_is_wide_enough(
        primary in proptest::arbitrary::any::<SocketAddr>(),
        addresses in proptest::collection::vec(proptest::arbitrary::any::<SocketAddr>(), 0..10),
        name in ".{0,300}",
    ) {
        let offer = AddPath {
            addresses,
            identity: ServerIdentity::Name(name.clone()),
            ..add(&[])
        };
        let least = Scope::of(primary.ip()).unwrap_or(Scope::Global);
        if let Ok(allowed) = PathPolicy::default().check(primary, &offer) {
            assert!(server_name_is_valid(&name));
            for address in allowed {
                let offered = |known: &SocketAddr| {
                    known.ip().to_canonical() == address.ip() && known.port() == address.port()
                };
                assert!(offer.addresses.iter().any(offered));
                assert!(Scope::of(address.ip()).unwrap() >= least && address.port() > 0);
            }
        }
    }
}
