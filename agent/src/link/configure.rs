//! Gives the uplink its address and its routes, and takes them away again.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use futures_util::TryStreamExt as _;
use ipnet::Ipv4Net;
use rtnetlink::packet_route::{
    address::{AddressAttribute, AddressMessage, CacheInfo},
    route::{RouteAddress, RouteAttribute, RouteMessage, RouteProtocol, RouteScope},
};
use rtnetlink::{Error as Netlink, LinkUnspec, RouteMessageBuilder};

use super::{
    Attempt as _, Configuration, Link, LinkError, Links,
    route::{Route, routes},
};

impl Links {
    /// Makes the uplink have `configuration` and nothing else of its kind. What it has already is left alone, so that
    /// an extended lease disturbs no connection. Gives the subnets of other interfaces that overlap with the uplink's.
    ///
    /// # Errors
    /// The first thing that the kernel refuses.
    pub async fn configure(
        &self,
        link: &Link,
        configuration: &Configuration,
    ) -> Result<Vec<Ipv4Net>, LinkError> {
        let addresses = self.addresses().await?;
        for old in of_link(&addresses, link).filter(|old| subnet(old) != Some(configuration.address)) {
            self.remove_address(old.clone()).await?;
        }
        self.add_address(link, configuration).await?;
        if let Some(mtu) = configuration.mtu.filter(|mtu| *mtu != link.mtu) {
            let set = LinkUnspec::new_with_index(link.index).mtu(mtu).build();
            self.handle
                .link()
                .set(set)
                .execute()
                .await
                .attempt(&self.name, || format!("set an MTU of {mtu}"))?;
        }
        let others = addresses
            .iter()
            .filter(|address| address.header.index != link.index);
        let inside: Vec<Ipv4Net> = others.filter_map(subnet).map(|subnet| subnet.trunc()).collect();
        self.set_routes(link, &routes(configuration, &inside)).await?;
        let lan = configuration.address.trunc();
        Ok(inside
            .into_iter()
            .filter(|subnet| subnet.contains(&lan) || lan.contains(subnet))
            .collect())
    }

    /// Takes address and routes away.
    ///
    /// # Errors
    /// The first thing that the kernel refuses.
    pub async fn deconfigure(&self, link: &Link) -> Result<(), LinkError> {
        self.set_routes(link, &[]).await?;
        for address in of_link(&self.addresses().await?, link) {
            self.remove_address(address.clone()).await?;
        }
        Ok(())
    }

    /// All IPv4 addresses of all interfaces.
    async fn addresses(&self) -> Result<Vec<AddressMessage>, LinkError> {
        let mut request = self.handle.address().get();
        request.message_mut().header.family = rtnetlink::packet_route::AddressFamily::Inet;
        request
            .execute()
            .try_collect()
            .await
            .attempt(&self.name, || "list the addresses".into())
    }

    async fn add_address(&self, link: &Link, configuration: &Configuration) -> Result<(), LinkError> {
        let address = configuration.address;
        let add = self
            .handle
            .address()
            .add(link.index, address.addr().into(), address.prefix_len());
        let mut add = add.replace();
        let lifetime = configuration.lifetime.map_or(u32::MAX, to_lifetime);
        let mut lifetimes = CacheInfo::default();
        lifetimes.ifa_preferred = lifetime;
        lifetimes.ifa_valid = lifetime;
        add.message_mut()
            .attributes
            .push(AddressAttribute::CacheInfo(lifetimes));
        add.execute()
            .await
            .attempt(&self.name, || format!("set the address {address}"))
    }

    async fn remove_address(&self, address: AddressMessage) -> Result<(), LinkError> {
        let gone = self.handle.address().del(address).execute().await;
        gone.or_else(absent_is_fine)
            .attempt(&self.name, || "remove an address".into())
    }

    /// Makes `wanted` the uplink's only routes from DHCP.
    async fn set_routes(&self, link: &Link, wanted: &[Route]) -> Result<(), LinkError> {
        let ipv4 = RouteMessageBuilder::<Ipv4Addr>::new().build();
        let all: Vec<RouteMessage> = self
            .handle
            .route()
            .get(ipv4)
            .execute()
            .try_collect()
            .await
            .attempt(&self.name, || "list the routes".into())?;
        for old in all.into_iter().filter(|old| is_ours(old, link)) {
            if wanted
                .iter()
                .all(|route| Some(route.destination) != destination(&old))
            {
                let gone = self.handle.route().del(old).execute().await;
                gone.or_else(absent_is_fine)
                    .attempt(&self.name, || "remove a route".into())?;
            }
        }
        for route in wanted {
            let message = to_message(link, route);
            let added = self.handle.route().add(message).replace().execute().await;
            added.attempt(&self.name, || format!("set the route to {}", route.destination))?;
        }
        Ok(())
    }
}

/// In whole seconds, rounded down, so that the kernel is never later than the server; never the value for `for ever`.
fn to_lifetime(lifetime: Duration) -> u32 {
    u32::try_from(lifetime.as_secs())
        .unwrap_or(u32::MAX)
        .clamp(1, u32::MAX - 1)
}

fn absent_is_fine(error: Netlink) -> Result<(), Netlink> {
    let absent = [-libc::EADDRNOTAVAIL, -libc::ESRCH, -libc::ENODEV];
    match &error {
        Netlink::NetlinkError(message) if absent.contains(&message.raw_code()) => Ok(()),
        _ => Err(error),
    }
}

fn of_link<'a>(addresses: &'a [AddressMessage], link: &Link) -> impl Iterator<Item = &'a AddressMessage> {
    let index = link.index;
    addresses
        .iter()
        .filter(move |address| address.header.index == index)
}

/// The address of a message with its prefix length.
fn subnet(message: &AddressMessage) -> Option<Ipv4Net> {
    message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(IpAddr::V4(address)) => {
            Ipv4Net::new(*address, message.header.prefix_len).ok()
        }
        _ => None,
    })
}

/// Whether a route is one that we made over the uplink.
fn is_ours(route: &RouteMessage, link: &Link) -> bool {
    let is_over_uplink =
        |attribute: &RouteAttribute| matches!(attribute, RouteAttribute::Oif(oif) if *oif == link.index);
    route.header.protocol == RouteProtocol::Dhcp && route.attributes.iter().any(is_over_uplink)
}

fn destination(route: &RouteMessage) -> Option<Ipv4Net> {
    let address = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(address)) => Some(*address),
        _ => None,
    });
    Ipv4Net::new(
        address.unwrap_or(Ipv4Addr::UNSPECIFIED),
        route.header.destination_prefix_length,
    )
    .ok()
}

fn to_message(link: &Link, route: &Route) -> RouteMessage {
    let builder = RouteMessageBuilder::<Ipv4Addr>::new()
        .destination_prefix(route.destination.addr(), route.destination.prefix_len())
        .output_interface(link.index)
        .protocol(RouteProtocol::Dhcp);
    match route.router {
        Some(router) => builder.gateway(router).build(),
        None => builder.scope(RouteScope::Link).build(),
    }
}
