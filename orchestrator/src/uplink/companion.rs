//! The companion: a pair of interfaces between the host and where an uplink is, because the kernel lets no packet pass between an
//! interface and its own macvlans. Over it the host, and the containers behind its bridges, reach the addresses as the rest of the
//! LAN does. Nothing that the LAN sends comes in over it.
//!
//! Neither end asks where the other is: the host's own address is also on its interface to the LAN.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    os::fd::AsRawFd as _,
    path::Path,
};

use futures_util::TryStreamExt as _;
use ipnet::IpNet;
use landfall_api::{COMPANION, Family, Namespace, SHARED_TABLE};
use nix::errno::Errno;
use rtnetlink::{
    LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder,
    packet_route::{
        address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope},
        link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkInfo, LinkMessage},
        neighbour::NeighbourState,
        route::RouteScope,
    },
};
use tracing::debug;

use super::{Parent, UplinkError};
use crate::{
    identity::derive_mac,
    netlink::{Netlink, NetlinkError, OURS, are_pair, ignore, is_short_name, namespace, refused, short_name},
    netns::Netns,
};

/// What is set for both ends: each has the addresses that it is given, and no others. On last.
const IPV6: [(&str, &str, &str); 4] = [
    ("ipv6", "accept_ra", "0"),
    ("ipv6", "addr_gen_mode", "1"),
    ("ipv6", "router_solicitations", "0"),
    ("ipv6", "disable_ipv6", "0"),
];

/// One address on the LAN, and the one that the host has beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Neighbours {
    there: IpAddr,
    host: IpAddr,
}

/// Whether the parent can have companions for addresses of these families.
///
/// # Errors
/// If the host has no address of any of them on it.
pub async fn check(parent: &Parent, family: Family) -> Result<(), UplinkError> {
    let own = own_addresses(&Netlink::open()?, parent).await?;
    let is_wanted = |net: &IpNet| if net.addr().is_ipv4() { family.has_v4() } else { family.has_v6() };
    if own.iter().any(is_wanted) {
        return Ok(());
    }
    let kind = match family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
        Family::Both => "IP",
    };
    Err(UplinkError::NoHostAddress(parent.name.to_string(), kind))
}

/// The host's own IPv4 addresses on the parent.
///
/// # Errors
/// If the kernel refuses.
pub async fn hosts(parent: &Parent) -> Result<Vec<Ipv4Addr>, UplinkError> {
    let own = own_addresses(&Netlink::open()?, parent).await?;
    Ok(own.iter().filter_map(|net| if let IpNet::V4(net) = net { Some(net.addr()) } else { None }).collect())
}

/// Makes what is missing of the companion of a network container, or brings it to where these addresses, and the host's, are now.
/// Gives the addresses that the host does not reach by it, because it has none of their family on the parent.
///
/// # Errors
/// If the kernel refuses.
pub async fn ensure(
    container: &str,
    parent: &Parent,
    (path, whose): (&Path, Namespace),
    addresses: &[IpAddr],
) -> Result<Vec<IpAddr>, UplinkError> {
    let host = Netlink::open()?;
    let own = own_addresses(&host, parent).await?;
    let (wanted, missed) = pair_up(addresses, &own);
    if wanted.is_empty() {
        return remove(container).await.map(|()| missed);
    }
    let namespace = namespace(path, "the network container")?;
    let inside = Netlink::open_in(&namespace)?;
    let name = short_name(COMPANION, container);
    let made_for = LinkAttribute::IfAlias(short_name("", &format!("{wanted:?}")));
    let (near, far) = ends(&host, (&inside, &namespace), &name, &made_for).await?;
    let has_ipv6 = wanted.iter().any(|neighbours| neighbours.there.is_ipv6());
    let settings = if has_ipv6 { &IPV6[..] } else { &[("ipv6", "disable_ipv6", "1")] };
    set_up(&name, &[("ipv4", "rp_filter", "1")]);
    set_up(&name, settings);
    let inside_too = namespace.within(|| {
        set_up(&name, settings);
        Ok(())
    });
    if let Err(error) = inside_too {
        debug!(%error, name, "IPv6 stays as it is");
    }
    for (netlink, link) in [(&host, &near), (&inside, &far)] {
        let up = LinkUnspec::new_with_index(link.header.index).mtu(parent.mtu).up().build();
        netlink.handle.link().set(up).execute().await.map_err(refused("bring the companion up"))?;
    }
    for netlink in [&host, &inside] {
        netlink.settle(&name).await?;
    }
    for Neighbours { there, host: own } in wanted {
        give(&host, near.header.index, own).await?;
        lead(&host, (&near, &far), there, Some(own), None).await?;
        let table = (!whose.is_own()).then_some(SHARED_TABLE);
        // What is sent there from no address yet is to take this one.
        let source = table.filter(|_| there.is_ipv4()).map(|_| there);
        lead(&inside, (&far, &near), own, source, table).await?;
    }
    // Last: a pair that is not ready is made anew.
    let ready = LinkUnspec::new_with_index(near.header.index).append_extra_attribute(made_for).build();
    host.handle.link().set(ready).execute().await.map_err(refused("say what the companion is for"))?;
    Ok(missed)
}

/// Removes the companion of a network container, if there is one, and its routes with it.
///
/// # Errors
/// If the kernel refuses.
pub async fn remove(container: &str) -> Result<(), UplinkError> {
    let host = Netlink::open()?;
    match host.link(&short_name(COMPANION, container)).await? {
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
        let name = link.attributes.iter().find_map(|attribute| {
            if let LinkAttribute::IfName(name) = attribute { Some(name.clone()) } else { None }
        })?;
        let is_one = is_short_name(COMPANION, &name) && is_veth(&link);
        is_one.then_some((link.header.index, name))
    };
    Ok(links.map_err(refused("list the interfaces"))?.into_iter().filter_map(companion).collect())
}

/// Removes those of these companions that belong to none of these network containers: to those that somebody else has removed.
///
/// # Errors
/// If the kernel refuses.
pub async fn remove_others(companions: &[(u32, String)], containers: &[String]) -> Result<(), UplinkError> {
    let needed: Vec<String> = containers.iter().map(|container| short_name(COMPANION, container)).collect();
    let host = Netlink::open()?;
    for (index, _) in companions.iter().filter(|(_, name)| !needed.contains(name)) {
        host.remove(*index).await?;
    }
    Ok(())
}

fn is_veth(link: &LinkMessage) -> bool {
    let is_kind = |info: &LinkInfo| matches!(info, LinkInfo::Kind(InfoKind::Veth));
    link.attributes.iter().any(|a| matches!(a, LinkAttribute::LinkInfo(infos) if infos.iter().any(is_kind)))
}

/// The host's own addresses on the parent that it is known by, and goes on to be: none that is for the link only, or temporary.
async fn own_addresses(host: &Netlink, parent: &Parent) -> Result<Vec<IpNet>, NetlinkError> {
    let all = host.handle.address().get().set_link_index_filter(parent.index).execute();
    let all: Vec<AddressMessage> = all.try_collect().await.map_err(refused("list addresses"))?;
    let (v4, v6): (Vec<_>, Vec<_>) = all.iter().filter_map(own_address).partition(|net| net.addr().is_ipv4());
    // The kernel lists the newest one of IPv6 first, and the oldest one of IPv4: one that comes and goes is not to be taken.
    Ok(v4.into_iter().chain(v6.into_iter().rev()).collect())
}

fn own_address(message: &AddressMessage) -> Option<IpNet> {
    let find = |pick: &dyn Fn(&AddressAttribute) -> Option<IpAddr>| message.attributes.iter().find_map(pick);
    let local = find(&|a| if let AddressAttribute::Local(ip) = a { Some(*ip) } else { None });
    let ip =
        local.or_else(|| find(&|a| if let AddressAttribute::Address(ip) = a { Some(*ip) } else { None }))?;
    // Of IPv4 the bit of temporary addresses says that it is not the first one of its subnet.
    let fleeting = AddressFlags::Deprecated
        | AddressFlags::Dadfailed
        | AddressFlags::Tentative
        | AddressFlags::Secondary;
    let is_fleeting =
        |a: &AddressAttribute| matches!(a, AddressAttribute::Flags(flags) if flags.intersects(fleeting));
    let is_known = message.header.scope == AddressScope::Universe
        && !(ip.is_ipv6() && message.attributes.iter().any(is_fleeting));
    IpNet::new(ip, message.header.prefix_len).ok().filter(|_| is_known)
}

/// Each address with that of the host's which is best beside it: in the same subnet, or else any of its family; and those for which there is none.
fn pair_up(addresses: &[IpAddr], own: &[IpNet]) -> (Vec<Neighbours>, Vec<IpAddr>) {
    let (mut wanted, mut missed) = (Vec::new(), Vec::new());
    for there in addresses.iter().copied() {
        let beside = own.iter().find(|net| net.contains(&there));
        let of_family = || own.iter().find(|net| net.addr().is_ipv4() == there.is_ipv4());
        match beside.or_else(of_family) {
            Some(net) => wanted.push(Neighbours { there, host: net.addr() }),
            None => missed.push(there),
        }
    }
    (wanted, missed)
}

/// Both ends, on the host and where the uplink is. A pair that leads elsewhere, or was made for other addresses, is made anew.
async fn ends(
    host: &Netlink,
    (inside, namespace): (&Netlink, &Netns),
    name: &str,
    made_for: &LinkAttribute,
) -> Result<(LinkMessage, LinkMessage), UplinkError> {
    let find = async || Ok::<_, NetlinkError>((host.link(name).await?, inside.link(name).await?));
    let (near, far) = find().await?;
    if let (Some(near), Some(far)) = (&near, &far)
        && are_pair(near, far)
        && near.attributes.contains(made_for)
    {
        return Ok((near.clone(), far.clone()));
    }
    for (netlink, old) in [(host, near), (inside, far)] {
        if let Some(old) = old {
            netlink.remove(old.header.index).await?;
        }
    }
    // An index of its own, because ends with the same one take up to a second until they can send.
    let index = u32::from_str_radix(&name[COMPANION.len()..], 16).unwrap_or_default() % INDICES + FIRST_INDEX;
    let far = LinkUnspec::new_with_name(name).index(index).setns_by_fd(namespace.as_raw_fd()).build();
    let pair = LinkMessageBuilder::<LinkVeth>::new(name, name)
        .set_info_data(InfoData::Veth(InfoVeth::Peer(far)))
        // One that the kernel makes up is replaced by udev a moment later, when the other end has been told of it.
        .address(derive_mac("companion", name).0.to_vec())
        .build();
    let made = host.handle.link().add(pair).execute().await;
    made.map_err(refused(format!("make the companion {name}")))?;
    let gone = || UplinkError::Missing(name.to_owned(), super::Alike::default());
    let (near, far) = find().await?;
    near.zip(far).ok_or_else(gone)
}

/// Where the indices begin of the ends where uplinks are, and how many there are.
const FIRST_INDEX: u32 = 0x6c68_0000;
const INDICES: u32 = 0x1_0000;

/// What the kernel refuses stays as it is.
fn set_up(name: &str, settings: &[(&str, &str, &str)]) {
    for (family, setting, value) in settings {
        if let Err(error) = fs::write(format!("/proc/sys/net/{family}/conf/{name}/{setting}"), value) {
            debug!(%error, name, setting, "stays as it is");
        }
    }
}

/// Gives the host's end an address of the host's: Docker's masquerade takes one of the interface that it sends over.
async fn give(host: &Netlink, index: u32, own: IpAddr) -> Result<(), NetlinkError> {
    let mut adding = host.handle.address().add(index, own, length(own));
    if own.is_ipv6() {
        adding.message_mut().attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
    }
    let added = adding.execute().await;
    ignore(added, Errno::EEXIST).map(drop).map_err(refused("give the companion the host's address"))
}

/// Leads what is for an address over the first of two ends to the other one.
async fn lead(
    netlink: &Netlink,
    (from, to): (&LinkMessage, &LinkMessage),
    address: IpAddr,
    source: Option<IpAddr>,
    table: Option<u32>,
) -> Result<(), NetlinkError> {
    let (index, mac) = (from.header.index, mac_of(to));
    let adding = netlink.handle.neighbours().add(index, address).link_layer_address(&mac);
    let added = adding.state(NeighbourState::Permanent).replace().execute().await;
    added.map_err(refused(format!("say where {address} is")))?;
    let mut route = RouteMessageBuilder::<IpAddr>::new()
        .destination_prefix(address, length(address))
        .expect("no more bits than it has")
        .output_interface(index)
        .scope(RouteScope::Link)
        .protocol(OURS);
    if let Some(source) = source {
        route = route.pref_source(source).expect("of the same family");
    }
    if let Some(table) = table {
        route = route.table_id(table);
    }
    let added = netlink.handle.route().add(route.build()).replace().execute().await;
    added.map_err(refused(format!("lead to {address} over the companion")))
}

fn length(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn mac_of(link: &LinkMessage) -> Vec<u8> {
    let mac = link
        .attributes
        .iter()
        .find_map(|a| if let LinkAttribute::Address(mac) = a { Some(mac.clone()) } else { None });
    mac.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_speaks_from_beside_an_address_if_it_can() {
        let nets = |texts: &[&str]| {
            texts.iter().map(|text| text.parse().expect("a network")).collect::<Vec<IpNet>>()
        };
        let ips = |texts: &[&str]| {
            texts.iter().map(|text| text.parse().expect("an address")).collect::<Vec<IpAddr>>()
        };
        let own = nets(&["10.1.0.1/24", "10.2.0.1/24", "2001:db8:1::1/64"]);
        let (wanted, missed) = pair_up(&ips(&["10.2.0.9", "10.3.0.9", "2001:db8:2::9"]), &own);
        let hosts: Vec<IpAddr> = wanted.iter().map(|wanted| wanted.host).collect();
        assert_eq!((hosts, missed), (ips(&["10.2.0.1", "10.1.0.1", "2001:db8:1::1"]), Vec::new()));
        assert_eq!(pair_up(&ips(&["2001:db8::9"]), &own[..2]), (Vec::new(), ips(&["2001:db8::9"])));
    }
}
