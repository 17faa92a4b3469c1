//! The direct path: the uplink is in the target itself, and the agent shares its network namespace. Nothing is forwarded.

use std::{fs, io, net::Ipv4Addr, path::Path};

use futures_util::TryStreamExt as _;
use landfall_api::{Family, SHARED_TABLE};
use nix::errno::Errno;
use rtnetlink::{
    RouteMessageBuilder,
    packet_route::route::{RouteMessage, RouteType},
};
use tracing::debug;

use crate::{
    netlink::{Netlink, NetlinkError, OURS, ignore, is_short_name, namespace, refused, short_name},
    netns::Netns,
};

/// What is set for the uplink: it answers for its own address only, and takes nothing from the LAN for the target's other ones,
/// whose answers would not go back over it.
const SETTINGS: [(&str, &str); 3] = [("arp_ignore", "1"), ("arp_announce", "2"), ("rp_filter", "1")];

/// What the uplink of a network container is called in its target, where there are interfaces of others.
pub fn uplink(container: &str) -> String {
    short_name("ll", container)
}

/// Whether an interface is called like one.
pub fn is_uplink(name: &str) -> bool {
    is_short_name("ll", name)
}

/// The uplink in a target, whether it is there or not.
pub struct Direct {
    name: String,
    namespace: Netns,
    netlink: Netlink,
}

impl Direct {
    /// That of the network container of that name, in the target whose namespace is at `path`.
    ///
    /// # Errors
    /// If the target is not there.
    pub fn find(container: &str, path: &Path) -> Result<Self, NetlinkError> {
        let namespace = namespace(path, "the target")?;
        let netlink = Netlink::open_in(&namespace)?;
        Ok(Self { name: uplink(container), namespace, netlink })
    }

    /// Sets what an uplink among others needs, which is to have addresses of these families.
    ///
    /// # Errors
    /// If a setting that keeps the networks apart cannot be made.
    pub fn lay(&self, family: Family) -> io::Result<()> {
        let Self { name, namespace, .. } = self;
        namespace.within(|| {
            if !family.has_v6()
                && let Err(error) = fs::write(format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"), "1")
            {
                debug!(%error, name, "IPv6 stays as it is");
            }
            SETTINGS.into_iter().try_for_each(|(setting, value)| {
                fs::write(format!("/proc/sys/net/ipv4/conf/{name}/{setting}"), value)
            })
        })
    }

    /// Leaves out these addresses of the host's, and no others, of what goes over the uplink: a macvlan does not reach its own
    /// parent, and the target's other networks do.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub async fn leave_out(&self, host: &[Ipv4Addr]) -> Result<(), NetlinkError> {
        let all = RouteMessageBuilder::<Ipv4Addr>::new().build();
        let routes = self.netlink.handle.route();
        let found = routes.get(all).execute().try_collect::<Vec<_>>().await;
        let wanted: Vec<RouteMessage> = host.iter().map(|address| elsewhere(*address)).collect();
        let is = |route: &RouteMessage, wanted: &RouteMessage| {
            wanted.attributes.iter().all(|attribute| route.attributes.contains(attribute))
        };
        let found = found.map_err(refused("list the routes of the target"))?;
        let ours: Vec<RouteMessage> = found
            .into_iter()
            .filter(|route| route.header.kind == RouteType::Throw && route.header.protocol == OURS)
            .collect();
        for missing in wanted.iter().filter(|wanted| !ours.iter().any(|route| is(route, wanted))) {
            let added = routes.add(missing.clone()).execute().await;
            added.map_err(refused("leave the host out of what goes over the target's uplink"))?;
        }
        for old in ours.into_iter().filter(|route| !wanted.iter().any(|wanted| is(route, wanted))) {
            let removed = routes.del(old).execute().await;
            ignore(removed, Errno::ESRCH).map_err(refused("remove a route of the target"))?;
        }
        Ok(())
    }

    /// Removes it, if it is there, and what was made for it.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub async fn clear(&self) -> Result<(), NetlinkError> {
        self.leave_out(&[]).await?;
        match self.netlink.link(&self.name).await? {
            Some(link) => self.netlink.remove(link.header.index).await,
            None => Ok(()),
        }
    }
}

/// A route that says to look elsewhere for the way to an address.
fn elsewhere(address: Ipv4Addr) -> RouteMessage {
    RouteMessageBuilder::<Ipv4Addr>::new()
        .destination_prefix(address, 32)
        .table_id(SHARED_TABLE)
        .kind(RouteType::Throw)
        .protocol(OURS)
        .build()
}
