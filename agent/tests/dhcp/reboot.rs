//! Back to a lease from before: INIT-REBOOT, the gateway that answers, and a link that was away.

use std::{net::Ipv4Addr, time::Duration};

use jiff::{Span, Timestamp};
use landfall_agent::{
    clock::{Instant, Moment},
    dhcp::{Action, Audience, Claim, Delivery, Event, Ignored, Lease, LeaseTime, Query, saved},
};
use landfall_api::{ClientId, ConflictDetection, Dhcp, LostReason, MacAddr};

use crate::bench::*;

const GATEWAY_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 0x61]);

/// The usual lease, half an hour old, and its gateway known.
fn saved() -> Lease {
    let mut lease = Host::bound(|ack| ack).lease().clone();
    lease.gateway_mac = Some(GATEWAY_MAC);
    lease.time = LeaseTime::Finite { lease: seconds(1800), t1: seconds(100), t2: seconds(1350) };
    lease
}

fn fast() -> Dhcp {
    Dhcp { conflict_detection: ConflictDetection::Fast, ..settings() }
}

/// A client with a lease from before that has just sent this.
fn rebooting(settings: Dhcp) -> (Host, Sent, Vec<Action>) {
    let mut host = Host::with(0, settings, Some(saved()));
    let actions = host.step(Event::LinkUp);
    (host, only_sent(&actions), actions)
}

fn gateway_answers() -> Claim {
    Claim { mac: GATEWAY_MAC, address: SERVER, target: ADDRESS, from: GATEWAY_MAC, audience: Audience::One }
}

#[test]
fn c_25_a_lease_from_before_is_asked_for_again() {
    let (mut host, request, _) = rebooting(fast());
    assert_eq!((request.kind(), request.ciaddr()), (REQUEST, Ipv4Addr::UNSPECIFIED));
    assert_eq!((request.address_option(50), request.option(54)), (Some(ADDRESS), None));
    assert_eq!(request.delivery, Delivery::Broadcast { source: Ipv4Addr::UNSPECIFIED });
    // One round trip later it is there, and is probed while it is used.
    let actions = host.hear(&Answer::ack(&request));
    assert!(matches!(actions[0], Action::Granted(_)), "{actions:?}");
    assert!(asked(&actions).contains(&Query::Probe(ADDRESS)), "{actions:?}");
    let actions = host.overhear(claim(NEIGHBOUR, ADDRESS, ADDRESS));
    assert_eq!(lost(&actions), Some(LostReason::Conflict));
}

#[test]
fn c_25_the_thorough_check_comes_before_the_address_here_too() {
    let settings = Dhcp { conflict_detection: ConflictDetection::Rfc5227, ..settings() };
    let (mut host, request, _) = rebooting(settings);
    let (_, begin) = (host.hear(&Answer::ack(&request)), host.now);
    while host.client.lease().is_none() {
        host.wait();
    }
    assert!(host.now.saturating_duration_since(begin) >= seconds(4));
}

#[test]
fn c_25_a_refusal_by_its_server_begins_a_search_at_once() {
    let (mut host, request, _) = rebooting(settings());
    let discover = only_sent(&host.hear(&Answer::nak(&request)));
    assert_eq!((discover.kind(), discover.option(50)), (DISCOVER, None));
}

#[test]
fn c_25_after_silence_all_are_asked_and_the_first_answer_wins() {
    let head_start = Duration::from_millis(250);
    for late_ack in [true, false] {
        let (mut host, request, _) = rebooting(settings());
        let begin = host.now;
        let discover = only_sent(&host.wait());
        assert_eq!(host.now.saturating_duration_since(begin), head_start);
        assert_eq!((discover.kind(), discover.address_option(50)), (DISCOVER, Some(ADDRESS)));
        if late_ack {
            assert!(matches!(host.hear(&Answer::ack(&request))[0], Action::Granted(_)));
            assert_eq!(host.lease().requested, begin);
        } else {
            let request = only_sent(&host.hear(&Answer::offer(&discover)));
            assert_eq!(request.address_option(54), Some(SERVER));
            assert!(matches!(host.hear(&Answer::ack(&request))[0], Action::Granted(_)));
        }
    }
}

#[test]
fn c_25_another_servers_refusal_does_not_end_the_wait_for_ours() {
    let (mut host, request, _) = rebooting(settings());
    let actions = host.hear(&Answer::nak(&request).with(54, OTHER_SERVER.octets()));
    assert_eq!(only_sent(&actions).kind(), DISCOVER);
    assert!(matches!(host.hear(&Answer::ack(&request))[0], Action::Granted(_)));
}

#[test]
fn c_25_an_ack_for_another_address_or_transaction_is_ignored() {
    let (mut host, request, _) = rebooting(settings());
    host.ignores(&Answer::ack(&request).yiaddr(Ipv4Addr::new(10, 0, 0, 51)), Ignored::OtherAddress);
    host.ignores(&Answer::ack(&request).octets(4, &[1, 2, 3, 4]), Ignored::OtherTransaction);
    host.ignores(&Answer::offer(&request), Ignored::Unexpected);
}

#[test]
fn c_26_the_gateway_that_answers_makes_the_address_usable() {
    let (mut host, request, actions) = rebooting(fast());
    let reach = Query::Reachability { source: ADDRESS, target: SERVER, mac: GATEWAY_MAC };
    assert_eq!(asked(&actions), [reach]);
    // When the gateway answers, then the address is there, and its server is still waited for.
    let actions = host.overhear(gateway_answers());
    assert!(matches!(actions[0], Action::Granted(_)), "{actions:?}");
    let actions = host.hear(&Answer::ack(&request));
    assert!(matches!(actions[0], Action::Extended(_)), "{actions:?}");
    assert_eq!(host.lease().gateway_mac, Some(GATEWAY_MAC));
}

#[test]
fn c_26_a_lease_that_ended_meanwhile_is_not_used_whoever_answers() {
    let (mut host, ..) = rebooting(fast());
    host.pass(seconds(2 * 3600));
    assert_eq!(host.overhear(gateway_answers()), []);
    assert_eq!(host.client.lease(), None);
}

#[test]
fn c_26_whoever_else_answers_proves_nothing() {
    let wrong = [
        Claim { mac: NEIGHBOUR, ..gateway_answers() },
        Claim { from: NEIGHBOUR, ..gateway_answers() },
        Claim { target: Ipv4Addr::new(10, 0, 0, 51), ..gateway_answers() },
    ];
    for claim in wrong {
        let (mut host, ..) = rebooting(fast());
        assert_eq!(host.overhear(claim), [], "{claim:?}");
        assert_eq!(host.client.lease(), None);
    }
}

#[test]
fn c_26_a_server_that_refuses_takes_the_address_back() {
    let (mut host, request, _) = rebooting(fast());
    host.overhear(gateway_answers());
    assert_eq!(lost(&host.hear(&Answer::nak(&request))), Some(LostReason::Nak));
}

#[test]
fn c_26_silence_leaves_the_address_for_the_rest_of_its_time() {
    let (mut host, ..) = rebooting(fast());
    host.overhear(gateway_answers());
    let end = host.lease().expiry().expect("an end");
    let actions = host.pass_until(host.now + seconds(60));
    assert!(sent(&actions).iter().all(|message| message.kind() == REQUEST), "{actions:?}");
    // After four questions to all it is renewed, so that a server that has forgotten it says so.
    let renewal = sent(&actions).into_iter().nth(4 - 1).expect("a renewal");
    assert_eq!((renewal.delivery, renewal.ciaddr()), (Delivery::Unicast { to: SERVER }, ADDRESS));
    assert_eq!((lost(&actions), host.lease().expiry()), (None, Some(end)));
}

#[test]
fn c_24_an_address_whose_lease_is_over_is_asked_for_by_discover() {
    let mut lease = saved();
    lease.time = LeaseTime::Finite { lease: seconds(0), t1: seconds(0), t2: seconds(0) };
    let mut host = Host::with(0, settings(), Some(lease));
    let discover = only_sent(&host.step(Event::LinkUp));
    assert_eq!((discover.kind(), discover.address_option(50)), (DISCOVER, Some(ADDRESS)));
}

#[test]
fn c_24_a_lease_of_another_identity_or_of_a_taken_address_is_no_lease() {
    let foreign = [
        (settings(), Lease { client_id: Some("01:02:03".parse().expect("octets")), ..saved() }),
        (Dhcp { client_id: ClientId::Duid, ..settings() }, saved()),
        (settings(), Lease { address: "172.17.0.2/24".parse().expect("a net"), ..saved() }),
        (settings(), Lease { address: "127.0.0.5/24".parse().expect("a net"), ..saved() }),
    ];
    for (settings, lease) in foreign {
        let mut host = Host::with(0, settings, Some(lease));
        let discover = only_sent(&host.step(Event::LinkUp));
        assert_eq!((discover.kind(), discover.option(50)), (DISCOVER, None));
    }
}

fn moment(boot: &str, since_boot: u64, wall: i64) -> Moment {
    Moment {
        instant: Instant::BOOT + seconds(since_boot),
        boot_id: boot.into(),
        wall: Timestamp::from_second(wall).expect("a time"),
    }
}

#[test]
fn c_24_a_saved_lease_is_read_with_what_is_left_of_it() {
    let mut lease = saved();
    lease.requested = Instant::BOOT + seconds(1000);
    let text = saved::to_text(&lease, MAC, &moment("one", 1010, 50_000));
    let left = |now: &Moment| match saved::from_text(&text, MAC, now).expect("a lease").time {
        LeaseTime::Finite { lease, t1, t2 } => [lease, t1, t2].map(|time| time.as_secs()),
        LeaseTime::Infinite => panic!("it ends"),
    };
    // In the same boot, whatever the wall clock says; after another boot, by the wall clock.
    assert_eq!(left(&moment("one", 1040, 0)), [1760, 60, 1310]);
    assert_eq!(left(&moment("two", 5, 50_100)), [1690, 0, 1240]);
    assert_eq!(left(&moment("two", 5, 99_999)), [0, 0, 0]);
    let read = saved::from_text(&text, MAC, &moment("one", 1010, 0)).expect("a lease");
    let same = Lease { requested: read.requested, time: read.time, ..lease };
    assert_eq!(read, same);
}

#[test]
fn c_24_what_is_no_saved_lease_is_ignored() {
    let now = moment("one", 2000, 50_000);
    let text = saved::to_text(&saved(), MAC, &now);
    for cut in 0..text.len() {
        assert!(saved::from_text(&text[..cut], MAC, &now).is_err(), "cut at {cut}");
    }
    let refused =
        |text: &str, now: &Moment| saved::from_text(text, MAC, now).expect_err("no lease").to_string();
    assert_eq!(refused(&text, &moment("one", 1999, 50_000)), "it was written in the future");
    assert_eq!(refused(&text, &moment("two", 1, 49_999)), "it was written in the future");
    assert!(refused(&text.replace("\"version\":1", "\"version\":2"), &now).contains("version is 2"));
    assert!(saved::from_text(&text, NEIGHBOUR, &now).is_err(), "of another uplink");
    let times = text.replace("[1800000,100000,1350000]", "[1800000,1350000,100000]");
    assert_eq!(refused(&times, &now), "its times are out of order");
    let wall = now.wall.checked_add(Span::new().hours(1)).expect("a time");
    assert!(saved::from_text(&text, MAC, &Moment { boot_id: "two".into(), wall, ..now }).is_ok());
}

#[test]
fn f_12_a_link_that_comes_back_is_asked_whether_it_is_the_same() {
    let (mut host, _) = Host::bound_with(fast());
    host.pass_until(host.now + seconds(10));
    assert_eq!(host.step(Event::LinkDown), []);
    assert!(host.client.lease().is_some(), "the lease outlasts a flap");
    let actions = host.step(Event::LinkUp);
    let request = only_sent(&actions);
    assert_eq!((request.address_option(50), request.option(54)), (Some(ADDRESS), None));
    assert_eq!(asked(&actions), [Query::Announcement(ADDRESS)]);
    let actions = host.hear(&Answer::ack(&request));
    assert!(matches!(actions[..], [Action::Extended(_)]), "{actions:?}");
}

#[test]
fn f_12_on_another_network_the_lease_is_lost() {
    // A server there refuses, and the lease's own does not speak up within a second.
    let mut host = Host::bound(|ack| ack);
    host.step(Event::LinkDown);
    let request = only_sent(&host.step(Event::LinkUp));
    let foreign = Answer { from: NEIGHBOUR, ..Answer::nak(&request).with(54, OTHER_SERVER.octets()) };
    assert_eq!(host.hear(&foreign), []);
    let actions = host.wait();
    assert_eq!(lost(&actions), Some(LostReason::Nak));
    assert_eq!(only_sent(&actions).option(50), None);
    // But where it does, the lease stays.
    let mut host = Host::bound(|ack| ack);
    host.step(Event::LinkDown);
    let request = only_sent(&host.step(Event::LinkUp));
    let foreign = Answer { from: NEIGHBOUR, ..Answer::nak(&request).with(54, OTHER_SERVER.octets()) };
    host.hear(&foreign);
    assert!(matches!(host.hear(&Answer::ack(&request))[..], [Action::Extended(_)]));
}

#[test]
fn f_12_a_link_that_flaps_before_the_ack_is_searched_anew() {
    let settings = [settings(), fast()];
    for settings in settings {
        let (mut host, discover) = Host::selecting_with(settings);
        host.step(Event::LinkDown);
        assert_eq!(host.client.deadline(), None);
        assert_ne!(only_sent(&host.step(Event::LinkUp)).xid(), discover.xid());
    }
    // An address that was given and not used yet is come back to.
    let (mut host, discover) = Host::selecting_with(fast());
    let request = only_sent(&host.hear(&Answer::offer(&discover)));
    host.hear(&Answer::ack(&request));
    host.step(Event::LinkDown);
    let again = only_sent(&host.step(Event::LinkUp));
    assert_eq!((again.kind(), again.address_option(50)), (REQUEST, Some(ADDRESS)));
}

#[test]
fn c_26_the_gateway_is_looked_up_once_and_remembered() {
    let (mut host, actions) = Host::bound_with(settings());
    assert_eq!(asked(&actions), [Query::Lookup { source: ADDRESS, target: SERVER }]);
    let actions = host.overhear(gateway_answers());
    assert!(matches!(&actions[..], [Action::Remember(lease)] if lease.gateway_mac == Some(GATEWAY_MAC)));
    assert_eq!(host.client.listening().speakers, [] as [Ipv4Addr; 0], "nothing more to hear");
    // And it is known after a renewal, too.
    let renew = only_sent(&host.wait());
    host.hear(&Answer::ack(&renew));
    assert_eq!(host.lease().gateway_mac, Some(GATEWAY_MAC));
}

#[test]
fn c_29_a_release_goes_by_the_gateway_to_a_server_beyond_it() {
    let relay = MacAddr([2, 0, 0, 0, 0, 0x70]);
    for (server, by) in [("10.9.0.1", GATEWAY_MAC), ("10.0.0.1", GATEWAY_MAC), ("10.0.0.2", relay)] {
        let server: Ipv4Addr = server.parse().expect("an address");
        let (mut host, discover) = Host::selecting();
        let named = |answer: Answer| Answer { from: relay, ..answer.with(54, server.octets()) };
        let request = only_sent(&host.hear(&named(Answer::offer(&discover))));
        host.hear(&named(Answer::ack(&request)));
        host.overhear(gateway_answers());
        let release = only_sent(&host.step(Event::Stop));
        assert_eq!(release.delivery, Delivery::Frame { source: ADDRESS, to: server, mac: by });
    }
}
