//! The secondary's side of the file service: sends the ranges that primaries delegate.

use std::sync::Arc;

use anyhow::Context as _;
use kwik_server::{Delegation, Refusal, SecondarySession};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tracing::Instrument as _;

use crate::catalog::{Catalog, Refused};
use crate::live::board::{self, Mark};
use crate::monitor::{self, OpenSession, Role};
use crate::protocol::{Message as _, Resource};
use crate::source::InOrder;

/// Delegations of one session that are worked on at once, those that wait for a hash included; further ones wait in
/// the transport.
const AT_ONCE: usize = 64;

/// Works for a primary until the session ends.
pub(crate) async fn contribute(catalog: Catalog, mut session: SecondarySession) {
    let _open = OpenSession::new(Role::Secondary);
    let seat = board::secondary(session.remote_addr().ok());
    let mark = seat.mark();
    // Dropped with this future: nobody waits for a hash on behalf of a session that is over.
    let (_here, gone) = watch::channel(());
    let places = Places::default();
    loop {
        let place = places.next().await;
        let delegation = match session.next_delegation().await {
            Ok(Some(delegation)) => delegation,
            Ok(None) => return,
            Err(error) => return tracing::debug!(%error, "session ended"),
        };
        let (catalog, gone) = (catalog.clone(), gone.clone());
        let work = async move {
            let range = delegation.range();
            if let Err(error) = fulfil(&catalog, delegation, gone, mark).await {
                monitor::delegation("failed");
                tracing::debug!(?range, error = format!("{error:#}"), "delegation failed");
            }
            drop(place);
        };
        tokio::spawn(work.in_current_span());
    }
}

/// The orders of a session that are worked on, [`AT_ONCE`] at most. The next one is asked for when there is a place for it.
struct Places(Arc<Semaphore>);

impl Default for Places {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

impl Places {
    async fn next(&self) -> OwnedSemaphorePermit {
        Arc::clone(&self.0).acquire_owned().await.expect("nobody closes it")
    }
}

async fn fulfil(
    catalog: &Catalog,
    delegation: Delegation,
    mut gone: watch::Receiver<()>,
    mark: Mark,
) -> anyhow::Result<()> {
    let range = delegation.range();
    let mut file = String::new();
    let source = match Resource::from_wire(delegation.resource()) {
        Ok(resource) => {
            let checked = tokio::select! {
                biased;
                checked = catalog.check(&resource, &range, || delegation.postpone()) => checked,
                _ = gone.changed() => Err(Refused::Busy),
            };
            file = resource.path;
            checked
        }
        Err(_) => Err(Refused::Failed),
    };
    let source = match source {
        Ok(source) => source,
        Err(refused) => {
            monitor::delegation(word(refused));
            board::incident("failed", || format!("an order for {file}: {}", word(refused)));
            delegation.refuse(refused.into());
            return Ok(());
        }
    };
    let _order = mark.order(&file);
    let mut contribution = delegation.accept().await?;
    let mut content = InOrder::new(source, range);
    // On an error the contribution is dropped unfinished, and the range goes to another server.
    while let Some(position) = content.position() {
        // Not read before it is its turn: what the path sends first is read first.
        contribution.ready(position).await?;
        let Some((offset, bytes)) = content.next().await.context("reading")? else { break };
        let length = bytes.len();
        contribution.write_at(offset, bytes).await?;
        mark.sent(length);
    }
    contribution.finish().await?;
    monitor::delegation("sent");
    Ok(())
}

fn word(refused: Refused) -> &'static str {
    match refused {
        Refused::NotFound => "not_found",
        Refused::Stale => "stale",
        Refused::Busy => "busy",
        Refused::Failed => "failed",
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::NotFound => Self::NotFound,
            Refused::Stale => Self::Stale,
            Refused::Busy => Self::Busy,
            Refused::Failed => Self::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn an_order_waits_while_as_many_are_worked_on_as_may_be() {
        let places = Places::default();
        let mut worked_on: Vec<_> = (0..AT_ONCE).map(|_| places.next().now_or_never()).collect();
        assert!(worked_on.iter().all(Option::is_some));
        assert!(places.next().now_or_never().is_none());
        worked_on.pop();
        assert!(places.next().now_or_never().is_some());
    }
}
