//! From one lease to the next, with servers that extend, refuse and fall silent.

use std::time::Duration;

use crate::scoreboard::{
    case::{BY_OURS, Case, Row, proper},
    client::Client::{Mozim, Udhcpc},
    heard::{Heard, Kind},
    judge::{Run, Verdict, must, never, once},
    reply::{Outgoing, Reply, ack, ack_as_asked, first, host, nak, offer, second, server_mac},
};

/// Half a minute is the shortest lease that all five take as it is.
const LEASE: u32 = 32;

/// What has to be so of a renewal.
type Form = fn(&Heard) -> Verdict;

/// The cases.
pub fn cases() -> Vec<Case> {
    [forms(), extended(), refused(), silent()].into_iter().flatten().collect()
}

fn forms() -> Vec<Case> {
    let forms: [Row<Form>; 5] = [
        (
            "renew-to",
            "a renewal goes to the server and to no other machine",
            "RFC 2131 4.3.2, 4.4.5",
            |renewal| {
                never(renewal.to != host(1), &format!("goes to {}", renewal.to))
                    .and(never(renewal.to_mac != server_mac(1), "another MAC address"))
            },
        ),
        ("renew-source", "a renewal comes from the leased address", "RFC 2131 4.1, 4.4.5", |renewal| {
            never(renewal.source != first(), &format!("comes from {}", renewal.source))
        }),
        ("renew-ciaddr", "a renewal has the address in ciaddr", "RFC 2131 4.3.2", |renewal| {
            never(renewal.ciaddr() != first(), "another ciaddr")
        }),
        ("renew-no-50-54", "a renewal has neither option 50 nor 54", "RFC 2131 4.3.2", |renewal| {
            never(renewal.option(50).is_some(), "option 50")
                .and(never(renewal.option(54).is_some(), "option 54"))
        }),
        ("renew-no-broadcast", "a renewal does not ask for broadcasts", "RFC 2131 4.1; C-04", |renewal| {
            never(renewal.message[10] & 0x80 != 0, "sets the flag")
        }),
    ];
    let forms = forms.map(|(id, line, rule, judge)| {
        let case = Case::new(id, line, rule).server(answers(|_| None)).limit(25);
        case.judge(move |run| once(run.extensions().next(), "renewal", judge))
    });
    forms.into_iter().chain([siaddr(), rebind()]).collect()
}

fn siaddr() -> Case {
    Case::new(
        "renew-not-siaddr",
        "a renewal goes to option 54, not to siaddr or giaddr",
        "RFC 2131 4.4.5; M-50",
    )
    .server(|heard, _| {
        let odd =
            |reply: Reply| reply.times(LEASE, 6, 12).fixed(20, &[10, 77, 0, 2]).fixed(24, &[10, 77, 0, 9]);
        match heard.kind {
            Kind::Discover => vec![odd(offer(heard)).out()],
            Kind::Select => vec![odd(ack(heard)).out()],
            _ => Vec::new(),
        }
    })
    .limit(25)
    .judge(|run| {
        once(run.extensions().next(), "renewal", |renewal| {
            never(renewal.to != host(1), &format!("goes to {}", renewal.to))
        })
    })
}

fn rebind() -> Case {
    Case::new("rebind-form", "REBIND: ciaddr set, neither option 50 nor 54", "RFC 2131 4.3.2")
        .server(answers(|_| None))
        .limit(36)
        .judge(|run| {
            once(run.first(Kind::Rebind), "REBIND", |rebind| {
                never(rebind.ciaddr() != first(), "another ciaddr")
                    .and(never(rebind.option(50).is_some() || rebind.option(54).is_some(), "option 50 or 54"))
            })
        })
}

fn extended() -> Vec<Case> {
    vec![
        Case::new("renew-ok", "an extended lease keeps its address without a break", "RFC 2131 4.4.5")
            .server(answers(|heard| Some(ack_as_asked(heard).times(LEASE, 6, 12))))
            .limit(45)
            .judge(|run| {
                once(run.extensions().next().and(run.since(first())), "renewal", |since| {
                    let mut later = run.samples.iter().filter(|sample| sample.at > since);
                    never(later.any(|sample| sample.addresses.is_empty()), "the address is away")
                        .and(run.keeps(first(), u64::from(LEASE) + 3))
                })
            }),
        Case::new("renew-lft", "the kernel knows when the extended lease ends", "RFC 2131 4.4.5; C-17")
            .server(answers(|heard| Some(ack_as_asked(heard).times(LEASE, 6, 12))))
            .judge(|run| {
                once(run.extensions().next(), "renewal", |_| {
                    let valid = run.addresses().first().map(|address| address.valid).unwrap_or_default();
                    must((29..=32).contains(&valid), &format!("valid for {valid} s"))
                })
            })
            .not_for(&[Udhcpc, Mozim], BY_OURS),
        Case::new("renew-other-ip", "a renewal that gives another address moves to it", "C-30")
            .server(answers(|heard| Some(ack(heard).yiaddr(second()).times(LEASE, 6, 12))))
            .limit(25)
            .judge(|run| run.binds(second()).and(must(!run.has(first()), "the old address is still there"))),
        Case::new("rebind-server", "the server that answered REBIND is asked next", "RFC 2131 4.4.5; M-33")
            .server(|heard, before| match heard.kind {
                Kind::Rebind => vec![ack_as_asked(heard).by(2).times(LEASE, 6, 12).out()],
                _ => answers(|_| None)(heard, before),
            })
            .limit(60)
            .judge(|run| {
                once(run.first(Kind::Rebind), "REBIND", |rebind| {
                    let next = run.after(Kind::Renew, rebind.at + Duration::from_secs(1));
                    once(next, "renewal", |next| never(next.to != host(2), &format!("goes to {}", next.to)))
                })
            }),
        Case::new("no-icmp", "a late reply is not answered with port unreachable", "M-51, N-01")
            .server(|heard, _| match heard.kind {
                Kind::Select => {
                    [0, 1000, 1500].map(|after| ack(heard).unicast(first()).after(after).out()).into()
                }
                _ => proper(heard),
            })
            .judge(|run| never(run.wire.unreachables > 0, "port unreachable").and(run.keeps(first(), 3))),
    ]
}

fn refused() -> Vec<Case> {
    let judge = |run: &Run<'_>| {
        once(run.extensions().next(), "renewal", |renewal| {
            let soon = renewal.at + Duration::from_secs(2);
            never(run.had(first(), soon), "uses the refused address for 2 s")
                .and(must(run.after(Kind::Discover, renewal.at).is_some(), "no DISCOVER"))
                .and(run.binds(second()))
        })
    };
    vec![
        Case::new("renew-nak", "a NAK to a renewal ends the lease at once", "RFC 2131 4.4.5; F-08")
            .server(answers(|heard| Some(nak(heard).unicast(first()))))
            .limit(40)
            .judge(judge),
        Case::new(
            "renew-nak-broadcast",
            "a NAK to a renewal is heard as a broadcast, too",
            "RFC 2131 4.3.2; M-30",
        )
        .server(answers(|heard| Some(nak(heard))))
        .limit(40)
        .judge(judge),
    ]
}

fn silent() -> Vec<Case> {
    vec![
        Case::new(
            "renew-retry",
            "an unanswered renewal is not repeated within a minute",
            "RFC 2131 4.4.5; M-31",
        )
        .server(|heard, before| match (heard.kind, before) {
            (Kind::Discover, 0) => vec![offer(heard).times(LEASE, 6, 28).out()],
            (Kind::Select, 0) => vec![ack(heard).times(LEASE, 6, 28).out()],
            _ => Vec::new(),
        })
        .limit(35)
        .judge(|run| {
            once(run.requested().and(run.first(Kind::Renew)), "renewal", |_| {
                let end = run.requested().unwrap_or_default() + Duration::from_secs(27);
                let count = run.of(Kind::Renew).filter(|renewal| renewal.at < end).count();
                never(count > 1, &format!("{count} times")).and(must(run.lasted() > end, "not over"))
            })
        }),
        Case::new("expiry", "a lease that nobody extends ends, with its address", "RFC 2131 4.4.5")
            .server(|heard, before| match (heard.kind, before) {
                (Kind::Discover, 1..) => Vec::new(),
                _ => answers(|_| None)(heard, before),
            })
            .limit(u64::from(LEASE) + 8)
            .judge(|run| {
                once(run.requested().filter(|_| run.since(first()).is_some()), "lease", |requested| {
                    let over = requested + Duration::from_millis(u64::from(LEASE) * 1000 + 1500);
                    let later = run.wire.heard.iter().filter(|heard| heard.at > over);
                    never(run.had(first(), over), "still there")
                        .and(never(
                            later.map(|heard| heard.source).any(|source| source == first()),
                            "still sends",
                        ))
                        .and(must(run.lasted() > over + Duration::from_secs(3), "not over"))
                })
            }),
    ]
}

/// A server of short leases, and what it says to those who want to extend them. The second lease is another address.
fn answers(extend: fn(&Heard) -> Option<Reply>) -> impl Fn(&Heard, usize) -> Vec<Outgoing> {
    move |heard, before| match heard.kind {
        Kind::Discover if before > 0 => vec![offer(heard).yiaddr(second()).times(LEASE, 6, 12).out()],
        Kind::Discover => vec![offer(heard).times(LEASE, 6, 12).out()],
        Kind::Select => vec![ack_as_asked(heard).times(LEASE, 6, 12).out()],
        Kind::Renew | Kind::Rebind => extend(heard).map(|reply| reply.out()).into_iter().collect(),
        Kind::Reboot | Kind::Decline | Kind::Release | Kind::Other => Vec::new(),
    }
}
