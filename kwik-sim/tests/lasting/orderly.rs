//! Servers that are told to go leave without a pause.
