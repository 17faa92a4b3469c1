//! `landfall down`: stops network containers, so that their leases are given back, and removes them.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use nix::unistd::geteuid;

use super::print;
use crate::{
    cli::DownArgs,
    docker::{Container, Docker},
    error::Error,
    identity::container_name,
    lock::{Attempt, Lock, lock},
    network_container::{self, TARGET},
    path,
    patience::{Patience, Wait},
    target,
    uplink::{self, UplinkError, companion},
};

/// How long another landfall may hold up this one.
const WAIT: Wait = Wait(Duration::from_secs(30));

/// How many are stopped at once.
const AT_ONCE: usize = 16;

/// Takes the addresses of targets away, and says for each what was done. One that fails does not keep the others.
///
/// # Errors
/// All that failed.
pub async fn down(args: &DownArgs, host: Option<&str>) -> Result<(), Error> {
    if !geteuid().is_root() {
        return Err(Error::NotRoot("take an address away"));
    }
    let docker = Docker::connect(host).await?;
    let targets = if args.all { exposed(&docker).await? } else { args.targets.clone() };
    if args.all {
        // In this order: a companion comes after its network container.
        let companions = companion::all().await?;
        companion::remove_others(&companions, &docker.labelled(TARGET).await?).await?;
    }
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

/// The other containers that the network container of that name leads to, as far as it is there.
pub(super) async fn others(docker: &Docker, name: &str) -> Result<Vec<String>, Error> {
    Ok(docker.container(name).await?.as_ref().map(network_container::others).unwrap_or_default())
}

/// Keeps other landfalls away from all of them, always in the same order, so that no two wait for each other.
async fn lock_all(others: &[String], target: &str, patience: Patience) -> Result<Vec<Lock>, Error> {
    let mut names: Vec<&str> = others.iter().map(String::as_str).chain([target]).collect();
    names.sort_unstable();
    names.dedup();
    let mut locks = Vec::new();
    for name in names {
        locks.push(match lock(name)? {
            Attempt::Locked(lock) => lock,
            Attempt::Busy(waiting) => {
                let busy = || Error::Busy { target: name.to_owned(), waited: patience.wait };
                patience.limit(waiting.wait()).await.unwrap_or_else(|| Err(busy()))?
            }
        });
    }
    Ok(locks)
}

/// Takes what the path of the network container `name` has made out of a container, if that is there.
pub(super) async fn clear(docker: &Docker, name: &str, target: &str) -> Result<(), Error> {
    let is_there = |found: &Container| found.is_running() || found.is_paused();
    match docker.container(target).await?.filter(is_there) {
        Some(target) => Ok(path::clear(name, &target).await?),
        None => Ok(()),
    }
}

async fn take_away(docker: &Docker, typed: &str) -> Result<String, Error> {
    let target = &target::name(docker, typed).await?;
    let patience = Patience::new(WAIT);
    let name = container_name(target);
    let _locks = lock_all(&others(docker, &name).await?, target, patience).await?;
    let container = docker.container(&name).await?;
    let ours = container.as_ref().filter(|found| network_container::target(found) == Some(&**target));
    let mut errors = Vec::new();
    // Before the network container, which says who they are: who is interrupted finds them again.
    for other in ours.map(network_container::others).unwrap_or_default() {
        errors.extend(clear(docker, &name, &other).await.err());
    }
    if let Some(container) = ours {
        errors.extend(network_container::take_down(docker, container).await.err().map(Error::from));
    }
    // Whatever came of that: what is outside of the container goes, too.
    errors.extend(clear(docker, &name, target).await.err());
    errors.extend(companion::remove(&name).await.err().map(Error::from));
    // Only where no agent is left: one that could not be stopped goes on with its uplink.
    let left = if errors.is_empty() { uplink::remove_left(&name).await } else { Ok(0) };
    let left = left.map_err(UplinkError::from);
    let said = match (&container, ours, left.as_ref().is_ok_and(|removed| *removed > 0)) {
        (Some(_), Some(_), _) => format!("{target}: stopped and removed {name}\n"),
        (_, None, true) => format!("{target}: removed an uplink that a killed agent had left\n"),
        (None, _, _) => format!("{target}: nothing to do, it has no network container\n"),
        (Some(_), None, false) => format!("{target}: nothing to do, {name} is not landfall's\n"),
    };
    errors.extend(left.err().map(Error::from));
    if container.is_none() || ours.is_some() {
        errors.extend(docker.remove_volume(&name).await.err().map(Error::from));
    }
    if errors.len() > 1 { Err(Error::Several(errors)) } else { errors.pop().map_or(Ok(said), Err) }
}
