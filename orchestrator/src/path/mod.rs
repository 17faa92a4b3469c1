//! Paths: how packets get from a network container to its target. One file for each kind that makes something of its own.

mod direct;
mod end;
mod pair;
mod rules;
mod wire;

use std::net::Ipv4Addr;

use clap::ValueEnum;
use landfall_api::{Family, Forward, HERE, Namespace, PortRange, Protocol, SHARED_TABLE};
use thiserror::Error;
use tracing::debug;

use crate::{
    docker::{Container, GUEST},
    error::Error,
    identity::container_name,
    netlink::NetlinkError,
    netns::Id,
    network_container,
    ports::Place,
    target,
    uplink::{Parent, UPLINK},
};
pub use direct::is_uplink as is_direct_uplink;

use direct::Direct;
use wire::Wire;

/// A path, as it is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// A pair of interfaces between the network container and the container, which sees the real addresses of its clients
    #[default]
    Wire,
    /// A Docker network that both are on; the container stays untouched, and sees the network container's address
    Bridge,
    /// The uplink in the container itself, with all its ports; as fast as a macvlan, because nothing is forwarded
    Direct,
}

/// What a network container is told of its path when it is made, for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Path {
    /// A private pair of interfaces.
    Wire,
    /// The Docker network of that name.
    Bridge(String),
    /// The network namespace of a target, as Docker is told of it: `container:ID`.
    Direct(String),
}

/// Why a path cannot be made.
#[derive(Debug, Error)]
pub enum PathError {
    /// The kernel does not do it.
    #[error(transparent)]
    Kernel(#[from] NetlinkError),
    /// The kernel has no routing rules, or not these.
    #[error(
        "cannot lead the target's answers back to the LAN: this kernel lacks routing rules by port (Linux 4.17, CONFIG_IP_MULTIPLE_TABLES)\n  \
         take the path that needs none: --path bridge"
    )]
    NoRules,
    /// `/proc/sys` is not what it is on a host.
    #[error(
        "cannot keep the LAN from the target's other networks: its uplink's settings cannot be written\n  \
         landfall must run on the host itself; or take a path that needs none: --path wire"
    )]
    Settings(#[source] std::io::Error),
    /// All addresses for wires are in use there.
    #[error(
        "cannot give the wire to the target addresses: all of 169.254.192.0/18 is in use there\n  \
         take the path that needs none: --path bridge"
    )]
    Full,
    /// Somebody else removed it at once.
    #[error("the target is not where it was: has it stopped, or started again?\n  run the command again")]
    Vanished,
}

/// Another container that forwards lead to.
#[derive(Clone, Debug)]
pub struct Other {
    /// It.
    pub container: Container,
    /// Whether it serves the same as the target.
    pub is_replica: bool,
}

/// The way from a network container to its target and to others, as it is or as it is to be.
pub struct Way {
    /// Its path.
    pub path: Path,
    /// The target and the others, in this order.
    pub places: Vec<Place>,
    family: Family,
    wire: Wire,
    direct: Direct,
    others: Vec<(Other, Wire)>,
}

impl Path {
    /// What Docker is to attach a network container to.
    pub fn network(&self) -> &str {
        match self {
            Self::Wire => "none",
            Self::Bridge(network) | Self::Direct(network) => network,
        }
    }

    /// What the uplink of a network container is called.
    pub fn uplink(&self, container: &str) -> String {
        match self {
            Self::Wire | Self::Bridge(_) => UPLINK.to_owned(),
            Self::Direct(_) => direct::uplink(container),
        }
    }

    /// Whose network namespace the agent, and the uplink, is in.
    pub fn namespace(&self) -> Namespace {
        match self {
            Self::Wire | Self::Bridge(_) => Namespace::Own,
            Self::Direct(_) => Namespace::Shared,
        }
    }

    /// As it is typed.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Wire => "wire",
            Self::Bridge(_) => "bridge",
            Self::Direct(_) => "direct",
        }
    }

    /// The path that is called so, over this network if it is one that has one.
    pub fn named(name: &str, network: &str) -> Option<Self> {
        match name {
            "wire" => Some(Self::Wire),
            "bridge" => Some(Self::Bridge(network.to_owned())),
            "direct" => Some(Self::Direct(network.to_owned())),
            _ => None,
        }
    }
}

impl Way {
    /// The way of that kind to a target that runs, and to others that do.
    ///
    /// # Errors
    /// If there can be none.
    pub async fn find(
        kind: Kind,
        family: Family,
        target: &Container,
        others: Vec<Other>,
    ) -> Result<Self, Error> {
        target::has_own_network(target)?;
        let name = container_name(&target.name);
        let mut wire = Wire::look(&name, None, &target.namespace).await?;
        let direct = Direct::find(&name, &target.namespace).map_err(PathError::from)?;
        let mut wires: Vec<(Other, Wire)> = Vec::new();
        for other in others {
            target::has_own_network(&other.container)?;
            let Container { name: its_name, namespace, .. } = &other.container;
            let wire = Wire::look(&name, Some(its_name), namespace).await?;
            wires.push((other, wire));
        }
        let mut all: Vec<&mut Wire> =
            [&mut wire].into_iter().chain(wires.iter_mut().map(|(_, wire)| wire)).collect();
        Wire::settle(&mut all);
        let (path, address) = match kind {
            Kind::Direct => (Path::Direct(format!("{GUEST}{}", target.id)), HERE),
            Kind::Wire => (Path::Wire, wire.address()?),
            Kind::Bridge => {
                let (network, address) = target::network(target)?;
                (Path::Bridge(network), address)
            }
        };
        let address6 = match &path {
            Path::Wire if family.has_v6() => Some(wire.address6()?),
            Path::Bridge(network) if family.has_v6() => Some(target::address6(target, network)?),
            Path::Wire | Path::Bridge(_) | Path::Direct(_) => None,
        };
        let mut places = vec![Place { name: target.name.clone(), address, address6, is_replica: false }];
        for (Other { container, is_replica }, wire) in &wires {
            places.push(Place {
                name: container.name.clone(),
                address: wire.address()?,
                address6: if family.has_v6() { Some(wire.address6()?) } else { None },
                is_replica: *is_replica,
            });
        }
        Ok(Self { path, places, family, wire, direct, others: wires })
    }

    /// All containers that it leads to, the target first.
    pub fn containers<'a>(
        &'a self,
        target: &'a Container,
    ) -> impl Iterator<Item = (&'a Container, &'a Wire)> {
        let others = self.others.iter().map(|(other, wire)| (&other.container, wire));
        [(target, &self.wire)].into_iter().chain(others)
    }

    /// What of `forward` hides its clients from the target: all over a bridge; otherwise datagrams to a port that Docker
    /// publishes, too, because nothing tells the answers of the two from each other. Where the uplink is in the target nothing
    /// hides them, and the mark says that the answers are Docker's.
    /// So do datagrams to a port that comes over another wire of that container's.
    pub async fn mark(&self, forward: Vec<Forward>, target: &Container) -> Vec<Forward> {
        let mut foreign = Vec::new();
        for (place, (container, wire)) in self.places.iter().zip(self.containers(target)) {
            let published = container.published_udp.iter().copied();
            let others = match self.path {
                Path::Wire => wire.foreign_datagrams(wire.table()).await,
                Path::Direct(_) => wire.foreign_datagrams(Some(SHARED_TABLE)).await,
                Path::Bridge(_) => Vec::new(),
            };
            foreign.push((place.address, published.map(PortRange::from).chain(others).collect::<Vec<_>>()));
        }
        let hides = |forward: &Forward| {
            let is_its = |(address, ports): &(Ipv4Addr, Vec<PortRange>)| {
                let is_in = |ports: &PortRange| ports.overlaps(forward.private());
                forward.addresses().any(|its| its == *address) && ports.iter().any(is_in)
            };
            matches!(self.path, Path::Bridge(_))
                || (forward.protocol() == Protocol::Udp && foreign.iter().any(is_its))
        };
        let mark = |forward: Forward| {
            let hidden = hides(&forward);
            forward.with_masquerade(hidden)
        };
        forward.into_iter().map(mark).collect()
    }

    /// Which clients of these forwards the containers do not see, or not answer. The kernel's SCTP takes an address of link scope
    /// for none that a peer on the LAN could be answered from (`sctp_in_scope`).
    pub fn warnings(&self, target: &Container, forward: &[Forward]) -> Vec<String> {
        let cost = match self.path {
            Path::Bridge(_) => return Vec::new(),
            Path::Wire => "does not see the addresses of its clients there",
            Path::Direct(_) => "answers nobody there at the address on the LAN",
        };
        let is_unheard =
            |forward: &&Forward| matches!(self.path, Path::Wire) && forward.protocol() == Protocol::Sctp;
        let unheard = forward.iter().filter(is_unheard).map(|forward| {
            let port = forward.port();
            format!("{port}/sctp: the kernel's SCTP answers from no address of a wire; --path bridge and --path direct lead there")
        });
        let warning = |forward: &Forward| {
            let leads_there = |(place, _): &(&Place, _)| place.address == forward.to().address;
            let (_, (its, _)) = self.places.iter().zip(self.containers(target)).find(leads_there)?;
            let (ports, protocol) = (forward.private(), forward.protocol());
            let is_dockers = its.published_udp.iter().any(|port| ports.overlaps((*port).into()));
            let why =
                if is_dockers { "is published by Docker, too" } else { "has another way to the LAN, too" };
            Some(format!("{ports}/{protocol} {why}, so {} {cost}", its.name))
        };
        let shared = forward.iter().filter(|forward| forward.masquerade()).filter_map(warning);
        shared.chain(unheard).collect()
    }

    /// Whether the containers are still where they were when they were found.
    ///
    /// # Errors
    /// If one has ended, or started again, so that what was laid leads nowhere.
    pub fn check(&self, target: &Container) -> Result<(), PathError> {
        let is_there = |(container, wire): (&Container, &Wire)| {
            let now = Id::of(format!("/proc/{}/ns/net", container.pid).as_ref());
            matches!((now, wire.target()), (Ok(now), Ok(then)) if now == then)
        };
        if self.containers(target).all(is_there) { Ok(()) } else { Err(PathError::Vanished) }
    }

    /// Makes what is missing of it, to a network container that runs, for these forwards, and takes away what another path
    /// has left.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub async fn lay(
        &self,
        container: &Container,
        parent: &Parent,
        forward: &[Forward],
    ) -> Result<(), PathError> {
        match self.path {
            Path::Wire => {
                let wires = [&self.wire].into_iter().chain(self.others.iter().map(|(_, wire)| wire));
                for (place, wire) in self.places.iter().zip(wires) {
                    let leads_there = |forward: &&Forward| forward.addresses().any(|to| to == place.address);
                    let its: Vec<Forward> = forward.iter().filter(leads_there).cloned().collect();
                    wire.lay(&container.namespace, parent.mtu, &its).await?;
                }
                Ok(())
            }
            Path::Bridge(_) => self.wire.clear().await,
            Path::Direct(_) => {
                self.direct.lay(self.family).map_err(PathError::Settings)?;
                self.wire.give_way(forward).await
            }
        }
    }

    /// Lets the target reach these addresses of the host's as it did, where its uplink would lead there in vain.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub async fn leave_out(&self, host: &[Ipv4Addr]) -> Result<(), PathError> {
        match self.path {
            Path::Wire | Path::Bridge(_) => Ok(()),
            Path::Direct(_) => Ok(self.direct.leave_out(host).await?),
        }
    }

    /// Takes away an uplink that is still in the target, of an agent that has ended, and rules that it has left.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub async fn make_room(&self) -> Result<(), PathError> {
        self.direct.clear().await?;
        match self.path {
            Path::Wire | Path::Bridge(_) => Ok(()),
            Path::Direct(_) => self.wire.forget_rules().await,
        }
    }
}

/// Whether the path of a network container still leads to its target. Who may not look takes it for granted.
pub async fn leads(container: &Container, target: &Container) -> bool {
    match network_container::path(container) {
        "wire" => {}
        "direct" => return are_together(container, target),
        _ => return true,
    }
    match Wire::find(&container.name, &target.namespace).await {
        Ok(wire) => wire.is_laid().await.unwrap_or(true),
        Err(error) => {
            debug!(%error, target = target.name, "not looked whether the wire is there");
            true
        }
    }
}

/// Whether two containers are in one network namespace, as far as one may look.
fn are_together(one: &Container, other: &Container) -> bool {
    let is_denied = |error: &std::io::Error| error.kind() == std::io::ErrorKind::PermissionDenied;
    match (Id::of(&one.namespace), Id::of(&other.namespace)) {
        (Ok(one), Ok(other)) => one == other,
        (Err(error), _) | (_, Err(error)) => is_denied(&error),
    }
}

/// Removes whatever the path of the network container of that name has made in a target. One that has just stopped has nothing
/// any more.
///
/// # Errors
/// If the kernel refuses.
pub async fn clear(name: &str, target: &Container) -> Result<(), PathError> {
    if target::has_own_network(target).is_err() {
        return Ok(());
    }
    let clearing = async {
        Direct::find(name, &target.namespace)?.clear().await?;
        Wire::find(name, &target.namespace).await?.clear().await
    };
    match clearing.await {
        Err(PathError::Kernel(NetlinkError::Namespace(..))) => Ok(()),
        result => result,
    }
}
