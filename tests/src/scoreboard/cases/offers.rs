//! Offers of what nobody can use, and after each a good one.

use std::net::Ipv4Addr;

use crate::scoreboard::{
    case::{BY_OURS, Case, Row, Spoil},
    client::Client::{Mozim, Udhcpc},
    heard::Kind,
    judge::{must, never},
    reply::{Reply, ack, first, host, offer, second},
};

/// The cases.
pub fn cases() -> Vec<Case> {
    let addresses = [
        ("yi-zero", Ipv4Addr::UNSPECIFIED),
        ("yi-broadcast", Ipv4Addr::BROADCAST),
        ("yi-loopback", Ipv4Addr::new(127, 0, 0, 5)),
        ("yi-multicast", Ipv4Addr::new(224, 0, 0, 9)),
        ("yi-reserved", Ipv4Addr::new(240, 0, 0, 4)),
        ("yi-server", host(1)),
        ("yi-network", host(0)),
        ("yi-subnet-broadcast", host(255)),
    ];
    let addresses = addresses.map(|(id, address)| {
        let line = format!("an offered {address} is left alone");
        refused(id, line, "RFC 1122 3.2.1.3; M-20", address, move |reply| reply.yiaddr(address))
    });
    let contents: [Row<Spoil>; 5] = [
        ("mask-holes", "an offer with the mask 255.0.255.0 is left alone", "RFC 4632 5.1; M-20", |reply| {
            reply.with(1, &[255, 0, 255, 0])
        }),
        ("mask-zero", "an offer with the mask 0.0.0.0 is left alone", "RFC 4632 5.1; M-20", |reply| {
            reply.with(1, &[0; 4])
        }),
        ("lease-missing", "an offer without lease time is left alone", "RFC 2131 table 3", |reply| {
            reply.without(51)
        }),
        ("lease-zero", "an offer for no time is left alone", "RFC 2131 3.3; C-15", |reply| {
            reply.with(51, &[0; 4])
        }),
        ("lease-short-option", "a lease time of two octets is none", "RFC 2132 9.2", |reply| {
            reply.with(51, &[14, 16])
        }),
    ];
    let contents = contents.map(|(id, line, rule, spoil)| refused(id, line.into(), rule, first(), spoil));
    addresses.into_iter().chain(contents).chain([mask_missing()]).collect()
}

/// An offer that is spoilt leads to nothing; the good one that follows is taken.
fn refused(
    id: &'static str,
    line: String,
    rule: &'static str,
    bad: Ipv4Addr,
    spoil: impl Fn(Reply) -> Reply + Send + Sync + 'static,
) -> Case {
    let case = Case::new(id, line, rule).server(move |heard, _| match heard.kind {
        Kind::Discover => vec![spoil(offer(heard)).out(), offer(heard).yiaddr(second()).after(400).out()],
        Kind::Select if heard.address(50) == Some(second()) => vec![ack(heard).yiaddr(second()).out()],
        Kind::Select => vec![spoil(ack(heard)).out()],
        _ => Vec::new(),
    });
    let case = case.judge(move |run| run.shuns(bad).and(run.binds(second())));
    if id.starts_with("mask") { case.not_for(&[Udhcpc, Mozim], BY_OURS) } else { case }
}

fn mask_missing() -> Case {
    Case::new("mask-missing", "an address without mask is used with that of its class, or not", "RFC 950 2.2")
        .server(|heard, _| match heard.kind {
            Kind::Discover => {
                vec![offer(heard).without(1).out(), offer(heard).yiaddr(second()).after(400).out()]
            }
            Kind::Select if heard.address(50) == Some(second()) => vec![ack(heard).yiaddr(second()).out()],
            Kind::Select => vec![ack(heard).without(1).out()],
            _ => Vec::new(),
        })
        .judge(|run| {
            let used = run.addresses().iter().find(|address| address.address == first());
            let prefix = used.map(|address| address.prefix);
            never(prefix.is_some_and(|prefix| prefix != 8), &format!("prefix {}", prefix.unwrap_or_default()))
                .and(must(prefix.is_some() || run.has(second()), "no address"))
        })
        .not_for(&[Udhcpc, Mozim], BY_OURS)
}
