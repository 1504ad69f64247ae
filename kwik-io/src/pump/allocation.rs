//! How much memory a chunk from QUIC keeps alive.

/// Bytes of the allocation behind a chunk that starts at `position` of a carrier.
///
/// s2n-quic receives a stream into buffers that grow with the position in the stream, aligned to their own size, and
/// hands out slices of them: a chunk of one byte may keep 64 KiB alive. The sizes are those of the reassembler of
/// s2n-quic-core 0.91; if a later version changes them the accounts of memory drift, nothing else.
pub(super) const fn allocation_behind(position: u64) -> usize {
    match position {
        0..0x1_0000 => 4 << 10,
        0x1_0000..0x4_0000 => 16 << 10,
        0x4_0000..0x10_0000 => 32 << 10,
        _ => 64 << 10,
    }
}
