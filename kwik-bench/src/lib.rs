//! Benchmarks of KWIK: micro-benchmarks are in `benches/`, one file per subject.
