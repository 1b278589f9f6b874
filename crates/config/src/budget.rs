//! What arms are matched on.
