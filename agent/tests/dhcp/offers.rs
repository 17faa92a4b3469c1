//! What servers say, and what is believed of it.

use std::net::Ipv4Addr;

use landfall_agent::dhcp::{Ignored, Kind, Lease, Options, Reply, Unusable};
use landfall_api::{Dhcp, MacAddr, Mtu};

use crate::bench::*;

fn offer() -> Answer {
    Answer::offer(&Host::selecting().1)
}

fn decoded(answer: &Answer) -> Result<Reply, Ignored> {
    Reply::decode(&answer.bytes(), MAC)
}

/// The lease that the usual ACK gives when it is changed.
fn lease(change: impl FnOnce(Answer) -> Answer) -> Lease {
    Host::bound(change).lease().clone()
}

#[test]
fn h_12_a_header_that_lies_is_dropped() {
    for (name, at, octets, why) in [
        ("op", 0, &[1][..], Ignored::NotAReply),
        ("htype", 1, &[6], Ignored::NotAReply),
        ("hlen", 2, &[16], Ignored::NotAReply),
        ("hlen", 2, &[0], Ignored::NotAReply),
        ("chaddr", 33, &[0x51], Ignored::OtherHardware),
    ] {
        assert_eq!(decoded(&offer().octets(at, octets)), Err(why), "{name}");
    }
}

#[test]
fn h_13_what_is_no_dhcp_is_dropped() {
    let no_cookie = Answer { cookie: [0; 4], ..offer() };
    assert_eq!(decoded(&no_cookie), Err(Ignored::NoCookie));
    assert_eq!(decoded(&offer().without(53)), Err(Ignored::OtherKind), "m_22: BOOTP");
    let bytes = offer().bytes();
    for length in 0..240 {
        assert_eq!(Reply::decode(&bytes[..length], MAC), Err(Ignored::Short));
    }
    let truncated = Answer { options: vec![], tail: vec![12, 200, b'a', 53, 1, 2], ..offer() };
    assert_eq!(decoded(&truncated), Err(Ignored::OtherKind));
}

#[test]
fn h_08_only_offers_acks_and_naks_are_taken() {
    for (kind, expected) in [(2, Kind::Offer), (5, Kind::Ack), (6, Kind::Nak)] {
        assert_eq!(decoded(&offer().with(53, [kind])).map(|reply| reply.kind), Ok(expected));
    }
    // 9 is FORCERENEW, which m_47 ignores.
    for kind in (0..=255).filter(|kind| ![2, 5, 6].contains(kind)) {
        assert_eq!(decoded(&offer().with(53, [kind])), Err(Ignored::OtherKind), "type {kind}");
    }
    assert_eq!(decoded(&offer().with(53, [2, 2])), Err(Ignored::OtherKind));
}

#[test]
fn c_06_a_reply_for_another_client_identifier_is_dropped() {
    for (id, is_ours) in
        [(&[1, 2, 0, 0, 0, 0, 0x50][..], true), (&[1, 2, 0, 0, 0, 0, 0x51], false), (b"other", false)]
    {
        let (mut host, discover) = Host::selecting();
        let offer = Answer::offer(&discover).with(61, id);
        if is_ours {
            assert_eq!(only_sent(&host.hear(&offer)).kind(), REQUEST);
        } else {
            host.ignores(&offer, Ignored::OtherClient);
        }
    }
    let (mut host, renew) = Host::renewing();
    host.ignores(&Answer::nak(&renew).with(61, *b"other"), Ignored::OtherClient);
}

#[test]
fn m_20_an_address_that_no_host_can_have_is_refused() {
    for (address, mask) in [
        ("0.0.0.0", 24),
        ("0.1.2.3", 24),
        ("255.255.255.255", 24),
        ("255.255.255.255", 32),
        ("127.0.0.5", 24),
        ("224.0.0.9", 24),
        ("240.0.0.9", 24),
        ("169.254.7.7", 16),
        ("10.0.0.1", 24),
        ("10.0.0.0", 24),
        ("10.0.0.255", 24),
        ("10.0.0.3", 30),
    ] {
        let (mut host, discover) = Host::selecting();
        let mask = u32::MAX << (32 - mask);
        let bad = Answer::offer(&discover).seconds(1, mask).yiaddr(address.parse().expect("an address"));
        let actions = host.hear(&bad);
        assert_eq!(sent(&actions), [], "h_12: {address}/{mask:x}");
    }
}

#[test]
fn m_20_the_routers_address_is_refused_whoever_the_server_is() {
    let (mut host, discover) = Host::selecting();
    let bad = Answer::offer(&discover).with(3, ADDRESS.octets());
    assert_eq!(sent(&host.hear(&bad)), []);
}

#[test]
fn m_20_the_servers_own_address_is_refused_whoever_the_router_is() {
    let (mut host, discover) = Host::selecting();
    let bad = Answer::offer(&discover).with(54, ADDRESS.octets());
    assert_eq!(sent(&host.hear(&bad)), []);
}

#[test]
fn m_20_the_mask_must_be_a_prefix() {
    for mask in [[255, 0, 255, 0], [0, 0, 0, 0], [0, 255, 255, 255]] {
        let (mut host, request) = Host::requesting();
        host.ignores(&Answer::ack(&request).with(1, mask), Ignored::Unusable(Unusable::Mask));
    }
    for (prefix, mask) in [(8, u32::MAX << 24), (22, u32::MAX << 10), (31, u32::MAX << 1), (32, u32::MAX)] {
        assert_eq!(lease(|ack| ack.seconds(1, mask)).address.prefix_len(), prefix);
    }
}

#[test]
fn m_20_without_a_mask_the_class_decides() {
    for (address, prefix) in [("10.7.7.7", 8), ("172.16.7.7", 16), ("192.168.7.7", 24)] {
        let address: Ipv4Addr = address.parse().expect("an address");
        let (mut host, discover) = Host::selecting();
        let request = only_sent(&host.hear(&Answer::offer(&discover).yiaddr(address).without(1)));
        host.hear(&Answer::ack(&request).yiaddr(address).without(1));
        assert_eq!(host.lease().address.prefix_len(), prefix);
    }
}

#[test]
fn the_server_must_be_somebody_to_write_to() {
    for server in ["0.0.0.0", "255.255.255.255", "127.0.0.1", "224.0.0.1"] {
        let server: Ipv4Addr = server.parse().expect("an address");
        let (mut host, discover) = Host::selecting();
        assert_eq!(sent(&host.hear(&Answer::offer(&discover).with(54, server.octets()))), [], "{server}");
    }
    let (mut host, discover) = Host::selecting();
    assert_eq!(sent(&host.hear(&Answer::offer(&discover).without(54))), []);
}

#[test]
fn c_08_a_big_reply_is_read_whole() {
    let servers: Vec<u8> = (0..65).flat_map(|n| [10, 0, 1, n]).collect();
    let (first, second) = servers.split_at(252);
    let lease = lease(|ack| {
        let mut ack = ack.without(6);
        ack.options.extend([(6, first.to_vec()), (6, second.to_vec())]);
        ack.options.extend((0..4).map(|_| (250, vec![7; 250])));
        ack
    });
    assert_eq!(lease.dns.len(), 65);
    assert_eq!(lease.dns.last(), Some(&Ipv4Addr::new(10, 0, 1, 64)));
}

/// An ACK whose options stand in three places.
fn overloaded(overload: u8, (options, file, sname): (&[u8], &[u8], &[u8])) -> Answer {
    let mut ack = offer().with(53, [5]).octets(108, file).octets(44, sname);
    ack.options = vec![(52, vec![overload])];
    ack.tail = [options, &[255]].concat();
    ack
}

#[test]
fn c_11_long_and_overloaded_options_are_one_lease() {
    // Given an ACK, when its options stand somewhere else or in parts, then it is still the same ACK.
    let ack = offer().with(53, [5]).with(6, [10, 0, 0, 1, 10, 0, 0, 2]);
    let plain = decoded(&ack).expect("an ACK");
    let [kind, time, mask, router, server] = [53, 51, 1, 3, 54]
        .map(|code| field(&ack.clone().options.into_iter().filter(|o| o.0 == code).collect::<Vec<_>>()));
    let dns = |octets: &[u8]| field(&[(6, octets.to_vec())]);
    let whole = dns(&[10, 0, 0, 1, 10, 0, 0, 2]);
    let rest = [&time[..], &mask, &router, &server].concat();
    let end = [255].as_slice();
    let split = [dns(&[10]), dns(&[0, 0, 1, 10]), dns(&[0, 0, 2])];
    let cases = [
        ("file", overloaded(1, ([&kind[..], &whole].concat().as_slice(), &[&rest, end].concat(), &[]))),
        ("sname", overloaded(2, ([&kind[..], &whole].concat().as_slice(), &[], &[&rest, end].concat()))),
        ("both", overloaded(3, (&kind, &[&rest[..], end].concat(), &[&whole, end].concat()))),
        (
            "in three parts, options first, then file, then sname",
            overloaded(
                3,
                (
                    &[&kind[..], &split[0], &rest].concat(),
                    &[&split[1], end].concat(),
                    &[&split[2], end].concat(),
                ),
            ),
        ),
        (
            "in parts that are not neighbours",
            overloaded(0, (&[&kind[..], &split[0], &rest, &split[1], &[0, 0], &split[2]].concat(), &[], &[])),
        ),
    ];
    for (name, answer) in cases {
        let reply = decoded(&answer).expect(name);
        let values = |reply: &Reply| {
            [53, 51, 1, 3, 54, 6].map(|code: u8| reply.options.raw(code.into()).map(<[u8]>::to_vec))
        };
        assert_eq!(values(&reply), values(&plain), "{name}");
    }
}

#[test]
fn h_06_overload_cannot_lead_astray() {
    let mine = field(&[(52, vec![3]), (12, b"file".to_vec())]);
    let theirs = field(&[(52, vec![3]), (12, b"sname".to_vec())]);
    for overload in 0..=255 {
        let options = Options::gather(&[52, 1, overload], &mine, &theirs);
        let expected = match overload & 3 {
            0 => None,
            1 => Some(&b"file"[..]),
            2 => Some(&b"sname"[..]),
            _ => Some(&b"filesname"[..]),
        };
        assert_eq!(options.raw(12.into()), expected, "overload {overload}");
    }
    // What stands in the file field says nothing of the sname field.
    assert_eq!(Options::gather(&[52, 1, 1], &mine, &theirs).raw(12.into()), Some(&b"file"[..]));
    assert_eq!(Options::gather(&[52, 2, 3, 3], &mine, &theirs).raw(12.into()), None);
}

#[test]
fn m_19_a_malformed_option_does_not_take_others_with_it() {
    let lease = lease(|ack| {
        ack.first(12, [0xff, 0xfe])
            .first(3, [])
            .first(26, [1])
            .first(15, [0xe9])
            .first(121, [33])
            .first(81, [0])
    });
    assert_eq!((lease.routers, lease.mtu, lease.domain), (vec![SERVER], None, None));
}

#[test]
fn h_02_no_option_of_any_length_hides_the_others() {
    for code in (1..255).filter(|code| ![1, 51, 52, 53, 54, 61].contains(code)) {
        for length in 0..=255 {
            let value: Vec<u8> = (0..length).map(|n: u8| n.wrapping_mul(37).wrapping_add(code)).collect();
            let reply = decoded(&offer().first(code, value)).expect("an offer");
            assert_eq!((reply.server(), reply.yiaddr), (Some(SERVER), ADDRESS), "option {code} of {length}");
        }
    }
}

#[test]
fn h_05_an_option_without_a_value_is_none() {
    let plain = lease(|ack| ack);
    let with_empty = lease(|ack| (1..255).fold(ack, |ack, code| ack.first(code, [])));
    assert_eq!(with_empty, plain);
    let empty_client_id = offer().with(61, []);
    assert!(decoded(&empty_client_id).is_ok());
}

#[test]
fn an_end_is_not_needed_and_what_follows_it_is_not_read() {
    assert!(decoded(&Answer { tail: vec![], ..offer() }).is_ok());
    let reply = decoded(&Answer { tail: vec![255, 12, 1, b'x'], ..offer() }).expect("an offer");
    assert_eq!(reply.options.raw(12.into()), None);
}

#[test]
fn c_12_classless_routes_replace_the_router() {
    let routes = |value: &[u8]| {
        let lease = lease(|ack| ack.with(121, value));
        let text = |(to, by): &(ipnet::Ipv4Net, Ipv4Addr)| format!("{to} via {by}");
        (lease.routes.iter().map(text).collect::<Vec<_>>(), lease.routers)
    };
    let none = Vec::new();
    for (name, value, expected) in [
        ("default", &[0, 10, 0, 0, 254][..], &["0.0.0.0/0 via 10.0.0.254"][..]),
        ("on the link", &[16, 10, 9, 0, 0, 0, 0], &["10.9.0.0/16 via 0.0.0.0"]),
        ("host bits", &[20, 10, 9, 0xff, 10, 0, 0, 1], &["10.9.240.0/20 via 10.0.0.1"]),
        ("host", &[32, 1, 2, 3, 4, 10, 0, 0, 1], &["1.2.3.4/32 via 10.0.0.1"]),
        ("two", &[8, 9, 10, 0, 0, 1, 0, 10, 0, 0, 2], &["9.0.0.0/8 via 10.0.0.1", "0.0.0.0/0 via 10.0.0.2"]),
    ] {
        let expected: Vec<String> = expected.iter().map(ToString::to_string).collect();
        assert_eq!(routes(value), (expected, none.clone()), "{name}");
    }
    for (name, value) in [
        ("width 33", &[33, 1, 2, 3, 4, 5, 10, 0, 0, 1][..]),
        ("odd tail", &[0, 10, 0, 0, 254, 8]),
        ("half a router", &[8, 9, 10, 0]),
        ("nothing", &[]),
    ] {
        assert_eq!(routes(value), (vec![], vec![SERVER]), "{name}: the router is used");
    }
}

#[test]
fn h_11_forbidden_routes_are_dropped_and_others_capped() {
    let forbidden = [
        &[8, 127, 10, 0, 0, 1][..],
        &[4, 224, 10, 0, 0, 1],
        &[16, 169, 254, 10, 0, 0, 1],
        &[8, 9, 127, 0, 0, 1],
        &[8, 9, 224, 0, 0, 1],
        &[8, 9, 255, 255, 255, 255],
        &[8, 9, 10, 0, 0, 50],
    ];
    let good = &[1, 128, 10, 0, 0, 1][..];
    let value = [&forbidden.concat(), good].concat();
    let routes = lease(|ack| ack.with(121, value)).routes;
    assert_eq!(routes, [("128.0.0.0/1".parse().expect("a prefix"), SERVER)]);
    // 2000 routes, in as many options as they need.
    let many: Vec<u8> =
        (0..2000u16).flat_map(|n| [24, 9, n.to_be_bytes()[0], n.to_be_bytes()[1], 10, 0, 0, 1]).collect();
    let lease = lease(|mut ack| {
        ack.options.extend(many.chunks(255).map(|part| (121, part.to_vec())));
        ack
    });
    assert_eq!((lease.routes.len(), lease.routers), (256, vec![]));
}

#[test]
fn routers_that_are_no_hosts_are_dropped() {
    let routers =
        lease(|ack| ack.with(3, [0, 0, 0, 0, 127, 0, 0, 1, 10, 0, 0, 1, 255, 255, 255, 255])).routers;
    assert_eq!(routers, [SERVER]);
}

#[test]
fn c_13_an_mtu_is_at_least_576_or_none() {
    for (given, expected) in [
        (&[0, 0][..], None),
        (&[0, 1], None),
        (&[0, 67], None),
        (&[0, 68], Some(576)),
        (&[2, 63], Some(576)),
        (&[2, 64], Some(576)),
        (&[5, 0], Some(1280)),
        (&[5, 220], Some(1500)),
        (&[35, 40], Some(9000)),
        (&[220], None),
        (&[0, 0, 5, 220], None),
    ] {
        let settings = Dhcp { mtu: Mtu::Accept, ..settings() };
        let (mut host, discover) = Host::selecting_with(settings);
        let request = only_sent(&host.hear(&Answer::offer(&discover)));
        host.hear(&Answer::ack(&request).with(26, given));
        assert_eq!(host.lease().mtu, expected, "{given:?}");
    }
    assert_eq!(lease(|ack| ack.with(26, [5, 0])).mtu, None, "not wanted");
}

#[test]
fn h_01_a_domain_is_a_domain_or_none() {
    for (given, expected) in [
        (&b"lan"[..], Some("lan")),
        (b"example.org.", Some("example.org")),
        (b"example.org\0", Some("example.org")),
        (b"$(reboot)", None),
        (b"a b", None),
        (b"lan\nevil", None),
        (b"\x1b[2J", None),
        (b"\xe9", None),
        (&[b'a'; 255], None),
    ] {
        let domain = lease(|ack| ack.with(15, given)).domain;
        assert_eq!(domain.as_ref().map(ToString::to_string).as_deref(), expected, "{given:?}");
    }
}

#[test]
fn h_01_a_servers_words_are_plain_and_short() {
    let text = |value: &[u8]| decoded(&offer().with(56, value)).expect("an offer").options.text(56.into());
    assert_eq!(text(b"`id`;\n$(id)\0\x1b[2J\"\\").as_deref(), Some("`id`;$(id)[2J\"\\"));
    assert_eq!(
        text("kein Platz für dich\u{202e}\u{200b}".as_bytes()).as_deref(),
        Some("kein Platz für dich")
    );
    assert_eq!(text(b"\x00\x01"), None);
    let mut long = offer();
    long.options.extend((0..5).map(|_| (56, vec![b'x'; 255])));
    assert_eq!(decoded(&long).expect("an offer").options.text(56.into()).map(|text| text.len()), Some(255));
}

#[test]
fn a_reply_is_for_one_mac_only() {
    assert_eq!(Reply::decode(&offer().bytes(), MacAddr([2; 6])), Err(Ignored::OtherHardware));
}
