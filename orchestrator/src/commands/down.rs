//! `landfall down`: stops network containers, so that their leases are given back, and removes them.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use nix::unistd::geteuid;

use super::print;
use crate::{
    cli::DownArgs,
    docker::Docker,
    error::Error,
    identity::container_name,
    lock::{Attempt, lock},
    network_container::{self, TARGET},
    patience::{Patience, Wait},
    target,
};

/// How long another landfall may hold up this one.
const WAIT: Wait = Wait(Duration::from_secs(30));

/// How many are stopped at once.
const AT_ONCE: usize = 16;

/// Takes the addresses of targets away, and says for each what was done. One that fails does not keep the others.
///
/// # Errors
/// All that failed.
pub async fn down(args: &DownArgs) -> Result<(), Error> {
    if !geteuid().is_root() {
        return Err(Error::NotRoot("take an address away"));
    }
    let docker = Docker::connect().await?;
    let targets = if args.all { exposed(&docker).await? } else { args.targets.clone() };
    if targets.is_empty() {
        return print("nothing to do: no container has an address\n");
    }
    let docker = &docker;
    let removing = stream::iter(targets).map(|typed| async move { take_away(docker, &typed).await });
    let results: Vec<Result<String, Error>> = removing.buffered(AT_ONCE).collect().await;
    let mut errors = Vec::new();
    for result in results {
        match result {
            Ok(said) => print(&said)?,
            Err(error) => errors.push(error),
        }
    }
    if errors.len() > 1 { Err(Error::Several(errors)) } else { errors.pop().map_or(Ok(()), Err) }
}

/// The targets of all network containers.
async fn exposed(docker: &Docker) -> Result<Vec<String>, Error> {
    let mut targets = Vec::new();
    for name in docker.labelled(TARGET).await? {
        let container = docker.container(&name).await?;
        targets.extend(container.as_ref().and_then(network_container::target).map(str::to_owned));
    }
    Ok(targets)
}

async fn take_away(docker: &Docker, typed: &str) -> Result<String, Error> {
    let target = &target::name(docker, typed).await?;
    let patience = Patience::new(WAIT);
    let _lock = match lock(target)? {
        Attempt::Locked(lock) => lock,
        Attempt::Busy(waiting) => {
            let busy = || Error::Busy { target: target.to_owned(), waited: patience.wait };
            patience.limit(waiting.wait()).await.unwrap_or_else(|| Err(busy()))?
        }
    };
    let name = container_name(target);
    let Some(container) = docker.container(&name).await? else {
        docker.remove_volume(&name).await?;
        return Ok(format!("{target}: nothing to do, it has no network container\n"));
    };
    if network_container::target(&container) != Some(&**target) {
        return Ok(format!("{target}: nothing to do, {name} is not landfall's\n"));
    }
    docker.stop(&container.id).await?;
    docker.remove(&container.id).await?;
    docker.remove_volume(&name).await?;
    Ok(format!("{target}: stopped and removed {name}\n"))
}
