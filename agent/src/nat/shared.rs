//! Decides the ruleset in a namespace that the agent shares with its target: no more than was asked for.
//!
//! What arrives on the uplink, or from the host, is the target's, as on any machine of the LAN. Rules are there for forwards that change ports, or
//! are not for everybody; where there are none, packets meet no rule and no connection is tracked. With IPv6 there is one for what is not for the uplink's addresses.

use landfall_api::{Family, Forward, InterfaceName, Protocol};
use nftables::{
    expr::{Expression, Fib, FibFlag, FibResult, MetaKey, NamedExpression, SetItem},
    schema::{NfListObject, Nftables, SetType},
    types::{NfChainPolicy, NfChainType, NfHook},
};

use super::{
    access::{above, groups},
    forwarding::{each_port, map, set},
    ports::Ports,
    ruleset::{chain, part, removal, table, to_address},
    terms::{
        arrivals, counter, ct, dnat_port, drop, field, goto, is, is_not, is_of, lookup, meta, rule, text,
    },
};

/// The table for what arrives on `uplink`: it replaces the one that is there, if any, in one transaction.
pub fn shared(uplink: &InterfaceName, family: Family, forward: &[Forward]) -> Nftables<'static> {
    let uplink = text(uplink.as_str());
    let of_protocol = |protocol: Protocol| {
        let forward: Vec<&Forward> =
            forward.iter().filter(|forward| forward.protocol() == protocol).collect();
        (sources(protocol, &forward), [limits(protocol, &forward), change_ports(protocol, &forward)].concat())
    };
    let (sources, translations): (Vec<_>, Vec<_>) = Protocol::ALL.into_iter().map(of_protocol).unzip();
    let with_chains = |chains: Vec<NfListObject<'static>>, objects: Vec<Vec<NfListObject<'static>>>| {
        let objects = objects.concat();
        let chains = if objects.is_empty() { Vec::new() } else { chains };
        chains.into_iter().chain(objects)
    };
    let guard = if family.has_v6() { vec![guard(&uplink)] } else { Vec::new() };
    let [from_lan, from_host] = arrivals(&uplink).map(|from| rule("filter", [from, goto("sources")]));
    let [lan_to_us, host_to_us] = to_address(&uplink, "public");
    let raw = chain("raw", NfChainType::Filter, NfHook::Prerouting, -300, NfChainPolicy::Accept);
    let filter = chain("filter", NfChainType::Filter, NfHook::Prerouting, -150, NfChainPolicy::Accept);
    let prerouting = chain("prerouting", NfChainType::NAT, NfHook::Prerouting, -100, NfChainPolicy::Accept);
    let parts = [
        (vec![raw], vec![guard]),
        (vec![filter, part("sources"), from_lan, from_host], sources),
        (vec![prerouting, part("public"), lan_to_us, host_to_us], translations),
    ];
    let objects: Vec<_> =
        parts.into_iter().flat_map(|(chains, objects)| with_chains(chains, objects)).collect();
    let mut batch = removal();
    if !objects.is_empty() {
        batch.add(table());
    }
    for object in objects {
        batch.add(object);
    }
    batch.to_nftables()
}

/// Keeps the LAN from addresses that the target has on its other networks. For IPv4 the kernel's own settings do that.
fn guard(uplink: &Expression<'static>) -> NfListObject<'static> {
    let its = Fib { result: FibResult::Type, flags: [FibFlag::Daddr, FibFlag::Iif].into() };
    let places = ["local", "multicast"].map(|kind| SetItem::Element(text(kind)));
    let is_elsewhere = is_not(
        Expression::Named(NamedExpression::Fib(its)),
        Expression::Named(NamedExpression::Set(places.into())),
    );
    let from_lan = is(meta(MetaKey::Iifname), uplink.clone());
    rule("raw", [is_of("ipv6"), from_lan, is_elsewhere, counter(), drop()])
}

/// Drops what comes from elsewhere than it may; not the answers to what the target has begun from there.
fn sources(protocol: Protocol, forward: &[&Forward]) -> Vec<NfListObject<'static>> {
    let refuse = |(number, group): (usize, super::access::Group)| {
        let name = format!("{protocol}_from{number}");
        let strangers = group.from.elsewhere(|protocol| field(protocol, "saddr")).map(|is_stranger| {
            let is_listed = is(field(protocol.as_str(), "dport"), text(format!("@{name}")));
            let was_begun_there = is(ct("direction", None), text("original"));
            rule("sources", [is_listed, was_begun_there, is_stranger, counter(), drop()])
        });
        let strangers: Vec<_> = strangers.collect();
        [set(name, group.ports)].into_iter().chain(strangers)
    };
    groups(forward).into_iter().enumerate().flat_map(refuse).collect()
}

/// Drops the first packet of a connection that begins too often. That chain sees no other.
fn limits(protocol: Protocol, forward: &[&Forward]) -> Vec<NfListObject<'static>> {
    let limits = forward.iter().filter_map(|forward| Some((forward.limit()?, Ports::from(forward.port()))));
    let limited = limits.map(|(rate, ports)| {
        let is_its = is(field(protocol.as_str(), "dport"), ports.into());
        rule("public", [is_its, above(rate), counter(), drop()])
    });
    limited.collect()
}

/// Leads public ports to other private ones.
fn change_ports(protocol: Protocol, forward: &[&Forward]) -> Vec<NfListObject<'static>> {
    let name = format!("{protocol}_remap_port");
    let private = |(public, _, private): (Ports, _, u16)| (public, Expression::Number(private.into()));
    let ports: Vec<_> = forward.iter().flat_map(|forward| each_port(forward)).map(private).collect();
    if ports.is_empty() {
        return Vec::new();
    }
    let redirect = dnat_port(lookup(field(protocol.as_str(), "dport"), &name));
    // nft asks for the protocol before it takes a port.
    let is_protocol = is(meta(MetaKey::L4proto), text(protocol.as_str()));
    let rule = rule("public", [is_protocol, redirect]);
    vec![map(name, SetType::InetService, ports), rule]
}
