//! The routing rules in a target that lead answers back over its wires. Pure.

use std::net::{IpAddr, Ipv4Addr};

use landfall_api::{Forward, PortRange, Protocol, SHARED_TABLE};
use rtnetlink::IpVersion;
use rtnetlink::packet_route::{
    AddressFamily, IpProtocol,
    route::RouteHeader,
    rule::{RuleAction, RuleAttribute, RuleMessage, RulePortRange},
};

use super::pair::Pair;
use crate::netlink::OURS;

/// Where the first of them is among the target's own rules: before all others, because they are about less.
const FIRST: u32 = 10;

/// One rule of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// What is sent from a wire's address goes over the wire.
    From(IpAddr, u32),
    /// Datagrams to the target's own networks do not, whatever their port.
    Neighbours,
    /// Datagrams from these ports do: a socket that is bound to no address has none yet when its answer is routed.
    Datagrams(PortRange, u32),
    /// What is sent from no address yet to an uplink's own subnet does. Its agent makes it, and the first kind, for the uplink.
    Unbound(u32),
}

/// The rules for a wire over which these forwards come.
pub fn rules(pair: Pair, forward: &[Forward]) -> Vec<Rule> {
    let mut rules = vec![Rule::From(pair.target().addr().into(), pair.number())];
    rules.extend(datagrams(pair.number(), forward));
    rules
}

/// Those for what comes of them over IPv6; none if nothing does.
pub fn rules6(pair: Pair, forward: &[Forward]) -> Vec<Rule> {
    let forward = over_ipv6(forward);
    let bound = Rule::From(pair.target6().addr().into(), pair.number());
    let bound = Some(bound).filter(|_| !forward.is_empty());
    bound.into_iter().chain(datagrams(pair.number(), &forward)).collect()
}

/// Those of these forwards that lead on over IPv6.
pub fn over_ipv6(forward: &[Forward]) -> Vec<Forward> {
    forward.iter().filter(|forward| forward.to6().is_some()).cloned().collect()
}

/// The rules that lead the answers of these forwards' datagrams over a target's own uplink, and to where Docker publishes them
/// where it does.
pub fn direct(forward: &[Forward]) -> Vec<Rule> {
    let (published, own): (Vec<Forward>, Vec<Forward>) =
        forward.iter().cloned().partition(Forward::masquerade);
    let shown = published.into_iter().map(|forward| forward.with_masquerade(false)).collect::<Vec<_>>();
    let main = u32::from(RouteHeader::RT_TABLE_MAIN);
    let mut rules = datagrams(SHARED_TABLE, &own);
    rules.extend(datagrams(main, &shown).into_iter().filter(|rule| *rule != Rule::Neighbours));
    rules
}

/// The rules that lead the answers of these forwards' datagrams to a table.
fn datagrams(table: u32, forward: &[Forward]) -> Vec<Rule> {
    let is_datagram = |forward: &&Forward| forward.protocol() == Protocol::Udp && !forward.masquerade();
    let ports = PortRange::merge(forward.iter().filter(is_datagram).map(Forward::private).collect());
    let neighbours = Some(Rule::Neighbours).filter(|_| !ports.is_empty());
    neighbours.into_iter().chain(ports.into_iter().map(|ports| Rule::Datagrams(ports, table))).collect()
}

impl Rule {
    /// The wire's table that it leads to.
    pub fn table(self) -> Option<u32> {
        match self {
            Self::From(_, table) | Self::Datagrams(_, table) | Self::Unbound(table) => Some(table),
            Self::Neighbours => None,
        }
    }

    /// What a message of the kernel says, if it is about one of ours.
    pub fn read(message: &RuleMessage) -> Option<Self> {
        let find = |pick: &dyn Fn(&RuleAttribute) -> Option<u32>| message.attributes.iter().find_map(pick);
        if !message.attributes.contains(&RuleAttribute::Protocol(OURS)) {
            return None;
        }
        let table = find(&|a| if let RuleAttribute::Table(table) = a { Some(*table) } else { None });
        let source = message
            .attributes
            .iter()
            .find_map(|a| if let RuleAttribute::Source(source) = a { Some(*source) } else { None });
        let ports = message
            .attributes
            .iter()
            .find_map(|a| if let RuleAttribute::SourcePortRange(ports) = a { Some(ports) } else { None });
        Some(match (source, ports) {
            (Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), _) => Self::Unbound(table?),
            (Some(source), _) => Self::From(source, table?),
            (None, Some(ports)) => {
                let port = |number: u16| number.try_into().ok();
                Self::Datagrams(PortRange::new(port(ports.start)?, port(ports.end)?).ok()?, table?)
            }
            (None, None) => Self::Neighbours,
        })
    }

    /// The message that makes it, and that removes it, among the rules of that version of IP.
    pub fn message(self, version: &IpVersion) -> RuleMessage {
        let mut message = RuleMessage::default();
        message.header.family = match version {
            IpVersion::V4 => AddressFamily::Inet,
            IpVersion::V6 => AddressFamily::Inet6,
        };
        message.header.action = RuleAction::ToTable;
        let (order, mut attributes) = match self {
            Self::From(source, table) => {
                message.header.src_len = if source.is_ipv4() { 32 } else { 128 };
                (0, vec![RuleAttribute::Source(source), RuleAttribute::Table(table)])
            }
            Self::Neighbours => {
                message.header.table = RouteHeader::RT_TABLE_MAIN;
                (1, vec![RuleAttribute::IpProtocol(IpProtocol::Udp), RuleAttribute::SuppressPrefixLen(0)])
            }
            Self::Datagrams(ports, table) => {
                let range = RulePortRange { start: ports.first(), end: ports.last() };
                let ports = RuleAttribute::SourcePortRange(range);
                (2, vec![RuleAttribute::IpProtocol(IpProtocol::Udp), ports, RuleAttribute::Table(table)])
            }
            Self::Unbound(table) => {
                message.header.src_len = 32;
                let source = RuleAttribute::Source(Ipv4Addr::UNSPECIFIED.into());
                (3, vec![source, RuleAttribute::Table(table), RuleAttribute::SuppressPrefixLen(0)])
            }
        };
        attributes.extend([RuleAttribute::Priority(FIRST + order), RuleAttribute::Protocol(OURS)]);
        message.attributes = attributes;
        message
    }
}

#[cfg(test)]
mod tests {
    use landfall_api::Destination;

    use super::*;

    fn forward(protocol: Protocol, public: &str, private: &str) -> Forward {
        let range = |text: &str| text.parse::<PortRange>().expect(text);
        let to = Destination { address: Ipv4Addr::LOCALHOST, port: Some(range(private)) };
        Forward::new(protocol, range(public), to).expect("as many").with_masquerade(false)
    }

    fn pair() -> Pair {
        Pair::free(&[]).expect("a free one")
    }

    #[test]
    fn a_rule_reads_as_it_is_written() {
        let forward = [forward(Protocol::Udp, "53", "5353"), forward(Protocol::Udp, "60-70", "160-170")];
        for rule in rules(pair(), &forward).into_iter().chain([Rule::Unbound(SHARED_TABLE)]) {
            assert_eq!(Rule::read(&rule.message(&IpVersion::V4)), Some(rule));
        }
        let forward = forward.map(|forward| forward.with_to6(Some(pair().target6().addr())));
        let rules = rules6(pair(), &forward);
        assert_eq!(rules.len(), 4, "{rules:?}");
        for rule in rules {
            assert_eq!(Rule::read(&rule.message(&IpVersion::V6)), Some(rule));
        }
    }

    #[test]
    fn only_datagrams_whose_clients_are_seen_need_rules_of_their_own() {
        let tcp = forward(Protocol::Tcp, "80", "8080");
        let hidden = forward(Protocol::Udp, "53", "53").with_masquerade(true);
        assert_eq!(rules6(pair(), std::slice::from_ref(&tcp)), []);
        assert_eq!(
            rules(pair(), &[tcp, hidden]),
            [Rule::From(pair().target().addr().into(), pair().number())]
        );
    }

    #[test]
    fn where_the_target_has_the_uplink_published_datagrams_stay_dockers() {
        let own = forward(Protocol::Udp, "53", "5353");
        let published = forward(Protocol::Udp, "54", "54").with_masquerade(true);
        let port = |text: &str| text.parse::<PortRange>().expect(text);
        assert_eq!(
            direct(&[own, published, forward(Protocol::Tcp, "80", "80")]),
            [Rule::Neighbours, Rule::Datagrams(port("5353"), SHARED_TABLE), Rule::Datagrams(port("54"), 254)]
        );
        assert_eq!(direct(&[forward(Protocol::Tcp, "80", "80")]), []);
    }

    #[test]
    fn neighbouring_private_ports_share_a_rule() {
        let forward = [
            forward(Protocol::Udp, "1", "7001"),
            forward(Protocol::Udp, "2", "7000"),
            forward(Protocol::Udp, "3-4", "7002-7003"),
            forward(Protocol::Udp, "5", "7005"),
            forward(Protocol::Udp, "6", "7005"),
        ];
        let ports =
            |rule: &Rule| if let Rule::Datagrams(ports, _) = rule { Some(ports.to_string()) } else { None };
        let ports: Vec<_> = rules(pair(), &forward).iter().filter_map(ports).collect();
        assert_eq!(ports, ["7000-7003", "7005"]);
    }

    #[test]
    fn rules_of_others_are_not_ours() {
        let mut message = Rule::From(Ipv4Addr::LOCALHOST.into(), 7).message(&IpVersion::V4);
        message.attributes.retain(|attribute| !matches!(attribute, RuleAttribute::Protocol(_)));
        assert_eq!(Rule::read(&message), None);
    }
}
