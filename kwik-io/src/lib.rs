//! What KWIK's client and server drivers share: frames over s2n-quic streams, TLS, workers.
