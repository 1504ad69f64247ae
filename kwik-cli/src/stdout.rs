//! Whether there is a standard output.

use std::sync::atomic::{AtomicBool, Ordering};

/// Whether descriptor 1 was open when the process began.
static OPEN: AtomicBool = AtomicBool::new(true);

/// Looks before `main`: Rust's runtime opens `/dev/null` in place of a standard descriptor that is closed, and from then on
/// it cannot be told from an output that was sent there on purpose.
#[ctor::ctor]
fn look() {
    let open = rustix::io::fcntl_getfd(rustix::stdio::stdout()).is_ok();
    OPEN.store(open, Ordering::Relaxed);
}

/// Whether what is written to standard output goes where the caller wanted it.
pub(crate) fn is_open() -> bool {
    OPEN.load(Ordering::Relaxed)
}
