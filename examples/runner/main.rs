//! The full runner: it runs jobs, answers requests about them, and is its own client.
//!
//! Without arguments it serves. `beacon-runner demo` shows the whole life of a job in a terminal.

mod api;
mod beacon_v1;
mod cli;
mod client;
mod commands;
mod database;
mod demo;
mod evidence;
mod executors;
mod exit;
mod logs;
mod metrics;
mod page;
mod print;
mod secret;
mod serve;
mod settings;
mod signals;
mod trial;
mod values;
mod watch;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use crate::cli::{COMMANDS, Cli, Command};
use crate::exit::Exit;

fn main() -> ExitCode {
    // A supervisor of a child process is this program, started again.
    beacon_jobs::process::init();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(exit) => exit.report(),
    }
}

fn run() -> Result<(), Exit> {
    let cli = match Cli::try_parse_from(with_command(std::env::args_os())) {
        Ok(cli) => cli,
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            return print::line(error.to_string().trim_end());
        }
        Err(error) => return Err(Exit::usage(exit::one_line(&error))),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Exit::failed(format!("no threads can be started: {error}")))?;
    let outcome = runtime.block_on(async {
        match cli.command {
            Command::Serve(args) => serve::run(*args).await,
            Command::Demo(args) => demo::run(&args).await,
            Command::Submit(args) => commands::submit(&args).await,
            Command::Cancel(args) => commands::cancel(&args).await,
            Command::Watch(args) => watch::run(&args).await,
            Command::Jobs(args) => commands::jobs(&args).await,
            Command::Show(args) => commands::show(&args).await,
            Command::Migrate(args) => database::migrate(&args).await,
        }
    });
    // A thread that still reads stdin would be waited for.
    runtime.shutdown_background();
    outcome
}

/// A command line that names no command is one of `serve`.
fn with_command(args: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut args: Vec<OsString> = args.collect();
    let named = args.get(1).and_then(|word| word.to_str()).is_some_and(|word| {
        COMMANDS.contains(&word) || ["help", "-h", "--help", "-V", "--version"].contains(&word)
    });
    let is_word = args.get(1).is_some_and(|word| !word.to_string_lossy().starts_with('-'));
    if !named && !is_word {
        args.insert(args.len().min(1), OsString::from("serve"));
    }
    args
}
