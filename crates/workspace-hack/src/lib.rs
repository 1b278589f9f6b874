//! Nothing but dependencies: the manifest says why.
