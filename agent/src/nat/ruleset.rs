//! Decides the ruleset: its table, its chains, and the rules that hold whatever is forwarded.
//!
//! Knows forwards and nftables' schema; touches no kernel.

use std::{borrow::Cow, iter::once};

use landfall_api::{Family, Forward, InterfaceName, Protocol};
use nftables::{
    batch::Batch,
    expr::{Expression, MetaKey, NamedExpression, SetItem},
    schema::{Chain, FlowTable, NfListObject, Nftables, Table},
    types::{NfChainPolicy, NfChainType, NfFamily, NfHook},
};

use super::{
    forwarding::forwarding,
    outgoing::outgoing,
    terms::{
        TABLE, accept, arrivals, counter, ct, destination_type, drop, field, goto, has, is, is_not, is_of,
        lacks, meta, rule, text,
    },
};

/// The table for what arrives on `uplink`, or from the host: it replaces the one that is there, if any, in one transaction.
///
/// Only a packet that a forward translated passes the forward chain, one way or the other, and what a target sends from the
/// port of a forwarded service of datagrams; to the agent itself come only
/// DHCP, ICMP echo and ICMP errors, and with IPv6 what neighbours and routers say. Whatever else is dropped, and counted at the end of its chain.
///
/// Between the interfaces of `short_cut` packets of established connections meet none of these rules, if there are two.
pub fn ruleset(
    uplink: &InterfaceName,
    family: Family,
    short_cut: Vec<String>,
    forward: &[Forward],
) -> Nftables<'static> {
    let has_short_cut = short_cut.len() > 1;
    let uplink = text(uplink.as_str());
    let forwarding =
        Protocol::ALL.into_iter().flat_map(|protocol| forwarding(&uplink, protocol, forward, has_short_cut));
    let mut batch = removal();
    once(table())
        .chain(has_short_cut.then(|| flowtable(short_cut)))
        .chain(chains())
        .chain(quiet(&uplink, family))
        .chain(guards(&uplink))
        .chain(outgoing(&uplink, forward))
        .chain(own(&uplink, family))
        .chain(to_address(&uplink, "public"))
        .chain(forwarding)
        .chain(endings(&uplink, family))
        .for_each(|object| batch.add(object));
    batch.to_nftables()
}

/// Removes the table, if there is one.
pub(super) fn removal() -> Batch<'static> {
    let mut batch = Batch::new();
    // Deleting what is not there is an error; adding what is there is none.
    batch.add(table());
    batch.delete(table());
    batch
}

pub(super) fn table() -> NfListObject<'static> {
    NfListObject::Table(table_of_ours())
}

pub(super) fn table_of_ours() -> Table<'static> {
    Table { family: NfFamily::INet, name: TABLE.into(), handle: None }
}

pub(super) fn chain(
    name: &'static str,
    kind: NfChainType,
    hook: NfHook,
    priority: i32,
    policy: NfChainPolicy,
) -> NfListObject<'static> {
    NfListObject::Chain(Chain {
        family: NfFamily::INet,
        table: TABLE.into(),
        name: name.into(),
        _type: Some(kind),
        hook: Some(hook),
        prio: Some(priority),
        policy: Some(policy),
        ..Chain::default()
    })
}

/// What the kernel knows of established connections at the interfaces themselves, before routes and rules.
fn flowtable(interfaces: Vec<String>) -> NfListObject<'static> {
    let devices: Vec<Cow<'static, str>> = interfaces.into_iter().map(Cow::Owned).collect();
    NfListObject::FlowTable(FlowTable {
        family: NfFamily::INet,
        table: TABLE.into(),
        name: SHORT_CUT.into(),
        handle: None,
        hook: Some(NfHook::Ingress),
        prio: Some(0),
        dev: Some(devices.into()),
    })
}

/// Its name.
pub(super) const SHORT_CUT: &str = "short_cut";

/// A chain that others lead to.
pub(super) fn part(name: &'static str) -> NfListObject<'static> {
    let (family, table) = (NfFamily::INet, TABLE.into());
    NfListObject::Chain(Chain { family, table, name: name.into(), ..Chain::default() })
}

fn chains() -> [NfListObject<'static>; 8] {
    [
        chain("raw", NfChainType::Filter, NfHook::Prerouting, -300, NfChainPolicy::Accept),
        chain("prerouting", NfChainType::NAT, NfHook::Prerouting, -100, NfChainPolicy::Accept),
        chain("input", NfChainType::Filter, NfHook::Input, 0, NfChainPolicy::Drop),
        chain("forward", NfChainType::Filter, NfHook::Forward, 0, NfChainPolicy::Drop),
        chain("postrouting", NfChainType::NAT, NfHook::Postrouting, 100, NfChainPolicy::Accept),
        part("public"),
        part("arriving"),
        part("forwarded"),
    ]
}

/// nft knows its name from a file only, which the image has not.
const ICMPV6: u32 = 58;

/// What the LAN says to everybody is for nobody here, since DHCP and ARP have sockets of their own: it ends before it costs a
/// route and a connection that is tracked.
/// With IPv6 neighbours and routers say to everybody what the kernel has to hear.
fn quiet(uplink: &Expression<'static>, family: Family) -> Vec<NfListObject<'static>> {
    let from_lan = || is(meta(MetaKey::Iifname), uplink.clone());
    let to_all = || is_not(meta(MetaKey::Pkttype), text("host"));
    let is_talk = is_not(meta(MetaKey::L4proto), Expression::Number(ICMPV6));
    let mut rules = vec![rule("raw", [to_all(), is_of("ipv4"), from_lan(), counter(), drop()])];
    if family.has_v6() {
        rules.push(rule("raw", [to_all(), is_of("ipv6"), from_lan(), is_talk, counter(), drop()]));
    }
    rules
}

/// A connection is recognised by its addresses, which can be forged: its packets must also come from the side that they
/// claim, and what came from the LAN never goes back there, not even while the target's network is away. Someone may also route
/// packets through us that no forward translated.
///
/// This is asked of every packet, so most are through with it after few questions.
fn guards(uplink: &Expression<'static>) -> [NfListObject<'static>; 5] {
    let [from_lan, from_host] = arrivals(uplink);
    let to_inside = is_not(meta(MetaKey::Oifname), uplink.clone());
    let direction = |direction| is(ct("direction", None), text(direction));
    let is_no_forwards = lacks(ct("status", None), text("dnat"));
    [
        rule("forward", [from_lan, goto("arriving")]),
        rule("forward", [direction("reply"), goto("forwarded")]),
        rule("forward", [from_host, goto("arriving")]),
        rule("arriving", [direction("original"), to_inside, goto("forwarded")]),
        rule("forwarded", [is_no_forwards, counter(), drop()]),
    ]
}

/// What is sent to an address of ours goes to a chain of translations.
pub(super) fn to_address(uplink: &Expression<'static>, chain: &'static str) -> [NfListObject<'static>; 2] {
    let to_us = || is(destination_type(), text("local"));
    arrivals(uplink).map(|from| rule("prerouting", [from, to_us(), goto(chain)]))
}

/// What a DHCPv6 server says is for the agent, whatever is forwarded; that of DHCP for IPv4 has a socket before all rules.
fn own(uplink: &Expression<'static>, family: Family) -> Option<NfListObject<'static>> {
    let from_lan = is(meta(MetaKey::Iifname), uplink.clone());
    let is_dhcp = is(field("udp", "dport"), Expression::Number(DHCPV6_CLIENT));
    family.has_v6().then(|| rule("prerouting", [from_lan, is_of("ipv6"), is_dhcp, accept()]))
}

const DHCPV6_CLIENT: u32 = 546;

/// The rules that come after those of the forwards, which take most packets.
fn endings(uplink: &Expression<'static>, family: Family) -> Vec<NfListObject<'static>> {
    let from_lan = || is(meta(MetaKey::Iifname), uplink.clone());
    let is_for = |port: u32| is(field("udp", "dport"), Expression::Number(port));
    // Errors about a connection (RFC 792, RFC 4443) belong to it; path MTU discovery needs them.
    let errors = |protocol: Expression<'static>| {
        let is_icmp = is(meta(MetaKey::L4proto), protocol);
        rule("forwarded", [is_icmp, has(ct("state", None), text("related")), accept()])
    };
    let mut rules = vec![
        errors(text("icmp")),
        rule("input", [from_lan(), is_for(68), accept()]),
        rule("input", [is(field("icmp", "type"), any_of(&WELCOME)), accept()]),
    ];
    if family.has_v6() {
        rules.extend([
            errors(Expression::Number(ICMPV6)),
            rule("input", [from_lan(), is_for(DHCPV6_CLIENT), accept()]),
            rule("input", [is(field("icmpv6", "type"), any_of(&WELCOME6)), accept()]),
        ]);
    }
    rules.extend(["forward", "arriving", "forwarded", "input"].map(|chain| rule(chain, [counter()])));
    rules
}

/// The ICMP messages that the agent's own network stack is to see.
const WELCOME: [&str; 4] = ["echo-request", "destination-unreachable", "time-exceeded", "parameter-problem"];

/// Those of ICMPv6; switches that filter groups forget who does not answer queries.
const WELCOME6: [&str; 9] = [
    "echo-request",
    "destination-unreachable",
    "packet-too-big",
    "time-exceeded",
    "parameter-problem",
    "nd-router-advert",
    "nd-neighbor-solicit",
    "nd-neighbor-advert",
    "mld-listener-query",
];

fn any_of(names: &[&'static str]) -> Expression<'static> {
    Expression::Named(NamedExpression::Set(names.iter().map(|name| SetItem::Element(text(*name))).collect()))
}
