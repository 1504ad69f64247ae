//! A link between a client and a server, in a process of its own: datagrams go in on one side and come out on the
//! other when `kwik-sim`'s model of a link says so.
//!
//! The client is told the forwarder's address instead of the server's. What the forwarder cannot do in time it says
//! itself ([`Report::invalid`]): a measurement over a link that was late or dropped what the model let through is void.

mod flows;
mod forwarder;
mod process;
mod report;
mod shape;
mod wire;

pub(crate) use forwarder::{Settings, run};
pub(crate) use process::Link;
pub(crate) use report::Report;
pub(crate) use shape::Shape;
