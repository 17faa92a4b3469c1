//! Replies that are not for the client, not whole, or no replies.

use crate::scoreboard::{
    case::{Case, Row, Spoil},
    heard::Kind,
    reply::{Checksum, Reply, ack_as_asked, first, offer, second},
};

/// The cases.
pub fn cases() -> Vec<Case> {
    let lies: [Row<Spoil>; 13] = [
        ("wrong-chaddr", "a reply for another chaddr is ignored", "RFC 2131 4.1; M-14", |reply| {
            reply.fixed(28, &[2, 0, 0, 0, 0, 0x77])
        }),
        ("wrong-xid", "a reply with another xid is ignored", "RFC 2131 4.4.1", |reply| {
            reply.fixed(4, &[1, 2, 3, 4])
        }),
        ("op1", "a message that is a request is no reply", "RFC 2131 2", |reply| reply.fixed(0, &[1])),
        ("htype6", "a reply for other hardware is ignored", "RFC 2131 2; M-13", |reply| reply.fixed(1, &[6])),
        ("hlen16", "a reply with another hlen is ignored", "RFC 2131 2; M-13", |reply| reply.fixed(2, &[16])),
        ("hlen255", "a reply with an impossible hlen is ignored", "RFC 2131 2; M-13", |reply| {
            reply.fixed(2, &[255])
        }),
        ("bad-magic", "a reply without the cookie is ignored", "RFC 2131 3", |reply| {
            reply.fixed(236, &[9; 4])
        }),
        ("bad-csum", "a reply with a wrong UDP checksum is ignored", "RFC 1122 4.1.3.4", |reply| Reply {
            checksum: Checksum::Wrong,
            ..reply
        }),
        ("fragment", "a first fragment alone is no message", "RFC 791 3.2; M-12", |reply| Reply {
            fragment: 0x2000,
            ..reply
        }),
        ("fragment-later", "a later fragment alone is no message", "RFC 791 3.2; M-12", |reply| Reply {
            fragment: 0x0010,
            ..reply
        }),
        ("foreign-61", "a reply to another client identifier is ignored", "RFC 6842 3", |reply| {
            reply.and(61, &[1, 2, 0, 0, 0, 0, 0x77])
        }),
        ("no-53", "a message without option 53 is no OFFER", "RFC 2131 3", |reply| reply.without(53)),
        ("unknown-53", "a message of an unknown type is ignored", "RFC 2131 3; H-08", |reply| {
            reply.with(53, &[77])
        }),
    ];
    lies.map(|(id, line, rule, spoil)| ignored(id, line, rule, spoil)).into_iter().collect()
}

/// The lie offers one address, the truth that follows it another.
fn ignored(id: &'static str, line: &'static str, rule: &'static str, spoil: fn(Reply) -> Reply) -> Case {
    Case::new(id, line, rule)
        .server(move |heard, _| match heard.kind {
            Kind::Discover => vec![spoil(offer(heard)).out(), offer(heard).yiaddr(second()).after(400).out()],
            Kind::Select if heard.address(50) == Some(first()) => vec![spoil(ack_as_asked(heard)).out()],
            Kind::Select => vec![ack_as_asked(heard).out()],
            _ => Vec::new(),
        })
        .judge(|run| run.shuns(first()).and(run.binds(second())))
}
