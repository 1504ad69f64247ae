//! Limits of frames, the same for what is sent and for what arrived.

use super::limits::*;
use crate::error::{InvalidField, Problem};
use crate::frame::*;
use crate::id::{Epoch, MAX_VARINT, PathId};

type Result = std::result::Result<(), InvalidField>;

fn at_most(field: &'static str, size: usize, limit: usize) -> Result {
    if size <= limit {
        return Ok(());
    }
    let problem = Problem::TooLong { size: size as u64, limit: limit as u64 };
    Err(InvalidField { field, problem })
}

fn between(field: &'static str, value: u64, min: u64, max: u64) -> Result {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(InvalidField { field, problem: Problem::OutOfRange { value, min, max } })
}

fn present(field: &'static str, size: usize) -> Result {
    if size > 0 { Ok(()) } else { Err(InvalidField { field, problem: Problem::Missing }) }
}

fn secondary(field: &'static str, path: PathId) -> Result {
    between(field, u64::from(path.value()), 1, u64::from(u16::MAX))
}

fn epoch(field: &'static str, epoch: Epoch) -> Result {
    between(field, u64::from(epoch.0), 1, u64::from(u32::MAX))
}

impl ControlFrame {
    /// Checks the frame against the limits of its fields (see [`limits`](super::limits)). Texts for people are not
    /// checked here, for [`encode`](Self::encode) cuts them.
    ///
    /// # Errors
    /// The first field that a receiver would refuse.
    ///
    /// ```
    /// use kwik_proto::frame::{ControlFrame, RemovePath};
    /// use kwik_proto::PathId;
    /// let frame = ControlFrame::RemovePath(RemovePath { path: PathId::new(1), drain_ms: 60_000 });
    /// assert_eq!(frame.validate().unwrap_err().field, "RemovePath.drain_ms");
    /// ```
    pub fn validate(&self) -> Result {
        match self {
            Self::Hello(frame) => hello(frame),
            Self::Welcome(frame) => welcome(frame),
            Self::AddPath(frame) => add_path(frame),
            Self::RemovePath(frame) => {
                secondary("RemovePath.path_id", frame.path)?;
                let (drain, most) = (frame.drain_ms, MAX_DRAIN_MS);
                between("RemovePath.drain_ms", u64::from(drain), 0, u64::from(most))
            }
            Self::TokenRequest(frame) => {
                secondary("TokenRequest.path_id", frame.path)?;
                epoch("TokenRequest.epoch", frame.epoch)
            }
            Self::AddPathResult(frame) => {
                secondary("AddPathResult.path_id", frame.path)?;
                epoch("AddPathResult.epoch", frame.epoch)
            }
            Self::PathStatus(frame) => epoch("PathStatus.epoch", frame.epoch),
            Self::Orders(frame) => {
                at_most("SignedOrders.body", frame.body.len(), MAX_ORDERS_BODY)?;
                at_most("SignedOrders.key_id", frame.key_id.len(), MAX_KEY_ID)
            }
            Self::DelegationStatus(frame) => {
                between("DelegationStatus.delegation_id", frame.delegation.0, 0, MAX_VARINT)
            }
            Self::StreamReset(frame) => {
                between("StreamReset.error_code", frame.error_code, 0, MAX_VARINT)
            }
            Self::StreamStop(frame) => {
                between("StreamStop.error_code", frame.error_code, 0, MAX_VARINT)
            }
            Self::StreamProgress(frame) => {
                at_most("StreamProgress.held", frame.held.len(), MAX_HELD)
            }
            Self::Gap(frame) => match frame.delegation {
                Some(id) => between("Gap.delegation_id", id.0, 0, MAX_VARINT),
                None => Ok(()),
            },
            Self::Relay(frame) => frame.validate(),
            Self::MappingQuery(frame) => {
                at_most("MappingQuery.carriers", frame.carriers.len(), MAX_QUERIED)?;
                let mut carriers = frame.carriers.iter();
                carriers.try_for_each(|id| between("MappingQuery.carriers", *id, 0, MAX_VARINT))
            }
            Self::MappingSnapshot(frame) => {
                at_most("MappingSnapshot.mappings", frame.mappings.len(), MAX_MAPPINGS)?;
                frame.mappings.iter().copied().try_for_each(mapping)
            }
            Self::SessionClose(frame) => match frame.application_code {
                Some(code) => between("SessionClose.application_code", code, 0, MAX_VARINT),
                None => Ok(()),
            },
            Self::Refuse(_)
            | Self::StreamClosed(_)
            | Self::StreamWindow(_)
            | Self::StreamBlocked(_)
            | Self::RelayCredit(_)
            | Self::Ping(_)
            | Self::Pong(_)
            | Self::GoAway(_) => Ok(()),
        }
    }
}

fn hello(frame: &Hello) -> Result {
    present("Hello.versions", frame.versions.len())?;
    at_most("Hello.versions", frame.versions.len(), MAX_VERSIONS)?;
    at_most("Hello.features", frame.features.len(), MAX_FEATURES)?;
    limits(frame.limits)?;
    match &frame.admission {
        Some(admission) => token("Admission.token", &admission.token),
        None => Ok(()),
    }
}

fn welcome(frame: &Welcome) -> Result {
    between("Welcome.version", u64::from(frame.version), 1, u64::from(u32::MAX))?;
    at_most("Welcome.features", frame.features.len(), MAX_FEATURES)?;
    limits(frame.limits)
}

fn limits(limits: Limits) -> Result {
    let most = u64::from(MAX_STREAMS);
    let Limits { max_bidirectional_streams, max_unidirectional_streams, initial_window } = limits;
    between("Limits.max_bidirectional_streams", u64::from(max_bidirectional_streams), 0, most)?;
    between("Limits.max_unidirectional_streams", u64::from(max_unidirectional_streams), 0, most)?;
    between("Limits.initial_window", initial_window, MIN_INITIAL_WINDOW, MAX_VARINT)
}

fn token(field: &'static str, token: &str) -> Result {
    present(field, token.len())?;
    at_most(field, token.len(), MAX_TOKEN)
}

fn add_path(frame: &AddPath) -> Result {
    secondary("AddPath.path_id", frame.path)?;
    epoch("AddPath.epoch", frame.epoch)?;
    present("AddPath.addresses", frame.addresses.len())?;
    at_most("AddPath.addresses", frame.addresses.len(), MAX_ADDRESSES)?;
    for address in &frame.addresses {
        between("SocketAddress.port", u64::from(address.port()), 1, u64::from(u16::MAX))?;
    }
    if let ServerIdentity::Name(name) = &frame.identity {
        present("ServerIdentity.server_name", name.len())?;
        at_most("ServerIdentity.server_name", name.len(), MAX_SERVER_NAME)?;
    }
    token("AddPath.token", &frame.token)
}

impl Relay {
    /// Checks the piece: its size, and that it lies within its message.
    pub(super) fn validate(&self) -> Result {
        let (size, most) = (u64::from(self.message_size), u64::from(MAX_RELAY_MESSAGE));
        between("Relay.message_size", size, 1, most)?;
        present("Relay.piece", self.piece.len())?;
        at_most("Relay.piece", self.piece.len(), MAX_RELAY_PIECE)?;
        let end = u64::from(self.piece_offset) + self.piece.len() as u64;
        if end <= size {
            return Ok(());
        }
        let problem = Problem::TooLong { size: end, limit: size };
        Err(InvalidField { field: "Relay.piece", problem })
    }
}

impl Orders {
    /// Checks the orders against the limits of their fields (see [`limits`](super::limits)).
    ///
    /// # Errors
    /// The first field that a receiver would refuse.
    ///
    /// ```
    /// use kwik_proto::frame::Orders;
    /// use kwik_proto::{Epoch, PathId, SessionId};
    /// let (session, path, epoch) = (SessionId([1; 16]), PathId::new(1), Epoch::FIRST);
    /// let empty = Orders { session, path, epoch, number: 1, orders: vec![] };
    /// assert_eq!(empty.validate().unwrap_err().field, "Orders.orders");
    /// ```
    pub fn validate(&self) -> Result {
        secondary("Orders.path_id", self.path)?;
        epoch("Orders.epoch", self.epoch)?;
        between("Orders.number", self.number, 1, u64::MAX)?;
        present("Orders.orders", self.orders.len())?;
        at_most("Orders.orders", self.orders.len(), MAX_ORDERS)?;
        self.orders.iter().try_for_each(order)
    }
}

fn mapping(mapping: Mapping) -> Result {
    between("Mapping.carrier", mapping.carrier, 0, MAX_VARINT)?;
    let delegation = mapping.delegation.map_or(0, |id| id.0);
    between("Mapping.delegation_id", delegation, 0, MAX_VARINT)
}

fn order(order: &Order) -> Result {
    match order {
        Order::Grant(grant) => match grant.end {
            Some(end) if end < grant.start => {
                let problem = Problem::BadRange { start: grant.start.value() };
                Err(InvalidField { field: "Grant.range", problem })
            }
            _ => Ok(()),
        },
        Order::Delegation(delegation) => {
            between("Delegation.delegation_id", delegation.id.0, 0, MAX_VARINT)?;
            at_most("Delegation.resource", delegation.resource.len(), MAX_RESOURCE)
        }
        Order::Revoke(revoke) => match revoke.delegation {
            Some(id) => between("Revoke.delegation_id", id.0, 0, MAX_VARINT),
            None => Ok(()),
        },
        Order::Relay(relay) => relay.validate(),
    }
}
