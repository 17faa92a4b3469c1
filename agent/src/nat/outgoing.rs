//! Decides what a target may begin by itself: datagrams from the private ports of forwards that do not masquerade.
//!
//! Its answers from there come over the wire, and nothing tells a question from an answer before it is tracked. It leaves
//! under the address and the public port by which a peer knows the target.

use std::collections::{BTreeMap, HashSet};

use landfall_api::{Forward, PortRange, Protocol};
use nftables::{
    expr::{CTDir, Expression, MetaKey},
    schema::{NfListObject, SetType},
};

use super::{
    forwarding::{each_port, map, set},
    ports::Ports,
    terms::{
        accept, ct, field, has, is, is_not, lacks, lookup, masquerade, masquerade_from, meta, rule, text,
    },
};

/// The private ports, and the public ports of those that have others.
const OWN: &str = "udp_own";
const PUBLIC: &str = "udp_public";

/// The set and the rules; nothing where every datagram's answer goes to an address of ours. After the guards, which have sent on
/// all packets of connections that were begun on the LAN, from the side that they claim.
pub(super) fn outgoing(uplink: &Expression<'static>, forward: &[Forward]) -> Vec<NfListObject<'static>> {
    let is_own = |forward: &&Forward| forward.protocol() == Protocol::Udp && !forward.masquerade();
    let forward: Vec<&Forward> = forward.iter().filter(is_own).collect();
    let ports = PortRange::merge(forward.iter().map(|forward| forward.private()).collect());
    if ports.is_empty() {
        return Vec::new();
    }
    let own = || text(format!("@{OWN}"));
    let (is_datagram, to_lan) =
        (|| is(meta(MetaKey::L4proto), text("udp")), || is(meta(MetaKey::Oifname), uplink.clone()));
    let (onward, back) =
        (is(ct("direction", None), text("original")), is(ct("direction", None), text("reply")));
    let was_begun_inside = [has(ct("status", None), text("snat")), lacks(ct("status", None), text("dnat"))];
    let [left_translated, came_as_it_was] = was_begun_inside;
    let from_own = is(field("udp", "sport"), own());
    let mut objects = vec![
        set(OWN.to_owned(), ports.into_iter().map(Ports::from).collect()),
        rule("forward", [to_lan(), is_datagram(), onward, from_own.clone(), accept()]),
        rule(
            "arriving",
            [
                is_not(meta(MetaKey::Oifname), uplink.clone()),
                is_datagram(),
                back,
                left_translated,
                came_as_it_was,
                is(ct("proto-src", Some(CTDir::Original)), own()),
                accept(),
            ],
        ),
    ];
    let public = public(&forward);
    if !public.is_empty() {
        let port = lookup(field("udp", "sport"), PUBLIC);
        objects.push(map(PUBLIC.to_owned(), SetType::InetService, public));
        objects.push(rule("postrouting", [to_lan(), is_datagram(), masquerade_from(port)]));
    }
    objects.push(rule("postrouting", [to_lan(), from_own, masquerade()]));
    objects
}

/// The public port of each private one that has another; where there are several, the first.
fn public(forward: &[&Forward]) -> Vec<(Ports, Expression<'static>)> {
    let (kept, remapped): (Vec<&Forward>, Vec<&Forward>) =
        forward.iter().copied().partition(|forward| forward.to().port.is_none());
    let kept: HashSet<u16> = kept.into_iter().flat_map(|forward| forward.port().ports()).collect();
    let mut public = BTreeMap::new();
    for (from, _, private) in remapped.into_iter().flat_map(each_port) {
        if !kept.contains(&private) {
            public.entry(private).or_insert(from.first);
        }
    }
    let element = |(private, public): (u16, u16)| {
        (Ports { first: private, last: private }, Expression::Number(public.into()))
    };
    public.into_iter().map(element).collect()
}
