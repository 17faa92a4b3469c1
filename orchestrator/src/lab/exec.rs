//! Runs a command inside a practice LAN, in place of this program: its exit code and its signals are the command's.

use std::{convert::Infallible, ffi::OsString, os::unix::process::CommandExt, process::Command};

use super::{error::LabError, name::Name, netns};

/// Becomes the command; returns only if that cannot be.
pub fn exec(name: &Name, command: &[OsString]) -> Result<Infallible, LabError> {
    let (program, arguments) = command.split_first().expect("the command line requires a command");
    let found = netns::open(&name.namespace()).map_err(LabError::io("open the network namespace"))?;
    let namespace = found.ok_or_else(|| LabError::NotUp { name: name.clone() })?;
    // The thread that calls exec is the one that goes on, and its namespace with it.
    let became = namespace.within(|| Ok(Command::new(program).args(arguments).exec()));
    let source = became.map_err(LabError::io("enter the network namespace"))?;
    Err(LabError::Exec { command: program.clone(), source })
}
