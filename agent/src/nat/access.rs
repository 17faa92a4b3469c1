//! Decides what is asked of a connection before it may begin: where it comes from, and how many have begun already.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use landfall_api::{Forward, Protocol, Rate};
use nftables::{
    expr::{CTDir, Expression, MetaKey, NamedExpression, Prefix, SetItem},
    schema::NfListObject,
    stmt::{Limit, Set, SetOp, Statement},
};

use super::{
    forwarding::{empty_set, set},
    ports::Ports,
    terms::{counter, ct, drop, has, is, is_not, is_of, meta, rule, text},
};

/// The networks that connections to these ports may come from.
pub(super) struct Group {
    pub from: Networks,
    pub ports: Vec<Ports>,
}

/// Networks of both families. Where one has none, nobody of it may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Networks {
    v4: Vec<Ipv4Net>,
    v6: Vec<Ipv6Net>,
}

impl Networks {
    fn new(from: &[IpNet]) -> Self {
        // nft refuses elements that overlap.
        let v4 = from.iter().filter_map(|net| if let IpNet::V4(net) = net { Some(*net) } else { None });
        let v6 = from.iter().filter_map(|net| if let IpNet::V6(net) = net { Some(*net) } else { None });
        Self {
            v4: Ipv4Net::aggregate(&v4.collect::<Vec<_>>()),
            v6: Ipv6Net::aggregate(&v6.collect::<Vec<_>>()),
        }
    }

    fn are_everything(&self) -> bool {
        self.v4 == [Ipv4Net::default()] && self.v6 == [Ipv6Net::default()]
    }

    /// What is true of a packet that comes from elsewhere, for each family that has an elsewhere. `source` is what is asked of a
    /// packet of that family: where it comes from.
    pub fn elsewhere(
        &self,
        source: impl Fn(&'static str) -> Expression<'static>,
    ) -> impl Iterator<Item = Statement<'static>> {
        let v4 = self.v4.iter().copied().map(IpNet::from).collect();
        let v6 = self.v6.iter().copied().map(IpNet::from).collect();
        let families: [(&str, &str, Vec<IpNet>); 2] = [("ipv4", "ip", v4), ("ipv6", "ip6", v6)];
        families.into_iter().filter(|(.., nets)| !is_everything(nets)).map(move |(family, protocol, nets)| {
            if nets.is_empty() { is_of(family) } else { is_not(source(protocol), networks(nets)) }
        })
    }
}

fn is_everything(nets: &[IpNet]) -> bool {
    nets.iter().any(|net| net.prefix_len() == 0)
}

/// Lets nothing pass of connections of `protocol` that come from elsewhere than they may, also of those that were begun when
/// they still might. One rule for all forwards with the same sources; the set of their ports is `PROTOCOL_from` and a number.
pub(super) fn sources(protocol: Protocol, forward: &[&Forward]) -> Vec<NfListObject<'static>> {
    let refuse = |(number, Group { from, ports }): (usize, Group)| {
        let name = format!("{protocol}_from{number}");
        let source =
            |protocol| ct(if protocol == "ip" { "ip saddr" } else { "ip6 saddr" }, Some(CTDir::Original));
        let strangers = from.elsewhere(source).map(|is_stranger| {
            let is_listed = is(public_port(), text(format!("@{name}")));
            rule("forwarded", [is_of_protocol(protocol), is_listed, is_stranger, counter(), drop()])
        });
        let strangers: Vec<_> = strangers.collect();
        [set(name, ports)].into_iter().chain(strangers)
    };
    groups(forward).into_iter().enumerate().flat_map(refuse).collect()
}

/// Stops connections of `protocol` that begin too often, and counts in `PROTOCOL_connections` those that begin, by their public
/// ports. In the chain that sees one packet of each connection, when everything else has let it through.
pub(super) fn beginnings(
    uplink: &Expression<'static>,
    protocol: Protocol,
    forward: &[&Forward],
) -> Vec<NfListObject<'static>> {
    let to_inside = || is_not(meta(MetaKey::Oifname), uplink.clone());
    let limits = forward.iter().filter_map(|forward| Some((forward.limit()?, Ports::from(forward.port()))));
    let limited = limits.map(|(rate, ports)| {
        let [is_protocol, translated] = is_forwarded(protocol);
        let is_its = is(public_port(), ports.into());
        rule("postrouting", [is_protocol, translated, to_inside(), is_its, above(rate), counter(), drop()])
    });
    let name = format!("{protocol}_connections");
    let [is_protocol, translated] = is_forwarded(protocol);
    let count =
        Statement::Set(Set { op: SetOp::Update, elem: public_port(), set: format!("@{name}").into() });
    let counted = [empty_set(name), rule("postrouting", [is_protocol, translated, to_inside(), count])];
    limited.chain(counted).collect()
}

/// Forwards with the same sources together; without those that are for everybody.
pub(super) fn groups(forward: &[&Forward]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let leads_v6 = forward.iter().any(|forward| forward.to6().is_some());
    for forward in forward.iter().filter(|forward| !forward.sources().is_empty()) {
        let mut from: Vec<IpNet> = forward.sources().iter().map(|source| source.network()).collect();
        // Nothing comes over IPv6 that would have to be refused.
        from.extend((!leads_v6).then(|| IpNet::from(Ipv6Net::default())));
        let (from, ports) = (Networks::new(&from), forward.port().into());
        if from.are_everything() {
            continue;
        }
        match groups.iter_mut().find(|group| group.from == from) {
            Some(group) => group.ports.push(ports),
            None => groups.push(Group { from, ports: vec![ports] }),
        }
    }
    groups
}

fn networks(from: Vec<IpNet>) -> Expression<'static> {
    Expression::Named(NamedExpression::Set(from.into_iter().map(element).collect()))
}

fn element(network: IpNet) -> SetItem<'static> {
    let (addr, len) = (Box::new(text(network.addr().to_string())), network.prefix_len().into());
    SetItem::Element(Expression::Named(NamedExpression::Prefix(Prefix { addr, len })))
}

/// Whether a packet is of a connection that a forward of `protocol` translated.
fn is_forwarded(protocol: Protocol) -> [Statement<'static>; 2] {
    [is_of_protocol(protocol), has(ct("status", None), text("dnat"))]
}

/// nft asks for it before it takes `proto-dst`.
fn is_of_protocol(protocol: Protocol) -> Statement<'static> {
    is(meta(MetaKey::L4proto), text(protocol.as_str()))
}

/// What the first packet of a connection was sent to.
fn public_port() -> Expression<'static> {
    ct("proto-dst", Some(CTDir::Original))
}

/// Whether so many have come at once, or in that time, that the next one is one too many.
pub(super) fn above(rate: Rate) -> Statement<'static> {
    Statement::Limit(Limit {
        rate: rate.count(),
        rate_unit: None,
        per: Some(rate.per().as_str().into()),
        burst: Some(rate.count()),
        burst_unit: None,
        inv: Some(true),
    })
}
