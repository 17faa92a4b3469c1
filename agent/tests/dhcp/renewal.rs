//! From the first ACK to the end of the lease.

use std::{net::Ipv4Addr, time::Duration};

use landfall_agent::dhcp::{Action, Delivery, Event, Ignored};
use landfall_api::{LostReason, MacAddr};

use crate::bench::*;

/// What a client sends from T1 to the end, when nobody answers: seconds from its request, and how.
fn unanswered(lease: u32) -> Vec<(f64, Delivery)> {
    let mut host = Host::bound(|ack| ack.seconds(51, lease));
    let requested = host.lease().requested;
    let mut messages = Vec::new();
    loop {
        let actions = host.wait();
        if let Some(reason) = lost(&actions) {
            assert_eq!(reason, LostReason::Expired);
            assert_eq!(host.now, requested + seconds(lease.into()));
            return messages;
        }
        let at = host.now.saturating_duration_since(requested).as_secs_f64();
        messages.extend(sent(&actions).iter().map(|message| (at, message.delivery)));
    }
}

#[test]
fn c_16_unanswered_requests_are_repeated_at_half_of_what_remains() {
    let (unicast, broadcast) = (Delivery::Unicast { to: SERVER }, Delivery::Broadcast { source: ADDRESS });
    let messages = unanswered(86400);
    let renewals = messages.iter().take_while(|(_, delivery)| *delivery == unicast).count();
    assert!(renewals >= 5 && messages[renewals..].iter().all(|(_, delivery)| *delivery == broadcast));
    let (t2, end) = (75600.0, 86400.0);
    assert!((41040.0..=43200.0).contains(&messages[0].0), "the first at T1");
    assert!((messages[renewals].0 - t2).abs() < 1e-3, "the first broadcast at T2");
    for (limit, part) in [(t2, &messages[..renewals]), (end, &messages[renewals..])] {
        for pair in part.windows(2) {
            let expected = ((limit - pair[0].0) / 2.0).max(60.0);
            assert!((pair[1].0 - pair[0].0 - expected).abs() < 1e-3, "{pair:?} of {limit}");
        }
    }
}

#[test]
fn c_16_even_a_short_lease_is_asked_for_once_before_t2_and_once_after() {
    for lease in [7, 20, 60, 120] {
        let [(_, first), .., (_, last)] = unanswered(lease)[..] else { panic!("two requests for {lease} s") };
        assert_eq!(first, Delivery::Unicast { to: SERVER });
        assert_eq!(last, Delivery::Broadcast { source: ADDRESS });
    }
}

#[test]
fn c_16_an_ack_counts_from_when_it_was_asked_for() {
    for (mut host, request) in [Host::renewing(), Host::rebinding()] {
        let asked = host.now;
        host.pass(Duration::from_millis(1500));
        let actions = host.hear(&Answer::ack(&request));
        assert_eq!(actions, [Action::Extended(host.lease().clone())]);
        assert_eq!(host.lease().expiry(), Some(asked + seconds(LEASE.into())));
        assert_eq!(host.client.deadline(), host.lease().renewal());
    }
}

#[test]
fn c_17_at_its_end_the_lease_is_gone_and_the_search_begins() {
    let (mut host, _) = Host::rebinding();
    while lost(&host.wait()).is_none() {}
    assert_eq!(host.client.lease(), None);
}

#[test]
fn c_17_expiry_takes_the_address_before_anything_is_sent() {
    let (mut host, _) = Host::rebinding();
    let lease = host.lease().clone();
    host.now = lease.expiry().expect("an end");
    let actions = host.step(Event::Deadline);
    let [Action::Lost(was, LostReason::Expired), Action::Send(_)] = &actions[..] else {
        panic!("{actions:?}")
    };
    assert_eq!((was, only_sent(&actions).kind()), (&lease, DISCOVER));
    assert_eq!(only_sent(&actions).ciaddr(), Ipv4Addr::UNSPECIFIED);
}

#[test]
fn c_30_an_ack_may_give_another_address() {
    let (mut host, renew) = Host::renewing();
    let other = Ipv4Addr::new(10, 0, 0, 77);
    let actions = host.hear(&Answer::ack(&renew).yiaddr(other).with(1, [255, 255, 0, 0]));
    assert_eq!(actions, [Action::Extended(host.lease().clone())]);
    assert_eq!(host.lease().address.to_string(), "10.0.0.77/16");
    assert_eq!(only_sent(&host.wait()).ciaddr(), other);
}

#[test]
fn f_08_a_refused_renewal_ends_the_lease_at_once() {
    let (mut host, renew) = Host::renewing();
    let lease = host.lease().clone();
    let actions = host.hear(&Answer::nak(&renew));
    assert_eq!(actions.first(), Some(&Action::Lost(lease, LostReason::Nak)));
    let discover = only_sent(&actions);
    let request = only_sent(&host.hear(&Answer::offer(&discover)));
    assert!(
        matches!(host.hear(&Answer::ack(&request))[..], [Action::Granted(_), ..]),
        "the next one is usable"
    );
}

#[test]
fn f_10_what_was_refused_is_not_asked_for_again() {
    for (mut host, request) in [Host::renewing(), Host::rebinding()] {
        let discover = only_sent(&host.hear(&Answer::nak(&request)));
        assert_eq!((discover.kind(), discover.option(50)), (DISCOVER, None));
    }
}

#[test]
fn m_16_a_renewal_is_answered_by_its_server_only() {
    let (mut host, renew) = Host::renewing();
    for foreign in [Answer::ack(&renew), Answer::nak(&renew)] {
        host.ignores(&foreign.clone().with(54, OTHER_SERVER.octets()), Ignored::OtherServer);
        host.ignores(&Answer { from: NEIGHBOUR, ..foreign.without(54) }, Ignored::OtherServer);
    }
    host.ignores(&Answer::ack(&renew).without(54), Ignored::OtherServer);
    // But where the ACK came from a NAK may come from, too, with or without a name (F-10).
    assert_eq!(lost(&host.hear(&Answer::nak(&renew).without(54))), Some(LostReason::Nak));
}

#[test]
fn f_10_any_server_may_refuse_a_rebinding() {
    let change: [fn(Answer) -> Answer; 3] = [
        |nak| nak.with(54, OTHER_SERVER.octets()),
        |nak| nak.without(54),
        |nak| nak.octets(12, &ADDRESS.octets()).yiaddr(ADDRESS),
    ];
    for change in change {
        let (mut host, rebind) = Host::rebinding();
        assert_eq!(lost(&host.hear(&change(Answer::nak(&rebind)))), Some(LostReason::Nak));
    }
}

#[test]
fn f_18_a_server_that_has_another_address_is_found_and_asked_from_then_on() {
    let (mut host, rebind) = Host::rebinding();
    let mac = MacAddr([2, 0, 0, 0, 0, 2]);
    host.hear(&Answer { from: mac, ..Answer::ack(&rebind).with(54, OTHER_SERVER.octets()) });
    assert_eq!((host.lease().server, host.lease().server_mac), (Some(OTHER_SERVER), mac));
    assert_eq!(only_sent(&host.wait()).delivery, Delivery::Unicast { to: OTHER_SERVER });
}

#[test]
fn f_12_a_lease_that_ends_without_a_link_is_not_searched_for() {
    let (mut host, _) = Host::rebinding();
    host.step(Event::LinkDown);
    host.now = host.lease().expiry().expect("an end");
    let actions = host.step(Event::Deadline);
    assert_eq!((lost(&actions), sent(&actions)), (Some(LostReason::Expired), vec![]));
    assert_eq!(host.client.deadline(), None);
    assert_eq!(only_sent(&host.step(Event::LinkUp)).kind(), DISCOVER);
}

#[test]
fn f_14_what_comes_after_the_end_comes_without_a_lease() {
    // Given a host that slept past the end of its lease, when an ACK, a link or the end of the agent is what wakes it,
    // then the address is lost first.
    let (mut host, renew) = Host::renewing();
    host.pass(seconds(2 * u64::from(LEASE)));
    let actions = host.hear(&Answer::ack(&renew).seconds(51, 1 << 20));
    assert!(matches!(actions[..], [Action::Lost(_, LostReason::Expired), Action::Ignore(_)]), "{actions:?}");
    assert!(host.client.deadline() <= Some(host.now), "and searched for at once");
    for event in [Event::Stop, Event::LinkUp, Event::LinkDown] {
        let (mut host, _) = Host::renewing();
        host.pass(seconds(2 * u64::from(LEASE)));
        let actions = host.step(event);
        assert!(matches!(actions[..], [Action::Lost(_, LostReason::Expired)]), "{actions:?}");
    }
}

#[test]
fn f_14_what_comes_after_t2_goes_to_any_server() {
    let mut host = Host::bound(|ack| ack);
    host.now = host.lease().rebinding().expect("T2") + seconds(1);
    let request = only_sent(&host.step(Event::Deadline));
    assert_eq!(request.delivery, Delivery::Broadcast { source: ADDRESS });
}
