//! (tour)
fn main() {}
