//! `pirnd`, the program on the board.
fn main() {}
