//! Whether there is a standard output.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Other names of standard output.
const NAMES: [&str; 3] = ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"];

/// Whether the path names standard output, whatever that is: a file there is not to be replaced, for others write to it too.
pub(crate) fn is_name(path: &Path) -> bool {
    NAMES.iter().any(|known| path == Path::new(known))
}

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
