//! How an exposed target is shown to people and to other programs. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use jiff::Timestamp;
use landfall_api::{Forward, Spec};
use serde::Serialize;

use crate::{
    counters::{Counters, Table},
    docker::Container,
    network_container,
    state::{AgentState, Held, Phase},
};

/// One exposed target: an element of `ls --format json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct View {
    /// The target's name.
    pub target: String,
    /// The network container's name.
    pub container: String,
    /// The host's interface.
    pub interface: String,
    /// The other containers that it leads to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<String>,
    /// How packets get to the target: `wire`, `bridge` or `direct`.
    pub path: String,
    /// The address on the LAN.
    pub address: Option<Ipv4Addr>,
    /// The IPv6 addresses there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ipv6: Vec<Ipv6Addr>,
    /// How it is.
    pub state: State,
    /// The lease.
    pub lease: Option<LeaseView>,
    /// What is forwarded.
    pub forwards: Vec<ForwardView>,
}

/// A forward, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ForwardView {
    /// As it is in the spec.
    #[serde(flatten)]
    pub forward: Forward,
    /// What has passed it; none if nobody asked, or it is not known.
    #[serde(flatten)]
    pub counters: Option<Counters>,
}

/// How an exposed target is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It answers under its address.
    Leased,
    /// It answers under an address that it has given itself.
    LinkLocal,
    /// Some of the containers behind its address do not run, or have started again since and lost their way.
    Degraded,
    /// Its address leads to a target that does not run, or has started again since and lost its way.
    Orphaned,
    /// An address is looked for.
    Searching,
    /// The address was lost, and another one is looked for.
    Lost,
    /// The agent waits for its uplink.
    Starting,
    /// The agent ended with an error.
    Failed,
    /// The network container does not run.
    Stopped,
}

/// A lease, as it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LeaseView {
    /// Seconds until it ends or is extended; none if it never ends.
    pub remaining: Option<i64>,
    /// How long it lasts, in seconds.
    pub time: Option<u32>,
    /// Who gave it.
    pub server: Option<Ipv4Addr>,
}

/// Whether a target runs, and is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// It does.
    Running,
    /// Some of the containers behind the address do.
    Partly,
    /// It does not, or is gone.
    Absent,
}

impl View {
    /// The view of a network container, from its labels, its agent's reports and its target, at the time `now`.
    pub fn new(container: &Container, agent: &AgentState, target: Target, now: Timestamp) -> Self {
        let forwards = agent.forward.clone().unwrap_or_else(|| labelled_forwards(container));
        let held = agent.lease.as_ref().filter(|_| container.is_running());
        Self {
            target: network_container::target(container).unwrap_or_default().to_owned(),
            container: container.name.clone(),
            interface: network_container::interface(container).to_owned(),
            others: network_container::others(container),
            path: network_container::path(container).to_owned(),
            address: agent.address().filter(|_| container.is_running()),
            ipv6: agent.ipv6_addresses().filter(|_| container.is_running()).collect(),
            state: state(container, agent, target),
            lease: held.map(|held| lease(held, now)),
            forwards: forwards.into_iter().map(|forward| ForwardView { forward, counters: None }).collect(),
        }
    }

    /// All addresses under which the target answers.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.address.map(IpAddr::V4).into_iter().chain(self.ipv6.iter().copied().map(IpAddr::V6))
    }

    /// With what has passed each forward.
    pub fn count(&mut self, table: &Table) {
        for view in &mut self.forwards {
            view.counters = table.of(&view.forward);
        }
    }
}

fn state(container: &Container, agent: &AgentState, target: Target) -> State {
    let looks_for_another = matches!(agent.phase, Phase::Starting | Phase::Searching | Phase::Lost);
    let phase = if looks_for_another && agent.ipv6.is_some() { Phase::Leased } else { agent.phase };
    match (container.is_running(), phase, target) {
        (_, Phase::Failed, _) => State::Failed,
        (false, _, _) | (true, Phase::Released, _) => State::Stopped,
        (true, Phase::Leased, Target::Running) => State::Leased,
        (true, Phase::LinkLocal, Target::Running) => State::LinkLocal,
        (true, Phase::Leased | Phase::LinkLocal, Target::Partly) => State::Degraded,
        (true, Phase::Leased | Phase::LinkLocal, Target::Absent) => State::Orphaned,
        (true, Phase::Searching, _) => State::Searching,
        (true, Phase::Lost, _) => State::Lost,
        (true, Phase::Starting, _) => State::Starting,
    }
}

fn lease(held: &Held, now: Timestamp) -> LeaseView {
    LeaseView { remaining: held.remaining(now), time: held.lease.lease_time, server: held.lease.server }
}

/// What was asked for when the network container was made.
fn labelled_forwards(container: &Container) -> Vec<Forward> {
    let spec = container.labels.get("landfall.spec").and_then(|text| Spec::from_yaml(text).ok());
    spec.map(|spec| spec.forward().to_vec()).unwrap_or_default()
}

impl State {
    /// As it is written in a table.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Leased => "leased",
            Self::LinkLocal => "link-local",
            Self::Degraded => "degraded",
            Self::Orphaned => "orphaned",
            Self::Searching => "searching",
            Self::Lost => "lost",
            Self::Starting => "starting",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }
}
