#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::*;

fn at(ms: u64) -> Instant {
    Instant::from_start(Duration::from_millis(ms))
}

fn address(host: u8, port: u16) -> SocketAddr {
    ([203, 0, 113, host], port).into()
}

const PRIMARY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 1));
const PAUSE: u64 = 60_000;

/// A dial that fails after the longest time that silence is waited for.
fn fail(dials: &mut Dials, address: SocketAddr, now: u64) {
    assert_eq!(dials.begin(address, PRIMARY, at(now)), Verdict::Unknown);
    dials.handle_ended(address, Outcome::Failed, at(now + 2_500));
}

#[test]
fn an_address_that_does_not_answer_is_dialled_once_a_minute() {
    let mut dials = Dials::default();
    let victim = address(9, 4433);
    let mut begun = Vec::new();
    for ms in (0..200_000).step_by(100) {
        if dials.begin(victim, PRIMARY, at(ms)) == Verdict::Unknown {
            begun.push(ms);
            dials.handle_ended(victim, Outcome::Failed, at(ms + 2_500));
        }
    }
    assert_eq!(begun, [0, 62_500, 125_000, 187_500]);
    let next = dials.begin(victim, PRIMARY, at(190_000));
    assert_eq!(next, Verdict::Later(Duration::from_millis(PAUSE)));
}

#[test]
fn a_second_dial_waits_for_the_first_and_goes_by_its_outcome() {
    let (mut dials, server) = (Dials::default(), address(9, 4433));
    assert_eq!(dials.begin(server, PRIMARY, at(0)), Verdict::Unknown);
    assert_eq!(dials.begin(server, PRIMARY, at(10)), Verdict::Wait);
    dials.handle_ended(server, Outcome::Answered, at(20));
    for ms in 20..60 {
        assert_eq!(dials.begin(server, PRIMARY, at(ms)), Verdict::Known);
    }
}

#[test]
fn a_server_that_has_answered_is_dialled_as_often_as_its_path_says() {
    let (mut dials, server) = (Dials::default(), address(9, 4433));
    assert_eq!(dials.begin(server, PRIMARY, at(0)), Verdict::Unknown);
    dials.handle_ended(server, Outcome::Answered, at(20));
    for ms in (1_000..500_000).step_by(500) {
        assert_eq!(dials.begin(server, PRIMARY, at(ms)), Verdict::Known);
        dials.handle_ended(server, Outcome::Failed, at(ms + 100));
    }
}

#[test]
fn the_ports_of_a_host_are_no_way_around_the_limit() {
    let mut dials = Dials::default();
    for port in 1_000..1_004 {
        fail(&mut dials, address(9, port), 0);
    }
    for port in 1_004..2_000 {
        let refused = dials.begin(address(9, port), PRIMARY, at(2_500));
        assert_eq!(refused, Verdict::Later(Duration::from_millis(PAUSE)));
    }
    fail(&mut dials, address(10, 1_000), 2_500);
    fail(&mut dials, address(9, 1_004), 62_500);
}

#[test]
fn the_interface_identifiers_of_a_host_are_no_way_around_the_limit() {
    let mut dials = Dials::default();
    let address = |prefix: u16, interface: u16| {
        SocketAddr::from(([0x2001, 0xdb8, 0, prefix, interface, 0, 0, interface], 4433))
    };
    for interface in [0, 1, 77, 0xffff] {
        fail(&mut dials, address(1, interface), 0);
    }
    for interface in 100..1_000 {
        let refused = dials.begin(address(1, interface), PRIMARY, at(2_500));
        assert_eq!(refused, Verdict::Later(Duration::from_millis(PAUSE)));
    }
    fail(&mut dials, address(2, 0), 2_500);
    // The primary's own.
    let primary = address(1, 5).ip();
    assert_eq!(dials.begin(address(1, 100), primary, at(2_500)), Verdict::Unknown);
}

#[test]
fn the_fifth_server_of_a_host_waits_for_the_first_to_answer() {
    let mut dials = Dials::default();
    for port in 1_000..1_004 {
        assert_eq!(dials.begin(address(9, port), PRIMARY, at(0)), Verdict::Unknown);
    }
    assert_eq!(dials.begin(address(9, 1_004), PRIMARY, at(1)), Verdict::Wait);
    dials.handle_ended(address(9, 1_002), Outcome::Answered, at(50));
    for port in 1_004..1_020 {
        assert_eq!(dials.begin(address(9, port), PRIMARY, at(51)), Verdict::Unknown);
    }
}

#[test]
fn the_primarys_own_host_may_have_any_number_of_servers() {
    let mut dials = Dials::default();
    for port in 1_000..1_100 {
        assert_eq!(dials.begin((PRIMARY, port).into(), PRIMARY, at(0)), Verdict::Unknown);
    }
    assert_eq!(dials.begin((PRIMARY, 1_000).into(), PRIMARY, at(0)), Verdict::Wait);
}

#[test]
fn an_address_in_ipv6_clothes_is_the_same_address() {
    let mut dials = Dials::default();
    fail(&mut dials, address(9, 4433), 0);
    let mapped: SocketAddr = "[::ffff:203.0.113.9]:4433".parse().unwrap();
    assert!(matches!(dials.begin(mapped, PRIMARY, at(2_500)), Verdict::Later(_)));
}

#[test]
fn the_table_is_bounded_and_servers_that_answered_make_room() {
    let mut dials = Dials::default();
    let nth = |n: usize| SocketAddr::from((PRIMARY, u16::try_from(1_000 + n).unwrap()));
    for n in 0..Dials::MOST_ADDRESSES {
        assert_eq!(dials.begin(nth(n), PRIMARY, at(0)), Verdict::Unknown);
    }
    let further = nth(Dials::MOST_ADDRESSES);
    assert_eq!(dials.begin(further, PRIMARY, at(1)), Verdict::Later(Dials::PAUSE));
    dials.handle_ended(nth(3), Outcome::Answered, at(2));
    assert_eq!(dials.begin(further, PRIMARY, at(3)), Verdict::Unknown);
    assert_eq!(dials.entries.len(), Dials::MOST_ADDRESSES);
}
