//! The command line. Flags are Spin's where Spin has them.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Runs Spin applications on small boards: this is the workbench, for your own machine.
#[derive(Debug, Parser)]
#[command(name = "pirn", version, propagate_version = true, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a new app from a template
    New(New),
    /// Build an app's components and compile them for a board
    Build(Build),
    /// Run an app on this machine, with a broker if it needs one
    Up(Up),
    /// Check an app's manifest and show its memory budget on a board
    Check(Check),
    /// Publish one message to a broker
    Publish(Publish),
    /// Show the messages that a broker delivers
    Subscribe(Subscribe),
    /// Look into a database of an app on this machine, or change it
    Sqlite(Sqlite),
    /// Press or set a simulated GPIO line of a running app
    Pin(Pin),
    /// Show the simulated GPIO lines of a running app
    Pins(Pins),
    /// Make the runner, pirnd, for boards
    #[command(subcommand)]
    Target(Target),
}

/// `pirn new`
#[derive(Debug, Args)]
pub(crate) struct New {
    /// The app's name: lower-case words joined by "-"
    pub(crate) name: String,
    /// The template
    #[arg(short, long, default_value = crate::template::DEFAULT)]
    pub(crate) template: String,
    /// The folder to make [default: the app's name]
    #[arg(short, long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
}

/// Which app.
#[derive(Debug, Clone, Args)]
pub(crate) struct AppArgs {
    /// The app's spin.toml, or the folder that holds it
    #[arg(short = 'f', long, value_name = "PATH", default_value = ".", help_heading = "App")]
    pub(crate) from: PathBuf,
    /// The board: a name of board-configs, or a file [default: generic, this machine's processor]
    #[arg(long, value_name = "NAME|FILE", help_heading = "App")]
    pub(crate) board: Option<String>,
    /// The profile of the manifest's components
    #[arg(long, value_name = "NAME", help_heading = "App")]
    pub(crate) profile: Option<String>,
    /// Print errors only
    #[arg(short, long, help_heading = "App")]
    pub(crate) quiet: bool,
}

/// What the operator adds to the app.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct OperatorArgs {
    /// Set a variable of the app; may be repeated
    #[arg(long = "variable", value_name = "NAME=VALUE", value_parser = pair, help_heading = "Settings")]
    pub(crate) variables: Vec<(String, String)>,
    /// Set an environment variable of every component; may be repeated
    #[arg(short = 'e', long = "env", value_name = "NAME=VALUE", value_parser = pair, help_heading = "Settings")]
    pub(crate) environment: Vec<(String, String)>,
    /// The operator's settings
    #[arg(long, value_name = "FILE", help_heading = "Settings")]
    pub(crate) runtime_config_file: Option<PathBuf>,
    /// Where the app's state is kept [default: .pirn-state beside the manifest]
    #[arg(long, value_name = "DIR", help_heading = "Settings")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Where the components' output is kept as well
    #[arg(short = 'L', long, value_name = "DIR", help_heading = "Settings")]
    pub(crate) log_dir: Option<PathBuf>,
}

/// `pirn build`
#[derive(Debug, Args)]
pub(crate) struct Build {
    #[command(flatten)]
    pub(crate) app: AppArgs,
    /// Build this component only; may be repeated [default: all]
    #[arg(short = 'c', long = "component-id", value_name = "ID")]
    pub(crate) components: Vec<String>,
    /// Compile what is there, without running the manifest's build commands
    #[arg(long)]
    pub(crate) compile_only: bool,
    /// Run the app afterwards
    #[arg(short, long)]
    pub(crate) up: bool,
}

/// `pirn up`
#[derive(Debug, Args)]
pub(crate) struct Up {
    #[command(flatten)]
    pub(crate) app: AppArgs,
    #[command(flatten)]
    pub(crate) operator: OperatorArgs,
    /// Run the manifest's build commands first, even if the components are there
    #[arg(long)]
    pub(crate) build: bool,
    /// Set a key of the store "default" before the app runs; may be repeated
    #[arg(long = "key-value", value_name = "KEY=VALUE", value_parser = pair, help_heading = "Settings")]
    pub(crate) key_values: Vec<(String, String)>,
    /// Run SQL on the database "default" before the app runs, from a file if it begins with "@"; may be repeated
    #[arg(long = "sqlite", value_name = "SQL|@FILE", help_heading = "Settings")]
    pub(crate) sqlite: Vec<String>,
    /// Where requests are taken: IP:PORT or unix:/PATH [default: 127.0.0.1:3000]
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<pirn_triggers::http::Address>,
    /// A certificate in PEM: requests come over TLS
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Its key
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Take the next free port if somebody else has that one
    #[arg(long)]
    pub(crate) find_free_port: bool,
    /// When to start the embedded broker
    #[arg(long, value_enum, default_value_t = EmbeddedBroker::Auto)]
    pub(crate) embedded_broker: EmbeddedBroker,
}

/// When `pirn up` brings its own broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EmbeddedBroker {
    /// If the app's broker is on this machine and nothing listens there
    Auto,
    /// Never
    Never,
}

/// `pirn check`
#[derive(Debug, Args)]
pub(crate) struct Check {
    #[command(flatten)]
    pub(crate) app: AppArgs,
    #[command(flatten)]
    pub(crate) operator: OperatorArgs,
}

/// Which broker, and as whom.
#[derive(Debug, Args)]
pub(crate) struct BrokerArgs {
    /// The broker's address: mqtt://HOST:PORT or mqtts://HOST:PORT
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "mqtt://127.0.0.1:1883",
        help_heading = "Broker"
    )]
    pub(crate) broker: String,
    /// The user name
    #[arg(short, long, value_name = "NAME", help_heading = "Broker")]
    pub(crate) username: Option<String>,
    /// The password
    #[arg(short = 'P', long, value_name = "TEXT", requires = "username", help_heading = "Broker")]
    pub(crate) password: Option<String>,
    /// Certificates to trust instead of the system's (PEM)
    #[arg(long, value_name = "FILE", help_heading = "Broker")]
    pub(crate) cafile: Option<PathBuf>,
    /// The quality of service: 0, 1 or 2
    #[arg(short, long, default_value = "1", value_parser = clap::value_parser!(u8).range(0..=2))]
    pub(crate) qos: u8,
}

/// `pirn publish`
#[derive(Debug, Args)]
pub(crate) struct Publish {
    /// Where to
    pub(crate) topic: String,
    /// What
    #[arg(required_unless_present = "payload_file")]
    pub(crate) payload: Option<String>,
    /// Take the payload from a file
    #[arg(long, value_name = "FILE", conflicts_with = "payload")]
    pub(crate) payload_file: Option<PathBuf>,
    /// Ask the broker to keep the message for later subscribers
    #[arg(short, long)]
    pub(crate) retain: bool,
    /// Wait for one message that matches this filter, and print it
    #[arg(long, value_name = "FILTER")]
    pub(crate) reply: Option<String>,
    /// How long to wait for the broker, and for the reply
    #[arg(long, value_name = "SECS", default_value_t = crate::limits::BROKER_WAIT_SECS)]
    pub(crate) wait: u64,
    #[command(flatten)]
    pub(crate) broker: BrokerArgs,
}

/// `pirn subscribe`
#[derive(Debug, Args)]
pub(crate) struct Subscribe {
    /// Which topics: levels joined by "/", "+" for any one, "#" for all below
    pub(crate) filter: String,
    /// End after this many messages
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// End after this many seconds; a failure if `--count` was not reached
    #[arg(long, value_name = "SECS")]
    pub(crate) wait: Option<u64>,
    #[command(flatten)]
    pub(crate) broker: BrokerArgs,
}

/// Which running app.
#[derive(Debug, Args)]
pub(crate) struct RunningApp {
    /// The app's spin.toml, or the folder that holds it
    #[arg(short = 'f', long, value_name = "PATH", default_value = ".")]
    pub(crate) from: PathBuf,
    /// Its state folder, if `pirn up` was given one
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
}

/// `pirn sqlite`
#[derive(Debug, Args)]
pub(crate) struct Sqlite {
    /// The label, as the app's manifest has it
    #[arg(default_value = "default")]
    pub(crate) label: String,
    /// What to run, from a file if it begins with "@" [default: what comes on standard input]
    #[arg(value_name = "SQL|@FILE")]
    pub(crate) sql: Option<String>,
    /// Show the names of the columns above the rows
    #[arg(long)]
    pub(crate) header: bool,
    /// The operator's settings, which may say where the database is
    #[arg(long, value_name = "FILE")]
    pub(crate) runtime_config_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) app: RunningApp,
}

/// `pirn pin`
#[derive(Debug, Args)]
pub(crate) struct Pin {
    #[command(subcommand)]
    pub(crate) action: PinAction,
}

/// What is done to a line, from outside.
#[derive(Debug, Subcommand)]
pub(crate) enum PinAction {
    /// Make a line high for a moment, then low
    Press {
        /// The line's name, as the app has it
        name: String,
        /// For how long, in milliseconds
        #[arg(long, value_name = "MS", default_value_t = crate::limits::pins::HOLD_MS)]
        hold_ms: u64,
        #[command(flatten)]
        app: RunningApp,
    },
    /// Put a level on a line: high is what the app sees as high
    Set {
        /// The line's name, as the app has it
        name: String,
        /// The level; float lets go of the line, which falls back to its resistor
        level: LevelWord,
        #[command(flatten)]
        app: RunningApp,
    },
}

/// A level, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LevelWord {
    /// Active
    High,
    /// Inactive
    Low,
    /// Driven by nobody
    Float,
}

/// `pirn pins`
#[derive(Debug, Args)]
pub(crate) struct Pins {
    /// Go on, and show every change
    #[arg(short, long)]
    pub(crate) watch: bool,
    #[command(flatten)]
    pub(crate) app: RunningApp,
}

/// `pirn target`
#[derive(Debug, Subcommand)]
pub(crate) enum Target {
    /// Build pirnd, static, for a target or a board [default: every target]
    Build(TargetBuild),
}

/// `pirn target build`
#[derive(Debug, Args)]
pub(crate) struct TargetBuild {
    /// The Rust target, like aarch64-unknown-linux-musl
    #[arg(conflicts_with = "board")]
    pub(crate) target: Option<String>,
    /// The board: a name of board-configs, or a file
    #[arg(long, value_name = "NAME|FILE")]
    pub(crate) board: Option<String>,
    /// Leave out features of the runner, joined by commas; components that need one of them are refused
    #[arg(long, value_name = "FEATURES")]
    pub(crate) without: Option<String>,
}

/// `NAME=VALUE`, as Spin takes it.
fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn spins_flags_are_understood() {
        let line = "pirn up -f app --variable a=1 --variable b=x=y -e K=V --runtime-config-file r.toml \
                    --state-dir s -L logs -q --key-value k=v --profile debug --build \
                    --sqlite @schema.sql";
        let Command::Up(up) =
            Cli::try_parse_from(line.split(' ').filter(|w| !w.is_empty())).unwrap().command
        else {
            unreachable!("it says up")
        };
        assert_eq!(up.operator.variables, [("a".into(), "1".into()), ("b".into(), "x=y".into())]);
        assert_eq!(up.operator.environment, [("K".into(), "V".into())]);
        assert_eq!(up.key_values, [("k".into(), "v".into())]);
        assert_eq!(up.sqlite, ["@schema.sql"]);
        assert!(up.build && up.app.quiet);
    }

    #[test]
    fn a_wrong_command_line_has_exit_status_2() {
        for line in [
            "pirn up --variable novalue",
            "pirn publish topic",
            "pirn publish topic x --qos 3",
            "pirn subscribe a --count 0",
            "pirn target build aarch64-unknown-linux-musl --board pi-3",
            "pirn frobnicate",
        ] {
            let error = Cli::try_parse_from(line.split(' ')).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }
}
