//! Routers and classless routes.

use crate::scoreboard::{
    case::{BY_OURS, Case, Row},
    client::Client::{Mozim, Udhcpc},
    heard::Kind,
    judge::{must, never},
    reply::{Reply, ack, first, offer},
};

/// What is in the reply, the route that has to follow, and one that must not.
type Routes =
    (fn(Reply) -> Reply, (&'static str, Option<&'static str>), (&'static str, Option<&'static str>));

/// The cases.
pub fn cases() -> Vec<Case> {
    let server = ("default", Some("10.77.0.1"));
    let rows: [Row<Routes>; 7] = [
        ("router", "the default route leads to option 3", "RFC 2132 3.5", (|reply| reply, server, NONE)),
        (
            "csr-and-router",
            "option 121 replaces option 3",
            "RFC 3442",
            (|reply| reply.with(121, &[0, 10, 77, 0, 2]), ("default", Some("10.77.0.2")), server),
        ),
        (
            "csr-net",
            "option 121 with a network and no default: no default route",
            "RFC 3442",
            (
                |reply| reply.with(121, &[24, 10, 99, 1, 10, 77, 0, 2]),
                ("10.99.1.0/24", Some("10.77.0.2")),
                server,
            ),
        ),
        (
            "csr-onlink",
            "a router 0.0.0.0 means on the link",
            "RFC 3442",
            (|reply| reply.with(121, &[16, 10, 88, 0, 0, 0, 0]), ("10.88.0.0/16", None), server),
        ),
        (
            "csr-host-bits",
            "bits beyond the width are cleared",
            "RFC 3442",
            (
                |reply| reply.with(121, &[20, 10, 99, 255, 10, 77, 0, 2]),
                ("10.99.240.0/20", Some("10.77.0.2")),
                server,
            ),
        ),
        (
            "csr-bad-width",
            "an option 121 that makes no sense does not replace option 3",
            "RFC 3442; C-12",
            (|reply| reply.with(121, &[33, 10, 99, 1, 1, 1, 10, 77, 0, 2]), server, NONE),
        ),
        (
            "mask-32-router",
            "a router beyond a /32 is used",
            "M-43 (Hetzner, GCE)",
            (|reply| reply.with(1, &[255; 4]), server, NONE),
        ),
    ];
    rows.map(routed).into()
}

const NONE: (&str, Option<&str>) = ("none", None);

fn routed((id, line, rule, (spoil, wanted, unwanted)): Row<Routes>) -> Case {
    Case::new(id, line, rule)
        .server(move |heard, _| match heard.kind {
            Kind::Discover => vec![spoil(offer(heard)).out()],
            Kind::Select => vec![spoil(ack(heard)).out()],
            _ => Vec::new(),
        })
        .judge(move |run| {
            let has = |(to, by): (&str, Option<&str>)| {
                run.routes().iter().any(|(dst, gateway)| dst == to && gateway.as_deref() == by)
            };
            never(has(unwanted), "has the other route")
                .and(must(has(wanted), &format!("no route to {} in {:?}", wanted.0, run.routes())))
                .and(run.keeps(first(), 1))
        })
        .not_for(&[Udhcpc, Mozim], BY_OURS)
}
