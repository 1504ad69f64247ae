//! KWIK's decisions, sans-IO: reassembly, windows, paths, delegation and repair.
