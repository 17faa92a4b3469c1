//! What networks do to a DHCP client (N): late packets, odd servers, modes of a macvlan, silence.
#![allow(clippy::wildcard_enum_match_arm, reason = "a test looks at the events that it is about")]

use std::{
    net::{Ipv4Addr, UdpSocket},
    process::Stdio,
};

use etherparse::VlanId;
use landfall_api::{Event, Search};
use landfall_tests::{
    agent::{Agent, forward, spec},
    lan::Lan,
    netns::Netns,
    run::{run, unique, wait_until},
    scripted::{GIVEN, reply_to},
    tap::{Tap, from_client, to_client},
};

/// Message types (RFC 2132, section 9.6).
const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const ACK: u8 = 5;
const RELEASE: u8 = 7;

fn web() -> String {
    forward("tcp", "80", "172.30.0.2")
}

/// What an agent says of its search once it has seen what arrives.
fn diagnosis(agent: &Agent) -> Search {
    agent.expect("a diagnosis", |event| match event {
        Event::Searching(search) if search.seen.is_some() => Some(search),
        _ => None,
    })
}

#[test]
fn n_01_a_reply_that_comes_late_is_not_answered_by_icmp() {
    let lan = Lan::new();
    let agent = Agent::on(&lan, &web());
    let address = agent.ready().address.addr();
    // When the server repeats itself to the address that is in use
    let server = lan.router.within(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a port"));
    for _ in 0..3 {
        server.send_to(&[2; 300], (address, 68)).expect("the router has a route");
    }
    // And asks for an answer, behind what came before
    lan.router.run(&["ping", "-q", "-c", "1", &address.to_string()]);
    // Then the kernel had a socket for each and sent no ICMP error
    let snmp = agent.namespace.run(&["cat", "/proc/net/snmp"]);
    let table: Vec<Vec<&str>> = snmp
        .lines()
        .filter(|line| line.starts_with("Icmp:"))
        .map(|line| line.split_whitespace().collect())
        .collect();
    let column = table[0].iter().position(|name| *name == "OutDestUnreachs").expect("the kernel counts them");
    assert_eq!(table[1][column], "0", "{snmp}");
}

#[test]
fn n_03_every_frame_comes_from_the_hardware_address_that_it_names() {
    // Given a lease so short that it is renewed at once, on a macvlan
    let lan = Lan::with_dnsmasq(&["--dhcp-range=10.99.0.100,10.99.0.200,2m", "--no-ping"]);
    let tap = Tap::on(&lan.router, "br0");
    let (agent, _host) = on_macvlan(&lan, "bridge");
    let mut kinds = Vec::new();
    agent.ready();
    agent.signal(nix::sys::signal::Signal::SIGTERM);
    // Then whatever is said, unicast or not, has the client's address in frame and message
    tap.expect("a release", |frame| {
        let message = from_client(frame)?;
        assert_eq!(frame[6..12], message[28..34], "source and chaddr");
        kinds.push(message[242]);
        (message[242] == RELEASE).then_some(())
    });
    assert!(kinds.contains(&DISCOVER) && kinds.contains(&REQUEST), "{kinds:?}");
}

#[test]
fn n_04_each_mode_of_a_macvlan_leases() {
    let lan = Lan::new();
    for mode in ["bridge", "private", "vepa", "passthru"] {
        let (agent, _host) = on_macvlan(&lan, mode);
        agent.ready();
    }
}

/// An agent whose uplink is a macvlan of a host's interface; the host is to be kept.
fn on_macvlan(lan: &Lan, mode: &str) -> (Agent, Netns) {
    let host = Netns::new();
    lan.plug(&host, "eth0");
    host.ip("link set eth0 up");
    let mut agent = Agent::new();
    let (name, to) = (format!("m{}", unique()), &agent.namespace.name);
    host.ip(&format!("link add link eth0 name {name} type macvlan mode {mode}"));
    host.ip(&format!("link set {name} name lan0 netns {to}"));
    agent.tell(&spec(&web()));
    (agent, host)
}

#[test]
fn n_05_where_nothing_arrives_that_is_said() {
    // Given a cable that ends nowhere
    let (mut agent, other) = (Agent::new(), Netns::new());
    let (name, end) = (&agent.namespace.name, &other.name);
    run(&["ip", "link", "add", "lan0", "netns", name, "type", "veth", "peer", "name", "e0", "netns", end]);
    other.sysctl("net.ipv6.conf.e0.disable_ipv6=1");
    other.ip("link set e0 up");
    agent.tell(&spec(&web()));
    let cause = diagnosis(&agent).cause().expect("a cause");
    assert!(cause.starts_with("nothing at all arrives"), "{cause}");
}

#[test]
fn n_05_where_only_broadcasts_arrive_that_is_said() {
    // Given a LAN without a server, where somebody talks
    let lan = Lan::without_server();
    let tap = Tap::on(&lan.router, "br0");
    let mut ping = lan.router.command("ping");
    // Its namespace ends it.
    drop(ping.args(["-q", "-b", "-i", "0.2", "10.99.0.255"]).stdout(Stdio::null()).spawn().expect("ping"));
    tap.expect("somebody talks", |frame| (frame[..6] == [0xff; 6]).then_some(()));
    let (agent, _host) = on_macvlan(&lan, "bridge");
    let cause = diagnosis(&agent).cause().expect("a cause");
    assert!(cause.starts_with("only broadcasts arrive"), "{cause}");
}

#[test]
fn n_05_where_replies_cannot_be_used_the_reason_is_said() {
    // Given a server that gives an address which no host can have
    let lan = Lan::without_server();
    let tap = Tap::on(&lan.router, "br0");
    let agent = Agent::on(&lan, &web());
    for _ in 0..4 {
        let discover = tap.expect("a DISCOVER", |frame| from_client(frame).map(<[u8]>::to_vec));
        let mut offer = reply_to(&discover, OFFER);
        offer[16..20].copy_from_slice(&[127, 0, 0, 5]);
        tap.send(&to_client(&discover, &offer, None));
    }
    let search = agent.expect("a reason", |event| match event {
        Event::Searching(search) if search.ignored > 0 => Some(search),
        _ => None,
    });
    assert!(search.why.as_ref().is_some_and(|why| why.contains("127.0.0.5")), "{search:?}");
}

#[test]
fn n_06_replies_with_a_priority_tag_are_heard() {
    // Given a server whose switch tags with VLAN 0: a priority and no VLAN
    let lan = Lan::without_server();
    let tap = Tap::on(&lan.router, "br0");
    let agent = Agent::on(&lan, &web());
    let is_requested = || {
        let asked = tap.expect("a question", |frame| from_client(frame).map(<[u8]>::to_vec));
        let (is_request, answer) = if asked[242] == REQUEST { (true, ACK) } else { (false, OFFER) };
        tap.send(&to_client(&asked, &reply_to(&asked, answer), Some(VlanId::ZERO)));
        is_request
    };
    while !is_requested() {}
    assert_eq!(agent.ready().address.addr(), GIVEN);
}

#[test]
fn n_08_the_lease_comes_from_the_segment_of_the_uplink() {
    // Given two LANs at one machine, and a server on each
    let ours = Lan::with_dnsmasq(&["--dhcp-range=10.99.0.100,10.99.0.110,2m", "--no-ping"]);
    let other = Lan::with_dnsmasq(&["--dhcp-range=10.99.0.200,10.99.0.210,2m", "--no-ping"]);
    let mut agent = Agent::new();
    other.plug(&agent.namespace, "wan0");
    agent.namespace.ip("link set wan0 up");
    ours.plug(&agent.namespace, "lan0");
    agent.tell(&spec(&web()));
    let address = agent.ready().address.addr();
    assert!((100..=110).contains(&address.octets()[3]), "{address}");
    wait_until("the lease is in our server's log", || ours.log().contains("DHCPACK"));
    assert!(!other.log().contains("DHCPDISCOVER"), "{}", other.log());
}
