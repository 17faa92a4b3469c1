//! From the first DISCOVER to the first ACK.

use std::{net::Ipv4Addr, time::Duration};

use landfall_agent::dhcp::{Action, Event, Ignored};
use landfall_api::{MacAddr, Search};

use crate::bench::*;

#[test]
fn nothing_is_sent_before_the_link_is_up() {
    let mut host = Host::new(0);
    assert_eq!(host.client.deadline(), None);
    assert_eq!(host.step(Event::Deadline), []);
}

#[test]
fn c_09_discovers_are_repeated_at_doubling_intervals_for_ever() {
    for seed in 0..50 {
        let mut host = Host::new(seed);
        host.step(Event::LinkUp);
        let mut interval = || {
            let before = host.now;
            assert_eq!(only_sent(&host.wait()).kind(), DISCOVER);
            host.now.saturating_duration_since(before).as_secs_f64()
        };
        assert!((0.9..1.1).contains(&interval()));
        for doubled in [2.0, 4.0, 8.0, 16.0, 32.0] {
            let interval = interval();
            assert!((0.5 * doubled..1.5 * doubled).contains(&interval), "{interval} for {doubled}");
        }
        for _ in 0..1000 {
            let interval = interval();
            assert!((57.6..70.4).contains(&interval), "f_02: {interval} in a long silence");
        }
    }
}

#[test]
fn p_05_a_herd_loses_its_step_within_three_discovers() {
    let third = |seed| {
        let mut host = Host::new(seed);
        host.step(Event::LinkUp);
        host.wait();
        host.wait();
        host.now.since_boot().as_millis() / 100
    };
    let mut moments: Vec<_> = (0..500).map(third).collect();
    moments.sort_unstable();
    let crowd = moments.chunk_by(|a, b| a == b).map(<[_]>::len).max().expect("500 clients");
    assert!(crowd < 60, "{crowd} of 500 in the same tenth of a second");
}

#[test]
fn silence_is_reported_with_each_discover_that_goes_unanswered() {
    let (mut host, _) = Host::selecting();
    for discovers in 1..20 {
        let actions = host.wait();
        assert_eq!(searching(&actions), Some(&Search { discovers, ..Search::default() }));
    }
}

#[test]
fn a_refusal_is_reported_with_the_server_and_its_words() {
    let (mut host, request) = Host::requesting();
    let actions = host.hear(&Answer::nak(&request).with(56, *b"no \x1b[2Jroom\0"));
    let expected = Search {
        discovers: 1,
        requests: 1,
        offers: 1,
        naks: 1,
        server: Some(SERVER),
        message: Some("no [2Jroom".into()),
        ..Search::default()
    };
    assert_eq!(searching(&actions), Some(&expected));
}

#[test]
fn an_offer_that_cannot_be_used_is_counted() {
    let (mut host, discover) = Host::selecting();
    host.hear(&Answer::offer(&discover).yiaddr(Ipv4Addr::LOCALHOST));
    let actions = host.wait();
    let expected = Search {
        discovers: 1,
        offers: 1,
        server: Some(SERVER),
        ignored: 1,
        why: Some("not usable: no host can have the address 127.0.0.1".into()),
        ..Search::default()
    };
    assert_eq!(searching(&actions), Some(&expected));
}

#[test]
fn an_ack_is_granted_from_when_its_request_was_sent() {
    let (mut host, request) = Host::requesting();
    let requested = host.now;
    host.pass(Duration::from_millis(700));
    let actions = host.hear(&Answer::ack(&request));
    assert_eq!(actions[0], Action::Granted(host.lease().clone()));
    let lease = host.lease();
    assert_eq!((lease.requested, lease.expiry()), (requested, Some(requested + seconds(LEASE.into()))));
    assert_eq!((lease.server, lease.server_mac), (Some(SERVER), SERVER_MAC));
    assert_eq!(lease.address.to_string(), "10.0.0.50/24");
}

#[test]
fn f_03_duplicates_are_ignored() {
    let (mut host, discover) = Host::selecting();
    let offer = Answer::offer(&discover);
    let request = only_sent(&host.hear(&offer));
    host.ignores(&offer, Ignored::Unexpected);
    let ack = Answer::ack(&request);
    host.hear(&ack);
    host.ignores(&ack, Ignored::Unexpected);
    host.ignores(&offer, Ignored::Unexpected);
}

#[test]
fn f_04_answers_of_another_transaction_are_ignored() {
    // Given a search that was refused and began again
    let (mut host, old) = Host::requesting();
    let discover = only_sent(&host.hear(&Answer::nak(&old)));
    // when the old transaction's answers arrive, then they are ignored.
    host.ignores(&Answer::ack(&old), Ignored::OtherTransaction);
    host.ignores(&Answer::offer(&old), Ignored::OtherTransaction);
    let request = only_sent(&host.hear(&Answer::offer(&discover)));
    host.ignores(&Answer::nak(&old), Ignored::OtherTransaction);
    host.ignores(&Answer::ack(&request).octets(4, &[0; 4]), Ignored::OtherTransaction);
}

#[test]
fn m_15_only_what_a_state_waits_for_is_taken() {
    let (mut host, discover) = Host::selecting();
    host.ignores(&Answer::ack(&discover), Ignored::Unexpected);
    host.ignores(&Answer::nak(&discover), Ignored::Unexpected);
    let (mut host, renew) = Host::renewing();
    host.ignores(&Answer::offer(&renew), Ignored::Unexpected);
    let mut host = Host::new(0);
    host.ignores(&Answer::offer(&discover), Ignored::Unexpected);
}

#[test]
fn m_16_an_ack_must_come_from_the_chosen_server_for_the_offered_address() {
    let (mut host, request) = Host::requesting();
    let ack = Answer::ack(&request);
    host.ignores(&ack.clone().with(54, OTHER_SERVER.octets()), Ignored::OtherServer);
    host.ignores(&ack.clone().without(54), Ignored::OtherServer);
    host.ignores(&ack.clone().yiaddr(Ipv4Addr::new(10, 0, 0, 51)), Ignored::OtherAddress);
    assert_eq!(host.hear(&ack)[0], Action::Granted(host.lease().clone()));
}

#[test]
fn m_39_after_four_requests_the_search_begins_again() {
    let (mut host, request) = Host::requesting();
    let asked = host.now;
    for _ in 1..4 {
        assert_eq!(only_sent(&host.wait()).octets, request.octets, "the same REQUEST again");
    }
    let actions = host.wait();
    assert_eq!(only_sent(&actions).kind(), DISCOVER);
    assert_eq!(searching(&actions).map(|search| (search.offers, search.requests)), Some((1, 4)));
    let waited = host.now.saturating_duration_since(asked);
    assert!((3.6..4.4).contains(&waited.as_secs_f64()), "{waited:?}");
}

#[test]
fn a_server_that_only_ever_offers_is_asked_ever_more_rarely() {
    let (mut host, mut message) = Host::selecting();
    let begin = host.now;
    let mut count = 0;
    while host.now.saturating_duration_since(begin) < seconds(600) {
        let actions = match message.kind() {
            DISCOVER => host.hear(&Answer::offer(&message)),
            _ => host.wait(),
        };
        if let [next] = &sent(&actions)[..] {
            message = next.clone();
            count += 1;
        }
    }
    assert!((20..70).contains(&count), "{count} packets in ten minutes");
}

#[test]
fn f_06_a_refusal_from_the_chosen_server_restarts_at_once() {
    let (mut host, request) = Host::requesting();
    let discover = only_sent(&host.hear(&Answer::nak(&request)));
    assert_eq!((discover.kind(), discover.option(50)), (DISCOVER, None));
    assert_ne!(discover.xid(), request.xid());
}

#[test]
fn f_07_a_refusal_from_another_server_is_ignored() {
    let (mut host, request) = Host::requesting();
    host.ignores(&Answer::nak(&request).with(54, OTHER_SERVER.octets()), Ignored::OtherServer);
    host.ignores(&Answer { from: NEIGHBOUR, ..Answer::nak(&request).without(54) }, Ignored::OtherServer);
    assert!(matches!(host.hear(&Answer::ack(&request))[..], [Action::Granted(_), ..]));
}

#[test]
fn f_09_a_storm_of_refusals_calms_down() {
    let (mut host, mut message) = Host::selecting();
    let begin = host.now;
    let mut pauses = Vec::new();
    let mut in_first_minute = 1;
    while pauses.len() < 14 {
        let request = only_sent(&host.hear(&Answer::offer(&message)));
        let before = host.now;
        let refused = host.hear(&Answer::nak(&request));
        message = sent(&refused).pop().unwrap_or_else(|| only_sent(&host.wait()));
        pauses.push(host.now.saturating_duration_since(before).as_secs());
        if host.now.saturating_duration_since(begin) < seconds(60) {
            in_first_minute += 2;
        }
    }
    assert_eq!(pauses, [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300, 300]);
    assert!(in_first_minute <= 20, "{in_first_minute} packets in the first minute");
}

#[test]
fn f_12_a_search_stops_with_the_link_and_begins_anew() {
    let (selecting, _) = Host::selecting();
    let (requesting, _) = Host::requesting();
    for mut host in [selecting, requesting] {
        assert_eq!(host.step(Event::LinkDown), []);
        assert_eq!(host.client.deadline(), None);
        host.pass(seconds(3600));
        assert_eq!(host.step(Event::Deadline), []);
        let discover = only_sent(&host.step(Event::LinkUp));
        assert_eq!((discover.kind(), discover.secs()), (DISCOVER, 0));
        assert_eq!(host.step(Event::LinkUp), [], "up already");
    }
}

#[test]
fn a_timer_that_rings_early_changes_nothing() {
    let (mut host, _) = Host::selecting();
    let deadline = host.client.deadline();
    host.pass(Duration::from_millis(100));
    assert_eq!(host.step(Event::Deadline), []);
    assert_eq!(host.client.deadline(), deadline);
}

#[test]
fn m_50_a_relay_is_only_where_frames_come_from() {
    let (mut host, request) = Host::requesting();
    let relay = MacAddr([2, 0, 0, 0, 0, 9]);
    let relayed = Answer::ack(&request).octets(20, &[10, 9, 9, 9]).octets(24, &[10, 0, 0, 254]);
    host.hear(&Answer { from: relay, ..relayed });
    assert_eq!((host.lease().server, host.lease().server_mac), (Some(SERVER), relay));
}
