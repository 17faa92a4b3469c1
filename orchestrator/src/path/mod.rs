//! Paths: how packets get from a network container to its target. One file for each kind that makes something of its own.

mod direct;
mod pair;
mod rules;
mod wire;

use std::net::{Ipv4Addr, Ipv6Addr};

use clap::ValueEnum;
use landfall_api::{Family, Forward, HERE, Protocol};
use thiserror::Error;
use tracing::debug;

use crate::{
    docker::{Container, GUEST},
    error::Error,
    identity::container_name,
    netlink::NetlinkError,
    netns::Id,
    network_container, target,
    uplink::{Parent, UPLINK},
};
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

/// The way to one target, as it is or as it is to be.
pub struct Way {
    /// Its path.
    pub path: Path,
    /// The target's address on it.
    pub address: Ipv4Addr,
    /// Its IPv6 address there; none if nothing is to come over IPv6.
    pub address6: Option<Ipv6Addr>,
    wire: Wire,
    direct: Direct,
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
    /// The way of that kind to a target that runs.
    ///
    /// # Errors
    /// If there can be none.
    pub async fn find(kind: Kind, family: Family, target: &Container) -> Result<Self, Error> {
        target::has_own_network(target)?;
        if kind == Kind::Direct && family.has_v6() {
            let remedy = "take another path: --path wire shows the target its clients, too";
            return Err(Error::Ipv4Only("--path direct", remedy));
        }
        let name = container_name(&target.name);
        let wire = Wire::find(&name, &target.namespace).await?;
        let direct = Direct::find(&name, &target.namespace).map_err(PathError::from)?;
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
        Ok(Self { path, address, address6, wire, direct })
    }

    /// What of `forward` hides its clients from the target: all over a bridge; otherwise datagrams to a port that Docker
    /// publishes, too, because nothing tells the answers of the two from each other. Where the uplink is in the target nothing
    /// hides them, and the mark says that the answers are Docker's.
    pub fn mark(&self, forward: Vec<Forward>, target: &Container) -> Vec<Forward> {
        let hides = |forward: &Forward| {
            let ports = forward.private();
            let is_in = |port: &u16| (ports.first()..=ports.last()).contains(port);
            matches!(self.path, Path::Bridge(_))
                || (forward.protocol() == Protocol::Udp && target.published_udp.iter().any(is_in))
        };
        let mark = |forward: Forward| {
            let hidden = hides(&forward);
            forward.with_masquerade(hidden)
        };
        forward.into_iter().map(mark).collect()
    }

    /// Whether the target is still where it was when it was found.
    ///
    /// # Errors
    /// If it has ended, or started again, so that what was laid leads nowhere.
    pub fn check(&self, target: &Container) -> Result<(), PathError> {
        let now = Id::of(format!("/proc/{}/ns/net", target.pid).as_ref());
        match (now, self.wire.target()) {
            (Ok(now), Ok(then)) if now == then => Ok(()),
            _ => Err(PathError::Vanished),
        }
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
            Path::Wire => self.wire.lay(&container.namespace, parent.mtu, forward).await,
            Path::Bridge(_) => self.wire.clear().await,
            Path::Direct(_) => {
                self.direct.lay().map_err(PathError::Settings)?;
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

    /// Takes away an uplink that is still in the target, of an agent that has ended.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub async fn make_room(&self) -> Result<(), PathError> {
        Ok(self.direct.clear().await?)
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

/// Removes whatever a path has made in a target. One that has just stopped has nothing any more.
///
/// # Errors
/// If the kernel refuses.
pub async fn clear(target: &Container) -> Result<(), PathError> {
    if target::has_own_network(target).is_err() {
        return Ok(());
    }
    let name = container_name(&target.name);
    let clearing = async {
        Direct::find(&name, &target.namespace)?.clear().await?;
        Wire::find(&name, &target.namespace).await?.clear().await
    };
    match clearing.await {
        Err(PathError::Kernel(NetlinkError::Namespace(..))) => Ok(()),
        result => result,
    }
}
