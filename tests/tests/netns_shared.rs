//! The agent in a network namespace that is its target's: it adds what its lease needs, and takes nothing away.
#![allow(clippy::wildcard_enum_match_arm, reason = "a test looks at the events that it is about")]

use std::net::{Ipv4Addr, SocketAddrV4};

use dhcproto::v4::MessageType;
use landfall_api::Event;
use landfall_tests::{
    agent::{Agent, address, forward, spec, spec_for},
    client::{echo, echo_from, is_silent, serve},
    lan::{CLIENT, Lan},
    netns::Netns,
    run::wait_until,
    scripted::Scripted,
};
use nix::sys::signal::Signal;

/// A spec for a target at `to` in the agent's namespace.
fn shared(forwards: &str) -> String {
    spec(forwards).replace("interface: lan0", "interface: lan0\nnamespace: shared")
}

/// A namespace with a network of its own, whose router is its default.
fn with_its_own_network() -> Netns {
    let namespace = Netns::new();
    give_network(&namespace);
    namespace
}

fn give_network(namespace: &Netns) {
    namespace.ip("link add eth0 type veth peer name port0");
    namespace.ip("addr add 172.30.0.2/24 dev eth0");
    for end in ["eth0", "port0"] {
        namespace.ip(&format!("link set {end} up"));
    }
    namespace.ip("route add default via 172.30.0.1");
}

/// The routing rules that the agent has made, and the routes that these lead to.
fn aside(namespace: &Netns) -> (String, Vec<String>) {
    let rules =
        namespace.ip("rule").lines().filter(|line| line.contains("proto 108")).collect::<Vec<_>>().join("\n");
    let routes = namespace.ip("-4 route show table 1818628096");
    (rules, routes.lines().map(|line| line.trim().to_owned()).collect())
}

/// What there is aside for an address.
fn expect_aside(namespace: &Netns, address: Ipv4Addr) {
    let (rules, routes) = aside(namespace);
    let unbound = "13:\tfrom 0.0.0.0 lookup 1818628096 suppress_prefixlength 0 proto 108";
    assert_eq!(rules, format!("10:\tfrom {address} lookup 1818628096 proto 108\n{unbound}"));
    assert_eq!(
        routes,
        [
            format!("default via 10.99.0.1 dev lan0 proto dhcp src {address}"),
            format!("10.99.0.0/24 dev lan0 proto dhcp scope link src {address}")
        ]
    );
}

const DNSMASQ: [&str; 9] = [
    "--keep-in-foreground",
    "--port=0",
    "--interface=br0",
    "--bind-interfaces",
    "--conf-file=/dev/null",
    "--user=root",
    "--pid-file=",
    "--no-ping",
    "--dhcp-authoritative",
];

#[test]
fn what_the_target_has_stays_and_what_the_lease_needs_follows_it() {
    // Given an agent beside a target's own interface and default route
    let mut lan = Lan::new();
    let mut agent = Agent::within(with_its_own_network());
    let before = agent.namespace.ip("-4 route show default");
    lan.plug(&agent.namespace, "lan0");
    agent.tell(&shared(&forward("tcp", "80", "0.0.0.0")));
    let first = address(&agent.ready());
    // Then its routes are aside, and nothing is forwarded, filtered or tracked
    expect_aside(&agent.namespace, first);
    assert_eq!(agent.namespace.ip("-4 route show default"), before);
    assert!(!agent.namespace.ip("-4 route show table main").contains("lan0"));
    assert_eq!(agent.namespace.run(&["sysctl", "-n", "net.ipv4.conf.lan0.forwarding"]).trim(), "0");
    for (to, way) in
        [("10.99.0.77", "dev lan0"), ("10.99.0.77 from 172.30.0.2", "dev eth0"), ("192.0.2.1", "dev eth0")]
    {
        assert!(agent.namespace.ip(&format!("route get {to}")).contains(way), "{to}");
    }
    assert_eq!(agent.namespace.run(&["nft", "list", "tables"]), "");
    // When the LAN's server gives other addresses from now on
    lan.stop_server();
    let leases = format!("--dhcp-leasefile={}", lan.file("other-leases").display());
    let range = "--dhcp-range=10.99.0.30,10.99.0.39,2m";
    lan.serve("dnsmasq", &[&DNSMASQ[..], &[&leases, range]].concat());
    agent.namespace.ip("link set lan0 down");
    agent.namespace.ip("link set lan0 up");
    let second = agent.expect("another lease", |event| match event {
        Event::Leased { lease, .. } if address(&lease) != first => Some(address(&lease)),
        _ => None,
    });
    // Then rule and routes are those of the new address, and no others
    expect_aside(&agent.namespace, second);
    // And when the agent ends, all is as it was
    agent.signal(Signal::SIGTERM);
    assert_eq!(agent.wait().0, 0);
    assert_eq!(aside(&agent.namespace), (String::new(), Vec::new()));
    assert_eq!(agent.namespace.ip("-4 -o addr show dev lan0"), "");
    assert_eq!(agent.namespace.ip("-4 route show default"), before);
}

#[test]
fn a_target_without_a_way_out_gets_one_behind_any_other() {
    let lan = Lan::new();
    let mut agent = Agent::within(Netns::new());
    lan.plug(&agent.namespace, "lan0");
    agent.tell(&shared("  []\n"));
    expect_aside(&agent.namespace, address(&agent.ready()));
    assert!(
        agent
            .namespace
            .ip("-4 route show default")
            .starts_with("default via 10.99.0.1 dev lan0 proto dhcp metric 27750")
    );
    // It collides with none that Docker may add when it connects the target to a network
    give_network(&agent.namespace);
    assert!(agent.namespace.ip("route get 192.0.2.1").contains("via 172.30.0.1"));
    agent.signal(Signal::SIGTERM);
    assert_eq!(agent.wait().0, 0);
    assert!(!agent.namespace.ip("-4 route").contains("lan0"));
}

#[test]
fn rules_come_and_go_with_the_forwards_that_need_them() {
    let lan = Lan::new();
    let mut agent = Agent::within(with_its_own_network());
    lan.plug(&agent.namespace, "lan0");
    agent.tell(&shared(&forward("tcp", "80", "0.0.0.0")));
    agent.ready();
    let tables = |agent: &Agent| agent.namespace.run(&["nft", "list", "tables"]);
    agent.tell(&shared(&forward("tcp", "8080", "0.0.0.0:80")));
    agent.forwarding();
    assert!(tables(&agent).contains("landfall"));
    agent.tell(&shared(&forward("tcp", "80", "0.0.0.0")));
    agent.forwarding();
    assert_eq!(tables(&agent), "");
    // A spec for a namespace of its own is not one that it can follow now
    agent.tell(&spec(&forward("tcp", "80", "172.30.0.2")));
    let message = agent.expect("a warning", |event| match event {
        Event::Warning { message } => Some(message),
        _ => None,
    });
    assert!(message.contains("namespace"), "{message}");
    agent.tell(&shared(&forward("tcp", "8080", "0.0.0.0:80")));
    agent.forwarding();
    agent.signal(Signal::SIGTERM);
    assert_eq!(agent.wait().0, 0);
    wait_until("its table is gone", || tables(&agent).is_empty());
}

#[test]
fn sources_are_for_who_asks_and_not_for_who_answers() {
    // Given a UDP port for nobody on the LAN
    let lan = Lan::new();
    let mut agent = Agent::within(with_its_own_network());
    lan.plug(&agent.namespace, "lan0");
    agent.tell(&shared(&forward("udp", "53", "0.0.0.0").replace('}', ", from: [192.0.2.1]}")));
    let address = address(&agent.ready());
    serve(&agent.namespace, "--udp 7000");
    let client = lan.client();
    serve(&client, "--udp 7");
    // Then the target hears from there what it has asked for, and nothing else
    let peer = SocketAddrV4::new(CLIENT.parse().expect("an address"), 7);
    echo_from(&agent.namespace, 53, peer, "question").expect("an answer");
    assert!(is_silent(&client, SocketAddrV4::new(address, 53)));
    echo(&client, SocketAddrV4::new(address, 7000), "question").expect("another port");
}

#[test]
fn a_lease_that_is_lost_leaves_ipv6_alone() {
    // Given addresses of both families, from a router and from a server that takes its own back
    let lan = Lan::with_ipv6(&["--enable-ra", "--dhcp-range=2001:db8:99::,ra-only,64,2m"]);
    let _server = Scripted::answering(&lan, |heard, before| match (heard.kind, before) {
        (MessageType::Discover, 0) => Some((MessageType::Offer, 12)),
        (MessageType::Request, _) if heard.is_extension() => Some((MessageType::Nak, 12)),
        (MessageType::Request, _) => Some((MessageType::Ack, 12)),
        _ => None,
    });
    let mut agent = Agent::within(with_its_own_network());
    lan.plug(&agent.namespace, "lan0");
    let forwards = forward("tcp", "80", "0.0.0.0");
    agent.tell(&spec_for("both", &forwards).replace("interface: lan0", "interface: lan0\nnamespace: shared"));
    let rules = || agent.namespace.ip("-6 rule");
    wait_until("IPv6", || rules().contains("from 2001:db8:99:") && rules().contains("lookup 1818628096"));
    let before = rules();
    // When that has done so
    agent.expect("it is lost", |event| matches!(event, Event::Lost { .. }).then_some(()));
    wait_until("its rules are gone", || aside(&agent.namespace) == (String::new(), Vec::new()));
    // Then the way back for IPv6 is still there
    assert_eq!(rules(), before);
}

#[test]
fn an_uplink_that_goes_takes_its_rules_along() {
    let lan = Lan::new();
    let mut agent = Agent::within(with_its_own_network());
    lan.plug(&agent.namespace, "lan0");
    agent.tell(&shared(&forward("tcp", "80", "0.0.0.0")));
    agent.ready();
    agent.namespace.ip("link del lan0");
    agent.expect("it is lost", |event| matches!(event, Event::Lost { .. }).then_some(()));
    assert_eq!(aside(&agent.namespace), (String::new(), Vec::new()));
}
