//! `pirn`, the workbench.
fn main() {}
