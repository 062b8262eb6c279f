//! Set-up, tests, demonstration.
fn main() {}
