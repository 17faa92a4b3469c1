//! The addresses of interfaces.

use std::{net::IpAddr, time::Duration};

use futures_util::TryStreamExt as _;
use ipnet::Ipv4Net;
use landfall_api::Namespace;
use rtnetlink::packet_route::{
    AddressFamily,
    address::{AddressAttribute, AddressFlags, AddressMessage, CacheInfo},
};

use super::{Attempt as _, Configuration, Link, LinkError, Links, absent_is_fine};

impl Links {
    /// All IPv4 addresses of all interfaces.
    pub(super) async fn addresses(&self) -> Result<Vec<AddressMessage>, LinkError> {
        let mut request = self.handle.address().get();
        request.message_mut().header.family = AddressFamily::Inet;
        request.execute().try_collect().await.attempt(&self.name, || "list the addresses".into())
    }

    /// Adds the address, or extends its lifetime if it is there.
    pub(super) async fn add_address(
        &self,
        link: &Link,
        configuration: &Configuration,
    ) -> Result<(), LinkError> {
        let address = configuration.address;
        let add = self.handle.address().add(link.index, address.addr().into(), address.prefix_len());
        let mut add = add.replace();
        let lifetime = configuration.lifetime.map_or(u32::MAX, to_lifetime);
        let mut lifetimes = CacheInfo::default();
        lifetimes.ifa_preferred = lifetime;
        lifetimes.ifa_valid = lifetime;
        let attributes = &mut add.message_mut().attributes;
        attributes.push(AddressAttribute::CacheInfo(lifetimes));
        // The target's other addresses go on answering to the uplink's subnet as they did.
        if self.namespace == Namespace::Shared {
            attributes.push(AddressAttribute::Flags(AddressFlags::Noprefixroute));
        }
        add.execute().await.attempt(&self.name, || format!("set the address {address}"))
    }

    pub(super) async fn remove_address(&self, address: AddressMessage) -> Result<(), LinkError> {
        let gone = self.handle.address().del(address).execute().await;
        gone.or_else(absent_is_fine).attempt(&self.name, || "remove an address".into())
    }
}

/// In whole seconds, rounded down, so that the kernel is never later than the server; never the value for ever.
fn to_lifetime(lifetime: Duration) -> u32 {
    u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX).clamp(1, u32::MAX - 1)
}

/// The address of a message with its prefix length.
pub(super) fn subnet(message: &AddressMessage) -> Option<Ipv4Net> {
    let local = message.attributes.iter().find_map(|attribute| {
        if let AddressAttribute::Local(IpAddr::V4(address)) = attribute { Some(*address) } else { None }
    })?;
    Ipv4Net::new(local, message.header.prefix_len).ok()
}
