//! `pirn`, the workbench: makes, builds, runs and checks apps on the developer's machine, and talks to
//! brokers. It contains the compiler and a broker, so that a newcomer needs nothing else; what runs on
//! a board is `pirnd`, which contains neither.

mod build;
mod cli;
mod client;
mod commands;
mod compile;
mod failure;
mod limits;
mod pins;
mod template;
mod ui;
mod watch;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let outcome = match cli::Cli::parse().command {
        cli::Command::New(options) => commands::new::run(&options),
        cli::Command::Build(options) => commands::build::run(&options),
        cli::Command::Up(options) => commands::up::run(&options),
        cli::Command::Check(options) => commands::check::run(&options),
        cli::Command::Publish(options) => commands::publish::run(&options),
        cli::Command::Subscribe(options) => commands::subscribe::run(&options),
        cli::Command::Sqlite(options) => commands::sqlite::run(&options),
        cli::Command::Pin(options) => commands::pin::run(&options),
        cli::Command::Pins(options) => commands::pin::show(&options),
        cli::Command::Target(cli::Target::Build(options)) => commands::target::run(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
