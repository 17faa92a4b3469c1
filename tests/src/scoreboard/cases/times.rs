//! Lease times that are too short, too long or in the wrong order.

use std::time::Duration;

use crate::scoreboard::{
    case::{BY_OURS, Case, Row, Spoil},
    client::Client::{Mozim, Udhcpc},
    heard::{Heard, Kind},
    judge::{Run, Verdict, must, never, once},
    reply::{Outgoing, ack_as_asked, first, offer},
};

/// The cases.
pub fn cases() -> Vec<Case> {
    [storms(), long().into(), renewals()].into_iter().flatten().collect()
}

fn storms() -> Vec<Case> {
    vec![
        Case::new(
            "lease0",
            "a server that leases for no time is not stormed: 12 messages in 12 s",
            "C-15, F-17",
        )
        .server(leases(|reply| reply.with(51, &[0; 4])))
        .limit(12)
        .judge(|run| must(run.first(Kind::Discover).is_some(), "no DISCOVER").and(at_most(run, 12))),
        Case::new("lease1", "a lease of 1 s leads to no storm: 24 messages in 12 s", "C-15, F-17")
            .server(leases(|reply| reply.times(1, 0, 0)))
            .limit(12)
            .judge(|run| must(run.first(Kind::Discover).is_some(), "no DISCOVER").and(at_most(run, 24))),
        Case::new("t1-zero", "T1 and T2 of 0 lead to no storm", "C-14 (netavark#1368)")
            .server(leases(|reply| reply.times(20, 0, 0).with(58, &[0; 4]).with(59, &[0; 4])))
            .judge(|run| never(run.extensions().count() > 2, "renews on and on").and(run.keeps(first(), 5))),
        Case::new("lease-8-expiry", "a lease of 8 s that nobody extends ends after 8 s", "RFC 2131 4.4.5")
            .server(|heard, before| match (heard.kind, before) {
                (Kind::Discover, 0) => vec![offer(heard).times(8, 0, 0).out()],
                (Kind::Select, 0) => vec![ack_as_asked(heard).times(8, 0, 0).out()],
                _ => Vec::new(),
            })
            .judge(|run| {
                once(run.requested().filter(|_| run.since(first()).is_some()), "lease", |requested| {
                    let over = requested + Duration::from_millis(9500);
                    never(run.had(first(), over), "still there after 9.5 s")
                        .and(must(!run.has(first()), "still there"))
                })
            }),
        Case::new("kernel-lft", "the kernel knows when the lease ends", "RFC 2131 4.4.5; C-17")
            .server(leases(|reply| reply.times(600, 0, 0)))
            .judge(|run| {
                once(run.addresses().first(), "address", |address| {
                    never(!(590..=600).contains(&address.valid), &format!("valid for {} s", address.valid))
                })
            })
            .not_for(&[Udhcpc, Mozim], BY_OURS),
    ]
}

fn long() -> [Case; 3] {
    let long: [Row<Spoil>; 3] = [
        ("lease-inf", "a lease for ever is not renewed", "RFC 2131 3.3", |reply| reply.with(51, &[255; 4])),
        ("lease-2^31", "a lease of 2^31 + 1 s is one", "RFC 2131 3.3; C-15", |reply| {
            reply.times(0x8000_0001, 0, 0)
        }),
        ("lease-2^32", "a lease of 2^32 - 2 s is one", "RFC 2131 3.3; C-15", |reply| {
            reply.times(0xffff_fffe, 0, 0)
        }),
    ];
    long.map(|(id, line, rule, spoil)| {
        Case::new(id, line, rule)
            .server(leases(spoil))
            .judge(|run| never(run.extensions().next().is_some(), "renews it").and(run.keeps(first(), 8)))
    })
}

fn renewals() -> Vec<Case> {
    vec![
        Case::new("t1-default", "without T1 half of the lease is it", "RFC 2131 4.4.5")
            .server(leases(|reply| reply.times(40, 0, 0)))
            .limit(30)
            .judge(|run| renews(run, 14..23)),
        Case::new("t1-given", "T1 of option 58 is when the renewal begins", "RFC 2131 4.4.5")
            .server(leases(|reply| reply.times(40, 6, 12)))
            .limit(30)
            .judge(|run| renews(run, 4..8)),
        Case::new("t2-given", "T2 of option 59 is when all servers are asked", "RFC 2131 4.4.5")
            .server(|heard, _| match heard.kind {
                Kind::Discover => vec![offer(heard).times(40, 6, 12).out()],
                Kind::Select => vec![ack_as_asked(heard).times(40, 6, 12).out()],
                _ => Vec::new(),
            })
            .limit(35)
            .judge(|run| {
                once(run.requested().zip(run.first(Kind::Rebind)), "REBIND", |(requested, rebind)| {
                    let after = rebind.at.saturating_sub(requested).as_secs();
                    never(!(10..18).contains(&after), &format!("after {after} s"))
                })
            }),
        Case::new(
            "t1-gt-t2",
            "T1 after T2 does not keep the lease's server from being asked first",
            "RFC 2131 4.4.5",
        )
        .server(leases(|reply| reply.times(20, 14, 7)))
        .limit(25)
        .judge(|run| {
            once(run.extensions().next(), "renewal", |renewal| {
                never(renewal.kind == Kind::Rebind, "asks all servers first")
            })
        }),
    ]
}

/// A server that offers and leases with such times.
fn leases(spoil: Spoil) -> impl Fn(&Heard, usize) -> Vec<Outgoing> {
    move |heard, _| match heard.kind {
        Kind::Discover => vec![spoil(offer(heard)).out()],
        Kind::Select | Kind::Reboot | Kind::Renew | Kind::Rebind => vec![spoil(ack_as_asked(heard)).out()],
        Kind::Decline | Kind::Release | Kind::Other => Vec::new(),
    }
}

fn at_most(run: &Run<'_>, most: usize) -> Verdict {
    let count = run.wire.heard.len();
    never(count > most, &format!("more than {most} messages")).and(Verdict::PassIfOver)
}

fn renews(run: &Run<'_>, within: std::ops::Range<u64>) -> Verdict {
    once(run.requested().zip(run.extensions().next()), "renewal", |(requested, renewal)| {
        let after = renewal.at.saturating_sub(requested).as_secs();
        never(!within.contains(&after), &format!("after {after} s"))
    })
}
