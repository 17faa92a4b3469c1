//! The IPv6 addresses and routes of the uplink.

use std::{
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use ipnet::Ipv6Net;
use landfall_api::{Namespace, SHARED_TABLE};
use rtnetlink::{
    MulticastGroup, RouteMessageBuilder, new_multicast_connection,
    packet_core::NetlinkMessage,
    packet_route::{
        AddressFamily, RouteNetlinkMessage,
        address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope, CacheInfo},
        route::{
            RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteMetric, RouteProtocol, RouteType,
        },
    },
    sys::SocketAddr,
};
use tokio::task::JoinHandle;

use super::{
    Attempt as _, Link, LinkError, Links, absent_is_fine, configure::LAST, route::Place, rule::OURS,
};
use crate::ipv6::{Found, Presence};

/// Every destination.
const DEFAULT: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0);

/// The metrics of what is on the link, behind those of networks that interfaces have addresses in (256), and of the first router.
const ON_LINK: u32 = 512;
const FIRST_ROUTER: u32 = 1024;

/// What the uplink is to have of IPv6.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ipv6Configuration {
    /// Addresses: each with the time for which it is to be used, and the one for which it is good; none is for ever.
    pub addresses: Vec<(Ipv6Net, Option<Duration>, Option<Duration>)>,
    /// The LAN's routers, the preferred one first.
    pub routers: Vec<Ipv6Addr>,
    /// What is reached without them.
    pub on_link: Vec<Ipv6Net>,
    /// In octets; none leaves it as the link's.
    pub mtu: Option<u32>,
}

/// Hears when IPv6 addresses come, go, or have been checked.
pub struct Ipv6Changes {
    messages: Box<dyn Stream<Item = (NetlinkMessage<RouteNetlinkMessage>, SocketAddr)> + Unpin>,
    connection: JoinHandle<()>,
}

impl Drop for Ipv6Changes {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Ipv6Changes {
    /// Listens from now on.
    ///
    /// # Errors
    /// If the kernel gives no netlink socket.
    pub fn watch() -> Result<Self, LinkError> {
        let (connection, _, messages) =
            new_multicast_connection(&[MulticastGroup::Ipv6Ifaddr]).map_err(LinkError::Socket)?;
        Ok(Self { messages: Box::new(messages), connection: tokio::spawn(connection) })
    }

    /// Waits until something has changed, or may have. Cancel-safe.
    ///
    /// # Errors
    /// If the kernel closes the socket.
    pub async fn next(&mut self) -> Result<(), LinkError> {
        self.messages.next().await.map(drop).ok_or(LinkError::Closed)
    }
}

/// One route of ours over the uplink: where it is, where to, by which router, at which metric, and its MTU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Route {
    place: Place,
    destination: Ipv6Net,
    router: Option<Ipv6Addr>,
    metric: u32,
    mtu: Option<u32>,
}

impl Links {
    /// The uplink's IPv6 addresses, and how far each is.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub async fn ipv6_addresses(&self, link: &Link) -> Result<Vec<Found>, LinkError> {
        let all = self.ipv6_messages().await?;
        Ok(all.iter().filter(|message| message.header.index == link.index).filter_map(found).collect())
    }

    /// Makes the uplink have `wanted` of IPv6 beside its link-local address, and nothing else; and the default route lead
    /// nowhere else, in a namespace of the agent's own. Gives what is left out, each with the network inside that it reaches into.
    ///
    /// # Errors
    /// The first thing that the kernel refuses; the others are done.
    pub async fn configure_ipv6(
        &self,
        link: &Link,
        wanted: &Ipv6Configuration,
    ) -> Result<Vec<(Ipv6Net, Ipv6Net)>, LinkError> {
        let mut wanted = wanted.clone();
        let inside = self.ipv6_networks_beside(link).await?;
        let left_out = keep_outside(&mut wanted, &inside);
        let is_wanted = |message: &AddressMessage| {
            let address = net(message);
            wanted.addresses.iter().any(|(net, ..)| Some(*net) == address)
        };
        let is_link_local = |message: &AddressMessage| message.header.scope == AddressScope::Link;
        let mut present = self.ipv6_messages().await?;
        present.retain(|message| message.header.index == link.index);
        for old in present.into_iter().filter(|old| !is_wanted(old) && !is_link_local(old)) {
            self.remove_address(old).await?;
        }
        for (net, preferred, valid) in &wanted.addresses {
            self.add_ipv6_address(link, *net, *preferred, *valid).await?;
        }
        if self.namespace == Namespace::Shared {
            let sources: Vec<Ipv6Addr> = wanted.addresses.iter().map(|(net, ..)| net.addr()).collect();
            self.set_ipv6_rules(&sources).await?;
        }
        self.set_ipv6_routes(link, &routes(&wanted, link, self.namespace, &inside)).await?;
        Ok(left_out)
    }

    /// The networks that other interfaces have addresses in.
    async fn ipv6_networks_beside(&self, link: &Link) -> Result<Vec<Ipv6Net>, LinkError> {
        let all = self.ipv6_messages().await?;
        let beside = all.iter().filter(|message| {
            message.header.index != link.index && message.header.scope == AddressScope::Universe
        });
        Ok(beside.filter_map(net).collect())
    }

    async fn ipv6_messages(&self) -> Result<Vec<AddressMessage>, LinkError> {
        let mut request = self.handle.address().get();
        request.message_mut().header.family = AddressFamily::Inet6;
        request.execute().try_collect().await.attempt(&self.name, || "list the addresses".into())
    }

    async fn add_ipv6_address(
        &self,
        link: &Link,
        net: Ipv6Net,
        preferred: Option<Duration>,
        valid: Option<Duration>,
    ) -> Result<(), LinkError> {
        let add = self.handle.address().add(link.index, net.addr().into(), net.prefix_len());
        let mut add = add.replace();
        let mut lifetimes = CacheInfo::default();
        lifetimes.ifa_valid = to_seconds(valid).max(1);
        lifetimes.ifa_preferred = to_seconds(preferred).min(lifetimes.ifa_valid);
        // Which prefixes are on the link the routers say, not the address.
        let attributes = &mut add.message_mut().attributes;
        attributes.push(AddressAttribute::CacheInfo(lifetimes));
        attributes.push(AddressAttribute::Flags(AddressFlags::Noprefixroute));
        add.execute().await.attempt(&self.name, || format!("set the address {net}"))
    }

    /// Makes `wanted` the uplink's only routes of ours; touches none that is as it should be.
    async fn set_ipv6_routes(&self, link: &Link, wanted: &[Route]) -> Result<(), LinkError> {
        let mut request = RouteMessageBuilder::<Ipv6Addr>::new().build();
        request.header.table = RouteHeader::RT_TABLE_UNSPEC;
        let all: Vec<RouteMessage> = self
            .handle
            .route()
            .get(request)
            .execute()
            .try_collect()
            .await
            .attempt(&self.name, || "list the routes".into())?;
        let is_unwanted = |message: &RouteMessage| {
            let (ours, foreign) = (is_ours(message, link), is_foreign_default(message, link));
            let kernels = is_kernels(message, link);
            kernels
                || (ours && !wanted.contains(&to_route(message, self.place(message))))
                || (foreign && self.namespace == Namespace::Own)
        };
        let (unwanted, kept): (Vec<_>, Vec<_>) = all.into_iter().partition(is_unwanted);
        for route in unwanted {
            let destination = to_route(&route, self.place(&route)).destination;
            let gone = self.handle.route().del(route).execute().await;
            gone.or_else(absent_is_fine)
                .attempt(&self.name, || format!("remove a route to {destination}"))?;
        }
        let ours = kept.iter().filter(|message| is_ours(message, link));
        let present: Vec<Route> = ours.map(|message| to_route(message, self.place(message))).collect();
        let mut result = Ok(());
        for route in wanted.iter().filter(|route| !present.contains(route)) {
            let added = self.handle.route().add(to_message(link, route)).replace().execute().await;
            let added = added.attempt(&self.name, || format!("set the route to {}", route.destination));
            // One that cannot be is no reason to do without the others.
            result = result.and(added);
        }
        result
    }
}

/// The routes of a configuration, beside the networks `inside` of other interfaces. In a shared namespace they are for what is
/// sent from the uplink's addresses; the target's other networks lead where they always led, and where there are none, all does.
fn routes(wanted: &Ipv6Configuration, link: &Link, namespace: Namespace, inside: &[Ipv6Net]) -> Vec<Route> {
    let mtu = wanted.mtu.filter(|mtu| *mtu < link.mtu);
    let at = |place: Place, first: u32| {
        let route = move |destination, router, metric| Route {
            place,
            destination,
            router,
            metric: first + metric,
            mtu,
        };
        let on_link = wanted.on_link.iter().map(move |net| route(*net, None, ON_LINK));
        let routers = wanted.routers.iter().zip(FIRST_ROUTER..);
        on_link.chain(routers.map(move |(router, metric)| route(DEFAULT, Some(*router), metric)))
    };
    match namespace {
        Namespace::Own => at(Place::Main, 0).collect(),
        Namespace::Shared if inside.is_empty() => {
            at(Place::Aside, 0).chain(at(Place::Fallback, LAST)).collect()
        }
        Namespace::Shared => at(Place::Aside, 0).collect(),
    }
}

/// Takes out of `wanted` what reaches into `inside`, the networks of other interfaces: targets are there.
fn keep_outside(wanted: &mut Ipv6Configuration, inside: &[Ipv6Net]) -> Vec<(Ipv6Net, Ipv6Net)> {
    let mut left_out = Vec::new();
    let mut is_outside = |net: &Ipv6Net| {
        let reaches = |other: &&Ipv6Net| other.contains(&net.addr()) || net.contains(&other.addr());
        let harm = inside.iter().find(reaches);
        left_out.extend(harm.map(|inside| (*net, inside.trunc())));
        harm.is_none()
    };
    wanted.on_link.retain(&mut is_outside);
    wanted.addresses.retain(|(net, ..)| is_outside(net));
    left_out
}

/// In whole seconds, rounded down, so that the kernel is never later than who gave it.
fn to_seconds(lifetime: Option<Duration>) -> u32 {
    lifetime.map_or(u32::MAX, |lifetime| u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX - 1))
}

fn address(message: &AddressMessage) -> Option<Ipv6Addr> {
    message.attributes.iter().find_map(|attribute| {
        if let AddressAttribute::Address(IpAddr::V6(address)) = attribute { Some(*address) } else { None }
    })
}

fn net(message: &AddressMessage) -> Option<Ipv6Net> {
    Ipv6Net::new(address(message)?, message.header.prefix_len).ok()
}

fn found(message: &AddressMessage) -> Option<Found> {
    let flags = message.attributes.iter().find_map(|attribute| {
        if let AddressAttribute::Flags(flags) = attribute { Some(*flags) } else { None }
    })?;
    let presence = if flags.contains(AddressFlags::Dadfailed) {
        Presence::Duplicate
    } else if flags.contains(AddressFlags::Tentative) {
        Presence::Tentative
    } else {
        Presence::Ready
    };
    Some(Found { address: address(message)?, presence })
}

fn leads_over(route: &RouteMessage, link: &Link) -> bool {
    route.attributes.contains(&RouteAttribute::Oif(link.index))
}

fn is_ours(route: &RouteMessage, link: &Link) -> bool {
    route.header.protocol == OURS && leads_over(route, link)
}

/// Whether the kernel made it, before it was told to leave routers to us: it takes such routes away as soon as it forwards.
fn is_kernels(route: &RouteMessage, link: &Link) -> bool {
    route.header.protocol == RouteProtocol::Ra && leads_over(route, link)
}

/// Whether it is a default route over another interface, such as Docker's.
fn is_foreign_default(route: &RouteMessage, link: &Link) -> bool {
    let header = &route.header;
    header.table == RouteHeader::RT_TABLE_MAIN
        && header.kind == RouteType::Unicast
        && header.destination_prefix_length == 0
        && !leads_over(route, link)
}

fn to_route(message: &RouteMessage, place: Place) -> Route {
    let length = message.header.destination_prefix_length;
    let mut route = Route { place, destination: DEFAULT, router: None, metric: 0, mtu: None };
    for attribute in &message.attributes {
        if let RouteAttribute::Destination(RouteAddress::Inet6(address)) = attribute {
            route.destination =
                Ipv6Net::new(*address, length).expect("the kernel's prefixes have 0 to 128 bits");
        } else if let RouteAttribute::Gateway(RouteAddress::Inet6(address)) = attribute {
            route.router = Some(*address);
        } else if let RouteAttribute::Priority(metric) = attribute {
            route.metric = *metric;
        } else if let RouteAttribute::Metrics(metrics) = attribute {
            route.mtu = metrics
                .iter()
                .find_map(|metric| if let RouteMetric::Mtu(mtu) = metric { Some(*mtu) } else { None });
        }
    }
    route
}

fn to_message(link: &Link, route: &Route) -> RouteMessage {
    let builder = RouteMessageBuilder::<Ipv6Addr>::new()
        .destination_prefix(route.destination.addr(), route.destination.prefix_len())
        .output_interface(link.index)
        .priority(route.metric)
        .protocol(OURS);
    let builder = match route.place {
        Place::Main | Place::Fallback => builder,
        Place::Aside => builder.table_id(SHARED_TABLE),
    };
    let mut message = match route.router {
        Some(router) => builder.gateway(router).build(),
        None => builder.build(),
    };
    message.attributes.extend(route.mtu.map(|mtu| RouteAttribute::Metrics(vec![RouteMetric::Mtu(mtu)])));
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_lan_announces_does_not_reach_inside() {
        let net = |text: &str| text.parse::<Ipv6Net>().expect("a network");
        let inside = [net("fd6c::2/126"), net("fd00:5ca1::3/64")];
        let mut wanted = Ipv6Configuration {
            addresses: ["2001:db8::5/64", "fd6c::1/128"].map(|text| (net(text), None, None)).to_vec(),
            on_link: ["2001:db8::/64", "fd6c::/126", "fd6c::/16", "fd6c::2/127", "fd00:5ca1::/80"]
                .map(net)
                .to_vec(),
            ..Ipv6Configuration::default()
        };
        assert_eq!(keep_outside(&mut wanted, &inside).len(), 5);
        assert_eq!(wanted.on_link, [net("2001:db8::/64")]);
        assert_eq!(wanted.addresses, [(net("2001:db8::5/64"), None, None)]);
    }
}
