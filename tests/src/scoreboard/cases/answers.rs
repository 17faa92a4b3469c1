//! ACKs and NAKs that are not what they should be, and servers that stop talking.

use crate::scoreboard::{
    case::{Case, proper},
    client::Client::{Dhclient, Mozim, Networkd, Udhcpc},
    heard::{Heard, Kind},
    judge::{Run, Verdict, must, never, once},
    reply::{Outgoing, ack, ack_as_asked, first, host, nak, offer, second},
};

const NO_RAPID_COMMIT: &str = "has no rapid commit";

/// The cases.
pub fn cases() -> Vec<Case> {
    [acks(), choices(), naks(), silences(), rapid()].into_iter().flatten().collect()
}

fn acks() -> Vec<Case> {
    vec![
        Case::new(
            "ack-to-discover",
            "an ACK without option 80 answers no DISCOVER",
            "RFC 2131 4.4.1; RFC 4039 3.1",
        )
        .server(|heard, _| match heard.kind {
            Kind::Discover => vec![ack(heard).out(), offer(heard).yiaddr(second()).after(400).out()],
            _ => proper(heard),
        })
        .judge(|run| run.shuns(first()).and(run.binds(second()))),
        Case::new(
            "ack-other-ip",
            "an ACK of another address than the offered one is ignored",
            "RFC 2131 4.3.1; M-16",
        )
        .server(|heard, _| match heard.kind {
            Kind::Select => vec![ack(heard).yiaddr(second()).out(), ack(heard).after(300).out()],
            _ => proper(heard),
        })
        .judge(|run| run.shuns(second()).and(run.binds(first()))),
        Case::new(
            "ack-other-server",
            "an ACK of a server that was not chosen is ignored",
            "RFC 2131 3.1; M-16",
        )
        .server(|heard, _| match heard.kind {
            Kind::Select => {
                vec![ack(heard).by(2).with(1, &[255, 255, 255, 128]).out(), ack(heard).after(300).out()]
            }
            _ => proper(heard),
        })
        .judge(|run| {
            let is_other = run.addresses().iter().any(|address| address.prefix == 25);
            never(is_other, "takes the other server's word").and(run.binds(first()))
        }),
    ]
}

fn choices() -> Vec<Case> {
    vec![
        Case::new(
            "several-offers",
            "of two offers one is taken, by its server and address",
            "RFC 2131 3.1, 4.4.1",
        )
        .server(|heard, _| match heard.kind {
            Kind::Discover => vec![offer(heard).out(), offer(heard).by(2).yiaddr(second()).after(30).out()],
            Kind::Select if heard.address(54) == Some(host(2)) => vec![ack_as_asked(heard).by(2).out()],
            _ => proper(heard),
        })
        .judge(|run| {
            let is_of_one = |request: &Heard| {
                let offers = [(Some(host(1)), Some(first())), (Some(host(2)), Some(second()))];
                offers.contains(&(request.address(54), request.address(50))) && request.to.is_broadcast()
            };
            never(!run.of(Kind::Select).all(is_of_one), "mixes the offers")
                .and(must(run.has(first()) || run.has(second()), "no address"))
        }),
        Case::new("no-serverid", "a server without option 54 is better than none", "F-16 (Oracle OCI)")
            .with_nameless_servers()
            .server(|heard, _| match heard.kind {
                Kind::Discover => vec![offer(heard).without(54).out()],
                Kind::Select => vec![ack(heard).without(54).out()],
                _ => Vec::new(),
            })
            .judge(|run| run.binds(first())),
    ]
}

fn naks() -> Vec<Case> {
    vec![
        Case::new(
            "nak-other-then-ack",
            "a NAK of a server that was not chosen is ignored",
            "RFC 2131 3.1; F-07",
        )
        .server(|heard, _| match heard.kind {
            Kind::Select => vec![nak(heard).by(2).out(), ack(heard).after(100).out()],
            _ => proper(heard),
        })
        .judge(|run| never(run.of(Kind::Discover).count() > 1, "begins again").and(run.binds(first()))),
        Case::new(
            "nak-noserverid",
            "after a NAK without option 54 there is a lease in the end",
            "RFC 2131 table 3; F-10",
        )
        .server(|heard, before| match heard.kind {
            Kind::Select if before == 0 => vec![nak(heard).without(54).out()],
            _ => proper(heard),
        })
        .limit(25)
        .judge(|run| run.binds(first())),
        Case::new(
            "nak-once",
            "a NAK leads to another DISCOVER, without the refused address",
            "RFC 2131 3.1.5; F-06",
        )
        .server(|heard, before| match heard.kind {
            Kind::Discover if before > 0 => vec![offer(heard).yiaddr(second()).out()],
            Kind::Select if before == 0 => vec![nak(heard).out()],
            _ => proper(heard),
        })
        .judge(|run| {
            let again = run.of(Kind::Discover).nth(1);
            never(run.since(first()).is_some(), "uses the refused address")
                .and(never(
                    again.is_some_and(|again| again.address(50) == Some(first())),
                    "asks for it again",
                ))
                .and(run.binds(second()))
        }),
        Case::new(
            "nak-always",
            "NAKs are obeyed, and do not lead to a storm: 24 messages in 15 s",
            "F-09 (systemd#2509)",
        )
        .server(|heard, _| match heard.kind {
            Kind::Select => vec![nak(heard).out()],
            _ => proper(heard),
        })
        .judge(|run| must(run.of(Kind::Discover).count() > 1, "never begins again").and(no_storm(run, 24))),
    ]
}

fn silences() -> Vec<Case> {
    vec![
        Case::new("silent", "DISCOVERs go on, with pauses that grow", "RFC 2131 4.1")
            .server(|_, _| Vec::new())
            .limit(30)
            .judge(|run| {
                let times: Vec<_> = run.of(Kind::Discover).map(|discover| discover.at).collect();
                let pauses: Vec<_> = times.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect();
                let grow =
                    pauses.last().zip(pauses.first()).is_some_and(|(last, first)| *last > *first * 3 / 2);
                must(pauses.len() > 1 && grow, "the pauses do not grow").and(no_storm(run, 12))
            }),
        Case::new(
            "offer-then-silent",
            "an unanswered REQUEST is repeated, then the search begins again",
            "RFC 2131 3.1.5",
        )
        .server(|heard, _| match heard.kind {
            Kind::Select => Vec::new(),
            _ => proper(heard),
        })
        .limit(120)
        .judge(|run| {
            once(run.requested(), "REQUEST", |requested| {
                must(run.of(Kind::Select).count() > 1, "one REQUEST only")
                    .and(must(run.after(Kind::Discover, requested).is_some(), "no DISCOVER within 120 s"))
            })
        }),
    ]
}

fn rapid() -> Vec<Case> {
    let clients = [Udhcpc, Dhclient, Networkd, Mozim];
    vec![
        Case::new(
            "offer-rapid80",
            "an OFFER with option 80 is an OFFER: it needs a REQUEST",
            "RFC 4039 3.1; C-18",
        )
        .server(|heard, _| match heard.kind {
            Kind::Discover => vec![offer(heard).and(80, &[]).out()],
            _ => proper(heard),
        })
        .judge(|run| {
            let is_asked_for = run.first(Kind::Select).is_some();
            never(run.has(first()) && !is_asked_for, "uses what was only offered").and(run.binds(first()))
        }),
        Case::new("rapid-ack", "an ACK with option 80 is a lease in two messages", "RFC 4039 3.1")
            .server(at_once(&[80]))
            .judge(|run| never(run.first(Kind::Select).is_some(), "sends a REQUEST").and(run.binds(first())))
            .not_for(&clients, NO_RAPID_COMMIT),
        Case::new(
            "rapid-rollback",
            "a server that always forgets option 80 in its ACK is leased from",
            "C-19 (dora)",
        )
        .server(at_once(&[]))
        .limit(25)
        .judge(|run| {
            never(run.has(first()) && run.first(Kind::Select).is_none(), "takes the ACK")
                .and(run.binds(first()))
        })
        .not_for(&clients, NO_RAPID_COMMIT),
    ]
}

/// A server that answers option 80 with an ACK, in which these options are empty.
fn at_once(empty: &'static [u8]) -> impl Fn(&Heard, usize) -> Vec<Outgoing> {
    move |heard, _| match heard.kind {
        Kind::Discover if heard.option(80).is_some() => {
            vec![empty.iter().fold(ack(heard), |reply, code| reply.and(*code, &[])).out()]
        }
        _ => proper(heard),
    }
}

/// At most so many messages until the end.
fn no_storm(run: &Run<'_>, most: usize) -> Verdict {
    let count = run.wire.heard.len();
    must(count > 0, "no message")
        .and(never(count > most, &format!("{count} messages")))
        .and(Verdict::PassIfOver)
}
