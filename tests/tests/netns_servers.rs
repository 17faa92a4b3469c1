//! The servers that people have (N-09): lease, reboot, renew, rebind, release and decline on each, seen on the wire and in the
//! server's own database.
#![allow(clippy::wildcard_enum_match_arm, reason = "a test looks at the events that it is about")]

use std::net::Ipv4Addr;

use landfall_api::{Event, Lease};
use landfall_tests::{
    agent::{Agent, forward, spec},
    lan::Lan,
    netns::Netns,
    removal::Folder,
    servers::{Record, Server},
    tap::{Tap, from_client},
};
use nix::sys::signal::Signal;

/// Message types (RFC 2132, section 9.6).
const DISCOVER: u8 = 1;
const REQUEST: u8 = 3;
const DECLINE: u8 = 4;
const RELEASE: u8 = 7;

const RAPID_COMMIT: u8 = 80;

/// A message of the client, as it went over the wire.
#[derive(Debug)]
struct Heard {
    kind: u8,
    from: [u8; 4],
    to: [u8; 4],
    ciaddr: [u8; 4],
    options: Vec<(u8, Vec<u8>)>,
}

impl Heard {
    fn of(frame: &[u8]) -> Option<Self> {
        let message = from_client(frame)?;
        let quad = |octets: &[u8]| octets.try_into().expect("four octets");
        let (mut options, mut rest) = (Vec::new(), &message[240..]);
        while let [code @ 1..=254, length, tail @ ..] = rest {
            let (value, tail) = tail.split_at(usize::from(*length));
            options.push((*code, value.to_vec()));
            rest = tail;
        }
        let (from, to, ciaddr) = (quad(&frame[26..30]), quad(&frame[30..34]), quad(&message[12..16]));
        Some(Self { kind: message[242], from, to, ciaddr, options })
    }

    fn has(&self, code: u8) -> bool {
        self.options.iter().any(|(other, _)| *other == code)
    }

    fn is_broadcast(&self) -> bool {
        self.to == [255; 4]
    }
}

/// The next message of that kind.
fn heard(tap: &Tap, kind: u8) -> Heard {
    tap.expect(&format!("a message of type {kind}"), |frame| {
        Heard::of(frame).filter(|heard| heard.kind == kind)
    })
}

/// The next REQUEST about a lease that is in use.
fn extension(tap: &Tap) -> Heard {
    tap.expect("a REQUEST from the address", |frame| {
        Heard::of(frame).filter(|heard| heard.kind == REQUEST && heard.ciaddr != [0; 4])
    })
}

fn tell(agent: &mut Agent) {
    agent.tell(&spec(&forward("tcp", "80", "172.30.0.2")));
}

fn renewed(agent: &Agent) -> Lease {
    agent.expect("renewed", |event| if let Event::Renewed { lease } = event { Some(lease) } else { None })
}

/// A lease from its first message to the last.
fn live(server: Server) {
    let served = server.start();
    let tap = Tap::on(&served.lan.router, "br0");
    let state = Folder::new();
    // Lease
    let mut agent = Agent::with_state(Netns::new(), state.path());
    served.lan.plug(&agent.namespace, "lan0");
    tell(&mut agent);
    let lease = agent.ready();
    let address = lease.address.addr();
    assert!((100..=200).contains(&address.octets()[3]), "{address}");
    assert_eq!(lease.routers.len(), 1, "{lease:?}");
    served.expect_record(address, Record::Leased);
    let discover = heard(&tap, DISCOVER);
    let id = discover.options.iter().find(|(code, _)| *code == 61).cloned().expect("a client identifier");
    if server == Server::Rapid {
        assert!(discover.has(RAPID_COMMIT));
    } else {
        let request = heard(&tap, REQUEST);
        assert!(request.has(50) && request.has(54) && request.options.contains(&id), "{request:?}");
    }
    // Reboot: killed, and back at the same address with one REQUEST
    tap.drain();
    agent.kill_and_start(state.path());
    tell(&mut agent);
    assert_eq!(agent.ready().address.addr(), address);
    // What the one before has said on a slow machine until it was killed was about its lease
    let reboot = tap.expect("a REQUEST of one without a lease", |frame| {
        Heard::of(frame).filter(|heard| heard.kind == REQUEST && heard.ciaddr == [0; 4])
    });
    assert!(reboot.has(50) && !reboot.has(54) && reboot.is_broadcast(), "{reboot:?}");
    // Renew: by unicast, from the address
    tap.drain();
    assert_eq!(renewed_at(&agent, address), address);
    let renewal = extension(&tap);
    assert_eq!((renewal.from, renewal.ciaddr), (address.octets(), address.octets()), "{renewal:?}");
    assert!(!renewal.is_broadcast() && !renewal.has(50) && !renewal.has(54), "{renewal:?}");
    assert!(renewal.options.contains(&id));
    // Rebind: whatever goes to the server alone is lost
    let table = "table inet deaf { chain output { type filter hook output priority 0; \
                 udp dport 67 ip daddr != 255.255.255.255 drop; }; }";
    agent.namespace.run(&["nft", table]);
    tap.drain();
    assert_eq!(renewed_at(&agent, address), address);
    let rebinding = extension(&tap);
    assert!(rebinding.is_broadcast() && !rebinding.has(50) && !rebinding.has(54), "{rebinding:?}");
    agent.namespace.run(&["nft", "delete table inet deaf"]);
    // Release: from the address, with the server's identifier and the client's
    tap.drain();
    agent.signal(Signal::SIGTERM);
    let release = heard(&tap, RELEASE);
    assert_eq!((release.from, release.ciaddr), (address.octets(), address.octets()));
    assert!(release.has(54) && !release.has(50) && release.options.contains(&id), "{release:?}");
    assert_eq!(agent.wait().0, 0);
    served.expect_record(address, Record::Free);
}

fn renewed_at(agent: &Agent, before: Ipv4Addr) -> Ipv4Addr {
    let lease = renewed(agent);
    assert!(agent.namespace.ip("-4 -o addr show dev lan0").contains(&before.to_string()));
    lease.address.addr()
}

/// Somebody else has the address, and only the server does not notice.
fn decline(server: Server) {
    let served = server.start();
    let mut agent = Agent::new();
    served.lan.plug(&agent.namespace, "lan0");
    tell(&mut agent);
    let address = agent.ready().address.addr();
    agent.signal(Signal::SIGTERM);
    assert_eq!(agent.wait().0, 0);
    served.expect_record(address, Record::Free);
    let _squatter = squatter(&served.lan, address);
    let tap = Tap::on(&served.lan.router, "br0");
    let mut agent = Agent::within(std::mem::replace(&mut agent.namespace, Netns::new()));
    // Some servers give a released address to the one that asks for it, and to nobody else for a while.
    agent.tell(
        &spec(&forward("tcp", "80", "172.30.0.2"))
            .replace("{hostname: tested}", &format!("{{request: {address}}}")),
    );
    let said = heard(&tap, DECLINE);
    assert_eq!((said.from, said.ciaddr), ([0; 4], [0; 4]), "{said:?}");
    assert!(said.is_broadcast() && said.has(54), "{said:?}");
    assert!(said.options.contains(&(50, address.octets().to_vec())), "{said:?}");
    served.expect_record(address, Record::Declined);
    if server == Server::Networkd {
        // It forgets a DECLINE, and offers the same address again for as long as it is asked.
        return;
    }
    let other = agent.expect("another address", |event| match event {
        Event::Leased { lease, .. } => Some(lease.address.addr()),
        _ => None,
    });
    assert_ne!(other, address);
    served.expect_record(other, Record::Leased);
}

/// A neighbour that answers everybody but the server.
fn squatter(lan: &Lan, address: Ipv4Addr) -> Netns {
    let squatter = Netns::new();
    lan.plug(&squatter, "eth0");
    squatter.sysctl("net.ipv4.icmp_echo_ignore_all=1");
    let table =
        "table arp deaf { chain input { type filter hook input priority 0; arp saddr ip 10.99.0.1 drop; }; }";
    squatter.run(&["nft", table]);
    squatter.ip(&format!("addr add {address}/24 dev eth0"));
    squatter.ip("link set eth0 up");
    squatter
}

#[test]
fn n_09_dnsmasq_from_lease_to_release() {
    live(Server::Dnsmasq);
}

#[test]
fn n_09_dnsmasq_is_told_of_a_conflict() {
    decline(Server::Dnsmasq);
}

#[test]
fn n_09_authoritative_dnsmasq_from_lease_to_release() {
    live(Server::Authoritative);
}

#[test]
fn n_09_authoritative_dnsmasq_is_told_of_a_conflict() {
    decline(Server::Authoritative);
}

#[test]
fn n_09_dnsmasq_with_rapid_commit_from_lease_to_release() {
    live(Server::Rapid);
}

#[test]
fn n_09_dnsmasq_with_rapid_commit_is_told_of_a_conflict() {
    decline(Server::Rapid);
}

#[test]
fn n_09_kea_from_lease_to_release() {
    live(Server::Kea);
}

#[test]
fn n_09_kea_is_told_of_a_conflict() {
    decline(Server::Kea);
}

#[test]
fn n_09_isc_dhcpd_from_lease_to_release() {
    live(Server::Isc);
}

#[test]
fn n_09_isc_dhcpd_is_told_of_a_conflict() {
    decline(Server::Isc);
}

#[test]
fn n_09_udhcpd_from_lease_to_release() {
    live(Server::Udhcpd);
}

#[test]
fn n_09_udhcpd_is_told_of_a_conflict() {
    decline(Server::Udhcpd);
}

#[test]
fn n_09_networkd_from_lease_to_release() {
    live(Server::Networkd);
}

#[test]
fn n_09_networkd_is_told_of_a_conflict() {
    decline(Server::Networkd);
}

#[test]
fn n_09_kea_behind_a_relay_from_lease_to_release() {
    live(Server::Relayed);
}

#[test]
fn n_09_kea_behind_a_relay_is_told_of_a_conflict() {
    decline(Server::Relayed);
}
