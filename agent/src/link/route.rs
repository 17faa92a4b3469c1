//! Decides which routes the uplink is to have.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use landfall_api::Namespace;
use thiserror::Error;

use super::Configuration;

/// Every destination.
pub(super) const DEFAULT: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0);

/// Where no router leads: this host, this link, groups (RFC 6890).
const RESERVED: [Ipv4Net; 3] = [
    Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8),
    Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 0, 0), 16),
    Ipv4Net::new_assert(Ipv4Addr::new(224, 0, 0, 0), 4),
];

/// One route over the uplink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Route {
    /// Where to.
    pub destination: Ipv4Net,
    /// By which router; none if the destination is on the link.
    pub router: Option<Ipv4Addr>,
}

/// Where a route is in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the main table of a namespace that is the agent's own.
    Main,
    /// In the table for what is sent from the uplink's address, in a namespace that is shared.
    Aside,
    /// In the main table of a namespace that is shared, where nothing else leads anywhere.
    Fallback,
}

/// Where the routes of a plan go, beside the subnets `inside` of other interfaces. In a shared namespace what is sent from the
/// uplink's address goes back over it, also to its own subnet; everything else goes where it always went. Where there are other
/// networks, no default route is one that they are to have: another one would let the LAN reach them.
pub(super) fn places(
    routes: &[Route],
    namespace: Namespace,
    own: Ipv4Net,
    inside: &[Ipv4Net],
) -> Vec<(Place, Route)> {
    let at = |place: Place| move |route: Route| (place, route);
    match namespace {
        Namespace::Own => routes.iter().copied().map(at(Place::Main)).collect(),
        Namespace::Shared => {
            let is_alone = inside.iter().all(|subnet| subnet.addr().is_loopback());
            let subnet = Route { destination: own.trunc(), router: None };
            let aside = [subnet].into_iter().chain(routes.iter().copied());
            let fallback = routes.iter().copied().filter(|_| is_alone);
            aside.map(at(Place::Aside)).chain(fallback.map(at(Place::Fallback))).collect()
        }
    }
}

/// What to do about the routes of a configuration.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// The routes to have, in an order in which each can be added.
    pub routes: Vec<Route>,
    /// Those that would do harm.
    pub left_out: Vec<LeftOut>,
}

/// Why a route is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum LeftOut {
    /// It, or the way to its router, would take packets away from the target.
    #[error("the route to {0} is left out: it leads into {1}, which is another interface's")]
    Inside(Ipv4Net, Ipv4Net),
    /// No route leads there.
    #[error("the route to {0} is left out: {1} is never routed")]
    Reserved(Ipv4Net, Ipv4Net),
    /// It would take the place of the connected route.
    #[error("the route to {0} by {1} is left out: that is the uplink's own subnet")]
    Own(Ipv4Net, Ipv4Addr),
    /// The router cannot be one.
    #[error("the route to {0} is left out: {1} cannot be a router")]
    Router(Ipv4Net, Ipv4Addr),
}

/// The routes of `configuration`, none of which leads into one of the subnets `inside`, which belong to other interfaces.
/// The routers count only where there are no classless routes (RFC 3442, DHCP Client Behavior).
pub(super) fn plan(configuration: &Configuration, inside: &[Ipv4Net]) -> Plan {
    let mut plan = Plan::default();
    if configuration.routes.is_empty()
        && let Some(router) = configuration.routers.first()
    {
        plan.by_router(DEFAULT, *router, configuration.address, inside);
    }
    for (destination, router) in &configuration.routes {
        // "the DHCP client SHOULD ... mask off" host bits that a server left set (RFC 3442).
        let destination = destination.trunc();
        if router.is_unspecified() {
            plan.on_link(destination, configuration.address, inside);
        } else {
            plan.by_router(destination, *router, configuration.address, inside);
        }
    }
    plan
}

impl Plan {
    fn on_link(&mut self, destination: Ipv4Net, own: Ipv4Net, inside: &[Ipv4Net]) {
        match harm(destination, inside) {
            Some(harm) => self.left_out.push(harm),
            None if destination == own.trunc() => {} // The kernel made that one with the address.
            None => self.push(Route { destination, router: None }),
        }
    }

    /// A router that is not in the uplink's subnet gets a route of its own first.
    fn by_router(&mut self, destination: Ipv4Net, router: Ipv4Addr, own: Ipv4Net, inside: &[Ipv4Net]) {
        let is_on_link = own.contains(&router);
        let way = || if is_on_link { None } else { inside.iter().find(|subnet| subnet.contains(&router)) };
        if let Some(harm) = harm(destination, inside) {
            self.left_out.push(harm);
        } else if destination == own.trunc() {
            self.left_out.push(LeftOut::Own(destination, router));
        } else if !can_route(router, own) {
            self.left_out.push(LeftOut::Router(destination, router));
        } else if let Some(subnet) = way() {
            self.left_out.push(LeftOut::Inside(destination, *subnet));
        } else {
            if !is_on_link {
                self.push(Route { destination: router.into(), router: None });
            }
            self.push(Route { destination, router: Some(router) });
        }
    }

    /// The first of two routes to one destination stays.
    fn push(&mut self, route: Route) {
        if self.routes.iter().all(|other| other.destination != route.destination) {
            self.routes.push(route);
        }
    }
}

fn harm(destination: Ipv4Net, inside: &[Ipv4Net]) -> Option<LeftOut> {
    let holder = |subnets: &[Ipv4Net]| subnets.iter().copied().find(|subnet| subnet.contains(&destination));
    holder(&RESERVED)
        .map(|subnet| LeftOut::Reserved(destination, subnet))
        .or_else(|| holder(inside).map(|subnet| LeftOut::Inside(destination, subnet)))
}

/// The kernel refuses a router that is the host itself, a group or a broadcast address.
fn can_route(router: Ipv4Addr, own: Ipv4Net) -> bool {
    let is_broadcast = own.prefix_len() < 31 && [own.broadcast(), own.network()].contains(&router);
    !(router == own.addr()
        || router.is_unspecified()
        || router.is_loopback()
        || router.is_multicast()
        || router.is_broadcast()
        || is_broadcast)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAN: &str = "10.0.0.50/24";
    const DOCKER: &str = "172.17.0.0/16";

    /// What is decided, the routes that are left out after a `!`.
    fn decided(address: &str, routers: &[&str], others: &[(&str, &str)]) -> Vec<String> {
        let ip = |text: &&str| text.parse::<Ipv4Addr>().expect("an address");
        let configuration = Configuration {
            address: address.parse().expect("an address with a prefix"),
            lifetime: None,
            mtu: None,
            routers: routers.iter().map(ip).collect(),
            routes: others.iter().map(|(to, by)| (to.parse().expect("a prefix"), ip(by))).collect(),
        };
        let text = |route: Route| match route.router {
            Some(router) => format!("{} via {router}", route.destination),
            None => format!("{} on the link", route.destination),
        };
        let plan = plan(&configuration, &[DOCKER.parse().expect("a prefix")]);
        let left_out = plan.left_out.iter().map(|left_out| match left_out {
            LeftOut::Inside(to, _) => format!("! {to} inside"),
            LeftOut::Reserved(to, _) => format!("! {to} reserved"),
            LeftOut::Own(to, _) => format!("! {to} own"),
            LeftOut::Router(to, by) => format!("! {to} via {by}"),
        });
        plan.routes.into_iter().map(text).chain(left_out).collect()
    }

    #[test]
    fn the_first_router_is_the_default_route() {
        assert_eq!(decided(LAN, &["10.0.0.1", "10.0.0.2"], &[]), ["0.0.0.0/0 via 10.0.0.1"]);
        assert_eq!(decided(LAN, &[], &[]), [""; 0]);
    }

    #[test]
    fn routers_are_ignored_where_there_are_classless_routes() {
        let route = [("10.9.0.0/16", "10.0.0.2")];
        assert_eq!(decided(LAN, &["10.0.0.1"], &route), ["10.9.0.0/16 via 10.0.0.2"]);
    }

    #[test]
    fn a_router_off_the_link_gets_a_route_first() {
        let wanted = ["10.0.0.1/32 on the link", "0.0.0.0/0 via 10.0.0.1"];
        assert_eq!(decided("10.0.0.50/32", &["10.0.0.1"], &[]), wanted);
        assert_eq!(decided("10.0.0.50/32", &[], &[("0.0.0.0/0", "10.0.0.1")]), wanted);
    }

    #[test]
    fn a_router_of_zeros_means_on_the_link() {
        assert_eq!(decided(LAN, &[], &[("10.9.0.0/16", "0.0.0.0")]), ["10.9.0.0/16 on the link"]);
        assert_eq!(decided(LAN, &["0.0.0.0"], &[]), ["! 0.0.0.0/0 via 0.0.0.0"]);
    }

    #[test]
    fn host_bits_of_a_destination_are_masked() {
        assert_eq!(decided(LAN, &[], &[("10.9.8.7/16", "10.0.0.1")]), ["10.9.0.0/16 via 10.0.0.1"]);
    }

    #[test]
    fn no_route_leads_into_the_subnet_of_another_interface() {
        let into =
            [("172.17.3.0/24", "10.0.0.1"), ("172.17.0.0/16", "0.0.0.0"), ("172.16.0.0/12", "10.0.0.1")];
        let wanted = ["172.16.0.0/12 via 10.0.0.1", "! 172.17.3.0/24 inside", "! 172.17.0.0/16 inside"];
        assert_eq!(decided(LAN, &[], &into), wanted);
        assert_eq!(decided(LAN, &["172.17.0.2"], &[]), ["! 0.0.0.0/0 inside"]);
    }

    #[test]
    fn what_is_never_routed_is_left_out() {
        let reserved =
            [("127.0.0.0/8", "10.0.0.1"), ("239.1.0.0/16", "10.0.0.1"), ("169.254.0.0/16", "0.0.0.0")];
        let wanted = ["! 127.0.0.0/8 reserved", "! 239.1.0.0/16 reserved", "! 169.254.0.0/16 reserved"];
        assert_eq!(decided(LAN, &[], &reserved), wanted);
    }

    #[test]
    fn the_connected_route_stays() {
        assert_eq!(decided(LAN, &[], &[("10.0.0.0/24", "0.0.0.0")]), [""; 0]);
        assert_eq!(decided(LAN, &[], &[("10.0.0.0/24", "10.0.0.1")]), ["! 10.0.0.0/24 own"]);
    }

    #[test]
    fn what_cannot_be_a_router_is_none() {
        for router in ["10.0.0.50", "10.0.0.255", "10.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255"] {
            assert_eq!(decided(LAN, &[router], &[]), [format!("! 0.0.0.0/0 via {router}")]);
        }
    }

    #[test]
    fn in_a_shared_namespace_the_targets_own_routes_stay_first() {
        let route =
            |destination: &str| Route { destination: destination.parse().expect("a prefix"), router: None };
        let own = LAN.parse().expect("an address with a prefix");
        let placed = |namespace, inside: &[&str]| {
            let inside: Vec<Ipv4Net> = inside.iter().map(|net| net.parse().expect("a prefix")).collect();
            places(&[route("0.0.0.0/0")], namespace, own, &inside)
        };
        let (subnet, default) = (route("10.0.0.0/24"), route("0.0.0.0/0"));
        let aside = [(Place::Aside, subnet), (Place::Aside, default)];
        assert_eq!(placed(Namespace::Own, &[DOCKER]), [(Place::Main, default)]);
        assert_eq!(placed(Namespace::Shared, &["127.0.0.0/8", DOCKER]), aside);
        let alone = placed(Namespace::Shared, &["127.0.0.0/8"]);
        assert_eq!((&alone[..2], &alone[2..]), (&aside[..], &[(Place::Fallback, default)][..]));
    }

    #[test]
    fn one_destination_has_one_route() {
        let others = [("0.0.0.0/0", "10.0.0.9"), ("0.0.0.0/0", "10.0.0.8")];
        assert_eq!(decided(LAN, &[], &others), ["0.0.0.0/0 via 10.0.0.9"]);
    }
}
