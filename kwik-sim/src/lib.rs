#![doc = include_str!("../README.md")]

pub mod link;

#[cfg(feature = "lab")]
mod action;
#[cfg(feature = "lab")]
mod disk;
#[cfg(feature = "lab")]
mod event;
#[cfg(feature = "lab")]
mod failure;
#[cfg(feature = "lab")]
mod host;
#[cfg(feature = "lab")]
mod lab;
#[cfg(feature = "lab")]
mod machine;
#[cfg(feature = "lab")]
mod nat;
#[cfg(feature = "lab")]
mod seeds;
#[cfg(feature = "lab")]
mod world;

#[cfg(feature = "lab")]
pub use action::Action;
#[cfg(feature = "lab")]
pub use disk::{Disk, DiskState};
#[cfg(feature = "lab")]
pub use event::{Event, Report};
#[cfg(feature = "lab")]
pub use failure::{Cause, Failure, SoftwareError};
#[cfg(feature = "lab")]
pub use host::Host;
#[cfg(feature = "lab")]
pub use kwik_core::delegation::Switches;
#[cfg(feature = "lab")]
pub use lab::{CLIENT, Lab};
#[cfg(feature = "lab")]
pub use seeds::for_each_seed;
