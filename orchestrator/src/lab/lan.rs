//! The interfaces of a practice LAN: a bridge, which is the LAN and its router, and a veth pair from it to the host.
//! Every step finds what is there; refuses to know who serves addresses.

use std::os::fd::{AsFd, AsRawFd};

use ipnet::Ipv4Net;
use rtnetlink::{
    LinkBridge, LinkMessageBuilder, LinkUnspec, LinkVeth,
    packet_route::link::{InfoData, InfoVeth, LinkAttribute, LinkMessage},
};

use super::{
    error::LabError,
    links::{Change, Links, are_pair, is_veth, silence_ipv6},
    subnet::Subnet,
    up::Plan,
};
use crate::netns::Netns;

/// The LAN itself, and its router.
pub const BRIDGE: &str = "br0";
/// The bridge's port that leads to the host.
const PORT: &str = "to-host";

/// Makes the bridge with the router's address, and brings the loopback up.
pub async fn bridge(plan: &Plan, inside: &Links) -> Result<(LinkMessage, Subnet, Change), LabError> {
    inside.set(LinkUnspec::new_with_name("lo").up().build()).await?;
    let (bridge, made) = inside.ensure(BRIDGE, LinkBridge::new(BRIDGE).build()).await?;
    let (subnet, addressed) = if let Some(net) = inside.address(&bridge).await? {
        (found_subnet(plan, net)?, Change::Found)
    } else {
        let subnet = plan.subnet.unwrap_or_default();
        inside.add_address(&bridge, subnet.router_net()).await?;
        (subnet, Change::Made)
    };
    inside.set(LinkUnspec::new_with_index(bridge.header.index).up().build()).await?;
    Ok((bridge, subnet, made.and(addressed)))
}

fn found_subnet(plan: &Plan, net: Ipv4Net) -> Result<Subnet, LabError> {
    let found = net.trunc();
    let usable = Subnet::try_from(found).ok().filter(|subnet| subnet.router_net() == net);
    usable
        .filter(|subnet| plan.subnet.is_none_or(|wanted| wanted == *subnet))
        .ok_or_else(|| LabError::OtherSubnet { name: plan.name.clone(), found })
}

/// Where the two ends of the veth pair are.
pub struct Ends<'a> {
    /// The host's network namespace.
    pub host: &'a Links,
    /// The LAN's.
    pub inside: &'a Links,
    /// What the host's end is called.
    pub interface: &'a str,
}

impl Ends<'_> {
    /// Makes the pair. An end that leads elsewhere is of an earlier LAN, whose namespace lost its name.
    pub async fn pair(&self, namespace: &Netns) -> Result<Change, LabError> {
        let outer = self.host.find(self.interface).await?;
        let inner = self.inside.find(PORT).await?;
        match (&outer, &inner) {
            (Some(outer), _) if !is_veth(outer) => {
                return Err(LabError::Taken { interface: self.interface.to_owned() });
            }
            (Some(outer), Some(inner)) if are_pair(outer, inner) => return Ok(Change::Found),
            (Some(_) | None, Some(_) | None) => {}
        }
        if let Some(outer) = outer {
            self.host.remove(&outer).await?;
        }
        if let Some(inner) = inner {
            self.inside.remove(&inner).await?;
        }
        self.host.add(veth(self.interface, namespace)).await?;
        Ok(Change::Made)
    }

    /// Makes the inner end a port of the bridge, and brings both ends up.
    pub async fn plug_in(&self, bridge: &LinkMessage) -> Result<(), LabError> {
        let port = LinkUnspec::new_with_name(PORT).controller(bridge.header.index).up();
        self.inside.set(port.build()).await?;
        silence_ipv6(self.interface);
        self.host.set(LinkUnspec::new_with_name(self.interface).up().build()).await
    }
}

/// A pair whose other end is born in the namespace: there is no moment at which it is on the host.
fn veth(interface: &str, namespace: &Netns) -> LinkMessage {
    let mut peer = LinkMessageBuilder::<LinkUnspec>::new().name(PORT).build();
    peer.attributes.push(LinkAttribute::NetNsFd(namespace.as_fd().as_raw_fd()));
    LinkVeth::new(interface, PORT).set_info_data(InfoData::Veth(InfoVeth::Peer(peer))).build()
}
