//! Wires: logs to standard error, results to standard output, errors to exit codes.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::Parser as _;
use landfall::{cli::Cli, commands, error};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let level = if cli.verbose { LevelFilter::DEBUG } else { LevelFilter::WARN };
    let filter = EnvFilter::builder().with_default_directive(level.into()).from_env_lossy();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).init();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report(&anyhow::Error::from(error).context("start the runtime")),
    };
    let result = runtime.block_on(commands::run(cli));
    // A thread may still wait for a lock that it will never get.
    runtime.shutdown_background();
    result.unwrap_or_else(|error| report(&error))
}

/// Prints an error, once.
fn report(error: &anyhow::Error) -> ExitCode {
    drop(write!(io::stderr(), "{}", error::say(error)));
    commands::exit_code(error)
}
