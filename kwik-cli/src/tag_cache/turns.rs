//! Which file is hashed next: clients take turns, and so do the files of each.

use std::collections::{HashMap, VecDeque};

use super::{Client, MAX_RUNNING};
use crate::root::FileKey;

/// Files that wait for their turn, as many as there are jobs.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// Those that came, or had a turn, longest ago are in front.
    queue: VecDeque<(Client, FileKey)>,
    /// When each client had its last turn.
    last: HashMap<Client, u64>,
    now: u64,
}

impl Turns {
    pub(super) fn push(&mut self, client: Client, key: FileKey) {
        self.queue.push_back((client, key));
    }

    /// Takes the next of those that `may` have a turn: of the client that had none for the longest time.
    pub(super) fn take(&mut self, may: impl Fn(&FileKey) -> bool) -> Option<FileKey> {
        let last = |client: &Client| self.last.get(client).copied().unwrap_or_default();
        let candidates = self.queue.iter().enumerate().filter(|(_, (_, key))| may(key));
        let (at, _) = candidates.min_by_key(|(at, (client, _))| (last(client), *at))?;
        let (client, key) = self.queue.remove(at)?;
        self.now += 1;
        if self.last.len() >= 2 * MAX_RUNNING {
            let Self { queue, last, .. } = self;
            last.retain(|client, _| queue.iter().any(|(waits, _)| waits == client));
        }
        self.last.insert(client, self.now);
        Some(key)
    }

    /// Takes out those of the files that are `idle` which came before the last `most` of them.
    pub(super) fn beyond(&mut self, most: usize, idle: impl Fn(&FileKey) -> bool) -> Vec<FileKey> {
        let idle: Vec<FileKey> =
            self.queue.iter().map(|(_, key)| *key).filter(|key| idle(key)).collect();
        let gone = &idle[..idle.len().saturating_sub(most)];
        self.queue.retain(|(_, key)| !gone.contains(key));
        gone.to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(n: u8) -> Client {
        Some([192, 0, 2, n].into())
    }

    fn key(inode: u64) -> FileKey {
        FileKey { device: 0, inode, size: 0, modified: (0, 0), changed: (0, 0) }
    }

    /// The turns that follow when each file goes back to the end of the queue.
    fn order(turns: &mut Turns, of: impl Fn(u64) -> Client, count: usize) -> Vec<u64> {
        let turn = || {
            let inode = turns.take(|_| true)?.inode;
            turns.push(of(inode), key(inode));
            Some(inode)
        };
        std::iter::from_fn(turn).take(count).collect()
    }

    #[test]
    fn the_files_of_a_client_take_turns() {
        let mut turns = Turns::default();
        (1..=3).for_each(|inode| turns.push(client(1), key(inode)));
        assert_eq!(order(&mut turns, |_| client(1), 7), [1, 2, 3, 1, 2, 3, 1]);
    }

    #[test]
    fn a_client_with_many_files_gets_no_more_than_one_with_few() {
        let mut turns = Turns::default();
        let of = |inode| client(if inode < 100 { 1 } else { 2 });
        (1..=50).for_each(|inode| turns.push(client(1), key(inode)));
        assert_eq!(order(&mut turns, of, 2), [1, 2]);
        turns.push(client(2), key(100));
        assert_eq!(order(&mut turns, of, 5), [100, 3, 100, 4, 100], "it need not wait for fifty");
    }

    #[test]
    fn who_may_not_is_passed_over_and_idle_files_beyond_the_cap_go() {
        let mut turns = Turns::default();
        (1..=6).for_each(|inode| turns.push(client(1), key(inode)));
        assert_eq!(turns.take(|key| key.inode > 4), Some(key(5)));
        assert_eq!(turns.take(|key| key.inode > 6), None);
        let gone = turns.beyond(2, |key| key.inode < 5);
        assert_eq!(gone, [key(1), key(2)]);
        assert_eq!(order(&mut turns, |_| client(1), 3), [3, 4, 6]);
    }

    #[test]
    fn what_is_remembered_of_clients_is_bounded() {
        let mut turns = Turns::default();
        for n in 0..5_000_u32 {
            turns.push(Some(n.to_be_bytes().into()), key(n.into()));
            turns.take(|_| true);
            assert!(turns.last.len() <= 2 * MAX_RUNNING);
        }
    }
}
