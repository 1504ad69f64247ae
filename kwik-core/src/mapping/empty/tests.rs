use super::*;

fn at(ms: u64) -> Instant {
    Instant::from_start(Duration::from_millis(ms))
}

/// Empty carriers that pass before the first that does not.
fn taken(empty: &mut EmptyCarriers, now: Instant) -> u32 {
    let within = |_: &u32| empty.handle_ended(Yield::Empty, now) == Verdict::Within;
    u32::try_from((0..100_000).take_while(within).count()).unwrap_or(u32::MAX)
}

#[test]
fn a_flood_of_empty_carriers_is_noticed() {
    let mut empty = EmptyCarriers::default();
    assert_eq!(taken(&mut empty, at(5)), EmptyCarriers::BURST);
    assert_eq!(empty.handle_ended(Yield::Empty, at(5)), Verdict::Exceeded);
}

#[test]
fn one_per_interval_passes_for_ever() {
    let mut empty = EmptyCarriers::default();
    for carrier in 0..100_000 {
        assert_eq!(empty.handle_ended(Yield::Empty, at(10 * carrier)), Verdict::Within);
    }
    assert_eq!(taken(&mut empty, at(10_000_000)), EmptyCarriers::BURST);
}

#[test]
fn a_peer_of_which_every_second_carrier_delivers_is_never_cut_off() {
    let mut empty = EmptyCarriers::default();
    for _ in 0..100_000 {
        assert_eq!(empty.handle_ended(Yield::Empty, at(1)), Verdict::Within);
        assert_eq!(empty.handle_ended(Yield::Delivered, at(1)), Verdict::Within);
    }
}

#[test]
fn carriers_that_deliver_save_up_nothing() {
    let mut empty = EmptyCarriers::default();
    for _ in 0..100_000 {
        assert_eq!(empty.handle_ended(Yield::Delivered, at(1)), Verdict::Within);
    }
    assert_eq!(taken(&mut empty, at(1)), EmptyCarriers::BURST);
}
