//! What a spec can say of DHCP: every key that `docs/spec.md` shows, and everything that cannot be meant.

use landfall_api::{
    Address, Broadcast, ClientId, ConflictDetection, Dhcp, DnsUpdate, Mtu, NoServer, Server, Spec,
};

const DOCUMENTATION: &str = include_str!("../../../docs/spec.md");

fn spec(dhcp: &str) -> String {
    format!("version: 1\ninterface: lan0\naddress:\n  dhcp: {dhcp}\n")
}

fn read(dhcp: &str) -> Dhcp {
    let Address::Dhcp(dhcp) = Spec::from_yaml(&spec(dhcp)).expect("a good spec").address;
    dhcp
}

#[test]
fn every_yaml_block_of_the_documentation_is_a_spec_and_shows_every_key() {
    let blocks: Vec<&str> =
        DOCUMENTATION.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(blocks.len() >= 2, "{} blocks", blocks.len());
    let mut shown = Vec::new();
    for block in &blocks {
        let spec = Spec::from_yaml(block).unwrap_or_else(|error| panic!("{error}:\n{block}"));
        assert_eq!(Spec::from_yaml(&spec.to_yaml()).expect("our own writing"), spec);
        shown.push(block.replace(' ', ""));
    }
    let all = "hostname fqdn client_id vendor_class request servers send ask conflict_detection rapid_commit broadcast \
               mtu ipv6_only assume_lease_time start_jitter timeout no_server";
    for key in all.split_whitespace() {
        let key = format!("{key}:");
        assert!(shown.iter().any(|block| block.contains(&key)), "{key} is not shown");
        let row = format!("| `{}` |", key.trim_end_matches(':'));
        assert!(DOCUMENTATION.contains(&row), "{row} is not explained");
    }
}

#[test]
fn each_key_is_read() {
    let id = read("{client_id: \"00:77\"}").client_id;
    assert!(matches!(id, ClientId::Octets(octets) if octets.as_slice() == [0, 0x77]));
    assert_eq!(read("{client_id: duid}").client_id, ClientId::Duid);
    let fqdn = read("{fqdn: {name: web.example.org, update: client}}").fqdn.expect("a name");
    assert_eq!((fqdn.name.as_str(), fqdn.update), ("web.example.org", DnsUpdate::Client));
    let servers = read("{servers: [10.0.0.1, \"02:00:00:00:00:01\"]}").servers;
    assert!(matches!(servers[..], [Server::Identifier(_), Server::Mac(_)]));
    let sent: Vec<u8> =
        read("{send: {77: \"01:02\", 200: ff}}").send.keys().map(|code| code.number()).collect();
    assert_eq!(sent, [77, 200]);
    assert_eq!(read("{conflict_detection: rfc5227}").conflict_detection, ConflictDetection::Rfc5227);
    assert!(!read("{rapid_commit: false}").rapid_commit);
    assert_eq!(read("{broadcast: always}").broadcast, Broadcast::Always);
    assert_eq!(read("{mtu: accept}").mtu, Mtu::Accept);
    assert_eq!(read("{no_server: link-local, timeout: 5}").no_server, NoServer::LinkLocal);
    assert_eq!(read("{}"), Dhcp::default());
}

#[test]
fn what_cannot_be_meant_is_refused_with_its_place() {
    let long = "x".repeat(250);
    for (dhcp, says) in [
        ("{hostname: web, fqdn: {name: web.example.org}}", "exclude each other"),
        ("{send: {53: ff}}", "option 53 cannot be set"),
        ("{send: {0: ff}}", "no option code"),
        ("{send: {77: xyz}}", "'xyz' is no value"),
        ("{send: {77: ''}}", "is no value"),
        ("{ask: [255]}", "no option code"),
        ("{client_id: \"01\"}", "'01' is no client identifier"),
        ("{client_id: web}", "'web' is no client identifier"),
        ("{servers: [dhcp.example.org]}", "is no server"),
        ("{vendor_class: ''}", "vendor_class has 0 octets"),
        (&format!("{{vendor_class: {long}, hostname: web}}"), "room for 256"),
        ("{request: 224.0.0.1}", "224.0.0.1 cannot be requested"),
        ("{request: 127.0.0.1}", "127.0.0.1 cannot be requested"),
        ("{assume_lease_time: 59}", "at least 60 seconds"),
        ("{timeout: 0}", "at least 1 second"),
        ("{timeout: soon}", "timeout"),
        ("{conflict_detection: maybe}", "unknown variant `maybe`"),
        ("{no_server: panic}", "unknown variant `panic`"),
        ("{lease_time: 60}", "unknown field `lease_time`"),
    ] {
        let error = Spec::from_yaml(&spec(dhcp)).expect_err(dhcp).to_string();
        assert!(error.contains(says), "{dhcp}: {error}");
        assert!(error.contains("line 4 column"), "{dhcp}: {error}");
    }
}
