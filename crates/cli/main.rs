//! The `preflab` command.

fn main() {}
