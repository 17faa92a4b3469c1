//! `landfall logs`: what an agent has to say, reports and log, each where the agent wrote it.

use std::io::{self, Write as _};

use futures_util::StreamExt as _;

use super::inspect::find;
use crate::{
    cli::LogsArgs,
    docker::{Docker, Until, Which, Written},
    error::Error,
};

/// Shows the log of the network container of a target.
///
/// # Errors
/// If there is none, or Docker does not answer.
pub async fn logs(args: &LogsArgs, host: Option<&str>) -> Result<(), Error> {
    let docker = Docker::connect(host).await?;
    let container = find(&docker, &args.target).await?;
    let until = if args.follow { Until::Ever } else { Until::Now };
    let mut log = docker.log(&container.id, Which::Both, until);
    while let Some(written) = log.next().await {
        let copied = match written? {
            Written::Output(bytes) => io::stdout().lock().write_all(&bytes),
            Written::Log(bytes) => io::stderr().lock().write_all(&bytes),
        };
        match copied {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            copied => copied.map_err(|error| Error::Io("write the log", error))?,
        }
    }
    Ok(())
}
