//! Decides the ruleset: one table, in which a packet's port is looked up and never searched for.
//!
//! Knows forwards and nftables' schema; touches no kernel.

use std::{borrow::Cow, collections::HashSet, net::Ipv4Addr};

use landfall_api::{Forward, InterfaceName, PortRange, Protocol};
use nftables::{
    batch::Batch,
    expr::{CTDir, Expression, MetaKey, NamedExpression, Range, SetItem},
    schema::{Chain, Map, NfCmd, NfListObject, Nftables, Rule, Set, SetFlag, SetType, SetTypeValue, Table},
    stmt::Statement,
    types::{NfChainPolicy, NfChainType, NfFamily, NfHook},
};

use super::terms::{
    accept, counter, ct, destination_type, dnat, field, is, is_in, is_not, lookup, masquerade, meta, text,
};

/// The table that holds all our rules, of family `inet`.
pub(super) const TABLE: &str = "landfall";

/// The table for what arrives on `uplink`: it replaces the one that is there, if any, in one transaction.
///
/// A kept port is found in `PROTOCOL_address`, a changed one in `PROTOCOL_remap_address` and `PROTOCOL_remap_port`; two
/// maps, because nft 1.0.6 cannot read a map to an address and a port as JSON. `PROTOCOL_forward` counts for each forward
/// the packets and octets of both directions, and lets them through.
pub fn ruleset(uplink: &InterfaceName, forward: &[Forward]) -> Nftables<'static> {
    let mut batch = Batch::new();
    // Deleting what may not be there is an error; adding what is there is none.
    batch.add(NfListObject::Table(table()));
    batch.delete(NfListObject::Table(table()));
    batch.add(NfListObject::Table(table()));
    let uplink = text(uplink.as_str());
    for chain in chains() {
        batch.add(NfListObject::Chain(chain));
    }
    for protocol in Protocol::ALL {
        let forward: Vec<&Forward> = forward
            .iter()
            .filter(|forward| forward.protocol() == protocol)
            .collect();
        if !forward.is_empty() {
            add_protocol(&mut batch, &uplink, protocol, &forward);
        }
    }
    for rule in common_rules(&uplink) {
        batch.add(NfListObject::Rule(rule));
    }
    batch.to_nftables()
}

/// Removes the table; it is an error if there is none.
pub(super) fn removal() -> Nftables<'static> {
    let mut batch = Batch::new();
    batch.add_cmd(NfCmd::Delete(NfListObject::Table(table())));
    batch.to_nftables()
}

fn table() -> Table<'static> {
    Table {
        family: NfFamily::INet,
        name: TABLE.into(),
        handle: None,
    }
}

fn chains() -> [Chain<'static>; 4] {
    let chain = |name: &'static str, kind, hook, prio, policy| Chain {
        family: NfFamily::INet,
        table: TABLE.into(),
        name: name.into(),
        _type: Some(kind),
        hook: Some(hook),
        prio: Some(prio),
        policy: Some(policy),
        ..Chain::default()
    };
    use NfChainPolicy::{Accept, Drop};
    [
        chain("prerouting", NfChainType::NAT, NfHook::Prerouting, -100, Accept),
        chain("input", NfChainType::Filter, NfHook::Input, 0, Drop),
        chain("forward", NfChainType::Filter, NfHook::Forward, 0, Drop),
        chain("postrouting", NfChainType::NAT, NfHook::Postrouting, 100, Accept),
    ]
}

fn rule(chain: &'static str, expr: Vec<Statement<'static>>) -> Rule<'static> {
    Rule {
        family: NfFamily::INet,
        table: TABLE.into(),
        chain: chain.into(),
        expr: Cow::Owned(expr),
        ..Rule::default()
    }
}

/// The rules that do not depend on what is forwarded. They come after those that do, which take most packets.
fn common_rules(uplink: &Expression<'static>) -> Vec<Rule<'static>> {
    let icmp_type = || field("icmp", "type");
    let errors = ["destination-unreachable", "time-exceeded", "parameter-problem"];
    let wanted = ["echo-request"]
        .iter()
        .chain(&errors)
        .map(|name| SetItem::Element(text(*name)))
        .collect();
    vec![
        rule(
            "forward",
            vec![
                is_in(ct("state", None), text("related")),
                is_in(ct("status", None), text("dnat")),
                accept(),
            ],
        ),
        rule("forward", vec![counter()]),
        rule(
            "postrouting",
            vec![
                is_in(ct("status", None), text("dnat")),
                is_not(meta(MetaKey::Oifname), uplink.clone()),
                masquerade(),
            ],
        ),
        rule(
            "input",
            vec![
                is(meta(MetaKey::Iifname), uplink.clone()),
                is(field("udp", "dport"), Expression::Number(68)),
                accept(),
            ],
        ),
        rule(
            "input",
            vec![
                is(icmp_type(), Expression::Named(NamedExpression::Set(wanted))),
                accept(),
            ],
        ),
        rule("input", vec![counter()]),
    ]
}

/// The maps, the set and the rules of one protocol, which has at least one forward.
fn add_protocol(
    batch: &mut Batch<'static>,
    uplink: &Expression<'static>,
    protocol: Protocol,
    forward: &[&Forward],
) {
    let name = |what: &str| format!("{protocol}_{what}");
    let port = || field(protocol.as_str(), "dport");
    let arrives_for_us = || {
        vec![
            is(meta(MetaKey::Iifname), uplink.clone()),
            is(destination_type(), text("local")),
        ]
    };
    let (kept, remapped): (Vec<&Forward>, Vec<&Forward>) =
        forward.iter().partition(|forward| forward.to().port.is_none());
    if !kept.is_empty() {
        let elements = kept
            .iter()
            .map(|forward| (forward.port(), address(forward.to().address)));
        batch.add(NfListObject::Map(Box::new(map(
            name("address"),
            SetType::Ipv4Addr,
            elements,
        ))));
        let to = dnat(lookup(port(), &name("address")), None);
        batch.add(NfListObject::Rule(rule(
            "prerouting",
            [arrives_for_us(), vec![to]].concat(),
        )));
    }
    if !remapped.is_empty() {
        let pairs = || remapped.iter().flat_map(|forward| remapped_ports(forward));
        let addresses = pairs().map(|(public, to, _)| (public, address(to)));
        batch.add(NfListObject::Map(Box::new(map(
            name("remap_address"),
            SetType::Ipv4Addr,
            addresses,
        ))));
        let ports = pairs().map(|(public, _, private)| (public, Expression::Number(private.into())));
        batch.add(NfListObject::Map(Box::new(map(
            name("remap_port"),
            SetType::InetService,
            ports,
        ))));
        let to = dnat(
            lookup(port(), &name("remap_address")),
            Some(lookup(port(), &name("remap_port"))),
        );
        batch.add(NfListObject::Rule(rule(
            "prerouting",
            [arrives_for_us(), vec![to]].concat(),
        )));
    }
    batch.add(NfListObject::Set(Box::new(set(
        name("forward"),
        forward.iter().map(|forward| forward.port()),
    ))));
    batch.add(NfListObject::Rule(rule(
        "forward",
        vec![
            is(meta(MetaKey::L4proto), text(protocol.as_str())),
            is_in(ct("status", None), text("dnat")),
            is(
                ct("proto-dst", Some(CTDir::Original)),
                text(format!("@{}", name("forward"))),
            ),
            accept(),
        ],
    )));
}

/// Each public port of a forward that changes ports, where it leads, and the port there.
fn remapped_ports(forward: &Forward) -> impl Iterator<Item = (PortRange, Ipv4Addr, u16)> {
    let to = forward.to();
    let private = to.port.into_iter().flat_map(PortRange::ports);
    forward
        .port()
        .each()
        .zip(private)
        .map(move |(public, private)| (public, to.address, private))
}

fn map(
    name: String,
    to: SetType,
    elements: impl Iterator<Item = (PortRange, Expression<'static>)>,
) -> Map<'static> {
    let elements: Vec<_> = elements.collect();
    Map {
        family: NfFamily::INet,
        table: TABLE.into(),
        name: name.into(),
        set_type: SetTypeValue::Single(SetType::InetService),
        map: SetTypeValue::Single(to),
        flags: interval_flag(elements.iter().map(|(port, _)| *port)),
        elem: Some(
            elements
                .into_iter()
                .map(|(port, to)| Expression::List(vec![ports(port), to]))
                .collect(),
        ),
        ..Map::default()
    }
}

fn set(name: String, elements: impl Iterator<Item = PortRange> + Clone) -> Set<'static> {
    Set {
        family: NfFamily::INet,
        table: TABLE.into(),
        name: name.into(),
        set_type: SetTypeValue::Single(SetType::InetService),
        flags: interval_flag(elements.clone()),
        elem: Some(elements.map(ports).collect()),
        ..Set::default()
    }
}

/// A hash lookup unless a range needs an interval.
fn interval_flag(mut elements: impl Iterator<Item = PortRange>) -> Option<HashSet<SetFlag>> {
    elements
        .any(|port| port.count() > 1)
        .then(|| [SetFlag::Interval].into())
}

fn ports(range: PortRange) -> Expression<'static> {
    let [first, last] = [range.first(), range.last()].map(|port| Expression::Number(port.into()));
    if range.count() == 1 {
        first
    } else {
        Expression::Range(Box::new(Range { range: [first, last] }))
    }
}

fn address(address: Ipv4Addr) -> Expression<'static> {
    text(address.to_string())
}
