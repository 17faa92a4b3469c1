//! Looks through the network namespaces of this host for uplinks, and for who has a MAC address.

use std::collections::HashSet;

use landfall_api::MacAddr;
use rtnetlink::packet_route::link::{LinkAttribute, LinkMessage};
use tracing::debug;

use super::{
    Parent,
    holder::{Holder, Macvlan, Place, has_mac, is_macvlan, is_uplink},
};
use crate::{
    netlink::{Netlink, NetlinkError, namespace},
    netns::{Id, Netns, OWN, Process, inhabited},
    nsid::Nsid,
};

/// How often to look which namespaces processes are in, while some of them end.
const LOOKS: u32 = 10;

/// Removes uplinks of that network container from where no process is: an agent that was killed leaves them behind, with their
/// addresses, where something else than a process keeps its network namespace. Gives how many there were.
///
/// # Errors
/// If the kernel refuses.
pub async fn remove_left(container: &str) -> Result<usize, NetlinkError> {
    let netlink = Netlink::open()?;
    let mut removed = 0;
    for nsid in without_process(&netlink).await? {
        for link in netlink.links_in(nsid).await? {
            if is_macvlan(&link) && is_uplink(name_of(&link), link.header.index, container) {
                netlink.remove_in(nsid, link.header.index).await?;
                removed += 1;
            }
        }
    }
    Ok(removed)
}

/// Who has that MAC address on the parent. `netlink` is the host's.
///
/// # Errors
/// If the kernel refuses.
pub(super) async fn holder(netlink: &Netlink, parent: &Parent, mac: MacAddr) -> Result<Holder, NetlinkError> {
    let itself = netlink.link(parent.name.as_str()).await?;
    if itself.is_some_and(|link| link.attributes.contains(&LinkAttribute::Address(mac.0.to_vec()))) {
        return Ok(Holder::Parent);
    }
    let found = match among_processes(netlink, parent, mac).await? {
        Some(found) => Some(found),
        None => where_nobody_is(netlink, parent, mac).await?,
    };
    Ok(found.map_or(Holder::Unseen, Holder::Macvlan))
}

/// The one in a namespace that a process is in.
async fn among_processes(
    netlink: &Netlink,
    parent: &Parent,
    mac: MacAddr,
) -> Result<Option<Macvlan>, NetlinkError> {
    let own = Id::own().ok();
    for (id, path) in inhabited() {
        let (links, place) = if Some(id) == own {
            (netlink.links().await?, Place::Host)
        } else {
            // Who has ended since is looked for again the next time.
            let inside = namespace(&path, "a process").and_then(|namespace| Netlink::open_in(&namespace));
            match inside {
                Ok(inside) => (inside.links().await?, Place::Inhabited(Process::at(&path))),
                Err(error) => {
                    debug!(%error, "not looked for the MAC address there");
                    continue;
                }
            }
        };
        // The parent's index is one of the host's.
        let is_from_host = |link: &LinkMessage| place == Place::Host || nsid_of_parent(link).is_some();
        let found = links.iter().find(|link| has_mac(link, parent.index, mac) && is_from_host(link));
        if let Some(found) = found {
            return Ok(Some(macvlan(found, place)));
        }
    }
    Ok(None)
}

/// The one in a namespace that has a number, but no process.
async fn where_nobody_is(
    netlink: &Netlink,
    parent: &Parent,
    mac: MacAddr,
) -> Result<Option<Macvlan>, NetlinkError> {
    for nsid in without_process(netlink).await? {
        let links = netlink.links_in(nsid).await?;
        let Some(found) = links.iter().find(|link| has_mac(link, parent.index, mac)) else { continue };
        // The kernel has just given the host a number of its own, to say where the parent is.
        let host = netlink.nsid(&namespace(OWN.as_ref(), "the host")?).await?;
        if host.is_some() && nsid_of_parent(found) == host {
            return Ok(Some(macvlan(found, Place::Empty(nsid))));
        }
    }
    Ok(None)
}

/// The numbers of the namespaces that no process is in.
async fn without_process(netlink: &Netlink) -> Result<Vec<Nsid>, NetlinkError> {
    // In this order: one that begins meanwhile is not among them, and where one is its process is seen.
    let all = netlink.nsids().await?;
    for _ in 0..LOOKS {
        if let Some(with_process) = with_process(netlink).await? {
            return Ok(all.into_iter().filter(|nsid| !with_process.contains(nsid)).collect());
        }
    }
    Ok(Vec::new())
}

/// The numbers of the namespaces that processes are in; none if that is not certain, because one has ended meanwhile and others may
/// be where it was.
async fn with_process(netlink: &Netlink) -> Result<Option<HashSet<Nsid>>, NetlinkError> {
    let mut found = HashSet::new();
    for path in inhabited().values() {
        let Ok(namespace) = Netns::open(path) else { return Ok(None) };
        found.extend(netlink.nsid(&namespace).await?);
    }
    Ok(Some(found))
}

fn macvlan(link: &LinkMessage, place: Place) -> Macvlan {
    Macvlan { name: name_of(link).to_owned(), index: link.header.index, place }
}

fn name_of(link: &LinkMessage) -> &str {
    let name = link
        .attributes
        .iter()
        .find_map(|a| if let LinkAttribute::IfName(name) = a { Some(name) } else { None });
    name.map_or("", String::as_str)
}

fn nsid_of_parent(link: &LinkMessage) -> Option<Nsid> {
    link.attributes
        .iter()
        .find_map(|a| if let LinkAttribute::LinkNetNsId(id) = a { Nsid::new(*id) } else { None })
}
