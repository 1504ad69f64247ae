//! Attacks on a secondary that are known to get through.

use super::{Secondary, delegation};
use crate::attack::Outcome::Throttled;
use crate::attack::attacks;
use crate::wire::range;

attacks! { pending ATTACKS on Secondary;
    /// A thousand of them, none of which is read.
    a_thousand_delegations_unread within 96 MiB => Throttled, |arena| {
        let mut attached = arena.attach().await;
        for batch in 0..8 {
            let orders = (0..128).map(|it| delegation(batch * 128 + it, 3, range(0, 1 << 40)));
            attached.order(&arena.key, orders.collect()).await;
        }
        tokio::time::sleep(std::time::Duration::from_secs(5)).await;
        Throttled
    }
}
