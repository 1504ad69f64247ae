//! How long a range is.

use super::*;

#[test]
fn the_smallest_limit_wins_and_the_floor_beats_it() {
    let config = DelegationConfig::default();
    let two = [source(1, 1e6, 0.0, MIB), source(2, 1e6, 0.0, MIB)];
    let table = [
        // (window, remaining, length)
        (64 * MIB, 64 * MIB, MIB),
        (4 * MIB, 64 * MIB, 512 * KIB),
        (64 * MIB, 2 * MIB, 512 * KIB),
        (64 * MIB, 100 * KIB, 64 * KIB),
        (64 * KIB, 64 * MIB, 64 * KIB),
    ];
    for (window, remaining, expected) in table {
        let room = Room { window, remaining };
        assert_eq!(pick::length(&two[0], &two, room, &config), expected, "{room:?}");
    }
}

#[test]
fn what_is_left_is_shared_by_rate() {
    let config = DelegationConfig::default();
    let both = [source(1, 3e6, 0.0, 4 * MIB), source(2, 1e6, 0.0, 4 * MIB)];
    let room = Room { window: 64 * MIB, remaining: 4 * MIB };
    assert_eq!(pick::length(&both[0], &both, room, &config), 3 * MIB / 2);
    assert_eq!(pick::length(&both[1], &both, room, &config), MIB / 2);
}
