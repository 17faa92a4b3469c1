//! One verb a file; each does its work and prints its result.

mod attach;
pub mod down;
pub mod inspect;
pub mod logs;
pub mod ls;
pub mod stats;
pub mod undo;
mod up;

use std::{
    io::{self, Write as _},
    ops::ControlFlow,
    process::ExitCode,
};

use clap::CommandFactory as _;
use serde::Serialize;

use crate::{
    cli::{Cli, Command, Format, UpArgs},
    error::Error,
    lab::{self, LabError},
    progress::Progress,
    view::View,
};

/// Does what was typed.
///
/// # Errors
/// Why it was not done.
pub async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let host = cli.host.as_deref();
    match cli.command {
        Command::Up(args) => expose(&args, host).await?,
        Command::Down(args) => down::down(&args, host).await?,
        Command::Ls(args) => ls::ls(args.format, host).await?,
        Command::Stats(args) => stats::stats(&args, host).await?,
        Command::Inspect(args) => inspect::inspect(&args.target, host).await?,
        Command::Logs(args) => logs::logs(&args, host).await?,
        Command::Lab(command) => return lab::run(command).await,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "landfall", &mut script);
            print(&String::from_utf8_lossy(&script))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The documented exit code of whatever went wrong.
pub fn exit_code(error: &anyhow::Error) -> ExitCode {
    if let Some(error) = error.downcast_ref::<Error>() {
        return error.exit_code();
    }
    match error.downcast_ref::<LabError>() {
        Some(LabError::NotPermitted { .. }) => ExitCode::from(6),
        _ => ExitCode::FAILURE,
    }
}

async fn expose(args: &UpArgs, host: Option<&str>) -> Result<(), Error> {
    let progress = if args.quiet { Progress::Quiet } else { Progress::new() };
    let view = up::up(args, host, &progress).await;
    progress.finish();
    let view = view?;
    match args.format {
        _ if args.quiet => print(&addresses(&view, "").concat()),
        Format::Json => print_json(&view),
        Format::Text => {
            let forwards = view.forwards.iter().map(|view| view.forward.to_string());
            let lines = forwards.map(|forward| format!("{forward}\n")).chain(addresses(&view, "ip="));
            print(&lines.collect::<String>())
        }
    }
}

/// A line for each.
fn addresses(view: &View, before: &str) -> Vec<String> {
    view.addresses().map(|address| format!("{before}{address}\n")).collect()
}

/// Writes a result to standard output.
fn print(text: &str) -> Result<(), Error> {
    print_on(text).map(drop)
}

/// Writes one of many results; breaks when whoever read them has read enough.
fn print_on(text: &str) -> Result<ControlFlow<()>, Error> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ControlFlow::Break(())),
        written => {
            written.map(ControlFlow::Continue).map_err(|error| Error::Io("write to standard output", error))
        }
    }
}

fn print_json(value: &impl Serialize) -> Result<(), Error> {
    let json = serde_json::to_string_pretty(value).map_err(io::Error::from);
    print(&(json.map_err(|error| Error::Io("write JSON", error))? + "\n"))
}
