//! Somebody else uses the address, wants to, or seems to (RFC 5227).

use std::{net::Ipv4Addr, time::Duration};

use landfall_agent::dhcp::{Action, Audience, Claim, Event, Query};
use landfall_api::{ConflictDetection, Dhcp, LostReason, MacAddr};

use crate::bench::*;

const NOBODY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;

fn with(conflict_detection: ConflictDetection) -> Dhcp {
    Dhcp { conflict_detection, ..settings() }
}

/// A client that has asked for the usual offer, and what it did for that.
fn requesting(thoroughness: ConflictDetection) -> (Host, Vec<Action>) {
    let (mut host, discover) = Host::selecting_with(with(thoroughness));
    let actions = host.hear(&Answer::offer(&discover));
    (host, actions)
}

/// A client that was given the address and is finding out whether somebody has it.
fn checking(thoroughness: ConflictDetection) -> Host {
    let (mut host, actions) = requesting(thoroughness);
    let actions = host.hear(&Answer::ack(&only_sent(&actions)));
    assert_eq!(host.lease_of(), None, "{actions:?}");
    host
}

impl Host {
    fn lease_of(&self) -> Option<Ipv4Addr> {
        self.client.lease().map(|lease| lease.address.addr())
    }
}

fn declined(actions: &[Action]) -> Option<MacAddr> {
    actions.iter().find_map(
        |action| {
            if let Action::Declined(ADDRESS, holder) = action { Some(*holder) } else { None }
        },
    )
}

#[test]
fn c_22_the_fast_check_begins_with_the_request_and_takes_400_ms() {
    let (mut host, actions) = requesting(ConflictDetection::Fast);
    let begin = host.now;
    assert_eq!(asked(&actions), [Query::Probe(ADDRESS)], "beside the REQUEST");
    host.hear(&Answer::ack(&only_sent(&actions)));
    let mut probes = Vec::new();
    while host.client.lease().is_none() {
        probes.extend(asked(&host.wait()).into_iter().filter(|query| matches!(query, Query::Probe(_))));
    }
    assert_eq!(probes, [Query::Probe(ADDRESS); 2]);
    let took = host.now.saturating_duration_since(begin);
    assert!((Duration::from_millis(340)..=Duration::from_millis(420)).contains(&took), "{took:?}");
}

#[test]
fn c_22_the_thorough_check_has_the_times_of_the_rfc() {
    for seed in 0..50 {
        let mut host = Host::with(seed, with(ConflictDetection::Rfc5227), None);
        let discover = only_sent(&host.step(Event::LinkUp));
        let actions = host.hear(&Answer::offer(&discover));
        let begin = host.now;
        host.hear(&Answer::ack(&only_sent(&actions)));
        let mut probes = Vec::new();
        while host.client.lease().is_none() {
            let actions = host.wait();
            if asked(&actions).contains(&Query::Probe(ADDRESS)) {
                probes.push(host.now);
            }
        }
        let gaps: Vec<_> = probes.windows(2).map(|pair| pair[1].saturating_duration_since(pair[0])).collect();
        assert_eq!(gaps.len(), 2);
        assert!(gaps.iter().all(|gap| (seconds(1)..=seconds(2)).contains(gap)), "{gaps:?}");
        assert!(probes[0].saturating_duration_since(begin) <= seconds(1));
        assert_eq!(host.now.saturating_duration_since(probes[2]), seconds(2));
    }
}

#[test]
fn c_22_without_a_check_the_address_is_used_at_once_and_nothing_is_said() {
    let (host, actions) = Host::bound_with(with(ConflictDetection::Off));
    assert!(matches!(actions[..], [Action::Granted(_), Action::Ask(Query::Lookup { .. })]), "{actions:?}");
    assert_eq!(host.client.listening().targets, [] as [Ipv4Addr; 0]);
}

#[test]
fn c_22_an_address_in_use_is_announced_twice_two_seconds_apart() {
    let (mut host, actions) = Host::bound_with(with(ConflictDetection::Fast));
    let announcement = Query::Announcement(ADDRESS);
    assert!(asked(&actions).contains(&announcement), "{actions:?}");
    let first = host.now;
    assert_eq!(asked(&host.wait()), [announcement]);
    assert_eq!(host.now.saturating_duration_since(first), seconds(2));
    assert_eq!(sent(&host.wait()).len(), 1, "then nothing until T1");
}

#[test]
fn c_21_a_conflict_is_declined_and_the_servers_are_left_alone_for_ten_seconds() {
    let mut host = checking(ConflictDetection::Fast);
    let actions = host.overhear(claim(NEIGHBOUR, ADDRESS, ADDRESS));
    assert_eq!(declined(&actions), Some(NEIGHBOUR));
    let decline = only_sent(&actions);
    assert_eq!((decline.kind(), decline.ciaddr()), (DECLINE, NOBODY));
    assert_eq!((decline.address_option(50), decline.address_option(54)), (Some(ADDRESS), Some(SERVER)));
    assert_eq!(decline.option(61), Some(&[1, 2, 0, 0, 0, 0, 0x50][..]));
    assert_eq!((decline.option(55), decline.option(57)), (None, None));
    assert_eq!(searching(&actions).map(|search| search.conflicts), Some(1));
    let since = host.now;
    let discover = only_sent(&host.wait());
    assert!(host.now.saturating_duration_since(since) >= seconds(10));
    assert_eq!((discover.kind(), discover.option(50)), (DISCOVER, None), "it asks for no address");
}

#[test]
fn c_21_the_pause_grows_to_five_minutes() {
    let mut host = Host::with(3, with(ConflictDetection::Fast), None);
    let mut discover = only_sent(&host.step(Event::LinkUp));
    let mut pauses = Vec::new();
    for _ in 0..8 {
        let request = only_sent(&host.hear(&Answer::offer(&discover)));
        host.hear(&Answer::ack(&request));
        let actions = host.overhear(claim(NEIGHBOUR, ADDRESS, ADDRESS));
        assert_eq!(declined(&actions), Some(NEIGHBOUR));
        let since = host.now;
        discover = only_sent(&host.wait());
        pauses.push(host.now.saturating_duration_since(since).as_secs());
    }
    for (pause, least) in pauses.iter().zip([10, 20, 40, 80, 160, 300, 300, 300]) {
        assert!((least..=least * 11 / 10).contains(pause), "{pauses:?}");
    }
}

#[test]
fn c_22_a_conflict_before_the_ack_is_declined_with_it() {
    let (mut host, actions) = requesting(ConflictDetection::Fast);
    let request = only_sent(&actions);
    assert_eq!(host.overhear(claim(NEIGHBOUR, ADDRESS, ADDRESS)), []);
    let actions = host.hear(&Answer::ack(&request));
    assert_eq!(declined(&actions), Some(NEIGHBOUR), "{actions:?}");
}

#[test]
fn c_22_who_probes_for_the_same_address_twice_is_a_conflict() {
    let mut host = checking(ConflictDetection::Rfc5227);
    let probe = claim(NEIGHBOUR, NOBODY, ADDRESS);
    assert_eq!(declined(&host.overhear(probe)), None, "once may be a switch");
    assert_eq!(declined(&host.overhear(probe)), Some(NEIGHBOUR));
}

#[test]
fn c_23_what_only_seems_to_be_a_conflict_is_none() {
    let probe = claim(NEIGHBOUR, NOBODY, ADDRESS);
    let other = MacAddr([2, 0, 0, 0, 0, 0x77]);
    let innocent = [
        ("our own echo", claim(MAC, ADDRESS, ADDRESS)),
        ("our own probe", claim(MAC, NOBODY, ADDRESS)),
        ("another interface of ours", claim(OTHER_INTERFACE, ADDRESS, ADDRESS)),
        ("the one that offered it answers for all (proxy ARP)", claim(SERVER_MAC, ADDRESS, NOBODY)),
        ("device tracking in another's name", Claim { from: other, ..probe }),
        ("device tracking of one host", Claim { audience: Audience::One, ..probe }),
        ("a neighbour that looks for it", claim(NEIGHBOUR, Ipv4Addr::new(10, 0, 0, 9), ADDRESS)),
        ("another address", claim(NEIGHBOUR, Ipv4Addr::new(10, 0, 0, 51), ADDRESS)),
    ];
    for (what, claim) in innocent {
        let mut host = checking(ConflictDetection::Fast);
        for _ in 0..3 {
            assert_eq!(declined(&host.overhear(claim)), None, "{what}");
        }
        while host.client.lease().is_none() {
            host.wait();
        }
    }
}

#[test]
fn c_31_an_address_is_defended_once_and_then_given_up() {
    let (mut host, _) = Host::bound_with(with(ConflictDetection::Fast));
    host.pass(seconds(60));
    let claim = claim(NEIGHBOUR, ADDRESS, SERVER);
    assert_eq!(host.overhear(claim), [Action::Ask(Query::Announcement(ADDRESS))]);
    host.pass(seconds(9));
    let actions = host.overhear(claim);
    assert_eq!(lost(&actions), Some(LostReason::Conflict));
    assert_eq!(declined(&actions), Some(NEIGHBOUR));
    assert_eq!(only_sent(&actions).kind(), DECLINE);
}

#[test]
fn c_31_conflicts_that_are_far_apart_are_each_defended() {
    let (mut host, _) = Host::bound_with(with(ConflictDetection::Fast));
    for _ in 0..5 {
        host.pass(seconds(11));
        let actions = host.overhear(claim(NEIGHBOUR, ADDRESS, SERVER));
        assert_eq!(actions, [Action::Ask(Query::Announcement(ADDRESS))]);
    }
}

#[test]
fn c_22_a_claim_within_two_seconds_of_the_fast_check_still_counts() {
    let (mut host, _) = Host::bound_with(with(ConflictDetection::Fast));
    host.pass(Duration::from_millis(1500));
    let actions = host.overhear(claim(NEIGHBOUR, ADDRESS, ADDRESS));
    assert_eq!(lost(&actions), Some(LostReason::Conflict), "not defended: the other was there first");
}

#[test]
fn c_30_another_address_in_a_renewal_is_checked_while_it_is_used() {
    let (mut host, _) = Host::bound_with(with(ConflictDetection::Fast));
    let renew = sent(&host.pass_until(host.lease().renewal().expect("T1"))).pop().expect("a renewal");
    let other = Ipv4Addr::new(10, 0, 0, 60);
    let actions = host.hear(&Answer::ack(&renew).yiaddr(other));
    assert!(matches!(actions[..], [Action::Extended(_)]), "{actions:?}");
    let actions = host.wait();
    assert_eq!(asked(&actions), [Query::Probe(other), Query::Announcement(other)]);
    let actions = host.overhear(claim(NEIGHBOUR, other, other));
    assert_eq!(lost(&actions), Some(LostReason::Conflict));
}
