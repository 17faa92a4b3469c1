//! Gives the uplink its address, its MTU and its routes, and takes them away again.

use std::net::Ipv4Addr;

use futures_util::TryStreamExt as _;
use ipnet::Ipv4Net;
use landfall_api::{Namespace, SHARED_TABLE};
use rtnetlink::packet_core::{DefaultNla, NLA_F_NESTED};
use rtnetlink::packet_route::{
    link::{AfSpecInet, AfSpecUnspec, LinkAttribute},
    route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType},
};
use rtnetlink::{LinkUnspec, RouteMessageBuilder};
use tracing::warn;

use super::{
    Attempt as _, Configuration, Forwarding, Link, LinkError, Links, absent_is_fine,
    address::subnet,
    route::{DEFAULT, Place, Route, places, plan},
};

/// `linux/if_link.h` and `linux/ip.h`; libc does not have them.
const IFLA_INET_CONF: u16 = 1;
const IPV4_DEVCONF_FORWARDING: u16 = 1;

/// The metric of routes that are not to come before, nor to collide with, what Docker or the target itself may add.
pub(super) const LAST: u32 = 0x6c66;

impl Links {
    /// Makes the uplink have `configuration` and nothing else of its kind, and the default route lead nowhere else, unless it
    /// is the target's. What it has already is left alone, so that an extended lease disturbs no connection. Gives the subnets
    /// of other interfaces that overlap with the uplink's; routes that are left out are logged.
    ///
    /// # Errors
    /// The first thing that the kernel refuses.
    pub async fn configure(
        &self,
        link: &Link,
        configuration: &Configuration,
    ) -> Result<Vec<Ipv4Net>, LinkError> {
        let (own, others): (Vec<_>, Vec<_>) =
            self.addresses().await?.into_iter().partition(|address| address.header.index == link.index);
        // The old address goes first: the new one would be secondary to it, and go with it.
        for old in own.into_iter().filter(|old| subnet(old) != Some(configuration.address)) {
            // The kernel forgets routes with that address in the main table only.
            self.set_routes(link, None, &[]).await?;
            self.remove_address(old).await?;
        }
        self.add_address(link, configuration).await?;
        if let Some(mtu) = configuration.mtu.filter(|mtu| *mtu != link.mtu) {
            self.set_mtu(link, mtu).await?;
        }
        let inside: Vec<Ipv4Net> = others.iter().filter_map(subnet).map(|subnet| subnet.trunc()).collect();
        let plan = plan(configuration, &inside);
        for left_out in &plan.left_out {
            warn!(interface = %self.name, "{left_out}");
        }
        let source = configuration.address.addr();
        match self.namespace {
            Namespace::Own => self.remove_routes(|route| is_foreign_default(route, link)).await?,
            Namespace::Shared => self.set_rules(Some(source)).await?,
        }
        let routes = places(&plan.routes, self.namespace, configuration.address, &inside);
        self.set_routes(link, Some(source), &routes).await?;
        let lan = configuration.address.trunc();
        Ok(inside.into_iter().filter(|subnet| subnet.contains(&lan) || lan.contains(subnet)).collect())
    }

    /// Takes address and routes away.
    ///
    /// # Errors
    /// The first thing that the kernel refuses.
    pub async fn deconfigure(&self, link: &Link) -> Result<(), LinkError> {
        self.set_routes(link, None, &[]).await?;
        if self.namespace == Namespace::Shared {
            self.set_rules(None).await?;
        }
        let own = self.addresses().await?.into_iter().filter(|address| address.header.index == link.index);
        for address in own {
            self.remove_address(address).await?;
        }
        Ok(())
    }

    /// Makes the kernel forward what comes over the uplink, or not; never in a namespace that is shared.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub async fn set_forwarding(&self, link: &Link, forwarding: Forwarding) -> Result<(), LinkError> {
        let is_on = u32::from(forwarding == Forwarding::On && self.namespace.is_own()).to_ne_bytes();
        // rtnetlink's own request leaves out what is 0: one attribute, of eight octets in all.
        let [length, kind] = [8, IPV4_DEVCONF_FORWARDING].map(u16::to_ne_bytes);
        let conf = DefaultNla::new(IFLA_INET_CONF | NLA_F_NESTED, [&length[..], &kind, &is_on].concat());
        let inet = LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet(vec![AfSpecInet::Other(conf)])]);
        let set = LinkUnspec::new_with_index(link.index).append_extra_attribute(inet).build();
        let done = self.handle.link().set(set).execute().await;
        done.attempt(&self.name, || format!("turn forwarding {forwarding:?}").to_lowercase())
    }

    async fn set_mtu(&self, link: &Link, mtu: u32) -> Result<(), LinkError> {
        let set = LinkUnspec::new_with_index(link.index).mtu(mtu).build();
        let done = self.handle.link().set(set).execute().await;
        done.attempt(&self.name, || format!("set an MTU of {mtu}"))
    }

    /// Makes `wanted` the uplink's only routes from DHCP; touches none that is as it should be. Those aside name their `source`.
    async fn set_routes(
        &self,
        link: &Link,
        source: Option<Ipv4Addr>,
        wanted: &[(Place, Route)],
    ) -> Result<(), LinkError> {
        let key = |(place, route): &(Place, Route)| (*place, route.destination);
        let is_wanted = |route: &RouteMessage| {
            let its = to_route(route);
            wanted.iter().any(|wanted| key(wanted) == key(&(self.place(route), its)))
        };
        self.remove_routes(|route| is_ours(route, link) && !is_wanted(route)).await?;
        let all = self.routes().await?;
        let ours = all.iter().filter(|route| is_ours(route, link));
        let present: Vec<(Place, Route)> = ours.map(|route| (self.place(route), to_route(route))).collect();
        for (place, route) in wanted.iter().filter(|wanted| !present.contains(wanted)) {
            let message = to_message(link, *place, source, route);
            let added = self.handle.route().add(message).replace().execute().await;
            added.attempt(&self.name, || format!("set the route to {}", route.destination))?;
        }
        Ok(())
    }

    /// Where a route of ours is.
    pub(super) fn place(&self, route: &RouteMessage) -> Place {
        match self.namespace {
            Namespace::Own => Place::Main,
            Namespace::Shared if route.attributes.contains(&RouteAttribute::Table(SHARED_TABLE)) => {
                Place::Aside
            }
            Namespace::Shared => Place::Fallback,
        }
    }

    async fn remove_routes(&self, is_unwanted: impl Fn(&RouteMessage) -> bool) -> Result<(), LinkError> {
        for route in self.routes().await?.into_iter().filter(is_unwanted) {
            let destination = to_route(&route).destination;
            let gone = self.handle.route().del(route).execute().await;
            gone.or_else(absent_is_fine)
                .attempt(&self.name, || format!("remove a route to {destination}"))?;
        }
        Ok(())
    }

    /// All IPv4 routes of all interfaces.
    async fn routes(&self) -> Result<Vec<RouteMessage>, LinkError> {
        let ipv4 = RouteMessageBuilder::<Ipv4Addr>::new().build();
        let all = self.handle.route().get(ipv4).execute().try_collect().await;
        all.attempt(&self.name, || "list the routes".into())
    }
}

fn leads_over(route: &RouteMessage, link: &Link) -> bool {
    route.attributes.contains(&RouteAttribute::Oif(link.index))
}

/// Whether a route is one that we made.
fn is_ours(route: &RouteMessage, link: &Link) -> bool {
    route.header.protocol == RouteProtocol::Dhcp && leads_over(route, link)
}

/// Whether it is a default route over another interface, such as Docker's.
fn is_foreign_default(route: &RouteMessage, link: &Link) -> bool {
    let header = &route.header;
    header.table == RouteHeader::RT_TABLE_MAIN
        && header.kind == RouteType::Unicast
        && to_route(route).destination == DEFAULT
        && !leads_over(route, link)
}

fn to_route(message: &RouteMessage) -> Route {
    let mut route = Route { destination: DEFAULT, router: None };
    for attribute in &message.attributes {
        if let RouteAttribute::Destination(RouteAddress::Inet(address)) = attribute {
            let length = message.header.destination_prefix_length;
            route.destination =
                Ipv4Net::new(*address, length).expect("the kernel's prefixes have 0 to 32 bits");
        } else if let RouteAttribute::Gateway(RouteAddress::Inet(address)) = attribute {
            route.router = Some(*address);
        }
    }
    route
}

fn to_message(link: &Link, place: Place, source: Option<Ipv4Addr>, route: &Route) -> RouteMessage {
    let builder = RouteMessageBuilder::<Ipv4Addr>::new()
        .destination_prefix(route.destination.addr(), route.destination.prefix_len())
        .output_interface(link.index)
        .protocol(RouteProtocol::Dhcp);
    let builder = match (place, source) {
        (Place::Aside, Some(source)) => builder.table_id(SHARED_TABLE).pref_source(source),
        (Place::Aside, None) => builder.table_id(SHARED_TABLE),
        (Place::Fallback, _) => builder.priority(LAST),
        (Place::Main, _) => builder,
    };
    match route.router {
        Some(router) => builder.gateway(router).build(),
        None => builder.scope(RouteScope::Link).build(),
    }
}
