//! One end of a wire: its addresses.

use std::{fs, io, net::Ipv6Addr, path::Path};

use ipnet::{Ipv4Net, Ipv6Net};
use nix::errno::Errno;
use rtnetlink::{
    LinkUnspec,
    packet_route::address::{AddressAttribute, AddressFlags, AddressScope, CacheInfo},
};
use tracing::debug;

use crate::{
    netlink::{Netlink, NetlinkError, ignore, namespace, refused},
    netns::Netns,
};

/// Where one of its ends is.
pub(super) struct Side {
    pub namespace: Netns,
    pub netlink: Netlink,
}

/// One of its ends.
pub(super) struct End<'a> {
    pub side: &'a Side,
    pub name: &'a str,
    pub index: u32,
    pub net: Ipv4Net,
    /// None where nothing is forwarded that comes over IPv6.
    pub net6: Option<Ipv6Net>,
    pub scope: AddressScope,
}

/// What is set for an end with IPv6, which has that one address and no other.
const SETTINGS: [(&str, &str); 4] =
    [("accept_ra", "0"), ("addr_gen_mode", "1"), ("router_solicitations", "0"), ("disable_ipv6", "0")];

impl Side {
    pub fn open(path: &Path, whose: &'static str) -> Result<Self, NetlinkError> {
        let namespace = namespace(path, whose)?;
        let netlink = Netlink::open_in(&namespace)?;
        Ok(Self { namespace, netlink })
    }
}

impl End<'_> {
    /// Gives it its address, if it does not have it, and brings it up. A veth goes up only once both ends are there.
    pub async fn bring_up(&self, mtu: u32) -> Result<(), NetlinkError> {
        let Self { side: Side { netlink, .. }, index, net, scope, .. } = self;
        self.set_ipv6();
        let mut adding = netlink.handle.address().add(*index, net.addr().into(), net.prefix_len());
        adding.message_mut().header.scope = *scope;
        let added = adding.execute().await;
        ignore(added, Errno::EEXIST).map_err(refused("give the wire its addresses"))?;
        let up = LinkUnspec::new_with_index(*index).mtu(mtu).up().build();
        netlink.handle.link().set(up).execute().await.map_err(refused("bring the wire up"))?;
        let Some(net6) = self.net6 else { return Ok(()) };
        for net in [link_local(net6), net6] {
            self.add_ipv6(net).await?;
        }
        Ok(())
    }

    async fn add_ipv6(&self, net: Ipv6Net) -> Result<(), NetlinkError> {
        let addresses = self.side.netlink.handle.address();
        let mut adding = addresses.add(self.index, net.addr().into(), net.prefix_len());
        // Nobody else can have it, and no connection of the target's own is to take it.
        let mut lifetimes = CacheInfo::default();
        (lifetimes.ifa_preferred, lifetimes.ifa_valid) = (0, u32::MAX);
        adding
            .message_mut()
            .attributes
            .extend([AddressAttribute::CacheInfo(lifetimes), AddressAttribute::Flags(AddressFlags::Nodad)]);
        let added = adding.execute().await;
        ignore(added, Errno::EEXIST).map(drop).map_err(refused("give the wire its IPv6 addresses"))
    }

    /// What cannot be set is missed where it is needed: an address is refused then.
    fn set_ipv6(&self) {
        let write = |(setting, value): (&str, &str)| {
            fs::write(format!("/proc/sys/net/ipv6/conf/{}/{setting}", self.name), value)
        };
        let set = || -> io::Result<()> {
            match self.net6 {
                Some(_) => SETTINGS.into_iter().try_for_each(write),
                None => write(("disable_ipv6", "1")),
            }
        };
        if let Err(error) = self.side.namespace.within(set) {
            debug!(%error, name = self.name, "IPv6 stays as it is");
        }
    }
}

/// The address that an end asks the other one from where it is; the kernel's own would first be checked for a second.
fn link_local(net: Ipv6Net) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, net.addr().segments()[7]), 64)
}
