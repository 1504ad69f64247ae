//! TLS whose every byte the seed decides.
//!
//! rustls takes its entropy through references that live for ever, so it can't come from an
//! [`Env`](crate::env::Env). It comes from the thread: [`seed`] is called at the start of each simulated host, and all
//! hosts of a laboratory share a thread. Connection ids come from there as well: what looks random on the wire decides
//! nothing, and does not shift the numbers that do.

use std::cell::RefCell;

use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey, X25519};
use rustls::crypto::{
    ActiveKeyExchange, CryptoProvider, GetRandomFailed, SecureRandom, SharedSecret,
    SupportedKxGroup,
};
use rustls::{Error, NamedGroup, PeerMisbehaved};

use crate::env::Keystream;

thread_local! {
    static ENTROPY: RefCell<Option<Keystream>> = const { RefCell::new(None) };
}

/// From here on the entropy of TLS on this thread comes from `seed`.
pub(crate) fn seed(seed: u64) {
    ENTROPY.set(Some(Keystream::new(seed)));
}

/// `provider` with the thread's entropy. The key exchange it prefers is X25519, as in the real world.
pub(crate) fn seeded(provider: CryptoProvider) -> CryptoProvider {
    let others = provider.kx_groups.into_iter().filter(|group| group.name() != NamedGroup::X25519);
    CryptoProvider {
        kx_groups: std::iter::once(&Seeded as &dyn SupportedKxGroup).chain(others).collect(),
        secure_random: &Seeded,
        ..provider
    }
}

/// The thread's next bytes; `None`: no simulated host runs on it.
pub(super) fn random<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    fill(&mut bytes).map(|()| bytes)
}

fn fill(bytes: &mut [u8]) -> Option<()> {
    ENTROPY.with_borrow_mut(|entropy| entropy.as_mut().map(|entropy| entropy.fill(bytes)))
}

#[derive(Debug)]
struct Seeded;

impl SecureRandom for Seeded {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), GetRandomFailed> {
        fill(bytes).ok_or(GetRandomFailed)
    }
}

impl SupportedKxGroup for Seeded {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let secret = random::<32>().ok_or(GetRandomFailed)?;
        let refused = |_| Error::General("no X25519 key".to_owned());
        let private = PrivateKey::from_private_key(&X25519, &secret).map_err(refused)?;
        let public = private.compute_public_key().map_err(|_| GetRandomFailed)?;
        Ok(Box::new(Exchange { private, public }))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

struct Exchange {
    private: PrivateKey,
    public: agreement::PublicKey,
}

impl ActiveKeyExchange for Exchange {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        let peer = UnparsedPublicKey::new(&X25519, peer);
        let wrong = Error::from(PeerMisbehaved::InvalidKeyShare);
        agreement::agree(&self.private, peer, wrong, |secret| Ok(SharedSecret::from(secret)))
    }

    fn pub_key(&self) -> &[u8] {
        self.public.as_ref()
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}
