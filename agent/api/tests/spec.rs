//! The spec through its public face: what is read, what is written, what is refused and where.

use std::fmt::Write as _;

use landfall_api::{Address, Dhcp, Family, Forward, HERE6, Namespace, Spec, SpecError};

const SPEC: &str = r#"version: 1
interface: lan0
address:
  dhcp: {hostname: web}
forward:
  - {protocol: tcp, port: 80, to: 172.17.0.2}
  - {protocol: udp, port: 53, to: "172.17.0.2:5353"}
  - {protocol: tcp, port: 8000-8001, to: "172.17.0.2:9000-9001"}
  - {protocol: tcp, port: 443, to: 169.254.192.1, masquerade: false}
"#;

fn refused(text: &str) -> String {
    Spec::from_yaml(text).expect_err("a bad spec").to_string()
}

#[test]
fn a_spec_is_read_as_it_is_written() {
    let spec = Spec::from_yaml(SPEC).expect("a good spec");
    let forward: Vec<String> = spec.forward().iter().map(ToString::to_string).collect();
    assert_eq!(
        forward,
        [
            "80/tcp -> 172.17.0.2",
            "53/udp -> 172.17.0.2:5353",
            "8000-8001/tcp -> 172.17.0.2:9000-9001",
            "443/tcp -> 169.254.192.1"
        ]
    );
    assert_eq!(spec.forward().iter().map(Forward::masquerade).collect::<Vec<_>>(), [true, true, true, false]);
    assert_eq!(Spec::from_yaml(&spec.to_yaml()).expect("our own writing"), spec);
}

#[test]
fn only_the_interface_and_the_address_are_required() {
    let spec = Spec::from_yaml("version: 1\ninterface: lan0\naddress: {dhcp: {}}\n").expect("a small spec");
    assert_eq!(spec.address, Address::Dhcp(Dhcp::default()));
    assert!(spec.forward().is_empty());
    assert_eq!(Spec::from_yaml(&spec.to_yaml()).expect("our own writing"), spec);
}

#[test]
fn who_may_connect_is_read_as_it_is_written() {
    let text = SPEC.replace("172.17.0.2}", "172.17.0.2, from: [10.0.0.0/8, 192.168.1.5], limit: 10/minute}");
    let spec = Spec::from_yaml(&text).expect("a spec");
    let first = &spec.forward()[0];
    let sources: Vec<String> = first.sources().iter().map(ToString::to_string).collect();
    assert_eq!(sources, ["10.0.0.0/8", "192.168.1.5"]);
    assert_eq!(first.limit().map(|rate| rate.to_string()).as_deref(), Some("10/minute"));
    assert_eq!(Spec::from_yaml(&spec.to_yaml()).expect("our own writing"), spec);
}

#[test]
fn in_a_shared_namespace_all_forwards_stay() {
    let spec = Spec::from_yaml(SPEC).expect("a spec").shared();
    let forward: Vec<String> = spec.forward().iter().map(ToString::to_string).collect();
    assert_eq!(forward[..2], ["80/tcp -> 0.0.0.0", "53/udp -> 0.0.0.0:5353"]);
    assert_eq!(spec.namespace, Namespace::Shared);
    assert_eq!(Spec::from_yaml(&spec.to_yaml()).expect("our own writing"), spec);
    // And what comes over IPv6 stays as well, whether that is said or not
    let spec = Spec::from_yaml(SPEC).expect("a spec").with_family(Family::Both).shared();
    assert!(spec.forward().iter().all(|forward| forward.to6() == Some(HERE6)));
    let written = spec.to_yaml();
    assert_eq!(Spec::from_yaml(&written).expect("our own writing"), spec);
    let unsaid = written.lines().filter(|line| !line.contains("to6")).collect::<Vec<_>>().join("\n");
    assert_ne!(unsaid, written);
    assert_eq!(Spec::from_yaml(&unsaid).expect("a spec"), spec);
    // And there are no several places there
    let text = "{protocol: tcp, port: 80, to: 0.0.0.0, replicas: [0.0.0.0]}";
    let text = format!(
        "version: 1\ninterface: lan0\nnamespace: shared\nfamily: both\naddress: {{dhcp: {{}}}}\nforward: [{text}]\n"
    );
    let several = Spec::from_yaml(&text).expect("a spec");
    assert_eq!(Spec::from_yaml(&several.to_yaml()).expect("our own writing"), several);
}

#[test]
fn every_error_names_its_line_and_column() {
    let cases = [
        ("unknown key", SPEC.replace("interface:", "iface:"), "line 2 column 1"),
        ("duplicate key", SPEC.replace("address:", "interface: lan1\naddress:"), "line 3 column 1"),
        ("bad interface", SPEC.replace("lan0", "lan/0"), "line 2 column 12"),
        ("bad host name", SPEC.replace("web", "we_b"), "line 4 column 20"),
        ("unknown address", SPEC.replace("dhcp", "magic"), "line 4 column 3"),
        ("port 0", SPEC.replace("port: 80,", "port: 0,"), "line 6 column 27"),
        ("port 65536", SPEC.replace("port: 80,", "port: 65536,"), "line 6 column 27"),
        ("negative port", SPEC.replace("port: 80,", "port: -1,"), "line 6 column 27"),
        ("bad protocol", SPEC.replace("udp", "icmp"), "line 7 column 16"),
        ("bad address", SPEC.replace("172.17.0.2:5353", "172.17.0:5353"), "line 7 column 35"),
        ("backwards", SPEC.replace("8000-8001", "8001-8000"), "line 8 column 27"),
        ("unknown key of a forward", SPEC.replace("port: 80,", "ports: 80,"), "line 6 column 21"),
        ("tab", SPEC.replace("  dhcp", "\tdhcp"), "line 4 column 2"),
        ("two documents", format!("{SPEC}---\n{SPEC}"), "line 11 column 1"),
        ("version", SPEC.replace("version: 1", "version: 2"), "line 1 column 10"),
        (
            "overlap",
            SPEC.replace("8000-8001, to: \"172.17.0.2:9000-9001\"", "79-81, to: 172.17.0.3"),
            "line 8 column 5",
        ),
        ("sizes differ", SPEC.replace("9000-9001", "9000"), "line 8 column 5"),
        ("missing key", SPEC.replace("interface: lan0\n", ""), "line 4 column 1"),
        ("nobody", SPEC.replace("172.17.0.2}", "172.17.0.2, from: []}"), "line 6 column 5"),
        ("bad source", SPEC.replace("172.17.0.2}", "172.17.0.2, from: [10.0.0.1/8]}"), "line 6 column 54"),
        ("bad rate", SPEC.replace("172.17.0.2}", "172.17.0.2, limit: 10}"), "line 6 column 54"),
        (
            "elsewhere",
            SPEC.replace("interface: lan0", "interface: lan0\nnamespace: shared"),
            "line 7 column 5",
        ),
        (
            "elsewhere over IPv6",
            SPEC.replace("interface: lan0", "interface: lan0\nnamespace: shared")
                .replace("172.17.0.2}", "0.0.0.0, to6: \"fd00::2\"}"),
            "line 7 column 5",
        ),
        ("nowhere over IPv6", SPEC.replace("172.17.0.2}", "172.17.0.2, to6: \"::\"}"), "line 6 column 5"),
        ("nowhere", SPEC.replace("172.17.0.2}", "0.0.0.0}"), "line 6 column 5"),
    ];
    for (name, text, place) in cases {
        assert_ne!(text, SPEC, "{name}: the case changes nothing");
        let error = refused(&text);
        assert!(error.contains(place), "{name}: not at {place}: {error}");
    }
}

#[test]
fn an_overlap_names_both_forwards() {
    let text = SPEC.replace("port: 53", "port: 53-60").replace("udp", "tcp").replace("80,", "60,");
    let text = text.replace("\"172.17.0.2:5353\"", "172.17.0.3");
    assert_eq!(
        refused(&text),
        "line 7 column 5: 53-60/tcp -> 172.17.0.3 overlaps with 60/tcp -> 172.17.0.2; \
         one public port can lead to one place only"
    );
}

#[test]
fn aliases_cannot_grow_without_bound() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for i in 1..10 {
        let previous = format!("*a{}, ", i - 1).repeat(10);
        writeln!(text, "a{i}: &a{i} [{previous}]").expect("a string grows");
    }
    assert!(matches!(Spec::from_yaml(&text), Err(SpecError::Syntax(_))));
}

#[test]
fn ten_thousand_forwards_are_read() {
    let mut text = String::from("version: 1\ninterface: lan0\naddress: {dhcp: {}}\nforward:\n");
    for port in 1..=10_000 {
        writeln!(text, "  - {{protocol: tcp, port: {port}, to: 172.17.0.2}}").expect("a string grows");
    }
    assert_eq!(Spec::from_yaml(&text).expect("many forwards").forward().len(), 10_000);
}
