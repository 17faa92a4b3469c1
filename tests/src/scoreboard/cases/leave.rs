//! Going away, well or badly, and coming back.

use std::time::Duration;

use crate::scoreboard::{
    case::{Act, BY_OURS, Case, proper},
    client::Client::{Mozim, Networkd, Udhcpc},
    heard::{Heard, Kind},
    judge::{Run, Verdict, must, never, once},
    reply::{ack_as_asked, arp, first, host, nak, offer, second, server_mac},
};

/// The cases.
pub fn cases() -> Vec<Case> {
    [releases(), vec![kill()], returns()].into_iter().flatten().collect()
}

fn releases() -> Vec<Case> {
    let release = |id, line, rule| {
        // As any LAN's server, it has spoken to the client by ARP before.
        Case::new(id, line, rule).then(Act::Release).server(|heard, _| {
            let ask = (Duration::from_millis(500), arp(1, server_mac(1), host(1), first()));
            proper(heard)
                .into_iter()
                .chain([ask].into_iter().filter(|_| heard.kind == Kind::Select))
                .collect()
        })
    };
    vec![
        release(
            "release",
            "RELEASE goes to the server, with ciaddr and option 54",
            "RFC 2131 4.4.6, table 5",
        )
        .judge(|run| {
            released(run, |release| {
                never(release.to != host(1), &format!("goes to {}", release.to))
                    .and(never(release.ciaddr() != first(), "another ciaddr"))
                    .and(never(release.address(54) != Some(host(1)), "no option 54"))
            })
        }),
        release(
            "release-id",
            "RELEASE has the option 61 of the lease, and no option 50",
            "RFC 2131 4.4.6, table 5",
        )
        .judge(|run| {
            released(run, |release| {
                let id = run.first(Kind::Discover).and_then(|discover| discover.option(61));
                never(release.option(61) != id, "another option 61")
                    .and(never(release.option(50).is_some(), "option 50"))
            })
        }),
        release("release-gone", "after RELEASE the address is gone", "RFC 2131 4.4.6")
            .judge(|run| released(run, |_| must(!run.has(first()), "the address is still there")))
            .not_for(&[Mozim], BY_OURS),
    ]
}

fn kill() -> Case {
    Case::new("kill-expiry", "the address of a killed client ends with its lease", "RFC 2131 4.4.5; C-17")
        .server(|heard, before| match (heard.kind, before) {
            (Kind::Discover, 0) => vec![offer(heard).times(20, 0, 0).out()],
            (Kind::Select, 0) => vec![ack_as_asked(heard).times(20, 0, 0).out()],
            _ => Vec::new(),
        })
        .then(Act::Kill)
        .limit(25)
        .judge(|run| {
            once(run.requested().and(run.acted), "lease", |_| {
                let over = run.requested().unwrap_or_default() + Duration::from_millis(21_500);
                never(run.had(first(), over), "still there").and(must(!run.has(first()), "still there"))
            })
        })
        .not_for(&[Udhcpc, Mozim], BY_OURS)
}

fn returns() -> Vec<Case> {
    let again = |id, line, rule| Case::new(id, line, rule).then(Act::Restart).limit(40);
    let restart = |id, line, rule| {
        again(id, line, rule).not_for(&[Udhcpc, Networkd, Mozim], "keeps no lease from before")
    };
    vec![
        restart(
            "reboot",
            "a client that comes back asks for its address: 50, no 54, ciaddr 0",
            "RFC 2131 3.2, 4.3.2",
        )
        .judge(|run| {
            returned(run, |message| {
                never(message.kind != Kind::Reboot, &format!("begins with {:?}", message.kind))
                    .and(never(message.address(50) != Some(first()), "another option 50"))
                    .and(run.binds(first()))
            })
        }),
        restart("reboot-nak", "a NAK to that leads to a DISCOVER and another lease", "RFC 2131 3.2, 4.4.2")
            .server(|heard, before| match heard.kind {
                Kind::Reboot => vec![nak(heard).out()],
                Kind::Discover if before > 0 => vec![offer(heard).yiaddr(second()).out()],
                _ => proper(heard),
            })
            .judge(|run| returned(run, |_| run.binds(second()))),
        restart(
            "reboot-silent",
            "after silence to that there is an address within 30 s, the old or another",
            "RFC 2131 3.2, 4.4.2",
        )
        .server(|heard, before| match heard.kind {
            Kind::Reboot => Vec::new(),
            Kind::Discover if before > 0 => vec![offer(heard).yiaddr(second()).out()],
            _ => proper(heard),
        })
        .limit(30)
        .judge(|run| returned(run, |_| must(run.has(first()) || run.has(second()), "no address"))),
        again("reboot-id", "a client that comes back is the same to the server", "RFC 2131 4.2").judge(
            |run| {
                returned(run, |message| {
                    never(message.option(61) != run.wire.heard[0].option(61), "another option 61")
                })
            },
        ),
    ]
}

fn released(run: &Run<'_>, judge: impl FnOnce(&Heard) -> Verdict) -> Verdict {
    once(run.first(Kind::Release), "RELEASE", judge)
}

/// The first message after the client has started again.
fn returned(run: &Run<'_>, judge: impl FnOnce(&Heard) -> Verdict) -> Verdict {
    let message = run.acted.and_then(|acted| run.wire.heard.iter().find(|heard| heard.at > acted));
    once(message, "message after the restart", judge)
}
