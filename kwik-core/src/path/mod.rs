//! Paths of a session: their life, their clocks, and which of them the client agrees to at all.
//!
//! [`lifecycle`] is the one function that changes a path's state. [`deadline`] is the rule for timers that fire late,
//! [`liveness`] the clocks of one path, [`primary`] the primary's, [`backoff`] the pause before a redial, [`policy`] what the client refuses to
//! connect to, [`attach`] how often it dials, [`dials`] how often one address, [`account`] what a path brought, [`trust`] how often it may lie, [`secondary`] one path, which composes the
//! others, and [`table`] the paths of one session.

pub mod deadline;

pub mod lifecycle;

pub mod liveness;

pub mod primary;

pub mod backoff;

pub mod account;

pub mod policy;

pub mod attach;

pub mod dials;

pub mod trust;

pub mod secondary;

pub mod table;
