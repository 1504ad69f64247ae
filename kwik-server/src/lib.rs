//! KWIK server: primaries that delegate, secondaries that contribute.
