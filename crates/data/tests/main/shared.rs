//! Real data that a clone may not have.

use std::path::PathBuf;

/// `name` in the directory of real data: `PREFLAB_SHARED`, or `../shared` beside the repository. `None`, and a line saying
/// so, where it is absent.
pub fn shared(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("PREFLAB_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let path = root.join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!(
        "skipped: {} is absent; set PREFLAB_SHARED to the directory of real data",
        path.display()
    );
    None
}
