//! The generated messages. They do not leave this crate.

#![allow(missing_docs, clippy::all, unreachable_pub, dead_code, rustdoc::all)]

include!("wire/kwik.v1.generated.rs");

/// What the messages of the control plane look like on the wire, from the same schema.
pub(crate) mod shapes {
    use crate::reader::{LENGTH_DELIMITED, VARINT};
    use crate::shape::{Field, Holds, Shape};

    include!("wire/kwik.v1.shapes.generated.rs");
}
