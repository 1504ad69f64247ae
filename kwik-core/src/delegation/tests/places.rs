//! Where a range lies.

use super::*;

const ONE: PathId = PathId::new(1);

#[test]
fn equals_leave_nothing_to_each_other() {
    let all: Vec<_> = (1..=8).map(|path| source(path, 1e7, 0.05, MIB)).collect();
    let config = DelegationConfig::default();
    assert_eq!(pick::leave_to_others(&all[0], MIB, &all, &config), 0);
}

#[test]
fn a_slow_source_leaves_what_others_do_meanwhile() {
    let config = DelegationConfig::default();
    let all = [source(1, 1e7, 0.0, MIB), source(2, 1e5, 0.0, 64 * KIB)];
    // 64 KiB take it 0.655 s, the other 0.00655 s; a tenth more for what is not known so well.
    let left = pick::leave_to_others(&all[1], 64 * KIB, &all, &config);
    assert!((7_100_000..7_200_000).contains(&left), "{left}");
    let mut off = config;
    off.switches.admission = false;
    assert_eq!(pick::leave_to_others(&all[1], 64 * KIB, &all, &off), 0);
}

/// A first range of 256 KiB would come after the whole window, one of 64 KiB in its last part.
#[test]
fn a_slow_source_has_a_short_range_where_a_long_one_has_no_place() {
    let mut bench = Bench::measured([240 * KIB, 40 * MIB]);
    let slow: Vec<_> = bench.orders().into_iter().filter(|order| order.0 == ONE).collect();
    assert!(slow.iter().all(|order| order.2.len() == 64 * KIB), "{slow:?}");
    assert!(slow.first().is_some_and(|order| order.2.start().value() > 4 * MIB), "{slow:?}");
}

#[test]
fn a_range_lies_behind_what_is_left_to_others() {
    let pool = [range(0, 100), range(200, 1000)];
    let table = [
        // (skip, len, floor, place)
        (0, 50, 1, Some(range(0, 50))),
        (0, 100, 1, Some(range(0, 100))),
        (100, 50, 1, Some(range(200, 250))),
        (150, 50, 100, Some(range(300, 350))),
        (0, 80, 64, Some(range(0, 100))),
        (900, 50, 1, None),
        (850, 200, 1, Some(range(950, 1000))),
        // What is left of a piece is no order of its own: the next one, or nothing.
        (90, 50, 64, Some(range(200, 250))),
        (890, 50, 64, None),
    ];
    for (skip, len, floor, expected) in table {
        let placed = pick::place(pool.into_iter(), skip, len, floor);
        assert_eq!(placed, expected, "skip {skip} len {len} floor {floor}");
    }
    assert_eq!(pick::place([].into_iter(), 0, 1, 1), None);
}

#[test]
fn a_copy_at_the_end_makes_both_end_together() {
    let (me, slow) = (source(1, 1e7, 0.01, MIB), source(2, 1e6, 0.0, MIB));
    // And a few packets more, which the slow one might lose.
    let share = pick::end_game_share(&me.forecast, &slow.forecast, 1_000_000).unwrap() - 16 * KIB;
    let slow_ends = slow.forecast.owed(0, 1_000_000 - share);
    let copy_ends = me.forecast.ordered(share);
    assert!((slow_ends - copy_ends).abs() < 1e-3, "{slow_ends} {copy_ends}");
    assert_eq!(pick::end_game_share(&me.forecast, &slow.forecast, 15_000), None, "not worth it");
}
