//! The container that is to be exposed: waits for it, and finds the network that it can be reached on.

use std::net::{Ipv4Addr, Ipv6Addr};

use futures_util::{StreamExt as _, pin_mut};
use jiff::Timestamp;

use crate::{
    docker::{Container, Docker, GUEST},
    error::Error,
    identity::is_container_name,
    netns::Id,
    network_container,
    patience::Patience,
    progress::Progress,
};

/// Waits until a container of that name (or id) runs.
///
/// # Errors
/// If none does in time.
#[expect(clippy::disallowed_methods, reason = "Docker's events are asked for from a time on")]
pub async fn wait_for(
    docker: &Docker,
    name: &str,
    patience: Patience,
    progress: &Progress,
) -> Result<Container, Error> {
    if !is_container_name(name) {
        return Err(Error::BadName(name.to_owned()));
    }
    // Docker remembers: a start between this look and the first event is told all the same.
    let since = Timestamp::now();
    let mut last = docker.container(name).await?;
    if !last.as_ref().is_some_and(Container::is_running) {
        progress.step(&format!("waiting for {name} to start"));
        let starting = async {
            let starts = docker.starts(since);
            pin_mut!(starts);
            loop {
                last = docker.container(name).await?;
                if last.as_ref().is_some_and(Container::is_running) {
                    return Ok::<(), Error>(());
                }
                starts.next().await.transpose()?;
            }
        };
        if let Some(ended) = patience.limit(starting).await {
            ended?;
        }
    }
    match last {
        Some(container) if network_container::target(&container).is_some() => {
            Err(Error::TargetIsOurs(container.name))
        }
        Some(container) if container.is_running() => Ok(container),
        Some(container) => Err(Error::TargetStopped { target: container.name, waited: patience.wait }),
        None => {
            let alike = alike(name, docker.names().await?.into_iter());
            Err(Error::NoTarget { target: name.to_owned(), waited: patience.wait, alike })
        }
    }
}

/// The name of the target that was typed: its name, or its id as `docker ps` shows it. A target that is gone keeps its name.
///
/// # Errors
/// If it cannot be the name of a container.
pub async fn name(docker: &Docker, typed: &str) -> Result<String, Error> {
    if !is_container_name(typed) {
        return Err(Error::BadName(typed.to_owned()));
    }
    let found = if is_id(typed) { docker.container(typed).await? } else { None };
    Ok(found.map_or_else(|| typed.to_owned(), |container| container.name))
}

/// Docker takes any beginning of an id; one shorter than `docker ps` shows may well be a name.
fn is_id(typed: &str) -> bool {
    (12..=64).contains(&typed.len()) && typed.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether its network is its own.
///
/// # Errors
/// If it shares that of the host or of another container.
pub fn has_own_network(target: &Container) -> Result<(), Error> {
    let refuse = |why, remedy| refuse(target, why, remedy);
    let is_hosts = matches!((Id::of(&target.namespace), Id::own()), (Ok(its), Ok(own)) if its == own);
    if target.network_mode == "host" || is_hosts {
        return Err(refuse(
            "it has the host's own addresses",
            "it is on the LAN already; or run it on a network of its own",
        ));
    }
    if target.network_mode.starts_with(GUEST) {
        return Err(refuse(
            "it has another container's addresses",
            "expose that container instead, with -p for the ports",
        ));
    }
    Ok(())
}

/// The first of its networks, by name, on which it has an address, and that address.
///
/// # Errors
/// If there is none, because of its network mode.
pub fn network(target: &Container) -> Result<(String, Ipv4Addr), Error> {
    match target.networks.first_key_value() {
        Some((name, address)) => Ok((name.clone(), *address)),
        None => Err(refuse(
            target,
            "it has no IPv4 address that the network container could reach",
            "reach it without one: --path wire; or connect it to a network: docker network connect bridge CONTAINER",
        )),
    }
}

/// Its IPv6 address on that network.
///
/// # Errors
/// If it has none.
pub fn address6(target: &Container, network: &str) -> Result<Ipv6Addr, Error> {
    let address = target.networks6.get(network).copied();
    address.ok_or_else(|| {
        refuse(
            target,
            "it has no IPv6 address that the network container could reach",
            "reach it without one: --path wire; or give its network IPv6: docker network create --ipv6",
        )
    })
}

fn refuse(target: &Container, why: &'static str, remedy: &'static str) -> Error {
    let mode = target.network_mode.escape_debug().to_string();
    Error::TargetNetwork { target: target.name.clone(), mode, why, remedy }
}

/// Names that share a part with the one that was typed.
fn alike(name: &str, names: impl Iterator<Item = String>) -> Vec<String> {
    let name = name.to_lowercase();
    let is_alike = |other: &String| {
        let other = other.to_lowercase();
        let shared = name.chars().zip(other.chars()).take_while(|(a, b)| a == b).count();
        other.contains(&name) || name.contains(&other) || 2 * shared > name.len()
    };
    names.filter(|other| is_alike(other) && !other.starts_with("landfall-")).take(3).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_name_of_hexadecimal_digits_is_no_id() {
        assert!(is_id("aa6e80b8d311"));
        assert!(is_id(&"0".repeat(64)));
        for name in ["cafe", "aa6e80b8d31", "webserver-one", "AA6E80B8D311"] {
            assert!(!is_id(name), "{name} was taken for an id");
        }
    }

    #[test]
    fn a_typo_finds_what_was_meant() {
        let names = || ["webserver", "mail", "landfall-webserver"].map(String::from).into_iter();
        assert_eq!(alike("webserve", names()), ["webserver"]);
        assert_eq!(alike("websrever", names()), [""; 0]);
        assert_eq!(alike("Webserver2", names()), ["webserver"]);
        assert_eq!(alike("database", names()), [""; 0]);
    }
}
