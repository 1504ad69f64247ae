//! A seedable laboratory for KWIK.
//!
//! [`link`] is the model of one direction of one network link: pure arithmetic on time and sizes, for a simulated
//! network as well as for a program that delays real datagrams.

pub mod link;
