//! Network containers as Docker has them: what their labels and their logs say.

use std::collections::HashMap;

use futures_util::StreamExt as _;
use landfall_api::{Family, Spec};

use crate::{
    agent_stream::AgentStream,
    docker::{Container, Docker, DockerError, Until, Which, Written},
    identity::Identity,
    path::Path,
    plan::Existing,
    state::AgentState,
};

/// The label that makes a container ours; its value is the target's name.
pub const TARGET: &str = "landfall.target";
const INTERFACE: &str = "landfall.interface";
const MAC: &str = "landfall.mac";
const DHCP: &str = "landfall.dhcp";
const FAMILY: &str = "landfall.family";
const PATH: &str = "landfall.path";
const OFFLOAD: &str = "landfall.offload";
const OTHERS: &str = "landfall.others";
const NETWORK: &str = "landfall.network";
const SPEC: &str = "landfall.spec";
const VERSION: &str = "landfall.version";

/// What a network container is labelled with.
pub fn labels(target: &str, identity: &Identity, spec: &Spec) -> HashMap<String, String> {
    let dhcp = serde_json::to_string(&identity.dhcp).expect("texts and numbers only");
    let labels = [
        (TARGET, target.to_owned()),
        (INTERFACE, identity.interface.clone()),
        (MAC, identity.mac.to_string()),
        (DHCP, dhcp),
        (FAMILY, identity.family.to_string()),
        (OFFLOAD, identity.offload.to_string()),
        (OTHERS, identity.others.join(",")),
        (PATH, identity.path.as_str().to_owned()),
        (NETWORK, identity.path.network().to_owned()),
        (SPEC, spec.to_yaml()),
        (VERSION, env!("CARGO_PKG_VERSION").to_owned()),
    ];
    labels.map(|(key, value)| (key.to_owned(), value)).into()
}

/// The target that a container exposes, if it is one of ours.
pub fn target(container: &Container) -> Option<&str> {
    container.labels.get(TARGET).map(String::as_str)
}

/// The host's interface that a network container is attached to.
pub fn interface(container: &Container) -> &str {
    container.labels.get(INTERFACE).map_or("", String::as_str)
}

/// How packets get to its target. Before there was a label for it, all went over a bridge.
pub fn path(container: &Container) -> &str {
    container.labels.get(PATH).map_or("bridge", String::as_str)
}

/// The names of the other containers that it leads to.
pub fn others(container: &Container) -> Vec<String> {
    let others = container.labels.get(OTHERS).map_or("", String::as_str);
    others.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// Who it is, if its labels are whole.
fn identity(container: &Container) -> Option<Identity> {
    let label = |key: &str| container.labels.get(key);
    Some(Identity {
        interface: label(INTERFACE)?.clone(),
        mac: label(MAC)?.parse().ok()?,
        dhcp: serde_json::from_str(label(DHCP)?).ok()?,
        family: label(FAMILY).map_or(Some(Family::V4), |family| Family::named(family))?,
        offload: label(OFFLOAD).is_some_and(|offload| offload == "true"),
        others: others(container),
        path: Path::named(path(container), label(NETWORK)?)?,
        image: container.image.clone(),
    })
}

/// What is there under the name of the network container of `target`.
///
/// # Errors
/// If Docker does not answer.
pub async fn examine(
    docker: &Docker,
    target: &str,
    container: Option<&Container>,
) -> Result<Existing, DockerError> {
    let Some(container) = container else { return Ok(Existing::Nothing) };
    if self::target(container) != Some(target) {
        return Ok(Existing::Stranger);
    }
    match identity(container).filter(|_| container.is_running()) {
        Some(identity) => Ok(Existing::Running(Box::new((identity, state(docker, container).await?)))),
        None => Ok(Existing::Broken),
    }
}

/// Removes a network container, after its agent has given the lease back.
///
/// # Errors
/// If Docker refuses.
pub async fn take_down(docker: &Docker, container: &Container) -> Result<(), DockerError> {
    if container.is_paused() {
        docker.unpause(&container.id).await?;
    }
    docker.stop(&container.id).await?;
    docker.remove(&container.id).await
}

/// What its agent has reported, all together, since it was started last.
///
/// # Errors
/// If Docker does not answer.
pub async fn state(docker: &Docker, container: &Container) -> Result<AgentState, DockerError> {
    let mut stream = AgentStream::default();
    let mut state = AgentState::default();
    let mut log = docker.log(&container.id, Which::Output, Until::Now);
    while let Some(written) = log.next().await {
        match written {
            Ok(Written::Output(bytes)) => {
                for report in stream.output(&bytes) {
                    state.apply(report);
                }
            }
            Ok(Written::Log(_)) => {}
            // It is gone, or on its way, and its log with it.
            Err(DockerError::Refused { status: 404 | 409, .. }) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(state)
}
