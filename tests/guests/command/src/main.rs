//! A plain program, as `cargo new` makes it. Says what it was started with, and ends as the variable `END` says:
//! `status N`, `error`, `panic`, or well.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("arguments: {:?}", std::env::args().collect::<Vec<_>>());
    eprintln!("to stderr");
    let end = std::env::var("END").unwrap_or_default();
    match end.split_once(' ').unwrap_or((&end, "")) {
        ("status", number) => std::process::exit(number.parse()?),
        ("error", _) => Err("main returned this".into()),
        ("panic", _) => panic!("as it was asked to"),
        _ => {
            println!("to the end");
            Ok(())
        }
    }
}
