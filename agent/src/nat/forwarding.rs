//! Decides how the forwards of one protocol are laid out, so that a packet's port is looked up and never searched for.

use std::net::Ipv4Addr;

use landfall_api::{Forward, PortRange, Protocol};
use nftables::{
    expr::{CTDir, Expression, MetaKey},
    schema::{Map, NfListObject, Set, SetType, SetTypeValue},
    types::NfFamily,
};

use super::access::{beginnings, sources};
use super::ports::{Lookup, Ports, merge};
use super::terms::{
    TABLE, accept, ct, destination_type, dnat, field, has, is, is_not, lookup, masquerade, meta, rule, text,
};

/// The maps, the set and the rules of `protocol`; nothing if nothing of it is forwarded.
///
/// A kept port is found in `PROTOCOL_address`, a changed one in `PROTOCOL_remap_address` and `PROTOCOL_remap_port`: two
/// maps, because nft 1.0.6 crashes on a JSON map to an address and a port. `PROTOCOL_forward` lets the packets of each
/// forward through, and counts them: those of both directions; `access` is asked before and after. Where only some forwards of the protocol masquerade, their
/// public ports are in `PROTOCOL_masquerade`.
pub(super) fn forwarding(
    uplink: &Expression<'static>,
    protocol: Protocol,
    forward: &[Forward],
) -> Vec<NfListObject<'static>> {
    let forward = forward.iter().filter(|forward| forward.protocol() == protocol);
    let (kept, remapped): (Vec<_>, Vec<_>) = forward.clone().partition(|forward| forward.to().port.is_none());
    let mut objects = Vec::new();
    if !kept.is_empty() {
        objects.extend(keep_ports(uplink, protocol, &kept));
    }
    if !remapped.is_empty() {
        objects.extend(change_ports(uplink, protocol, &remapped));
    }
    if !objects.is_empty() {
        let all: Vec<_> = forward.clone().collect();
        objects.extend(sources(protocol, &all));
        objects.extend(let_through(protocol, all.iter().map(|forward| forward.port().into()).collect()));
        objects.extend(beginnings(uplink, protocol, &all));
    }
    let (hidden, seen): (Vec<_>, Vec<_>) = forward.partition(|forward| forward.masquerade());
    if !hidden.is_empty() {
        objects.extend(hide_clients(uplink, protocol, &hidden, seen.is_empty()));
    }
    objects
}

fn keep_ports(
    uplink: &Expression<'static>,
    protocol: Protocol,
    forward: &[&Forward],
) -> [NfListObject<'static>; 2] {
    let name = format!("{protocol}_address");
    let addresses = forward.iter().map(|forward| (Ports::from(forward.port()), forward.to().address));
    let target = lookup(port_of(protocol), &name);
    [address_map(name, addresses.collect()), translate(uplink, target, None)]
}

fn change_ports(
    uplink: &Expression<'static>,
    protocol: Protocol,
    forward: &[&Forward],
) -> [NfListObject<'static>; 3] {
    let [addresses, ports] = ["address", "port"].map(|what| format!("{protocol}_remap_{what}"));
    let each = || forward.iter().flat_map(|forward| each_port(forward));
    let target = lookup(port_of(protocol), &addresses);
    let port = lookup(port_of(protocol), &ports);
    let to_address = each().map(|(public, address, _)| (public, address)).collect();
    let to_port = each().map(|(public, _, private)| (public, Expression::Number(private.into()))).collect();
    [
        address_map(addresses, to_address),
        map(ports, SetType::InetService, to_port),
        translate(uplink, target, Some(port)),
    ]
}

/// The ports whose packets pass. The public port is what the connection's first packet was sent to.
fn let_through(protocol: Protocol, public: Vec<Ports>) -> [NfListObject<'static>; 2] {
    let name = format!("{protocol}_forward");
    let rule = rule(
        "forward",
        [
            // nft asks for the protocol before it takes `proto-dst`.
            is(meta(MetaKey::L4proto), text(protocol.as_str())),
            // Someone may route packets for these ports through us that are not for us.
            has(ct("status", None), text("dnat")),
            is(ct("proto-dst", Some(CTDir::Original)), text(format!("@{name}"))),
            accept(),
        ],
    );
    [set(name, public), rule]
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

/// Translates what comes from the LAN to an address of ours.
fn translate(
    uplink: &Expression<'static>,
    address: Expression<'static>,
    port: Option<Expression<'static>>,
) -> NfListObject<'static> {
    let from_lan = is(meta(MetaKey::Iifname), uplink.clone());
    let to_us = is(destination_type(), text("local"));
    rule("prerouting", [from_lan, to_us, dnat(address, port)])
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

fn address_map(name: String, addresses: Vec<(Ports, Ipv4Addr)>) -> NfListObject<'static> {
    let elements = merge(addresses).into_iter().map(|(ports, to)| (ports, text(to.to_string())));
    map(name, SetType::Ipv4Addr, elements.collect())
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
