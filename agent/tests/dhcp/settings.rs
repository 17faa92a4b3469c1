//! What the spec says is what is sent, and who is listened to.

use std::net::Ipv4Addr;

use landfall_agent::dhcp::{Action, Event, Ignored, Unusable};
use landfall_api::{Broadcast, ClientId, Dhcp, DnsUpdate, Fqdn, Octets};

use crate::bench::*;

fn discover(settings: Dhcp) -> Sent {
    Host::selecting_with(settings).1
}

fn client_id(text: &str) -> Dhcp {
    Dhcp { client_id: text.parse().expect("an identifier"), ..settings() }
}

#[test]
fn c_05_the_client_identifier_is_what_the_spec_says_in_every_message() {
    for (id, expected) in [
        ("default", Some(&[1, 2, 0, 0, 0, 0, 0x50][..])),
        ("mac", Some(&[1, 2, 0, 0, 0, 0, 0x50])),
        ("duid", Some(&[255, 0, 0, 0, 0x50, 0, 3, 0, 1, 2, 0, 0, 0, 0, 0x50])),
        ("none", None),
        ("00:77:65:62", Some(&[0, 0x77, 0x65, 0x62])),
    ] {
        let (mut host, discover) = Host::selecting_with(client_id(id));
        let request = only_sent(&host.hear(&Answer::offer(&discover)));
        host.hear(&Answer::ack(&request));
        let renew = only_sent(&host.wait());
        let release = only_sent(&host.step(Event::Stop));
        for message in [discover, request, renew, release] {
            assert_eq!(message.option(61), expected, "{id}, type {}", message.kind());
        }
    }
}

#[test]
fn n_07_where_nobody_answers_the_identifier_is_left_out_now_and_then() {
    let mut host = Host::new(1);
    let begin = host.now;
    let mut ids = vec![only_sent(&host.step(Event::LinkUp)).option(61).is_some()];
    let mut found = None;
    while ids.len() < 8 {
        let discover = only_sent(&host.wait());
        ids.push(discover.option(61).is_some());
        if discover.option(61).is_none() && found.is_none() {
            found = Some((host.now, discover));
        }
    }
    assert_eq!(ids, [true, true, true, true, false, true, false, true]);
    let (at, discover) = found.expect("one without");
    assert!(at.saturating_duration_since(begin) < seconds(40));
    // Given a server that answers only to those, then the identifier stays away for good.
    let mut host = Host::new(1);
    host.step(Event::LinkUp);
    host.pass_until(at);
    let request = only_sent(&host.hear(&Answer::offer(&discover)));
    host.hear(&Answer::ack(&request));
    let renew = only_sent(&host.wait());
    assert_eq!((request.option(61), renew.option(61)), (None, None));
    // Even in the next search.
    host.hear(&Answer::nak(&renew));
    host.step(Event::LinkDown);
    assert_eq!(only_sent(&host.step(Event::LinkUp)).option(61), None);
}

#[test]
fn n_07_an_identifier_that_the_spec_chose_stays() {
    for id in ["mac", "duid", "none", "00:77:65:62"] {
        let (mut host, first) = Host::selecting_with(client_id(id));
        for _ in 0..10 {
            assert_eq!(only_sent(&host.wait()).option(61), first.option(61), "{id}");
        }
    }
}

#[test]
fn n_07_each_identifier_has_one_transaction() {
    let (mut host, first) = Host::selecting();
    let mut sent = vec![first];
    for _ in 0..8 {
        let next = only_sent(&host.wait());
        for earlier in &sent {
            assert_eq!(next.xid() == earlier.xid(), next.option(61) == earlier.option(61));
        }
        sent.push(next);
    }
}

#[test]
fn n_07_a_late_offer_for_either_identifier_is_taken() {
    // Given a search that has come to both, and is at the one or at the other
    for waits in 5..9 {
        for is_named in [true, false] {
            let (mut host, first) = Host::selecting();
            let mut discovers = vec![first];
            discovers.extend((0..waits).map(|_| only_sent(&host.wait())));
            let of_this = |discover: &&Sent| discover.option(61).is_some() == is_named;
            let discover = discovers.iter().rfind(of_this).expect("both");
            // when the OFFER for one of them arrives, then that one is asked for, in all that it says.
            let request = only_sent(&host.hear(&Answer::offer(discover)));
            assert_eq!(
                (request.kind(), request.xid(), request.secs()),
                (REQUEST, discover.xid(), discover.secs())
            );
            assert_eq!(request.option(61), discover.option(61));
            let echoed = Answer::ack(&request).with(61, request.option(61).unwrap_or(b"whatever"));
            assert!(matches!(host.hear(&echoed)[..], [Action::Granted(_), ..]));
            assert_eq!(only_sent(&host.wait()).option(61), discover.option(61));
        }
    }
}

#[test]
fn n_07_an_offer_names_the_identifier_of_its_own_transaction() {
    let (mut host, first) = Host::selecting();
    let other = (0..4).map(|_| only_sent(&host.wait())).last().expect("four");
    assert_eq!(other.option(61), None);
    host.ignores(&Answer::offer(&first).with(61, *b"\x01another"), Ignored::OtherClient);
    let ours = first.option(61).expect("it has one").to_vec();
    assert_eq!(only_sent(&host.hear(&Answer::offer(&first).with(61, ours))).kind(), REQUEST);
}

#[test]
fn n_07_a_rapid_ack_counts_from_the_first_discover_of_its_identifier() {
    let (mut host, first) = Host::selecting_with(Dhcp { rapid_commit: true, ..settings() });
    let began = host.now;
    for _ in 0..4 {
        host.wait();
    }
    host.hear(&Answer::ack(&first).with(80, []));
    assert_eq!(host.lease().requested, began);
    assert_eq!(host.lease().client_id.as_ref().map(Octets::as_slice), first.option(61));
}

#[test]
fn c_28_a_name_is_sent_as_option_12_or_81_in_the_form_of_the_dns() {
    let fqdn = |name: &str, update| Dhcp {
        hostname: None,
        fqdn: Some(Fqdn { name: name.parse().expect("a name"), update }),
        ..settings()
    };
    for (name, update, expected) in [
        ("web.lan", DnsUpdate::Server, &b"\x05\0\0\x03web\x03lan\0"[..]),
        ("web.lan", DnsUpdate::Client, b"\x04\0\0\x03web\x03lan\0"),
        ("web.lan", DnsUpdate::None, b"\x0c\0\0\x03web\x03lan\0"),
        ("web", DnsUpdate::Server, b"\x05\0\0\x03web"),
    ] {
        let message = discover(fqdn(name, update));
        assert_eq!((message.option(12), message.option(81)), (None, Some(expected)));
    }
    let message = discover(settings());
    assert_eq!((message.option(12), message.option(81)), (Some(&b"web"[..]), None));
}

#[test]
fn further_options_go_out_and_come_in() {
    let settings = Dhcp {
        vendor_class: Some("landfall".into()),
        send: [(77.try_into().expect("a code"), "01:02".parse().expect("octets"))].into(),
        ask: vec![42.try_into().expect("a code"), 3.try_into().expect("a code")],
        ..settings()
    };
    let (mut host, discover) = Host::selecting_with(settings);
    assert_eq!(discover.option(60), Some(&b"landfall"[..]));
    assert_eq!(discover.option(77), Some(&[1, 2][..]));
    assert_eq!(discover.option(55), Some(&[1, 121, 3, 6, 15, 26, 28, 51, 54, 58, 59, 42][..]));
    let request = only_sent(&host.hear(&Answer::offer(&discover)));
    assert_eq!((request.option(60), request.option(77)), (discover.option(60), discover.option(77)));
    host.hear(&Answer::ack(&request).with(42, [10, 0, 0, 7]).with(43, [1]));
    let options: Vec<_> =
        host.lease().options.iter().map(|(code, value)| (code.number(), value.to_string())).collect();
    assert_eq!(options, [(3, "0a:00:00:01".to_owned()), (42, "0a:00:00:07".to_owned())]);
}

#[test]
fn c_04_replies_by_broadcast_are_asked_for_after_two_messages_or_from_the_first() {
    let (mut host, discover) = Host::selecting();
    let flags: Vec<u16> = (0..3).map(|_| only_sent(&host.wait()).flags()).collect();
    assert_eq!((discover.flags(), &flags[..]), (0, &[0, 0x8000, 0x8000][..]));
    let settings = Dhcp { broadcast: Broadcast::Always, ..settings() };
    let (mut host, discover) = Host::selecting_with(settings);
    let request = only_sent(&host.hear(&Answer::offer(&discover)));
    assert_eq!([discover.flags(), request.flags()], [0x8000; 2]);
    host.hear(&Answer::ack(&request));
    assert_eq!(only_sent(&host.wait()).flags(), 0, "never with an address");
}

#[test]
fn the_address_that_is_requested_is_asked_for_until_it_is_refused() {
    let wanted = Ipv4Addr::new(10, 0, 0, 77);
    let (mut host, discover) = Host::selecting_with(Dhcp { request: Some(wanted), ..settings() });
    assert_eq!(discover.address_option(50), Some(wanted));
    let request = only_sent(&host.hear(&Answer::offer(&discover)));
    let discover = only_sent(&host.hear(&Answer::nak(&request)));
    assert_eq!(discover.option(50), None);
}

#[test]
fn h_15_servers_that_the_spec_does_not_list_are_not_heard() {
    for server in ["10.0.0.1", "02:00:00:00:00:01"] {
        let listed = Dhcp { servers: vec![server.parse().expect("a server")], ..settings() };
        let (mut host, discover) = Host::selecting_with(listed);
        let rogue = Answer { from: NEIGHBOUR, ..Answer::offer(&discover).with(54, OTHER_SERVER.octets()) };
        host.ignores(&rogue, Ignored::Forbidden);
        let request = only_sent(&host.hear(&Answer::offer(&discover)));
        let nak = Answer { from: NEIGHBOUR, ..Answer::nak(&request).with(54, OTHER_SERVER.octets()) };
        host.ignores(&nak, Ignored::Forbidden);
        assert!(matches!(host.hear(&Answer::ack(&request))[0], Action::Granted(_)));
    }
}

#[test]
fn c_10_the_server_of_the_last_lease_is_preferred_for_a_moment() {
    let known = || {
        let mut host = Host::bound(|ack| ack);
        host.now = host.lease().expiry().expect("an end");
        let actions = [host.step(Event::Deadline), vec![]].concat();
        (host, only_sent(&actions))
    };
    let other = |discover: &Sent| {
        Answer::offer(discover).with(54, OTHER_SERVER.octets()).yiaddr(Ipv4Addr::new(10, 0, 0, 99))
    };
    // Given a client that had a lease from one server, when another offers first, then the first one is waited for.
    let (mut host, discover) = known();
    assert_eq!(sent(&host.hear(&other(&discover))), []);
    host.pass(std::time::Duration::from_millis(40));
    let request = only_sent(&host.hear(&Answer::offer(&discover)));
    assert_eq!(request.address_option(54), Some(SERVER));
    // But not for long.
    let (mut host, discover) = known();
    host.hear(&other(&discover));
    let since = host.now;
    let request = only_sent(&host.wait());
    assert_eq!(host.now.saturating_duration_since(since), std::time::Duration::from_millis(50));
    assert_eq!(request.address_option(54), Some(OTHER_SERVER));
}

#[test]
fn f_16_a_server_without_a_name_is_taken_if_it_is_the_only_one() {
    let (mut host, discover) = Host::selecting();
    assert_eq!(sent(&host.hear(&Answer::offer(&discover).without(54))), []);
    let request = only_sent(&host.wait());
    assert_eq!((request.address_option(50), request.option(54)), (Some(ADDRESS), None));
    host.ignores(&Answer { from: NEIGHBOUR, ..Answer::ack(&request).without(54) }, Ignored::OtherServer);
    assert!(matches!(host.hear(&Answer::ack(&request).without(54))[0], Action::Granted(_)));
    assert_eq!(host.lease().server, None);
    // It is asked for more by broadcast.
    let renew = only_sent(&host.wait());
    assert_eq!(renew.delivery, landfall_agent::dhcp::Delivery::Broadcast { source: ADDRESS });
    assert_eq!(only_sent(&host.step(Event::Stop)).option(54), None);
}

#[test]
fn f_16_a_server_with_a_name_is_better_and_two_without_are_none() {
    let (mut host, discover) = Host::selecting();
    let nameless = Answer::offer(&discover).without(54);
    host.hear(&nameless);
    let request = only_sent(&host.hear(&Answer::offer(&discover)));
    assert_eq!(request.address_option(54), Some(SERVER));
    let (mut host, discover) = Host::selecting();
    let nameless = Answer::offer(&discover).without(54);
    // However often they say so.
    for _ in 0..2 {
        host.hear(&nameless);
        host.hear(&Answer { from: NEIGHBOUR, ..nameless.clone() });
    }
    host.hear(&nameless);
    assert_eq!(only_sent(&host.wait()).kind(), DISCOVER);
    // But one with a name can be asked.
    host.hear(&nameless);
    host.hear(&Answer { from: NEIGHBOUR, ..nameless });
    assert_eq!(only_sent(&host.hear(&Answer::offer(&discover))).address_option(54), Some(SERVER));
}

#[test]
fn f_24_an_address_that_is_in_use_here_is_refused() {
    let (mut host, discover) = Host::selecting();
    host.ignores_offer(&Answer::offer(&discover).yiaddr(TARGET));
}

impl Host {
    fn ignores_offer(&mut self, offer: &Answer) {
        let actions = self.hear(offer);
        assert_eq!(actions, [Action::Ignore(Ignored::Unusable(Unusable::Taken(TARGET)))]);
    }
}

#[test]
fn c_27_a_server_that_prefers_ipv6_is_obeyed_if_the_spec_says_so() {
    for (told, expected) in [(0_u32, 300), (299, 300), (1800, 1800)] {
        let (mut host, discover) = Host::selecting_with(Dhcp { ipv6_only: true, ..settings() });
        assert!(discover.option(55).expect("a list").contains(&108));
        let actions = host.hear(&Answer::offer(&discover).seconds(108, told));
        assert_eq!(sent(&actions), []);
        assert_eq!(searching(&actions).and_then(|search| search.ipv6_only), Some(expected));
        let since = host.now;
        host.wait();
        assert_eq!(host.now.saturating_duration_since(since), seconds(expected.into()));
    }
    let (mut host, discover) = Host::selecting();
    assert!(!discover.option(55).expect("a list").contains(&108));
    assert_eq!(only_sent(&host.hear(&Answer::offer(&discover).seconds(108, 1800))).kind(), REQUEST);
}

#[test]
fn c_15_a_lease_time_is_assumed_only_if_the_spec_says_so() {
    for change in [|offer: Answer| offer.without(51), |offer: Answer| offer.seconds(51, 0)] {
        let (mut host, discover) = Host::selecting();
        let actions = host.hear(&change(Answer::offer(&discover)));
        assert_eq!(actions, [Action::Ignore(Ignored::Unusable(Unusable::Time))]);
        let (mut host, discover) = Host::selecting_with(Dhcp { assume_lease_time: Some(7200), ..settings() });
        let request = only_sent(&host.hear(&change(Answer::offer(&discover))));
        host.hear(&change(Answer::ack(&request)));
        assert_eq!(host.lease().expiry(), Some(host.now + seconds(7200)));
    }
}

#[test]
fn a_herd_that_starts_together_may_spread_its_first_message() {
    let jitter = Dhcp { start_jitter: 1000, ..settings() };
    let waits: Vec<_> = (0..50)
        .map(|seed| {
            let mut host = Host::with(seed, jitter.clone(), None);
            assert_eq!(sent(&host.step(Event::LinkUp)), []);
            host.wait();
            host.now.saturating_duration_since(Host::begin()).as_millis()
        })
        .collect();
    assert!(waits.iter().all(|wait| *wait <= 1000), "{waits:?}");
    assert!(waits.iter().any(|wait| *wait > 700) && waits.iter().any(|wait| *wait < 300), "{waits:?}");
}

#[test]
fn c_05_an_identifier_of_the_spec_is_never_without_octets() {
    for text in ["", "01", "0", "zz", "1:2", "01:", "text"] {
        assert!(text.parse::<ClientId>().is_err(), "{text:?}");
    }
}
