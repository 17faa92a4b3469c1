//! Addresses that somebody else uses, or seems to.

use std::{net::Ipv4Addr, time::Duration};

use crate::scoreboard::{
    case::{Case, proper},
    client::Client::{Dhclient, Mozim},
    heard::{Arp, Heard, Kind},
    judge::{Run, must, never, once},
    reply::{NEIGHBOUR, Outgoing, arp, first, host, offer, second},
};

/// Milliseconds from the ACK to the first claim: by then the slowest has probed and announced.
const CLAIM: u64 = 13_000;

/// The cases.
pub fn cases() -> Vec<Case> {
    let cases = [declined(), probed(), defended()].into_iter().flatten().map(Case::with_conflict_detection);
    cases
        .map(|case| {
            case.not_for(&[Dhclient], "leaves it to its script, and Debian's does not look")
                .not_for(&[Mozim], "leaves it to its caller")
        })
        .collect()
}

fn declined() -> Vec<Case> {
    vec![
        Case::new(
            "conflict-decline",
            "an address that a neighbour has is declined and not used",
            "RFC 2131 3.1.5, 4.4.1",
        )
        .taken(&[first()])
        .limit(20)
        .judge(|run| {
            never(run.since(first()).is_some(), "uses the address")
                .and(must(run.first(Kind::Decline).is_some(), "no DECLINE"))
        }),
        Case::new(
            "decline-form",
            "DECLINE: broadcast, ciaddr 0, options 50 and 54",
            "RFC 2131 4.4.4, table 5",
        )
        .taken(&[first()])
        .limit(20)
        .judge(|run| {
            once(run.first(Kind::Decline), "DECLINE", |decline| {
                never(!decline.to.is_broadcast(), "no broadcast")
                    .and(never(!decline.ciaddr().is_unspecified(), "ciaddr is set"))
                    .and(never(decline.address(50) != Some(first()), "no option 50"))
                    .and(never(decline.address(54) != Some(host(1)), "no option 54"))
            })
        }),
        Case::new("conflict-wait", "10 s pass between DECLINE and DISCOVER", "RFC 2131 3.1.5")
            .taken(&[first()])
            .limit(60)
            .judge(|run| {
                once(run.first(Kind::Decline), "DECLINE", |decline| {
                    once(run.after(Kind::Discover, decline.at), "DISCOVER", |again| {
                        let pause = again.at.saturating_sub(decline.at);
                        never(pause < Duration::from_millis(9500), &format!("{} s", pause.as_secs()))
                    })
                })
            }),
        Case::new("conflict-next", "after a conflict another address is leased", "RFC 2131 3.1.5")
            .taken(&[first()])
            .server(|heard, before| match heard.kind {
                Kind::Discover if before > 0 => vec![offer(heard).yiaddr(second()).out()],
                _ => proper(heard),
            })
            .limit(60)
            .judge(|run| run.binds(second())),
    ]
}

fn probed() -> Vec<Case> {
    vec![
        Case::new("probes", "three probes go out before the address is used", "RFC 5227 1.1, 2.1.1")
            .limit(20)
            .judge(|run| {
                once(run.since(first()), "address", |since| {
                    let probes = run.wire.arps.iter().filter(|arp| arp.is_probe() && arp.target == first());
                    let count = probes.filter(|arp| arp.at < since).count();
                    never(count < 3, &format!("{count} probes"))
                })
            }),
        Case::new("conflict-rival", "an address that another host probes for is not used", "RFC 5227 2.1.1")
            .arp(|packet, _| while_probed(packet, &arp(1, NEIGHBOUR, Ipv4Addr::UNSPECIFIED, first())))
            .limit(20)
            .judge(|run| {
                never(run.since(first()).is_some(), "uses the address")
                    .and(must(run.first(Kind::Decline).is_some(), "no DECLINE"))
            }),
        Case::new("conflict-echo", "its own probe, come back, is no conflict", "RFC 5227 2.1.1; C-23")
            .arp(|packet, _| {
                while_probed(packet, &arp(1, packet.sender_mac, Ipv4Addr::UNSPECIFIED, packet.target))
            })
            .limit(20)
            .judge(|run| never(run.first(Kind::Decline).is_some(), "declines").and(run.binds(first()))),
    ]
}

fn defended() -> Vec<Case> {
    vec![
        Case::new("announce", "two announcements follow when the address is used", "RFC 5227 2.3")
            .limit(20)
            .judge(|run| must(announcements(run) >= 2, &format!("{} announcements", announcements(run)))),
        Case::new(
            "defend",
            "a claim of the address in use is answered once, and the address kept",
            "RFC 5227 2.4 b",
        )
        .server(|heard, _| claimed(heard, &[CLAIM]))
        .limit(25)
        .judge(|run| {
            let claimed = run.requested().map(|requested| requested + Duration::from_millis(CLAIM));
            let is_later =
                |arp: &Arp| arp.is_announcement() && claimed.is_some_and(|claimed| arp.at >= claimed);
            must(run.wire.arps.iter().any(is_later), "no defence").and(run.binds(first()))
        }),
        Case::new("give-up", "after a second claim within 10 s the address is given up", "RFC 5227 2.4 b")
            .server(|heard, _| claimed(heard, &[CLAIM, CLAIM + 1500]))
            .limit(25)
            .judge(|run| {
                must(run.since(first()).is_some() && !run.has(first()), "the address is still there")
            }),
    ]
}

fn while_probed(packet: &Arp, frame: &[u8]) -> Vec<Outgoing> {
    if packet.is_probe() && packet.target == first() {
        vec![(Duration::from_millis(10), frame.to_vec())]
    } else {
        Vec::new()
    }
}

/// A proper server, and claims of a neighbour so many milliseconds after its ACK.
fn claimed(heard: &Heard, after: &[u64]) -> Vec<Outgoing> {
    let mut said = proper(heard);
    if heard.kind == Kind::Select {
        let claim = || arp(2, NEIGHBOUR, first(), first());
        said.extend(after.iter().map(|milliseconds| (Duration::from_millis(*milliseconds), claim())));
    }
    said
}

fn announcements(run: &Run<'_>) -> usize {
    run.wire.arps.iter().filter(|arp| arp.is_announcement() && arp.sender == first()).count()
}
