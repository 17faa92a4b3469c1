//! The companion: a macvlan on the host beside an uplink, because the kernel lets no packet pass between an interface and its
//! own macvlans. Over it the host, and the containers behind its bridges, reach the address as the rest of the LAN does.
//!
//! It speaks no ARP: it has the host's own address, and whoever asked the LAN for that would hear two answers. Both
//! neighbours are told where the other is instead.

use std::{fs, net::Ipv4Addr, path::Path};

use futures_util::TryStreamExt as _;
use ipnet::Ipv4Net;
use landfall_api::MacAddr;
use nix::errno::Errno;
use rtnetlink::{
    LinkMacVlan, LinkUnspec, RouteMessageBuilder,
    packet_route::{
        AddressFamily,
        address::{AddressAttribute, AddressMessage},
        link::{LinkAttribute, LinkFlags, LinkMessage, MacVlanMode},
        neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState},
        route::{RouteAddress, RouteAttribute, RouteMessage, RouteScope},
    },
};
use tracing::debug;

use super::{Parent, UplinkError};
use crate::{
    identity::derive_mac,
    netlink::{Netlink, NetlinkError, OURS, ignore, is_short_name, namespace, refused, short_name},
};

/// How their names begin.
const PLACE: &str = "lh";

/// Whether the parent can have companions.
///
/// # Errors
/// If the host has no address on it.
pub async fn check(parent: &Parent) -> Result<(), UplinkError> {
    if hosts(parent).await?.is_empty() {
        return Err(UplinkError::NoHostAddress(parent.name.to_string()));
    }
    Ok(())
}

/// The host's own addresses on the parent.
///
/// # Errors
/// If the kernel refuses.
pub async fn hosts(parent: &Parent) -> Result<Vec<Ipv4Addr>, UplinkError> {
    let addresses = Netlink::open()?.addresses().await?;
    let own = addresses.iter().filter(|(index, _)| *index == parent.index);
    Ok(own.map(|(_, net)| net.addr()).collect())
}

/// Makes what is missing of the companion of a network container, or brings it to where the address is now.
///
/// # Errors
/// If the host has no address on the parent, or the kernel refuses.
pub async fn ensure(
    container: &str,
    parent: &Parent,
    (path, uplink, mac): (&Path, &str, MacAddr),
    address: Ipv4Addr,
) -> Result<(), UplinkError> {
    let host = Netlink::open()?;
    let own = own_address(&host, parent, address).await?;
    let (index, own_mac) = link(&host, &short_name(PLACE, container), mac, parent).await?;
    forget(&host, index, own, address).await?;
    let added = host.handle.address().add(index, own.into(), 32).execute().await;
    ignore(added, Errno::EEXIST).map_err(refused("give the companion the host's address"))?;
    let up = host.handle.link().set(LinkUnspec::new_with_index(index).up().build()).execute().await;
    up.map_err(refused("bring the companion up"))?;
    neighbour(&host, index, address, &mac.0).await?;
    let route = host.handle.route().add(route(index, address, own)).replace().execute().await;
    route.map_err(refused(format!("lead the host to {address} over its companion")))?;
    let container = Netlink::open_in(&namespace(path, "the network container")?)?;
    match container.link(uplink).await? {
        Some(uplink) => {
            forget_neighbours(&container, uplink.header.index, own).await?;
            Ok(neighbour(&container, uplink.header.index, own, &own_mac).await?)
        }
        None => Ok(()),
    }
}

/// Removes the companion of a network container, if there is one, and its routes with it.
///
/// # Errors
/// If the kernel refuses.
pub async fn remove(container: &str) -> Result<(), UplinkError> {
    let host = Netlink::open()?;
    match host.link(&short_name(PLACE, container)).await? {
        Some(link) => Ok(host.remove(link.header.index).await?),
        None => Ok(()),
    }
}

/// The companions of all network containers, by index and name.
///
/// # Errors
/// If the kernel refuses.
pub async fn all() -> Result<Vec<(u32, String)>, UplinkError> {
    let links = Netlink::open()?.handle.link().get().execute().try_collect::<Vec<_>>().await;
    let companion = |link: LinkMessage| {
        let name = link.attributes.into_iter().find_map(|attribute| {
            if let LinkAttribute::IfName(name) = attribute { Some(name) } else { None }
        })?;
        let is_one = is_companion(&name) && link.header.flags.contains(LinkFlags::Noarp);
        is_one.then_some((link.header.index, name))
    };
    Ok(links.map_err(refused("list the interfaces"))?.into_iter().filter_map(companion).collect())
}

/// Removes those of these companions that belong to none of these network containers: to those that somebody else has removed.
///
/// # Errors
/// If the kernel refuses.
pub async fn remove_others(companions: &[(u32, String)], containers: &[String]) -> Result<(), UplinkError> {
    let needed: Vec<String> = containers.iter().map(|container| short_name(PLACE, container)).collect();
    let host = Netlink::open()?;
    for (index, _) in companions.iter().filter(|(_, name)| !needed.contains(name)) {
        host.remove(*index).await?;
    }
    Ok(())
}

/// Whether an interface is called like one.
fn is_companion(name: &str) -> bool {
    is_short_name(PLACE, name)
}

/// The host's address on the parent in the subnet of `address`.
async fn own_address(host: &Netlink, parent: &Parent, address: Ipv4Addr) -> Result<Ipv4Addr, UplinkError> {
    let addresses = host.addresses().await?;
    let is_beside = |(index, net): &&(u32, Ipv4Net)| *index == parent.index && net.contains(&address);
    let own = addresses.iter().find(is_beside).map(|(_, net)| net.addr());
    own.ok_or_else(|| UplinkError::NoHostAddress(parent.name.to_string()))
}

/// The macvlan of that name, made if it is not there or of another parent; its index and MAC address.
async fn link(
    host: &Netlink,
    name: &str,
    uplink: MacAddr,
    parent: &Parent,
) -> Result<(u32, Vec<u8>), UplinkError> {
    let mut found = host.link(name).await?;
    if let Some(other) = found.take_if(|link| !link.attributes.contains(&LinkAttribute::Link(parent.index))) {
        host.remove(other.header.index).await?;
    }
    if found.is_none() {
        // One that the kernel makes up is replaced by udev a moment later, when the neighbour has been told of it.
        let mac = derive_mac(&uplink.to_string(), name).0.to_vec();
        let macvlan =
            LinkMacVlan::new(name, parent.index, MacVlanMode::Bridge).address(mac).arp(false).build();
        let made = host.handle.link().add(macvlan).execute().await;
        made.map_err(refused(format!("create the companion {name} of {}", parent.name)))?;
        found = host.link(name).await?;
    }
    // The LAN's routers are none of its business, and nobody comes in over it but who is reached over it.
    for (setting, value) in [("ipv6/conf/NAME/disable_ipv6", "1"), ("ipv4/conf/NAME/rp_filter", "1")] {
        if let Err(error) = fs::write(format!("/proc/sys/net/{}", setting.replace("NAME", name)), value) {
            debug!(%error, name, setting, "stays as it is");
        }
    }
    let gone = || UplinkError::Missing(name.to_owned(), super::Alike::default());
    found.map(|link| (link.header.index, mac_of(&link))).ok_or_else(gone)
}

fn mac_of(link: &LinkMessage) -> Vec<u8> {
    let mac = link
        .attributes
        .iter()
        .find_map(|a| if let LinkAttribute::Address(mac) = a { Some(mac.clone()) } else { None });
    mac.unwrap_or_default()
}

/// Says for good where a neighbour is.
async fn neighbour(netlink: &Netlink, index: u32, address: Ipv4Addr, mac: &[u8]) -> Result<(), NetlinkError> {
    let adding = netlink.handle.neighbours().add(index, address.into()).link_layer_address(mac);
    let added = adding.state(NeighbourState::Permanent).replace().execute().await;
    added.map_err(refused(format!("say where {address} is")))
}

fn route(index: u32, address: Ipv4Addr, own: Ipv4Addr) -> RouteMessage {
    RouteMessageBuilder::<Ipv4Addr>::new()
        .destination_prefix(address, 32)
        .output_interface(index)
        .pref_source(own)
        .scope(RouteScope::Link)
        .protocol(OURS)
        .build()
}

/// Removes the host's addresses and the routes of an earlier time.
async fn forget(host: &Netlink, index: u32, own: Ipv4Addr, address: Ipv4Addr) -> Result<(), NetlinkError> {
    let addresses = host.handle.address().get().set_link_index_filter(index).execute();
    let addresses: Vec<_> = addresses.try_collect().await.map_err(refused("list addresses"))?;
    let is_own = |message: &AddressMessage| message.attributes.contains(&AddressAttribute::Local(own.into()));
    for old in addresses.into_iter().filter(|message| !is_own(message)) {
        let removed = host.handle.address().del(old).execute().await;
        ignore(removed, Errno::EADDRNOTAVAIL).map_err(refused("remove an address"))?;
    }
    let all = RouteMessageBuilder::<Ipv4Addr>::new().build();
    let routes = host.handle.route().get(all).execute().try_collect::<Vec<_>>().await;
    let is_old = |route: &RouteMessage| {
        route.header.protocol == OURS
            && route.attributes.contains(&RouteAttribute::Oif(index))
            && !route.attributes.contains(&RouteAttribute::Destination(RouteAddress::Inet(address)))
    };
    for old in routes.map_err(refused("list the routes"))?.into_iter().filter(is_old) {
        let removed = host.handle.route().del(old).execute().await;
        ignore(removed, Errno::ESRCH).map_err(refused("remove a route"))?;
    }
    Ok(())
}

/// Removes what was said for good of the host's addresses of an earlier time.
async fn forget_neighbours(container: &Netlink, uplink: u32, own: Ipv4Addr) -> Result<(), NetlinkError> {
    let all = container.handle.neighbours().get().execute().try_collect::<Vec<_>>().await;
    let is_old = |message: &NeighbourMessage| {
        message.header.ifindex == uplink
            && message.header.state == NeighbourState::Permanent
            && message.header.family == AddressFamily::Inet
            && !message.attributes.contains(&NeighbourAttribute::Destination(NeighbourAddress::Inet(own)))
    };
    for old in all.map_err(refused("list the neighbours"))?.into_iter().filter(is_old) {
        let removed = container.handle.neighbours().del(old).execute().await;
        ignore(removed, Errno::ENOENT).map_err(refused("remove a neighbour"))?;
    }
    Ok(())
}
