//! Decides which routes the uplink is to have.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::Configuration;

/// One route over the uplink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Route {
    /// Where to.
    pub destination: Ipv4Net,
    /// By which router; none if the destination is on the link.
    pub router: Option<Ipv4Addr>,
}

/// The default route, and where a router is not in the uplink's subnet, a route to it first (RFC 3442).
const DEFAULT: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0);

/// The routes of `configuration`, in an order in which each can be added; none of them leads into one of the subnets
/// `inside`, which belong to other interfaces.
pub(super) fn routes(configuration: &Configuration, inside: &[Ipv4Net]) -> Vec<Route> {
    let default = configuration.routers.first().map(|router| (DEFAULT, *router));
    let wanted = configuration.routes.iter().copied().chain(default);
    let mut routes = Vec::new();
    for (destination, router) in wanted.filter(|(destination, _)| !is_inside(*destination, inside)) {
        let router = Some(router).filter(|router| !router.is_unspecified());
        if let Some(router) = router.filter(|router| !configuration.address.contains(router)) {
            push(
                &mut routes,
                Route {
                    destination: router.into(),
                    router: None,
                },
            );
        }
        push(&mut routes, Route { destination, router });
    }
    routes
}

/// The first of two routes to one destination stays.
fn push(routes: &mut Vec<Route>, route: Route) {
    if routes.iter().all(|other| other.destination != route.destination) {
        routes.push(route);
    }
}

fn is_inside(destination: Ipv4Net, inside: &[Ipv4Net]) -> bool {
    inside.iter().any(|subnet| subnet.contains(&destination))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAN: &str = "10.0.0.50/24";
    const DOCKER: &str = "172.17.0.0/16";

    fn decided(address: &str, routers: &[&str], others: &[(&str, &str)]) -> Vec<String> {
        let ip = |text: &&str| text.parse::<Ipv4Addr>().expect("an address");
        let configuration = Configuration {
            address: address.parse().expect("an address with a prefix"),
            lifetime: None,
            mtu: None,
            routers: routers.iter().map(ip).collect(),
            routes: others
                .iter()
                .map(|(to, by)| (to.parse().expect("a prefix"), ip(by)))
                .collect(),
        };
        let text = |route: Route| match route.router {
            Some(router) => format!("{} via {router}", route.destination),
            None => format!("{} on the link", route.destination),
        };
        routes(&configuration, &[DOCKER.parse().expect("a prefix")])
            .into_iter()
            .map(text)
            .collect()
    }

    #[test]
    fn the_first_router_is_the_default_route() {
        assert_eq!(
            decided(LAN, &["10.0.0.1", "10.0.0.2"], &[]),
            ["0.0.0.0/0 via 10.0.0.1"]
        );
        assert_eq!(decided(LAN, &[], &[]), [""; 0]);
    }

    #[test]
    fn a_router_off_the_link_gets_a_route_first() {
        assert_eq!(
            decided("10.0.0.50/32", &["10.0.0.1"], &[]),
            ["10.0.0.1/32 on the link", "0.0.0.0/0 via 10.0.0.1"]
        );
    }

    #[test]
    fn a_router_of_zeros_means_on_the_link() {
        assert_eq!(
            decided(LAN, &[], &[("10.9.0.0/16", "0.0.0.0")]),
            ["10.9.0.0/16 on the link"]
        );
    }

    #[test]
    fn no_route_leads_into_the_subnet_of_another_interface() {
        let others = [
            ("172.17.3.0/24", "10.0.0.1"),
            ("172.17.0.0/16", "10.0.0.1"),
            ("172.16.0.0/12", "10.0.0.1"),
        ];
        assert_eq!(decided(LAN, &[], &others), ["172.16.0.0/12 via 10.0.0.1"]);
    }

    #[test]
    fn one_destination_has_one_route() {
        let others = [("0.0.0.0/0", "10.0.0.9"), ("0.0.0.0/0", "10.0.0.8")];
        assert_eq!(decided(LAN, &["10.0.0.1"], &others), ["0.0.0.0/0 via 10.0.0.9"]);
    }
}
