//! Decides the ruleset: its table, its chains, and the rules that hold whatever is forwarded.
//!
//! Knows forwards and nftables' schema; touches no kernel.

use std::iter::once;

use landfall_api::{Forward, InterfaceName, Protocol};
use nftables::{
    batch::Batch,
    expr::{Expression, MetaKey, NamedExpression, SetItem},
    schema::{Chain, NfListObject, Nftables, Table},
    types::{NfChainPolicy, NfChainType, NfFamily, NfHook},
};

use super::{
    forwarding::forwarding,
    outgoing::outgoing,
    terms::{TABLE, accept, counter, ct, drop, field, has, is, is_not, meta, rule, text},
};

/// The table for what arrives on `uplink`: it replaces the one that is there, if any, in one transaction.
///
/// Only a packet that a forward translated passes the forward chain, one way or the other, and what a target sends from the
/// port of a forwarded service of datagrams; to the agent itself come only
/// DHCP, ICMP echo and ICMP errors. Whatever else is dropped, and counted at the end of its chain.
pub fn ruleset(uplink: &InterfaceName, forward: &[Forward]) -> Nftables<'static> {
    let uplink = text(uplink.as_str());
    let forwarding = Protocol::ALL.into_iter().flat_map(|protocol| forwarding(&uplink, protocol, forward));
    let mut batch = removal();
    once(table())
        .chain(chains())
        .chain(once(quiet(&uplink)))
        .chain(outgoing(&uplink, forward))
        .chain(guards(&uplink))
        .chain(forwarding)
        .chain(endings(&uplink))
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
    NfListObject::Table(Table { family: NfFamily::INet, name: TABLE.into(), handle: None })
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

fn chains() -> [NfListObject<'static>; 5] {
    [
        chain("raw", NfChainType::Filter, NfHook::Prerouting, -300, NfChainPolicy::Accept),
        chain("prerouting", NfChainType::NAT, NfHook::Prerouting, -100, NfChainPolicy::Accept),
        chain("input", NfChainType::Filter, NfHook::Input, 0, NfChainPolicy::Drop),
        chain("forward", NfChainType::Filter, NfHook::Forward, 0, NfChainPolicy::Drop),
        chain("postrouting", NfChainType::NAT, NfHook::Postrouting, 100, NfChainPolicy::Accept),
    ]
}

/// What the LAN says to everybody is for nobody here, since DHCP and ARP have sockets of their own: it ends before it costs a
/// route and a connection that is tracked.
fn quiet(uplink: &Expression<'static>) -> NfListObject<'static> {
    let from_lan = is(meta(MetaKey::Iifname), uplink.clone());
    let is_ipv4 = is(meta(MetaKey::Nfproto), text("ipv4"));
    rule("raw", [from_lan, is_ipv4, is_not(meta(MetaKey::Pkttype), text("host")), counter(), drop()])
}

/// A connection is recognised by its addresses, which can be forged: its packets must also come from the side that they
/// claim, and what came from the LAN never goes back there, not even while the target's network is away.
fn guards(uplink: &Expression<'static>) -> [NfListObject<'static>; 3] {
    let from_lan = || is(meta(MetaKey::Iifname), uplink.clone());
    let from_inside = is_not(meta(MetaKey::Iifname), uplink.clone());
    let to_lan = is(meta(MetaKey::Oifname), uplink.clone());
    let direction = |direction| is(ct("direction", None), text(direction));
    [
        rule("forward", [from_lan(), direction("reply"), counter(), drop()]),
        rule("forward", [from_inside, direction("original"), counter(), drop()]),
        rule("forward", [from_lan(), to_lan, counter(), drop()]),
    ]
}

/// The rules that come after those of the forwards, which take most packets.
fn endings(uplink: &Expression<'static>) -> [NfListObject<'static>; 5] {
    let from_lan = is(meta(MetaKey::Iifname), uplink.clone());
    let translated = || has(ct("status", None), text("dnat"));
    let is_icmp = is(meta(MetaKey::L4proto), text("icmp"));
    let is_for_dhcp_client = is(field("udp", "dport"), Expression::Number(68));
    [
        // Errors about a connection (RFC 792) belong to it; path MTU discovery needs them.
        rule("forward", [is_icmp, has(ct("state", None), text("related")), translated(), accept()]),
        rule("forward", [counter()]),
        rule("input", [from_lan, is_for_dhcp_client, accept()]),
        rule("input", [is(field("icmp", "type"), welcome_icmp()), accept()]),
        rule("input", [counter()]),
    ]
}

/// The ICMP messages that the agent's own network stack is to see.
fn welcome_icmp() -> Expression<'static> {
    let types = ["echo-request", "destination-unreachable", "time-exceeded", "parameter-problem"];
    let items = types.map(|name| SetItem::Element(text(name)));
    Expression::Named(NamedExpression::Set(items.into()))
}
