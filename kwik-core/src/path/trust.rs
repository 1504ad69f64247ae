//! How often a path may lie.

use std::collections::BTreeMap;

use kwik_proto::PathId;

/// Whether a path may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// It may.
    Kept,
    /// It lied too often.
    Lost,
}

/// Of how many streams each path sent bytes that were *proven* wrong: by a hash that the primary named, or by the
/// primary's own bytes. Who is only accused, by a source that differs, is not counted.
///
/// A lie costs a stream one range that is asked of others. On one stream it may be a copy that went bad; who lies on
/// [`Convictions::LIMIT`] streams is closed and not dialled again, so that no further stream pays for it.
///
/// One small entry per path that ever lied, of those that the session remembers.
///
/// ```
/// use kwik_core::path::trust::{Convictions, Trust};
/// use kwik_proto::PathId;
///
/// let (mut convictions, path) = (Convictions::default(), PathId::new(1));
/// assert_eq!(convictions.convict(path), Trust::Kept);
/// assert_eq!(convictions.convict(path), Trust::Kept);
/// assert_eq!(convictions.convict(path), Trust::Lost);
/// assert_eq!(convictions.trust(path), Trust::Lost);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Convictions(BTreeMap<PathId, u32>);

impl Convictions {
    /// Streams about which a path may not lie: 3. Fewer, and one damaged file costs a server; more, and as many streams
    /// meet a server that lies about all.
    pub const LIMIT: u32 = 3;

    /// The path was proven wrong about one more stream.
    pub fn convict(&mut self, path: PathId) -> Trust {
        let streams = self.0.entry(path).or_default();
        *streams = streams.saturating_add(1);
        self.trust(path)
    }

    /// The path is not remembered any more, and nobody can take its number.
    pub fn forget(&mut self, path: PathId) {
        self.0.remove(&path);
    }

    /// Where the path stands.
    pub fn trust(&self, path: PathId) -> Trust {
        match self.0.get(&path) {
            Some(streams) if *streams >= Self::LIMIT => Trust::Lost,
            _ => Trust::Kept,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_has_its_own_count() {
        let mut convictions = Convictions::default();
        for _ in 1..Convictions::LIMIT {
            assert_eq!(convictions.convict(PathId::new(1)), Trust::Kept);
            assert_eq!(convictions.convict(PathId::new(2)), Trust::Kept);
        }
        assert_eq!(convictions.convict(PathId::new(1)), Trust::Lost);
        assert_eq!(convictions.trust(PathId::new(2)), Trust::Kept);
        assert_eq!(convictions.trust(PathId::new(3)), Trust::Kept);
        assert_eq!(convictions.convict(PathId::new(1)), Trust::Lost, "it is not forgiven");
    }
}
