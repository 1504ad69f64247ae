//! Who has a session, or is about to.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use kwik_io::prefix::Prefix;

/// The connections of a server from the end of their handshake on, in all and by network.
#[derive(Debug)]
pub(crate) struct Census {
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    most: usize,
    most_of_prefix: usize,
    all: usize,
    by_prefix: BTreeMap<Prefix, usize>,
}

/// A place among the sessions of a server; free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Resident {
    census: Arc<Census>,
    prefix: Prefix,
}

impl Census {
    pub(crate) fn new(most: u32, most_of_prefix: u32) -> Arc<Self> {
        let census = Self { counts: Mutex::default() };
        census.set_limits(most, most_of_prefix);
        Arc::new(census)
    }

    /// From now on so many. Who has a place keeps it.
    pub(crate) fn set_limits(&self, most: u32, most_of_prefix: u32) {
        let of = |number| usize::try_from(number).unwrap_or(usize::MAX);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        (counts.most, counts.most_of_prefix) = (of(most), of(most_of_prefix));
    }

    /// A place for a client at that address; `None`: there is none.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Resident> {
        let prefix = Prefix::of(address);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let of_prefix = counts.by_prefix.get(&prefix).copied().unwrap_or_default();
        if counts.all >= counts.most || of_prefix >= counts.most_of_prefix {
            return None;
        }
        counts.all += 1;
        *counts.by_prefix.entry(prefix).or_default() += 1;
        Some(Resident { census: self.clone(), prefix })
    }
}

impl Drop for Resident {
    fn drop(&mut self) {
        let mut counts = self.census.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.all -= 1;
        if let Some(count) = counts.by_prefix.get_mut(&self.prefix) {
            *count -= 1;
            if *count == 0 {
                counts.by_prefix.remove(&self.prefix);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn a_place_is_free_again_when_its_session_is_over() {
        let census = Census::new(3, 2);
        let first = census.enter(address(1)).expect("there is room");
        let _second = census.enter(address(1)).expect("there is room");
        assert!(census.enter(address(1)).is_none(), "two of one network");
        let _third = census.enter(address(2)).expect("another network has room");
        assert!(census.enter(address(3)).is_none(), "three in all");
        drop(first);
        assert!(census.enter(address(3)).is_some());
        assert_eq!(census.counts.lock().map(|counts| counts.by_prefix.len()).ok(), Some(2));
    }

    #[test]
    fn a_lower_limit_takes_nobody_out_and_a_higher_one_lets_in() {
        let census = Census::new(2, 2);
        let held = [census.enter(address(1)), census.enter(address(2))];
        census.set_limits(1, 1);
        assert!(held.iter().all(Option::is_some));
        assert!(census.enter(address(3)).is_none());
        census.set_limits(3, 1);
        assert!(census.enter(address(1)).is_none(), "one of one network");
        assert!(census.enter(address(3)).is_some());
    }
}
