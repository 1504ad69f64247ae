//! What of a server's setup may change while it runs.

use std::sync::{Arc, PoisonError, RwLock};

use kwik_core::admission::Expectation;
use kwik_core::session::SessionConfig;
use kwik_core::throttle::Rates;
use kwik_io::key::TrustedKeys;
use kwik_io::tls::Pin;

use crate::Limits;

/// The settings of sessions that begin now. Those that are open keep what they began with.
#[derive(Debug)]
pub(crate) struct Settings(RwLock<Arc<Current>>);

/// A server's settings at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Current {
    pub(crate) config: SessionConfig,
    /// How fast a client may send control frames.
    pub(crate) rates: Arc<Rates>,
    /// How much of the send memory one session may have.
    pub(crate) session_send_memory: u64,
    /// Primaries whose tokens are taken.
    pub(crate) trusted: TrustedKeys,
    /// Whom tokens have to be meant for.
    pub(crate) expectation: Expectation,
}

impl Settings {
    pub(crate) fn new(current: Current) -> Self {
        Self(RwLock::new(Arc::new(current)))
    }

    pub(crate) fn now(&self) -> Arc<Current> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Current)) {
        let mut settings = self.0.write().unwrap_or_else(PoisonError::into_inner);
        change(Arc::make_mut(&mut settings));
    }
}

impl Current {
    /// Takes what of the limits a session has to itself. How many streams it may have stays: QUIC was told so at the start.
    pub(crate) fn set_limits(&mut self, limits: &Limits) {
        let fresh = limits.session();
        self.config = SessionConfig {
            session_budget: fresh.session_budget,
            reader_patience: fresh.reader_patience,
            ..self.config.clone()
        };
        self.rates = Arc::new(limits.rates());
        self.session_send_memory = limits.max_send_memory().1;
    }

    /// Tokens may be meant for the certificate with this pin, and for the one before: a client that finished its handshake a
    /// moment ago brings one.
    pub(crate) fn expect(&mut self, pin: Pin) {
        let pins = &mut self.expectation.pins;
        pins.retain(|known| *known != pin.0);
        pins.insert(0, pin.0);
        pins.truncate(2);
    }
}
