//! What the client says.

use std::{collections::HashSet, net::Ipv4Addr};

use landfall_agent::dhcp::{Action, Client, Delivery, Event, Identity, Transmission, encode_frame};
use landfall_api::{Dhcp, MacAddr};

use crate::bench::*;

/// One message of each kind, by name.
fn every_message() -> Vec<(&'static str, Sent)> {
    let (_, discover) = Host::selecting();
    let (_, request) = Host::requesting();
    let (_, renew) = Host::renewing();
    let (_, rebind) = Host::rebinding();
    let release = only_sent(&Host::bound(|ack| ack).step(Event::Stop));
    vec![
        ("discover", discover),
        ("request", request),
        ("renew", renew),
        ("rebind", rebind),
        ("release", release),
    ]
}

#[test]
fn c_01_header_and_size_are_right_in_every_message() {
    for (name, message) in every_message() {
        let octets = &message.octets;
        assert_eq!(octets[..4], [1, 1, 6, 0], "{name}: op, htype, hlen, hops");
        assert_eq!(octets[28..34], MAC.0, "{name}: chaddr");
        assert!(octets[16..28].iter().all(|octet| *octet == 0), "{name}: yiaddr, siaddr, giaddr");
        assert!(octets[34..236].iter().all(|octet| *octet == 0), "{name}: sname, file");
        assert!((300..=548).contains(&octets.len()), "{name}: {} octets", octets.len());
    }
}

#[test]
fn c_01_the_options_come_in_one_order() {
    let codes = |name| {
        let found = every_message().into_iter().find(|(other, _)| *other == name);
        found.expect("a message of that name").1.codes()
    };
    assert_eq!(codes("discover"), [53, 61, 55, 57, 12, 80]);
    assert_eq!(codes("request"), [53, 61, 50, 54, 55, 57, 12]);
    assert_eq!(codes("renew"), [53, 61, 55, 57, 12]);
    assert_eq!(codes("rebind"), [53, 61, 55, 57, 12]);
    assert_eq!(codes("release"), [53, 61, 54]);
}

#[test]
fn c_01_the_longest_host_name_fits_into_what_every_server_takes() {
    let label = "a".repeat(63);
    let name = [&label[..], &label, &label, &label[..61]].join(".");
    let settings = Dhcp { hostname: name.parse().ok(), ..settings() };
    assert_eq!((settings.hostname.is_some(), settings.check()), (true, Ok(())));
    let (mut host, _) = Host::selecting_with(settings);
    let discover = only_sent(&host.wait());
    let request = only_sent(&host.hear(&Answer::offer(&discover)));
    assert_eq!(request.option(12), Some(name.as_bytes()));
    let frame = encode_frame((MAC, ADDRESS), (SERVER_MAC, SERVER), &request.octets);
    assert!(frame.len() <= 14 + 576, "{} octets", frame.len());
}

#[test]
fn c_02_the_xid_is_kept_in_a_transaction_and_new_for_the_next() {
    // Given a DISCOVER, when it is repeated and then answered, then the xid stays.
    let (mut host, discover) = Host::selecting();
    let again = only_sent(&host.wait());
    let request = only_sent(&host.hear(&Answer::offer(&again)));
    let request_again = only_sent(&host.wait());
    assert_eq!([again.xid(), request.xid(), request_again.xid()], [discover.xid(); 3]);
    // And every further transaction has its own.
    host.hear(&Answer::ack(&request));
    let renew = only_sent(&host.wait());
    let renew_again = only_sent(&host.wait());
    assert_eq!(renew.xid(), renew_again.xid());
    host.hear(&Answer::ack(&renew));
    assert_ne!(only_sent(&host.wait()).xid(), renew.xid());
    let (_, rebind) = Host::rebinding();
    let release = only_sent(&host.step(Event::Stop));
    let all = HashSet::from([discover.xid(), renew.xid(), rebind.xid(), release.xid()]);
    assert_eq!(all.len(), 4);
}

#[test]
fn c_02_the_xid_comes_from_the_randomness_given() {
    let first = |seed| only_sent(&Host::new(seed).step(Event::LinkUp)).xid();
    assert_eq!((0..200).map(first).collect::<HashSet<_>>().len(), 200);
}

#[test]
fn c_02_a_request_repeats_the_secs_of_its_discover() {
    let (mut host, first) = Host::selecting();
    assert_eq!(first.secs(), 0);
    host.wait();
    let discover = only_sent(&host.wait());
    assert!(discover.secs() >= 1);
    host.pass(seconds(1));
    let request = only_sent(&host.hear(&Answer::offer(&discover)));
    assert_eq!(request.secs(), discover.secs());
    assert_eq!(only_sent(&host.wait()).secs(), discover.secs());
}

#[test]
fn c_03_ciaddr_is_set_only_while_there_is_a_lease() {
    for (name, message) in every_message() {
        let expected = match name {
            "discover" | "request" => Ipv4Addr::UNSPECIFIED,
            _ => ADDRESS,
        };
        assert_eq!(message.ciaddr(), expected, "{name}");
    }
    // Nor does the next search remember it.
    let (mut host, renew) = Host::renewing();
    let discover = only_sent(&host.hear(&Answer::nak(&renew)));
    assert_eq!((discover.kind(), discover.ciaddr()), (DISCOVER, Ipv4Addr::UNSPECIFIED));
}

#[test]
fn c_04_replies_are_wanted_by_broadcast_from_the_third_discover_on() {
    let (mut host, first) = Host::selecting();
    let flags = [first.flags(), only_sent(&host.wait()).flags()];
    let third = only_sent(&host.wait());
    let request = only_sent(&host.hear(&Answer::offer(&third)));
    assert_eq!((flags, third.flags(), request.flags()), ([0, 0], 0x8000, 0x8000));
    host.hear(&Answer::ack(&request));
    assert_eq!(only_sent(&host.wait()).flags(), 0, "never once there is an address");
}

#[test]
fn c_05_the_client_identifier_is_the_same_in_every_message() {
    for (name, message) in every_message() {
        assert_eq!(message.option(61), Some(&[1, 2, 0, 0, 0, 0, 0x50][..]), "{name}");
    }
}

#[test]
fn c_07_the_parameter_list_asks_for_classless_routes_before_routers() {
    for (name, message) in every_message() {
        let expected = (name != "release").then_some(&[1, 121, 3, 6, 15, 26, 28, 51, 54, 58, 59][..]);
        assert_eq!(message.option(55), expected, "{name}");
    }
}

#[test]
fn c_08_option_57_is_the_mtu_but_never_below_576() {
    for (mtu, expected) in [(0, 576), (576, 576), (1500, 1500), (9000, 9000)] {
        let mut host = Host::new(0);
        let settings = Dhcp { hostname: None, ..settings() };
        let (other_macs, taken) = (Vec::new(), Vec::new());
        host.client = Client::new(Identity { mac: MAC, mtu, settings, other_macs, taken }, None);
        let discover = only_sent(&host.step(Event::LinkUp));
        assert_eq!(discover.option(57), Some(&u16::to_be_bytes(expected)[..]), "MTU {mtu}");
        assert_eq!(discover.option(12), None);
    }
}

#[test]
fn c_10_a_request_names_the_chosen_server_and_address() {
    let (mut host, discover) = Host::selecting();
    let other = Answer::offer(&discover).with(54, OTHER_SERVER.octets()).yiaddr(Ipv4Addr::new(10, 0, 0, 99));
    let request = only_sent(&host.hear(&Answer::offer(&discover)));
    assert_eq!((request.address_option(50), request.address_option(54)), (Some(ADDRESS), Some(SERVER)));
    assert_eq!(request.delivery, Delivery::Broadcast { source: Ipv4Addr::UNSPECIFIED });
    assert_eq!(sent(&host.hear(&other)), [], "the first offer is taken");
}

#[test]
fn c_16_renewing_is_unicast_and_rebinding_broadcast() {
    let (_, renew) = Host::renewing();
    let (_, rebind) = Host::rebinding();
    assert_eq!((renew.kind(), renew.delivery), (REQUEST, Delivery::Unicast { to: SERVER }));
    assert_eq!((rebind.kind(), rebind.delivery), (REQUEST, Delivery::Broadcast { source: ADDRESS }));
}

#[test]
fn c_20_a_release_goes_to_where_the_ack_came_from() {
    let relay = MacAddr([2, 0, 0, 0, 0, 9]);
    let mut host = Host::bound(|ack| Answer { from: relay, ..ack });
    let lease = host.lease().clone();
    let actions = host.step(Event::Stop);
    let release = only_sent(&actions);
    assert_eq!(release.kind(), RELEASE);
    assert_eq!(release.delivery, Delivery::Frame { source: ADDRESS, to: SERVER, mac: relay });
    assert_eq!(release.address_option(54), Some(SERVER));
    assert_eq!(actions.last(), Some(&Action::Released(lease)), "sent before the address is taken away");
    assert_eq!((host.client.lease(), host.client.deadline()), (None, None));
    assert_eq!(host.step(Event::LinkUp), [], "stopped for good");
}

#[test]
fn without_a_lease_there_is_nothing_to_release() {
    let (selecting, _) = Host::selecting();
    let (requesting, _) = Host::requesting();
    for mut host in [Host::new(0), selecting, requesting] {
        assert_eq!(host.step(Event::Stop), []);
        assert_eq!(host.client.deadline(), None);
    }
}

#[test]
fn a_frame_carries_a_message_from_our_own_mac() {
    let (_, discover) = Host::selecting();
    let Transmission { message, .. } =
        Transmission { delivery: discover.delivery, message: discover.octets.clone() };
    let frame =
        encode_frame((MAC, Ipv4Addr::UNSPECIFIED), (MacAddr::BROADCAST, Ipv4Addr::BROADCAST), &message);
    assert_eq!((&frame[..6], &frame[6..12]), (&[0xff; 6][..], &MAC.0[..]), "n_03: L2 source is chaddr");
}
