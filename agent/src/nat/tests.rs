//! The ruleset against what nft is to read, and against a reading of it in which each port is looked up.

use std::net::Ipv4Addr;

use landfall_api::{Destination, Family, Forward, PortRange, Protocol};
use nftables::schema::Nftables;
use proptest::prelude::*;
use serde_json::Value;
use snapbox::assert_data_eq;

use super::{InForce, json::to_json, ruleset, shared};

fn forward(protocol: Protocol, port: &str, address: &str, private: Option<&str>) -> Forward {
    let range = |text: &str| text.parse::<PortRange>().expect("a port or a range");
    let address = address.parse().expect("an address");
    let to = Destination { address, port: private.map(range) };
    Forward::new(protocol, range(port), to).expect("as many private ports as public ones")
}

/// A forward of a TCP port for some.
fn from(port: &str, sources: &[&str], limit: Option<&str>) -> Forward {
    let sources = sources.iter().map(|source| source.parse().expect("a source"));
    let limit = limit.map(|rate| rate.parse().expect("a rate"));
    forward(Protocol::Tcp, port, "172.17.0.2", None).with_access(sources.collect(), limit)
}

fn rules(forward: &[Forward]) -> Value {
    let family =
        if forward.iter().any(|forward| forward.to6().is_some()) { Family::Both } else { Family::V4 };
    to_json(&ruleset(&"lan0".parse().expect("a name"), family, Vec::new(), forward))
}

fn object<'a>(rules: &'a Value, kind: &str, name: &str) -> Option<&'a Value> {
    let added = rules["nftables"].as_array()?.iter().filter_map(|object| object["add"].get(kind));
    added.into_iter().find(|object| object["name"] == name)
}

/// Whether an element's key holds the port, as nft reads it.
fn holds(key: &Value, port: u16) -> bool {
    let number = |value: &Value| value.as_u64().expect("a port");
    let [first, last] = match key.get("range") {
        Some(range) => [number(&range[0]), number(&range[1])],
        None => [number(key); 2],
    };
    (first..=last).contains(&port.into())
}

/// What a map leads to.
fn looked_up<'a>(rules: &'a Value, map: &str, port: u16) -> Option<&'a Value> {
    let elements = object(rules, "map", map)?["elem"].as_array().expect("elements");
    let mut found = elements.iter().filter(|element| holds(&element[0], port));
    let to = found.next().map(|element| &element[1]);
    assert_eq!(found.next(), None, "{port} is in {map} twice");
    to
}

/// Where a packet for `port` goes: by the rule that keeps the port, or the one that changes it.
fn destination(rules: &Value, protocol: Protocol, port: u16) -> Option<(Ipv4Addr, u16)> {
    let address = |value: &Value| value.as_str().and_then(|text| text.parse().ok()).expect("an address");
    let kept = looked_up(rules, &format!("{protocol}_address"), port);
    let remapped = looked_up(rules, &format!("{protocol}_remap_address"), port);
    let private = looked_up(rules, &format!("{protocol}_remap_port"), port);
    match (kept, remapped, private) {
        (Some(to), None, None) => Some((address(to), port)),
        (None, Some(to), Some(private)) => {
            Some((address(to), private.as_u64().and_then(|port| port.try_into().ok()).expect("a port")))
        }
        (None, None, None) => None,
        contradiction => panic!("{protocol} {port} is in {contradiction:?}"),
    }
}

fn passes(rules: &Value, protocol: Protocol, port: u16) -> bool {
    let set = object(rules, "set", &format!("{protocol}_forward"));
    let elements = set.and_then(|set| set["elem"].as_array()).into_iter().flatten();
    elements.filter(|key| holds(key, port)).count() == 1
}

/// Whether the target of a forwarded port sees the agent's address instead of its client's.
fn masquerades(rules: &Value, protocol: Protocol, port: u16) -> bool {
    let objects = rules["nftables"].as_array().expect("a list").iter();
    let is_its = |rule: &&Value| {
        let text = rule.to_string();
        rule["chain"] == "postrouting"
            && text.contains(r#"{"masquerade":"#)
            && text.contains(r#""op":"!=""#)
            && text.contains(&format!(r#""right":"{protocol}""#))
    };
    let Some(rule) = objects.filter_map(|object| object["add"].get("rule")).find(is_its) else {
        return false;
    };
    let name = format!("{protocol}_masquerade");
    let set = object(rules, "set", &name);
    assert_eq!(set.is_some(), rule.to_string().contains(&format!("@{name}")), "{rule}");
    let holds = |set: &Value| set["elem"].as_array().expect("elements").iter().any(|key| holds(key, port));
    set.is_none_or(holds)
}

#[test]
fn nft_reads_what_it_always_read() {
    let forward = [
        forward(Protocol::Tcp, "80", "172.17.0.2", None),
        forward(Protocol::Tcp, "8443", "172.17.0.2", Some("443")),
        forward(Protocol::Tcp, "8000-8100", "172.17.0.3", None),
        forward(Protocol::Udp, "53", "172.17.0.2", Some("5353")),
        forward(Protocol::Udp, "54", "169.254.192.1", None).with_masquerade(false),
        forward(Protocol::Udp, "1055", "169.254.192.1", Some("55")).with_masquerade(false),
        forward(Protocol::Sctp, "3868", "172.17.0.2", None),
        from("22", &["10.0.0.0/8", "10.1.0.0/16", "192.168.1.5"], Some("10/minute")),
        from("2200-2299", &["10.0.0.0/8", "192.168.1.5"], None),
        from("23", &["10.0.0.0/8"], None),
        from("24", &["0.0.0.0/0", "10.0.0.0/8"], Some("1/day")),
    ];
    let rules = rules(&forward);
    let lines: Vec<String> =
        rules["nftables"].as_array().expect("a list").iter().map(Value::to_string).collect();
    let text = format!("{{\"nftables\":[\n{}\n]}}\n", lines.join(",\n"));
    assert_data_eq!(text, snapbox::file!["ruleset.json"].raw());
}

#[test]
fn what_leads_on_over_ipv6_has_maps_of_its_own_and_the_same_sets() {
    let (to6, other) = ("fd00::2".parse().expect("an address"), "fd00::3".parse().expect("an address"));
    let forward = [
        forward(Protocol::Tcp, "80", "172.17.0.2", None).with_to6(Some(to6)),
        forward(Protocol::Tcp, "81", "172.17.0.2", None),
        forward(Protocol::Tcp, "8443", "172.17.0.2", Some("443")).with_to6(Some(other)),
        from("22", &["10.0.0.0/8", "2001:db8::/32"], None).with_to6(Some(to6)),
        from("23", &["10.0.0.0/8"], None),
        from("24", &["::/0"], None),
        from("25", &["::/0", "0.0.0.0/0"], None),
    ];
    let rules = rules(&forward);
    let map = |name: &str| object(&rules, "map", name).map(|map| map["elem"].to_string());
    assert_eq!(map("tcp_address6").as_deref(), Some(r#"[[22,"fd00::2"],[80,"fd00::2"]]"#));
    assert_eq!(map("tcp_remap_address6").as_deref(), Some(r#"[[8443,"fd00::3"]]"#));
    let set = |name: &str| object(&rules, "set", name).map(|set| set["elem"].to_string());
    assert_eq!(set("tcp_forward").as_deref(), Some("[80,81,8443,22,23,24,25]"));
    let refused = |name: &str| -> Vec<String> {
        let added = rules["nftables"].as_array().expect("a list").iter();
        let texts = added.filter_map(|object| object["add"].get("rule")).map(Value::to_string);
        texts.filter(|rule| rule.contains(&format!("@{name}\""))).collect()
    };
    let [v4, v6] = &refused("tcp_from0")[..] else { panic!("{rules}") };
    assert!(v4.contains("10.0.0.0") && v4.contains(r#""ip saddr""#), "{v4}");
    assert!(v6.contains("2001:db8::") && v6.contains(r#""ip6 saddr""#), "{v6}");
    let [_, v6] = &refused("tcp_from1")[..] else { panic!("{rules}") };
    assert!(v6.contains(r#""nfproto""#) && v6.contains(r#""ipv6""#), "{v6}");
    let [v4] = &refused("tcp_from2")[..] else { panic!("{rules}") };
    assert!(v4.contains(r#""nfproto""#) && v4.contains(r#""ipv4""#), "{v4}");
    assert_eq!(set("tcp_from3"), None);
}

#[test]
fn a_short_cut_is_taken_by_what_is_forwarded_between_two_interfaces() {
    let forward =
        [forward(Protocol::Tcp, "80", "172.17.0.2", None), forward(Protocol::Sctp, "81", "172.17.0.2", None)];
    let rules = |interfaces: &[&str]| {
        let interfaces = interfaces.iter().map(ToString::to_string).collect();
        to_json(&ruleset(&"lan0".parse().expect("a name"), Family::V4, interfaces, &forward)).to_string()
    };
    let alone = rules(&["lan0"]);
    assert!(!alone.contains("flowtable") && !alone.contains("short_cut"), "{alone}");
    let both = rules(&["lan0", "wire0"]);
    assert!(both.contains(r#""dev":["lan0","wire0"]"#), "{both}");
    assert_eq!(both.matches(r#"{"flow":{"flowtable":"@short_cut","op":"add"}}"#).count(), 1, "{both}");
}

#[test]
fn forwards_to_the_same_places_share_a_rule() {
    let replicated = |port: &str, private: Option<&str>, replicas: &[&str]| {
        let replicas = replicas.iter().map(|replica| replica.parse().expect("an address")).collect();
        let forward = forward(Protocol::Tcp, port, "172.17.0.2", private);
        forward.with_replicas(replicas, Vec::new()).expect("as many")
    };
    let forward = [
        replicated("80", None, &["172.17.0.3"]),
        replicated("443", None, &["172.17.0.3"]),
        replicated("8080-8081", Some("80-81"), &["172.17.0.3"]),
        replicated("22", None, &["172.17.0.4"]),
    ];
    let rules = rules(&forward);
    let set = |name: &str| object(&rules, "set", name).map(|set| set["elem"].to_string());
    assert_eq!(set("tcp_spread0").as_deref(), Some("[80,443]"));
    assert_eq!(set("tcp_spread1").as_deref(), Some(r#"[{"range":[8080,8081]}]"#));
    assert_eq!(set("tcp_spread2").as_deref(), Some("[22]"));
    assert_eq!(set("tcp_spread3"), None);
    assert_eq!(rules.to_string().matches("jhash").count(), 3);
    assert!(object(&rules, "map", "tcp_address").is_none());
}

#[test]
fn in_a_shared_namespace_there_are_no_more_rules_than_asked_for() {
    let here = |forward: Forward| forward.here(Family::V4);
    let rules_of = |family, forward: &[Forward]| {
        let json = to_json(&shared(&"ll0".parse().expect("a name"), family, forward));
        let added = json["nftables"].as_array().expect("a list").iter().skip(2).map(Value::to_string);
        added.collect::<Vec<_>>()
    };
    let rules = |forward: &[Forward]| rules_of(Family::V4, forward);
    let [_, chain, rule] = &rules_of(Family::Both, &[])[..] else { panic!("other rules") };
    assert!(chain.contains("raw") && rule.contains("ipv6") && rule.contains(r#""iif""#), "{chain} {rule}");
    let plain = here(forward(Protocol::Tcp, "80", "172.17.0.2", None));
    assert_eq!(rules(std::slice::from_ref(&plain)), [""; 0]);
    let changed = here(forward(Protocol::Udp, "53", "172.17.0.2", Some("5353")));
    let [table, chain, _, lan, host, map, rule] = &rules(&[plain, changed])[..] else {
        panic!("other rules")
    };
    assert!(table.contains("table") && chain.contains("prerouting"), "{table} {chain}");
    assert!(lan.contains("ll0") && host.contains("lh*"), "{lan} {host}");
    assert!(map.contains("[[53,5353]]") && rule.contains("dnat"), "{map} {rule}");
    let [_, chain, _, lan, host, _, rule] = &rules(&[from("22", &["10.0.0.0/8"], None)])[..] else {
        panic!("other rules")
    };
    assert!(chain.contains("filter") && lan.contains("ll0") && host.contains("lh*"), "{chain} {lan} {host}");
    assert!(rule.contains("sources") && rule.contains("drop"), "{rule}");
    let [_, chain, _, _, _, rule] = &rules(&[from("22", &[], Some("1/day"))])[..] else {
        panic!("other rules")
    };
    assert!(chain.contains("prerouting") && rule.contains("limit"), "{chain} {rule}");
}

#[test]
fn a_protocol_without_forwards_has_no_objects() {
    let rules = rules(&[forward(Protocol::Udp, "53", "172.17.0.2", None)]).to_string();
    assert!(rules.contains("udp_address") && !rules.contains("tcp_") && !rules.contains("sctp_"), "{rules}");
}

#[test]
fn forwards_with_the_same_sources_share_a_rule() {
    let rules = rules(&[
        from("22", &["10.1.0.0/16", "10.0.0.0/8"], None),
        from("23", &["192.168.1.5"], None),
        from("24", &["10.0.0.0/9", "10.128.0.0/9"], None),
        from("25", &["0.0.0.0/0"], None),
    ]);
    let ports = |set| object(&rules, "set", set).map(|set| set["elem"].to_string());
    assert_eq!(ports("tcp_from0").as_deref(), Some("[22,24]"));
    assert_eq!(ports("tcp_from1").as_deref(), Some("[23]"));
    assert_eq!(ports("tcp_from2"), None);
}

#[test]
fn only_what_holds_a_range_is_a_tree() {
    let remapped = forward(Protocol::Tcp, "90-91", "172.17.0.2", Some("190-191"));
    let cases = [
        (vec![forward(Protocol::Tcp, "80", "172.17.0.2", None)], ["tcp_address"].as_slice(), [].as_slice()),
        (vec![forward(Protocol::Tcp, "80-81", "172.17.0.2", None)], &[], &["tcp_address"]),
        (vec![remapped], &["tcp_remap_port"], &["tcp_remap_address"]),
    ];
    for (forward, hashed, trees) in cases {
        let rules = rules(&forward);
        let flags = |map: &&str| object(&rules, "map", map).expect("a map").get("flags");
        assert!(hashed.iter().all(|map| flags(map).is_none()), "{forward:?}");
        assert!(trees.iter().all(|map| flags(map).is_some()), "{forward:?}");
    }
}

#[test]
fn neighbours_become_one_element_only_if_that_halves_them() {
    let elements = |ports: &[&str], addresses: &[&str]| {
        let forward: Vec<Forward> =
            ports.iter().zip(addresses).map(|(port, to)| forward(Protocol::Tcp, port, to, None)).collect();
        object(&rules(&forward), "map", "tcp_address").map(|map| map["elem"].to_string())
    };
    let (here, there) = ("172.17.0.2", "172.17.0.3");
    let one = Some(r#"[[{"range":[80,82]},"172.17.0.2"]]"#.to_owned());
    assert_eq!(elements(&["81", "80", "82"], &[here; 3]), one);
    let two = Some(r#"[[80,"172.17.0.2"],[81,"172.17.0.3"]]"#.to_owned());
    assert_eq!(elements(&["80", "81"], &[here, there]), two);
    let three = Some(r#"[[80,"172.17.0.2"],[81,"172.17.0.2"],[90,"172.17.0.2"]]"#.to_owned());
    assert_eq!(elements(&["80", "81", "90"], &[here; 3]), three);
}

prop_compose! {
    fn any_forward()(
        protocol in prop::sample::select(Protocol::ALL.to_vec()),
        first in prop_oneof![1u16..60, 65500..=65535u16],
        length in 0u16..6,
        host in 2u8..4,
        private in prop::option::of(1u16..65530),
        masquerade in any::<bool>(),
    ) -> Forward {
        let range = |first: u16, length: u16| format!("{first}-{}", first + length);
        let length = length.min(u16::MAX - first);
        let private = private.map(|first| range(first, length));
        forward(protocol, &range(first, length), &format!("172.17.0.{host}"), private.as_deref())
            .with_masquerade(masquerade)
    }
}

/// A list as a spec has it.
fn any_forwards() -> impl Strategy<Value = Vec<Forward>> {
    prop::collection::vec(any_forward(), 0..20).prop_map(|candidates| {
        let mut forward: Vec<Forward> = Vec::new();
        for candidate in candidates {
            if !forward.iter().any(|other| other.overlaps(&candidate)) {
                forward.push(candidate);
            }
        }
        forward
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_port_leads_where_its_forward_says_and_no_other_port_leads_anywhere(forward in any_forwards()) {
        let rules = rules(&forward);
        for protocol in Protocol::ALL {
            for port in (1..=70).chain(65490..=u16::MAX) {
                let its = forward.iter().find(|forward| {
                    forward.protocol() == protocol && forward.port().ports().any(|public| public == port)
                });
                let wanted = its.map(|forward| {
                    let private = forward.to().port.map_or(port, |to| to.first() + (port - forward.port().first()));
                    (forward.to().address, private)
                });
                prop_assert_eq!(destination(&rules, protocol, port), wanted);
                prop_assert_eq!(passes(&rules, protocol, port), its.is_some());
                if let Some(forward) = its {
                    prop_assert_eq!(masquerades(&rules, protocol, port), forward.masquerade());
                }
            }
        }
    }
}

#[test]
fn a_change_leaves_the_chains_and_the_maps_that_lead_where_they_led() {
    let tcp = |port: &str| forward(Protocol::Tcp, port, "172.17.0.2", None);
    let udp = || forward(Protocol::Udp, "53", "172.17.0.2", None);
    let rules = |interfaces: &[&str], forward: &[Forward]| {
        let interfaces = interfaces.iter().map(ToString::to_string).collect();
        ruleset(&"lan0".parse().expect("a name"), Family::V4, interfaces, forward)
    };
    let old = InForce::of(&rules(&["lan0", "wire0"], &[tcp("80"), udp()]));
    let new = rules(&["lan0", "wire0", "wire1"], &[tcp("81"), udp()]);
    let changed = to_json(&change(&old, new.clone()));
    let commands = |verb: &str, kind: &str| -> Vec<String> {
        let all = changed["nftables"].as_array().expect("a list").iter();
        let objects = all.filter_map(|object| object.get(verb)?.get(kind));
        objects.map(|object| object["name"].as_str().unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(commands("flush", "table"), ["landfall"]);
    assert_eq!(
        [commands("delete", "table"), commands("delete", "chain"), commands("add", "chain")],
        [[""; 0]; 3]
    );
    assert_eq!(
        (commands("delete", "map"), commands("add", "map")),
        (vec!["tcp_address".into()], vec!["tcp_address".into()])
    );
    assert_eq!(commands("delete", "flowtable"), commands("add", "flowtable"));
    assert_eq!(commands("delete", "set").len(), 4);
    assert_eq!(commands("add", "set").len(), 4);
    assert_eq!(commands("add", "rule").len(), added(&new, "rule"));
    // A ruleset with other chains, or with none, replaces the whole table
    for other in [
        shared(&"ll0".parse().expect("a name"), Family::Both, &[]),
        shared(&"ll0".parse().expect("a name"), Family::V4, &[]),
    ] {
        assert_eq!(change(&old, other.clone()), other);
        assert_eq!(change(&InForce::of(&other), new.clone()), new);
    }
    let nothing = shared(&"ll0".parse().expect("a name"), Family::V4, &[]);
    assert_eq!(
        change(&InForce::of(&nothing), nothing.clone()),
        nothing,
        "no table exists that could be changed"
    );
}

fn change(old: &InForce, new: Nftables<'static>) -> Nftables<'static> {
    old.change(&InForce::of(&new), new)
}

fn added(ruleset: &Nftables<'_>, kind: &str) -> usize {
    let json = to_json(ruleset);
    let all = json["nftables"].as_array().expect("a list").iter();
    all.filter(|object| object["add"].get(kind).is_some()).count()
}
