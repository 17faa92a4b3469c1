//! Whether an interface of the host can be the parent of a macvlan.

use futures_util::TryStreamExt as _;
use landfall_api::InterfaceName;
use rtnetlink::packet_route::link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};

use super::{Alike, UplinkError};
use crate::netlink::{Netlink, refused};

/// An interface that can be a parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parent {
    /// Its index on the host.
    pub index: u32,
    /// Its name.
    pub name: InterfaceName,
    /// Its MTU.
    pub mtu: u32,
}

/// Looks at the interface called `name`.
///
/// # Errors
/// Why it cannot be a parent.
pub async fn check(name: &str) -> Result<Parent, UplinkError> {
    let netlink = Netlink::open()?;
    let links = netlink.handle.link().get().execute().try_collect::<Vec<_>>().await;
    judge(name.parse()?, &links.map_err(refused("list the interfaces"))?)
}

/// Decides, from all of the host's interfaces.
fn judge(name: InterfaceName, links: &[LinkMessage]) -> Result<Parent, UplinkError> {
    let text = name.to_string();
    let Some(link) = links.iter().find(|link| name_of(link) == name.as_str()) else {
        return Err(UplinkError::Missing(text, alike(&name, links)));
    };
    let by_index = |index: Option<u32>| links.iter().find(|link| Some(link.header.index) == index);
    if link.header.flags.contains(LinkFlags::Loopback) {
        return Err(UplinkError::Loopback(text));
    }
    if let Some(kind @ (InfoKind::MacVlan | InfoKind::MacVtap | InfoKind::IpVlan | InfoKind::IpVtap)) =
        kind_of(link)
    {
        let parent = by_index(parent_of(link)).map_or("the interface it was made on", name_of);
        return Err(UplinkError::Child(text, kind.to_string(), parent.to_owned()));
    }
    if let Some(controller) = by_index(controller_of(link)) {
        let its_name = name_of(controller).to_owned();
        return Err(match kind_of(controller) {
            Some(InfoKind::Bridge) => UplinkError::BridgePort(text, its_name),
            _ => UplinkError::Port(text, its_name),
        });
    }
    if !link.header.flags.contains(LinkFlags::Up) {
        return Err(UplinkError::Down(text));
    }
    Ok(Parent { index: link.header.index, name, mtu: mtu_of(link) })
}

fn name_of(link: &LinkMessage) -> &str {
    let name = link.attributes.iter().find_map(|attribute| {
        let LinkAttribute::IfName(name) = attribute else { return None };
        Some(name.as_str())
    });
    name.unwrap_or_default()
}

fn kind_of(link: &LinkMessage) -> Option<&InfoKind> {
    link.attributes.iter().find_map(|attribute| {
        let LinkAttribute::LinkInfo(infos) = attribute else { return None };
        infos.iter().find_map(|info| if let LinkInfo::Kind(kind) = info { Some(kind) } else { None })
    })
}

fn parent_of(link: &LinkMessage) -> Option<u32> {
    link.attributes.iter().find_map(|a| if let LinkAttribute::Link(index) = a { Some(*index) } else { None })
}

fn mtu_of(link: &LinkMessage) -> u32 {
    let mtu =
        link.attributes.iter().find_map(|a| if let LinkAttribute::Mtu(mtu) = a { Some(*mtu) } else { None });
    mtu.unwrap_or(1500)
}

fn controller_of(link: &LinkMessage) -> Option<u32> {
    link.attributes
        .iter()
        .find_map(|a| if let LinkAttribute::Controller(index) = a { Some(*index) } else { None })
}

/// Interfaces whose names begin alike and that could be parents.
fn alike(name: &InterfaceName, links: &[LinkMessage]) -> Alike {
    let stem = name.as_str().trim_end_matches(|c: char| c.is_ascii_digit());
    let names = links.iter().map(name_of).filter(|other| !stem.is_empty() && other.starts_with(stem));
    Alike(names.take(3).map(str::to_owned).collect())
}
