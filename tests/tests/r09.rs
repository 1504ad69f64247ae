//! R9: programs written for s2n-quic move over. Behaviours and echo programs are one source each, run over a bare
//! s2n-quic connection (`quic::`) and over KWIK (`kwik::`).
#![allow(clippy::unwrap_used)]
// On purpose: one source, compiled against two transports.
#![allow(clippy::duplicate_mod)]
// The ends of s2n-quic have the same types, those of KWIK have not: a name that is long for one is needed for the other.
#![allow(unused_qualifications)]

#[path = "r09/kwik.rs"]
mod kwik;
#[path = "r09/quic.rs"]
mod quic;
