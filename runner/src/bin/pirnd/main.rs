//! `pirnd`, the runner on the board. Exit status: 0 fine, 1 failed while running, 2 the command line,
//! the manifest, the bundle or the board is wrong; `invoke` adds 3 for refused and 4 for faulted.

mod args;
mod commands;
mod letters;
mod log;
mod safe_state;
mod serve;
mod ways_out;

use std::process::ExitCode;

/// musl's allocator maps and unmaps pages for what one event needs, which doubles an event's time.
#[global_allocator]
static ALLOCATOR: pirn_runner::heap::Heap = pirn_runner::heap::Heap;

fn main() -> ExitCode {
    let command = match args::parse(std::env::args_os()) {
        Ok(command) => command,
        Err(error) => {
            eprintln!("pirnd: {error}\nTry `pirnd --help`.");
            return ExitCode::from(commands::WRONG_INPUT);
        }
    };
    match command {
        args::Command::Help => {
            print!("{}", args::HELP);
            ExitCode::SUCCESS
        }
        args::Command::Version => {
            println!("pirnd {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        args::Command::Up(up) => commands::up(up),
        args::Command::Serve(served) => serve::serve(served),
        args::Command::App(app) => serve::app(app),
        args::Command::Verify(app) => commands::verify(app),
        args::Command::Invoke(invoke) => commands::invoke(invoke),
        args::Command::SafeState(common, apps) => safe_state::run(common, apps),
        args::Command::Status(status) => commands::status(status),
        args::Command::DeadLetters(letters) => letters::run(letters),
    }
}
