//! Acceptance tests of KWIK, one file per requirement.
