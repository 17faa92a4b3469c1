//! What becomes of a lease: extended, refused, run out; with a server that does what the test tells it.
#![allow(clippy::wildcard_enum_match_arm, reason = "a test looks at the messages that it is about")]

use std::sync::atomic::{AtomicBool, Ordering};

use dhcproto::v4::MessageType::{Ack, Discover, Nak, Offer, Request};
use landfall_api::LostReason;
use landfall_tests::{
    agent::{Agent, forward},
    lan::Lan,
    run::wait_until,
    scripted::{Answer, GIVEN, Heard, Scripted},
};

fn agent(lan: &Lan) -> Agent {
    Agent::on(lan, &forward("tcp", "80", "172.30.0.2"))
}

/// A server of leases so short that they are renewed after the shortest cycle of five seconds, and what it says to that. After a
/// refusal it leases for an hour.
fn extends(extension: fn() -> Answer) -> impl Fn(&Heard, usize) -> Answer + Send + 'static {
    let is_refused = AtomicBool::new(false);
    move |heard, _| {
        let seconds = if is_refused.load(Ordering::Relaxed) { 3600 } else { 12 };
        match heard.kind {
            Discover => Some((Offer, seconds)),
            Request if heard.is_extension() => {
                is_refused.store(true, Ordering::Relaxed);
                extension()
            }
            Request => Some((Ack, seconds)),
            _ => None,
        }
    }
}

#[test]
fn c_16_a_renewal_goes_by_unicast_from_the_leased_address() {
    // Given a server of short leases that extends them by an hour
    let lan = Lan::without_server();
    let server = Scripted::answering(&lan, extends(|| Some((Ack, 3600))));
    let agent = agent(&lan);
    agent.leased();
    // When the lease is renewed
    agent.renewed();
    // Then it was asked for from the address, which it names in the header and nowhere else
    let heard = server.heard();
    let renewal = heard.last().expect("a renewal");
    assert_eq!((renewal.kind, renewal.from, renewal.ciaddr), (Request, GIVEN, GIVEN));
    assert!(!renewal.names_address_or_server, "{renewal:?}");
    // And the kernel keeps the address for as long as the new lease lasts
    let shown = agent.namespace.ip("-o addr show dev lan0");
    let valid = shown.split("valid_lft ").nth(1).and_then(|rest| rest.split("sec").next()?.parse().ok());
    assert!(valid.is_some_and(|seconds: u32| (12..=3600).contains(&seconds)), "{shown}");
}

#[test]
fn f_08_a_refused_renewal_takes_the_address_away_and_finds_another() {
    let lan = Lan::without_server();
    let _server = Scripted::answering(&lan, extends(|| Some((Nak, 0))));
    let agent = agent(&lan);
    agent.leased();
    assert_eq!(agent.lost(), LostReason::Nak);
    agent.leased();
    assert!(agent.namespace.ip("-4 -o addr show dev lan0").contains("10.99.0.150"));
}

#[test]
fn c_17_a_lease_that_nobody_extends_ends_with_its_address() {
    let lan = Lan::without_server();
    let _server = Scripted::start(&lan, |kind, before| match (kind, before) {
        (Discover, 0) => Some((Offer, 7)),
        (Request, 0) => Some((Ack, 7)),
        _ => None,
    });
    let agent = agent(&lan);
    agent.leased();
    assert_eq!(agent.lost(), LostReason::Expired);
    assert_eq!(agent.namespace.ip("-4 -o addr show dev lan0"), "");
    assert_eq!(agent.namespace.ip("route show default dev lan0"), "");
}

#[test]
fn c_17_the_kernel_takes_the_address_of_an_agent_that_was_killed() {
    let lan = Lan::without_server();
    let _server = Scripted::start(&lan, |kind, _| Some((if kind == Discover { Offer } else { Ack }, 9)));
    let agent = agent(&lan);
    agent.leased();
    // It has it for as long as it lives, because it is extended; nobody is left to take it away
    assert!(agent.namespace.ip("-4 -o addr show dev lan0").contains("10.99.0.150"));
    agent.signal(nix::sys::signal::Signal::SIGKILL);
    wait_until("the address is gone", || agent.namespace.ip("-4 -o addr show dev lan0").is_empty());
}

#[test]
fn h_10_frames_whose_checksum_is_not_filled_in_are_taken() {
    // A veth leaves the checksum of its peer's datagrams to be filled in by nobody; see that it really does
    let lan = Lan::without_server();
    let offload = lan.router.run(&["ethtool", "-k", "br0"]);
    assert!(offload.contains("tx-checksumming: on"), "this kernel fills checksums in: {offload}");
    let _server = Scripted::start(&lan, |kind, _| Some((if kind == Discover { Offer } else { Ack }, 120)));
    agent(&lan).ready();
}
