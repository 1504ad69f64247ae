#![allow(clippy::unwrap_used)]

use super::*;

fn name(target: &str, server_name: Option<&str>) -> Result<String, DialError> {
    let dial = Dial::new(target.parse().unwrap(), server_name, Duration::ZERO)?;
    Ok(dial.name)
}

#[test]
fn without_a_name_the_address_is_the_name() {
    assert_eq!(name("192.0.2.1:443", None).unwrap(), "192.0.2.1");
    assert_eq!(name("[2001:db8::1]:443", None).unwrap(), "2001:db8::1");
    assert_eq!(name("[fe80::1%7]:443", None).unwrap(), "fe80::1");
}

#[test]
fn a_good_name_is_taken() {
    for good in ["origin.example", "localhost", "a-b.c", "192.0.2.7", "::1"] {
        assert_eq!(name("192.0.2.1:443", Some(good)).unwrap(), good);
    }
}

#[test]
fn a_name_that_would_end_the_endpoint_never_reaches_it() {
    let long = "a".repeat(300);
    for bad in ["", " ", "a b", "-", "a..b", "nö.example", "a\0b", "[::1]", "1.2.3.4:5", &long] {
        let result = name("192.0.2.1:443", Some(bad));
        assert!(matches!(result, Err(DialError::ServerName(_))), "{bad:?} {result:?}");
    }
}

#[test]
fn port_0_is_nobodys() {
    assert!(matches!(name("192.0.2.1:0", None), Err(DialError::Address(_))));
}
