//! What a client's own messages look like.

use std::time::Duration;

use crate::scoreboard::{
    case::{Case, proper},
    heard::{Heard, Kind},
    judge::{Run, Verdict, must, never, once},
    reply::{ack_as_asked, first, offer},
};

/// The cases.
pub fn cases() -> Vec<Case> {
    [frames(), first_messages(), renewals()].into_iter().flatten().collect()
}

fn frames() -> Vec<Case> {
    vec![
        Case::new("padded", "DISCOVER and REQUEST have 300 octets or more", "RFC 1542 2.1").judge(|run| {
            each(run, |heard| never(heard.message.len() < 300, &format!("{} octets", heard.message.len())))
        }),
        Case::new("header", "op, htype, hlen, hops, cookie and END are right", "RFC 2131 2, 3").judge(
            |run| {
                each(run, |heard| {
                    never(heard.message[..4] != [1, 1, 6, 0], "another header")
                        .and(never(heard.message[236..240] != [99, 130, 83, 99], "another cookie"))
                        .and(never(!heard.is_ended, "no END"))
                })
            },
        ),
        Case::new("envelope", "0.0.0.0:68 to 255.255.255.255:67, checksums right", "RFC 2131 4.1").judge(
            |run| {
                each(run, |heard| {
                    never(!heard.source.is_unspecified() || !heard.to.is_broadcast(), "other addresses")
                        .and(never(heard.ports != (68, 67), "other ports"))
                        .and(never(!heard.is_intact, "a wrong checksum"))
                })
            },
        ),
        Case::new("ciaddr-zero", "ciaddr is 0 as long as there is no lease", "RFC 2131 4.4.1, table 5")
            .judge(|run| each(run, |heard| never(!heard.ciaddr().is_unspecified(), "ciaddr is set"))),
    ]
}

fn first_messages() -> Vec<Case> {
    vec![
        Case::new("size-57", "option 57, if sent, is 576 or more", "RFC 2132 9.10").judge(|run| {
            each(run, |heard| {
                let size =
                    heard.option(57).map(|size| u16::from_be_bytes(size.try_into().unwrap_or_default()));
                never(size.is_some_and(|size| size < 576), "a smaller size")
            })
        }),
        Case::new("prl-121-first", "asks for option 121, and before 3 and 33", "RFC 3442").judge(|run| {
            once(run.first(Kind::Discover), "DISCOVER", |discover| {
                let list = discover.option(55).unwrap_or_default();
                let place = |code| list.iter().position(|other| *other == code);
                let later = [3, 33].into_iter().filter_map(place).min();
                once(place(121), "121 in the list", |classless| {
                    never(later.is_some_and(|later| later < classless), "121 comes after 3")
                })
            })
        }),
        Case::new("prl-repeated", "DISCOVER and REQUEST ask for the same options", "RFC 2131 3.5, 4.3.1")
            .judge(|run| {
                both(run, |discover, request| {
                    never(discover.option(55) != request.option(55), "the lists differ")
                })
            }),
        Case::new("request-xid", "REQUEST has the xid and the secs of its DISCOVER", "RFC 2131 4.4.1").judge(
            |run| {
                both(run, |discover, request| {
                    never(discover.xid() != request.xid(), "another xid")
                        .and(never(discover.secs() != request.secs(), "other secs"))
                })
            },
        ),
        Case::new("request-50-54", "REQUEST names the server (54) and the address (50)", "RFC 2131 4.3.2")
            .judge(|run| {
                once(run.first(Kind::Select), "REQUEST", |request| {
                    never(request.address(50) != Some(first()), "no option 50")
                        .and(never(request.address(54).is_none(), "no option 54"))
                })
            }),
    ]
}

fn renewals() -> Vec<Case> {
    vec![
        Case::new("source-mac", "the frame's source is chaddr, also in renewals", "RFC 2131 2; N-03")
            .server(short)
            .limit(20)
            .judge(|run| {
                each(run, |heard| never(heard.source_mac != heard.chaddr(), "another source")).and(once(
                    run.extensions().next(),
                    "renewal",
                    |renewal| never(renewal.source_mac != renewal.chaddr(), "another source in the renewal"),
                ))
            }),
        Case::new("xid-new", "a renewal is another transaction", "RFC 2131 4.1; M-01")
            .server(short)
            .limit(20)
            .judge(|run| {
                once(run.extensions().next(), "renewal", |renewal| {
                    let old = run.first(Kind::Select);
                    never(old.is_some_and(|old| old.xid() == renewal.xid()), "the xid of the first lease")
                })
            }),
        Case::new("client-id", "option 61 is there, and the same in each message", "RFC 2131 2, 4.2")
            .server(short)
            .limit(20)
            .judge(|run| {
                once(run.extensions().next(), "renewal", |_| {
                    let id = run.wire.heard[0].option(61);
                    never(id.is_none_or(|id| id.len() < 2), "no option 61").and(never(
                        run.wire.heard.iter().any(|heard| heard.option(61) != id),
                        "another option 61",
                    ))
                })
            }),
        Case::new("secs", "secs of later DISCOVERs is the time since the first", "RFC 2131 2, 4.4.1")
            .server(|_, _| Vec::new())
            .limit(25)
            .judge(|run| {
                let mut discovers = run.of(Kind::Discover);
                let began = discovers.next().map(|discover| discover.at).unwrap_or_default();
                let later = discovers.find(|discover| discover.at > began + Duration::from_secs(3));
                once(later, "later DISCOVER", |later| {
                    let off = later.at.saturating_sub(began).as_secs().abs_diff(later.secs().into());
                    never(off > 2, &format!("secs is off by {off}"))
                })
            }),
    ]
}

/// A server whose leases are renewed soon.
fn short(heard: &Heard, _: usize) -> Vec<(Duration, Vec<u8>)> {
    match heard.kind {
        Kind::Discover => vec![offer(heard).times(20, 6, 12).out()],
        Kind::Select => vec![ack_as_asked(heard).times(20, 6, 12).out()],
        Kind::Reboot | Kind::Renew | Kind::Rebind | Kind::Decline | Kind::Release | Kind::Other => {
            proper(heard)
        }
    }
}

/// DISCOVER and the REQUEST that follows it.
fn both(run: &Run<'_>, judge: impl FnOnce(&Heard, &Heard) -> Verdict) -> Verdict {
    let request = run.first(Kind::Select);
    let discover =
        run.of(Kind::Discover).take_while(|discover| request.is_none_or(|request| discover.at < request.at));
    once(discover.last().zip(request), "REQUEST", |(discover, request)| judge(discover, request))
}

/// Every message until the lease is there, which has to come.
fn each(run: &Run<'_>, judge: impl Fn(&Heard) -> Verdict) -> Verdict {
    let messages = run.of(Kind::Discover).chain(run.of(Kind::Select));
    messages.map(judge).fold(must(run.first(Kind::Select).is_some(), "no REQUEST"), Verdict::and)
}
