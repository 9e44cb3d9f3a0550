//! The `callmask` binary.

fn main() {}
