//! Decides how the forwards of one protocol are laid out, so that a packet's port is looked up and never searched for.

use std::{fmt::Display, net::Ipv4Addr};

use landfall_api::{Forward, PortRange, Protocol};
use nftables::{
    expr::{self, CTDir, Expression, JHash, MetaKey, NamedExpression, SetItem},
    schema::{Map, NfListObject, Set, SetType, SetTypeValue},
    stmt::{Flow, NATFamily, SetOp, Statement},
    types::NfFamily,
};

use super::access::{beginnings, sources};
use super::ports::{Lookup, Ports, merge};
use super::ruleset::SHORT_CUT;
use super::terms::{TABLE, accept, ct, dnat, field, has, is, is_not, lookup, masquerade, meta, rule, text};

/// The maps, the set and the rules of `protocol`; nothing if nothing of it is forwarded.
///
/// A kept port is found in `PROTOCOL_address`, a changed one in `PROTOCOL_remap_address` and `PROTOCOL_remap_port`: two
/// maps, because nft 1.0.6 crashes on a JSON map to an address and a port. What leads somewhere over IPv6, too, is also in
/// `PROTOCOL_address6` or `PROTOCOL_remap_address6`. `PROTOCOL_forward` lets the packets of each
/// forward through, and counts them: those of both directions; `access` is asked before and after. Where only some forwards of the protocol masquerade, their
/// public ports are in `PROTOCOL_masquerade`.
pub(super) fn forwarding<'a>(
    uplink: &Expression<'static>,
    protocol: Protocol,
    forward: &'a [Forward],
    has_short_cut: bool,
) -> Vec<NfListObject<'static>> {
    let forward = forward.iter().filter(|forward| forward.protocol() == protocol);
    let (kept, remapped): (Vec<_>, Vec<_>) = forward.clone().partition(|forward| forward.to().port.is_none());
    let alone = |all: &[&'a Forward]| -> Vec<&'a Forward> {
        all.iter().copied().filter(|forward| !forward.is_replicated()).collect()
    };
    let mut objects = keep_ports(protocol, &alone(&kept));
    if !remapped.is_empty() {
        objects.push(private_ports(protocol, &remapped));
        objects.extend(change_ports(protocol, &alone(&remapped)));
    }
    objects.extend(spread(protocol, &forward.clone().collect::<Vec<_>>()));
    if !objects.is_empty() {
        let all: Vec<_> = forward.clone().collect();
        objects.extend(sources(protocol, &all));
        let public = all.iter().map(|forward| forward.port().into()).collect();
        objects.extend(let_through(protocol, public, has_short_cut && protocol != Protocol::Sctp));
        objects.extend(beginnings(uplink, protocol, &all));
    }
    let (hidden, seen): (Vec<_>, Vec<_>) = forward.partition(|forward| forward.masquerade());
    if !hidden.is_empty() {
        objects.extend(hide_clients(uplink, protocol, &hidden, seen.is_empty()));
    }
    objects
}

fn keep_ports(protocol: Protocol, forward: &[&Forward]) -> Vec<NfListObject<'static>> {
    let name = format!("{protocol}_address");
    let ports = |forward: &Forward| Ports::from(forward.port());
    let addresses = forward.iter().map(|forward| (ports(forward), forward.to().address)).collect();
    let addresses6 = forward.iter().filter_map(|forward| Some((ports(forward), forward.to6()?))).collect();
    let lead = |map: Option<NfListObject<'static>>, name: &str, family: NATFamily| {
        let target = lookup(port_of(protocol), name);
        map.map(|map| [map, translate(family, target, None)])
    };
    let name6 = format!("{name}6");
    let (map, map6) = (
        address_map(&name, SetType::Ipv4Addr, addresses),
        address_map(&name6, SetType::Ipv6Addr, addresses6),
    );
    let rules = [lead(map, &name, NATFamily::IP), lead(map6, &name6, NATFamily::IP6)];
    rules.into_iter().flatten().flatten().collect()
}

/// The private ports of those that have others than the public ones.
fn private_ports(protocol: Protocol, forward: &[&Forward]) -> NfListObject<'static> {
    let ports = forward.iter().flat_map(|forward| each_port(forward));
    let ports = ports.map(|(public, _, private)| (public, Expression::Number(private.into())));
    map(remap_port(protocol), SetType::InetService, ports.collect())
}

fn remap_port(protocol: Protocol) -> String {
    format!("{protocol}_remap_port")
}

fn change_ports(protocol: Protocol, forward: &[&Forward]) -> Vec<NfListObject<'static>> {
    let [name, name6] = ["address", "address6"].map(|what| format!("{protocol}_remap_{what}"));
    let each = || forward.iter().flat_map(|forward| each_port(forward).map(|port| (port, forward.to6())));
    let to_address = each().map(|((public, address, _), _)| (public, address)).collect();
    let to_address6 = each().filter_map(|((public, ..), to6)| Some((public, to6?))).collect();
    let lead = |map: Option<NfListObject<'static>>, name: &str, family: NATFamily| {
        let port = lookup(port_of(protocol), &remap_port(protocol));
        let target = lookup(port_of(protocol), name);
        map.map(|map| [map, translate(family, target, Some(port))])
    };
    let (map4, map6) = (
        address_map(&name, SetType::Ipv4Addr, to_address),
        address_map(&name6, SetType::Ipv6Addr, to_address6),
    );
    let rules = [lead(map4, &name, NATFamily::IP), lead(map6, &name6, NATFamily::IP6)];
    rules.into_iter().flatten().flatten().collect()
}

/// Forwards that lead to the same places, on their own ports or on others.
struct Spread<'a> {
    example: &'a Forward,
    ports: Vec<Ports>,
}

/// Spreads the connections of forwards that lead to several places, by a hash of where they come from: a rule for all that have the
/// same places; the set of their ports is `PROTOCOL_spread` and a number.
fn spread(protocol: Protocol, forward: &[&Forward]) -> Vec<NfListObject<'static>> {
    let mut groups: Vec<Spread<'_>> = Vec::new();
    for forward in forward.iter().filter(|forward| forward.is_replicated()) {
        let is_like = |group: &&mut Spread<'_>| {
            group.example.addresses().eq(forward.addresses())
                && group.example.addresses6().eq(forward.addresses6())
                && group.example.to().port.is_some() == forward.to().port.is_some()
        };
        match groups.iter_mut().find(is_like) {
            Some(group) => group.ports.push(forward.port().into()),
            None => groups.push(Spread { example: forward, ports: vec![forward.port().into()] }),
        }
    }
    let rules = groups.into_iter().enumerate().flat_map(|(number, Spread { example, ports })| {
        let name = format!("{protocol}_spread{number}");
        let port = || example.to().port.map(|_| lookup(port_of(protocol), &remap_port(protocol)));
        let v4: Vec<String> = example.addresses().map(|address| address.to_string()).collect();
        let v6: Vec<String> = example.addresses6().map(|address| address.to_string()).collect();
        let places = [("ip", NATFamily::IP, v4), ("ip6", NATFamily::IP6, v6)];
        let rules = places.map(|(ip, family, addresses)| {
            let is_its = is(port_of(protocol), text(format!("@{name}")));
            let place = one_of(addresses, [field(ip, "saddr"), field(protocol.as_str(), "sport")])?;
            Some(rule("public", [is_its, dnat(family, place, port())]))
        });
        [set(name, ports)].into_iter().chain(rules.into_iter().flatten()).collect::<Vec<_>>()
    });
    rules.collect()
}

/// One of these addresses, always the same for the same `key`; none if there are none.
fn one_of<const N: usize>(
    addresses: Vec<String>,
    key: [Expression<'static>; N],
) -> Option<Expression<'static>> {
    let hash_mod = u32::try_from(addresses.len()).ok().filter(|count| *count > 0)?;
    let expr = Box::new(Expression::Named(NamedExpression::Concat(key.into())));
    let hash = JHash { hash_mod, offset: None, expr, seed: Some(SEED) };
    let place = |(number, address)| SetItem::Mapping(Expression::Number(number), text(address));
    let places = (0..).zip(addresses).map(place).collect();
    let data = Expression::Named(NamedExpression::Set(places));
    let key = Expression::Named(NamedExpression::JHash(hash));
    Some(Expression::Named(NamedExpression::Map(Box::new(expr::Map { key, data }))))
}

/// The same on every host and after every change: who has come to one place comes to it again.
const SEED: u32 = 0x6c66;

/// The ports whose packets pass. The public port is what the connection's first packet was sent to.
fn let_through(protocol: Protocol, public: Vec<Ports>, has_short_cut: bool) -> Vec<NfListObject<'static>> {
    let name = format!("{protocol}_forward");
    let is_its = || {
        [
            // nft asks for the protocol before it takes `proto-dst`.
            is(meta(MetaKey::L4proto), text(protocol.as_str())),
            is(ct("proto-dst", Some(CTDir::Original)), text(format!("@{name}"))),
        ]
    };
    let with = |verdict: Statement<'static>| {
        let [is_protocol, is_listed] = is_its();
        rule("forwarded", [is_protocol, is_listed, verdict])
    };
    let flow = Statement::Flow(Flow { op: SetOp::Add, flowtable: format!("@{SHORT_CUT}").into() });
    let short_cut = has_short_cut.then(|| with(flow));
    let let_through = with(accept());
    [set(name, public)].into_iter().chain(short_cut).chain([let_through]).collect()
}

/// The forwards whose targets answer to an address in their own network, of `protocol`: these, or all of them.
fn hide_clients(
    uplink: &Expression<'static>,
    protocol: Protocol,
    forward: &[&Forward],
    all: bool,
) -> Vec<NfListObject<'static>> {
    let name = format!("{protocol}_masquerade");
    let is_protocol = is(meta(MetaKey::L4proto), text(protocol.as_str()));
    let translated = has(ct("status", None), text("dnat"));
    let to_inside = is_not(meta(MetaKey::Oifname), uplink.clone());
    if all {
        return vec![rule("postrouting", [is_protocol, translated, to_inside, masquerade()])];
    }
    let is_listed = is(ct("proto-dst", Some(CTDir::Original)), text(format!("@{name}")));
    let ports = forward.iter().map(|forward| forward.port().into()).collect();
    vec![set(name, ports), rule("postrouting", [is_protocol, translated, to_inside, is_listed, masquerade()])]
}

fn translate(
    family: NATFamily,
    address: Expression<'static>,
    port: Option<Expression<'static>>,
) -> NfListObject<'static> {
    rule("public", [dnat(family, address, port)])
}

fn port_of(protocol: Protocol) -> Expression<'static> {
    field(protocol.as_str(), "dport")
}

/// Each public port of a forward that changes ports, where it leads, and the port there.
pub(super) fn each_port(forward: &Forward) -> impl Iterator<Item = (Ports, Ipv4Addr, u16)> {
    let to = forward.to();
    let private = to.port.into_iter().flat_map(PortRange::ports);
    let pairs = forward.port().ports().zip(private);
    pairs.map(move |(public, private)| (Ports { first: public, last: public }, to.address, private))
}

/// None if it would be empty.
fn address_map<A: Copy + PartialEq + Display>(
    name: &str,
    to: SetType,
    addresses: Vec<(Ports, A)>,
) -> Option<NfListObject<'static>> {
    let elements: Vec<_> =
        merge(addresses).into_iter().map(|(ports, to)| (ports, text(to.to_string()))).collect();
    (!elements.is_empty()).then(|| map(name.to_owned(), to, elements))
}

pub(super) fn map(
    name: String,
    to: SetType,
    elements: Vec<(Ports, Expression<'static>)>,
) -> NfListObject<'static> {
    let lookup = Lookup::of(elements.iter().map(|(ports, _)| *ports));
    let elements = elements.into_iter().map(|(ports, to)| Expression::List(vec![ports.into(), to]));
    NfListObject::Map(Box::new(Map {
        family: NfFamily::INet,
        table: TABLE.into(),
        name: name.into(),
        set_type: SetTypeValue::Single(SetType::InetService),
        map: SetTypeValue::Single(to),
        flags: lookup.flags(),
        size: lookup.size(),
        elem: Some(elements.collect()),
        ..Map::default()
    }))
}

pub(super) fn set(name: String, elements: Vec<Ports>) -> NfListObject<'static> {
    let lookup = Lookup::of(elements.iter().copied());
    let elem = Some(elements.into_iter().map(Expression::from).collect());
    set_of(Set { name: name.into(), flags: lookup.flags(), size: lookup.size(), elem, ..Set::default() })
}

/// A set that rules put ports into.
pub(super) fn empty_set(name: String) -> NfListObject<'static> {
    set_of(Set { name: name.into(), size: Some(u16::MAX.into()), ..Set::default() })
}

fn set_of(set: Set<'static>) -> NfListObject<'static> {
    let set_type = SetTypeValue::Single(SetType::InetService);
    NfListObject::Set(Box::new(Set { family: NfFamily::INet, table: TABLE.into(), set_type, ..set }))
}
