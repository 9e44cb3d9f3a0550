//! The command line: what a person or a program can ask of callmask.
//!
//! Data goes to standard output, messages to standard error. Exit code 0: done; 1: refused or
//! failed; 2: the command itself was not understood.

mod account;
mod allocation;
mod call;
mod check;
mod client;
mod csv;
pub mod demo;
mod duration;
mod exophone;
mod import;
mod offline;
mod output;
mod report;
pub mod serve;
mod store;
mod trunk;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::api::refusal;
use crate::config::{Config, LogLevel};
use crate::store::Refusal;
use client::Client;
use output::Output;

/// Exit code when something was refused or failed.
const REFUSED: u8 = 1;
/// Exit code when the command was not understood.
const USAGE: u8 = 2;

/// Number masking for telephone calls: two parties talk, neither learns the other's number.
#[derive(Debug, Parser)]
#[command(name = "callmask", version, disable_help_subcommand = true)]
struct Cli {
    /// Configuration file; without one the defaults run on loopback
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON for programs instead of tables for people
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server until SIGTERM or SIGINT
    Serve,
    /// Show masking at work on this machine: needs nothing, ends within 20 seconds
    Demo(demo::DemoArgs),
    /// Check the configuration and show how many calls it can carry
    Check,
    /// Virtual numbers
    #[command(subcommand, name = "exophone")]
    ExoPhone(exophone::Command),
    /// Who reaches whom through which ExoPhone
    #[command(subcommand)]
    Allocation(allocation::Command),
    /// Calls, live and ended
    #[command(subcommand)]
    Call(call::Command),
    /// Summaries
    #[command(subcommand)]
    Report(report::Command),
    /// Accounts
    #[command(subcommand)]
    Account(account::Command),
    /// Carriers
    #[command(subcommand)]
    Trunk(trunk::Command),
    /// Backup and inspection of the store
    #[command(subcommand)]
    Store(store::Command),
    /// Print a completion script
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

/// What a command ends with: nothing more to say, or a refusal to print.
type Done = Result<(), Refusal>;

/// Runs one command line and returns its exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    // Store, call log and exports hold real numbers: what we create is for the owner alone.
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers; everything else is a usage error on stderr.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { USAGE } else { 0 });
        }
    };
    let out = Output { json: cli.json };
    let done = match cli.command {
        Command::Completions { shell } => {
            completions(shell, out);
            Ok(())
        }
        Command::Demo(demo) => return demo::run(demo),
        command => configured(command, cli.config.as_deref(), out),
    };
    match done {
        Ok(()) if out.is_incomplete() => ExitCode::from(REFUSED),
        Ok(()) => ExitCode::SUCCESS,
        Err(refusal) => {
            out.refusal(&refusal);
            ExitCode::from(REFUSED)
        }
    }
}

fn completions(shell: clap_complete::Shell, out: Output) {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "callmask", &mut script);
    out.text(&String::from_utf8_lossy(&script));
}

/// The commands that need a configuration.
fn configured(command: Command, file: Option<&Path>, out: Output) -> Done {
    let config = Config::load(file).map_err(|e| bad_config(&e))?;
    match command {
        Command::Check => check::run(&config, out),
        Command::Serve => serve::run(config),
        command => {
            crate::telemetry::start(config.log.level.min(LogLevel::Warn));
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|e| system(&e))?;
            runtime.block_on(administer(command, &config, out))
        }
    }
}

/// The commands that speak to the administrator's routes.
async fn administer(command: Command, config: &Config, out: Output) -> Done {
    let client = Client::connect(config).await?;
    let done = match command {
        Command::ExoPhone(command) => exophone::run(command, &client, out).await,
        Command::Allocation(command) => allocation::run(command, &client, out).await,
        Command::Call(command) => call::run(command, &client, out).await,
        Command::Report(command) => report::run(command, &client, out).await,
        Command::Account(command) => account::run(command, &client, out).await,
        Command::Trunk(command) => trunk::run(command, &client, out).await,
        Command::Store(command) => store::run(command, &client, out).await,
        // `run` and `configured` have taken these.
        Command::Serve | Command::Demo(_) | Command::Check | Command::Completions { .. } => Ok(()),
    };
    done.and(client.close())
}

fn bad_config(error: &crate::config::Error) -> Refusal {
    let mut place = match &error.file {
        Some(file) => file.display().to_string(),
        None => "configuration".to_owned(),
    };
    if let Some(line) = error.line {
        place += &format!(":{line}");
    }
    if !error.key.is_empty() {
        place += &format!(": {}", error.key);
    }
    let message = format!("{place}: {}", error.message);
    refusal("bad_config", message, error.remedy.clone())
}

/// The operating system would not do something.
fn system(error: &std::io::Error) -> Refusal {
    refusal(
        "system",
        error.to_string(),
        "look at the machine's limits and permissions",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
