//! Replies that look odd and are good.

use crate::scoreboard::{
    case::{Case, Row, Spoil},
    heard::Kind,
    judge::never,
    reply::{Checksum, Reply, ack_as_asked, first, offer},
};

/// A mask that nobody guesses.
const MASK: [u8; 6] = [1, 4, 255, 255, 255, 192];

/// The cases.
pub fn cases() -> Vec<Case> {
    let odd: [Row<Spoil>; 7] = [
        ("zero-csum", "a reply without UDP checksum is taken", "RFC 768", |reply| Reply {
            checksum: Checksum::Absent,
            ..reply
        }),
        ("trunc-opt-last", "a last option that is cut off costs nothing but itself", "M-19", |reply| Reply {
            tail: vec![12, 40, b'x'],
            ..reply
        }),
        ("no-end", "options without END are taken", "RFC 1122 1.2.2", |reply| Reply {
            tail: Vec::new(),
            ..reply
        }),
        ("zerolen-opts", "options of no length are passed over", "RFC 1122 1.2.2; H-05", |reply| {
            reply.and(12, &[]).and(15, &[]).and(6, &[])
        }),
        ("nonutf8-first", "a host name in Latin-1 costs nothing but itself", "M-19", |mut reply| {
            reply.options.insert(0, (12, b"caf\xe9".to_vec()));
            reply
        }),
        ("relayed", "a reply that came by a relay is taken", "RFC 2131 4.1; M-50", |reply| {
            reply.fixed(24, &[10, 77, 0, 9]).fixed(3, &[1])
        }),
        (
            "unicast-reply",
            "a reply to the address that is not in use yet is taken",
            "RFC 2131 4.1",
            |reply| reply.unicast(first()),
        ),
    ];
    let masks: [Row<Spoil>; 6] = [
        ("pad-options", "padding between options is passed over", "RFC 2132 3.1", |reply| Reply {
            tail: [&[0, 0, 0], &MASK[..], &[255]].concat(),
            ..reply.without(1)
        }),
        ("split-mask", "an option in two pieces is one", "RFC 3396 7", |reply| {
            reply.without(1).and(1, &[255, 255]).and(1, &[255, 192])
        }),
        ("split-mask-apart", "an option in two pieces far apart is one", "RFC 3396 7", |reply| {
            reply.with(1, &[255, 255]).and(15, b"lan").and(1, &[255, 192])
        }),
        ("overload-file", "options stand in `file` if option 52 says so", "RFC 2131 4.1", |reply| {
            reply.without(1).and(52, &[1]).fixed(108, &MASK).fixed(114, &[255])
        }),
        ("overload-sname", "options stand in `sname` if option 52 says so", "RFC 2131 4.1", |reply| {
            reply.without(1).and(52, &[2]).fixed(44, &MASK).fixed(50, &[255])
        }),
        ("overload-both", "options stand in `file` and `sname`", "RFC 2131 4.1", |reply| {
            let lease = [51, 4, 0, 0, 14, 16, 255];
            reply.without(1).without(51).and(52, &[3]).fixed(108, &lease).fixed(44, &MASK).fixed(50, &[255])
        }),
    ];
    let odd = odd.map(|row| taken(row, 24));
    let masks = masks.map(|row| taken(row, 26));
    odd.into_iter().chain(masks).chain([dup_replies(), big_reply()]).collect()
}

fn taken((id, line, rule, spoil): Row<Spoil>, prefix: u64) -> Case {
    Case::new(id, line, rule)
        .server(move |heard, _| match heard.kind {
            Kind::Discover => vec![spoil(offer(heard)).out()],
            Kind::Select => vec![spoil(ack_as_asked(heard)).out()],
            _ => Vec::new(),
        })
        .judge(move |run| {
            let other = run.addresses().iter().find(|address| address.prefix != prefix);
            never(other.is_some(), &format!("prefix {}", other.map(|other| other.prefix).unwrap_or_default()))
                .and(run.binds(first()))
        })
}

fn dup_replies() -> Case {
    Case::new("dup-replies", "replies that come three times are one", "RFC 2131 4.4.1; F-03")
        .server(|heard, _| {
            let reply = match heard.kind {
                Kind::Discover => offer(heard),
                Kind::Select => ack_as_asked(heard),
                _ => return Vec::new(),
            };
            vec![reply.out(), reply.out(), reply.out()]
        })
        .judge(|run| never(run.of(Kind::Select).count() > 1, "a second REQUEST").and(run.keeps(first(), 2)))
}

fn big_reply() -> Case {
    Case::new("big-reply", "a reply as long as option 57 allows is taken", "RFC 2132 9.10; C-08")
        .server(|heard, _| {
            let allowed = heard.option(57).and_then(|size| Some(u16::from_be_bytes(size.try_into().ok()?)));
            let most = usize::from(allowed.unwrap_or(576).clamp(576, 1500)) - 28;
            match heard.kind {
                Kind::Discover => vec![offer(heard).grown(most).out()],
                Kind::Select => vec![ack_as_asked(heard).grown(most).out()],
                _ => Vec::new(),
            }
        })
        .judge(|run| run.binds(first()))
}
