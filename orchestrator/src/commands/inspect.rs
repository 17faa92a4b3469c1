//! `landfall inspect`: everything about one network container, as JSON.

use jiff::Timestamp;
use serde::Serialize;

use super::{ls::count, print_json};
use crate::{
    docker::{Container, Docker},
    error::Error,
    identity::container_name,
    network_container::{self, state},
    path,
    state::AgentState,
    target,
    view::{Target, View},
};

#[derive(Serialize)]
struct Everything<'a> {
    #[serde(flatten)]
    view: View,
    id: &'a str,
    status: &'a str,
    exit_code: Option<i64>,
    image: &'a str,
    labels: std::collections::BTreeMap<&'a String, &'a String>,
    agent: AgentState,
}

/// Shows the network container of `name`.
///
/// # Errors
/// If there is none, or Docker does not answer.
#[expect(clippy::disallowed_methods, reason = "how long a lease lasts depends on the time of day")]
pub async fn inspect(name: &str, host: Option<&str>) -> Result<(), Error> {
    let docker = Docker::connect(host).await?;
    let container = find(&docker, name).await?;
    let agent = state(&docker, &container).await?;
    let target = reached(&docker, &container).await?;
    let mut views = [View::new(&container, &agent, target, Timestamp::now())];
    count(&docker, &mut views).await;
    let [view] = views;
    print_json(&Everything {
        view,
        id: &container.id,
        status: &container.status,
        exit_code: container.exit_code,
        image: &container.image,
        labels: container.labels.iter().collect(),
        agent,
    })
}

/// Whether the target of a network container, and the others that it leads to, run and are reached.
pub(super) async fn reached(docker: &Docker, container: &Container) -> Result<Target, Error> {
    let target = network_container::target(container).unwrap_or_default().to_owned();
    let mut reached = Vec::new();
    for name in [target].into_iter().chain(network_container::others(container)) {
        let found = docker.container(&name).await?.filter(Container::is_running);
        reached.push(match found {
            Some(found) => !container.is_running() || path::leads(container, &found).await,
            None => false,
        });
    }
    Ok(match (reached.iter().all(|is_reached| *is_reached), reached.contains(&true)) {
        (true, _) => Target::Running,
        (false, true) => Target::Partly,
        (false, false) => Target::Absent,
    })
}

/// The network container of a target.
pub(super) async fn find(docker: &Docker, typed: &str) -> Result<Container, Error> {
    let name = target::name(docker, typed).await?;
    let container = docker.container(&container_name(&name)).await?;
    container
        .filter(|container| network_container::target(container) == Some(&*name))
        .ok_or(Error::NotExposed(name))
}
