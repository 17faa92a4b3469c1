//! The agent leases an address from real servers, keeps it, and gives it back.
#![allow(clippy::wildcard_enum_match_arm, reason = "a test looks at the events that it is about")]

use std::{fs, time::Duration};

use landfall_api::{Event, LostReason};
use landfall_tests::{
    agent::{Agent, forward, spec},
    lan::{Lan, ROUTER},
    run::{now, wait_until},
    tap::{Tap, from_server},
};
use nix::sys::signal::Signal;

fn web() -> String {
    forward("tcp", "80", "172.30.0.2")
}

#[test]
fn a_lease_from_dnsmasq_is_in_the_kernel_and_in_the_reports() {
    // Given a LAN with an MTU of its own
    let lan = Lan::with_dnsmasq(&[
        "--dhcp-range=10.99.0.100,10.99.0.200,2m",
        "--no-ping",
        "--dhcp-authoritative",
        "--dhcp-option=26,1400",
        "--dhcp-option=6,10.99.0.53",
        "--domain=example.org",
    ]);
    // When an agent starts
    let mut agent = Agent::new();
    lan.plug(&agent.namespace, "lan0");
    let since = now();
    agent.tell(&spec(&web()).replace("hostname: tested", "hostname: tested, mtu: accept"));
    // Then its reports come in their order
    assert!(matches!(agent.next(), Event::Started { .. }));
    let Event::UplinkFound { interface, mac, .. } = agent.next() else { panic!("no uplink") };
    assert_eq!(interface.as_str(), "lan0");
    let lease = agent.ready();
    assert_eq!(
        (lease.routers, lease.dns),
        (vec![ROUTER.parse().expect("an address")], vec!["10.99.0.53".parse().expect("an address")])
    );
    assert_eq!((lease.domain.as_deref(), lease.lease_time), (Some("example.org"), Some(120)));
    assert_eq!(lease.server, ROUTER.parse().ok());
    // And the kernel has what was leased, for as long as it was
    let shown = agent.namespace.ip("-o addr show dev lan0");
    assert!(shown.contains(&format!("inet {} brd 10.99.0.255", lease.address)), "{shown}");
    let valid =
        shown.split("valid_lft ").nth(1).and_then(|rest| rest.split("sec").next()?.parse::<u64>().ok());
    let passed = now().duration_since(since).as_secs() + 1;
    assert!(
        valid.is_some_and(|seconds| (120_u64.saturating_sub(passed)..=120).contains(&seconds)),
        "{shown}"
    );
    assert!(agent.namespace.ip("link show dev lan0").contains("mtu 1400"));
    assert!(agent.namespace.ip("route show default").starts_with("default via 10.99.0.1 dev lan0"));
    // And the server knows it by its host name
    let leases = fs::read_to_string(lan.file("leases")).expect("dnsmasq keeps it");
    assert!(leases.contains(&format!("{mac} {} tested", lease.address.addr())), "{leases}");
}

#[test]
fn a_lease_is_given_back() {
    let lan = Lan::new();
    let mut agent = Agent::on(&lan, &web());
    let lease = agent.ready();
    // When it is asked to stop
    agent.signal(Signal::SIGTERM);
    // Then it gives the lease back, takes the address away, and ends well
    assert!(matches!(agent.next(), Event::Released { address } if address == lease.address));
    assert_eq!(agent.wait().0, 0);
    lan.expect_log("DHCPRELEASE");
    assert_eq!(fs::read_to_string(lan.file("leases")).expect("dnsmasq keeps it"), "");
    assert_eq!(agent.namespace.ip("-4 -o addr show dev lan0"), "");
    assert!(!agent.namespace.run(&["nft", "list", "ruleset"]).contains("landfall"));
    // And its MAC address is free for whoever comes next
    assert!(agent.namespace.ip("link show dev lan0").contains("state DOWN"));
}

#[test]
fn an_agent_that_is_asked_to_stop_pauses_for_nothing() {
    let lan = Lan::new();
    // A pause of the agent's is there every time; one that a loaded machine makes is not.
    wait_until("it ends within a second", || {
        let mut agent = Agent::on(&lan, &web());
        agent.ready();
        let since = now();
        agent.signal(Signal::SIGTERM);
        assert_eq!(agent.wait().0, 0);
        now().duration_since(since) < Duration::from_secs(1)
    });
}

#[test]
fn n_02_replies_by_broadcast_and_by_unicast_are_both_heard() {
    // dnsmasq unicasts to a client that has no address yet, unless told otherwise.
    for options in [&["--dhcp-broadcast"][..], &[]] {
        let fixed = ["--dhcp-range=10.99.0.100,10.99.0.200,2m", "--no-ping", "--dhcp-authoritative"];
        let lan = Lan::with_dnsmasq(&[&fixed, options].concat());
        let tap = Tap::on(&lan.router, "br0");
        let agent = Agent::on(&lan, &web());
        // Given a server whose offers and acknowledgements all go one way
        let replies = || tap.expect("a reply", |frame| from_server(frame).then(|| frame[..6] == [0xff; 6]));
        for _ in 0..2 {
            assert_eq!(replies(), !options.is_empty(), "{options:?}");
        }
        agent.leased();
        assert!(!lan.log().contains("DHCPNAK"));
    }
}

#[test]
fn an_uplink_may_come_later_and_come_back() {
    // Given an agent without uplink, whose rules are in force already
    let lan = Lan::new();
    let mut agent = Agent::new();
    agent.tell(&spec(&web()));
    agent.forwarding();
    // When the uplink comes
    lan.plug(&agent.namespace, "lan0");
    let first = agent
        .expect("leased", |event| if let Event::Leased { lease, .. } = event { Some(lease) } else { None });
    // And goes
    agent.namespace.ip("link del lan0");
    agent.expect("lost", |event| match event {
        Event::Lost { address, reason } => {
            assert_eq!((address, reason), (first.address, LostReason::UplinkGone));
            Some(())
        }
        _ => None,
    });
    // And comes back
    lan.plug(&agent.namespace, "lan0");
    // Then there is an address again
    agent.expect("leased", |event| matches!(event, Event::Leased { .. }).then_some(()));
    assert!(agent.namespace.ip("-4 -o addr show dev lan0").contains("inet 10.99.0."));
}

#[test]
fn a_search_that_nobody_answers_is_told() {
    let lan = Lan::without_server();
    let agent = Agent::on(&lan, &web());
    let search = agent.expect("searching", |event| match event {
        Event::Searching(search) if search.discovers >= 2 => Some(search),
        _ => None,
    });
    assert_eq!((search.offers, search.requests, search.naks, search.server), (0, 0, 0, None));
}

#[test]
fn an_idle_agent_sleeps() {
    let lan =
        Lan::with_dnsmasq(&["--dhcp-range=10.99.0.100,10.99.0.200,1h", "--no-ping", "--dhcp-authoritative"]);
    let agent = Agent::on(&lan, &web());
    agent.ready();
    let neighbour = lan.client();
    let tap = Tap::on(&agent.namespace, "lan0");
    let busy = ["-q", "-b", "-c", "20", "-i", "0.01", "-W", "0.01", "10.99.0.255"];
    let is_ping = |frame: &[u8]| (frame[..6] == [0xff; 6] && frame.get(23) == Some(&1)).then_some(());
    // What the LAN says to others would wake it in every round; a timer of its own, its router or its second announcement, in a few.
    wait_until("it sleeps while the LAN is busy", || {
        let before = wakeups(&agent);
        drop(neighbour.command("ping").args(busy).output());
        (0..20).for_each(|_| tap.expect("what the LAN said", is_ping));
        wakeups(&agent) == before
    });
}

/// How often the agent has woken and gone to sleep again, asked when it sleeps.
fn wakeups(agent: &Agent) -> u64 {
    let mut counted = None;
    wait_until("it sleeps", || {
        let tasks = fs::read_dir(format!("/proc/{}/task", agent.pid())).expect("it runs");
        let counts = tasks.filter_map(Result::ok).map(|task| {
            let status = fs::read_to_string(task.path().join("status")).ok()?;
            let value = |name: &str| {
                let line = status.lines().find_map(|line| line.strip_prefix(name))?;
                line.split_whitespace().next().map(str::to_owned)
            };
            let sleeps = value("State:")? == "S";
            value("voluntary_ctxt_switches:")?.parse::<u64>().ok().filter(|_| sleeps)
        });
        counted = counts.sum();
        counted.is_some()
    });
    counted.expect("the kernel counts")
}

#[test]
fn while_no_server_is_asked_no_packet_is_copied_for_the_agent() {
    let lan = Lan::new();
    let agent = Agent::on(&lan, &web());
    agent.ready();
    let protocols = || {
        let sockets = fs::read_to_string(format!("/proc/{}/net/packet", agent.pid())).expect("it runs");
        let protocol = |socket: &str| socket.split_whitespace().nth(3).unwrap_or_default().to_owned();
        let mut protocols: Vec<String> = sockets.lines().skip(1).map(protocol).collect();
        protocols.sort_unstable();
        protocols
    };
    wait_until("it hears ARP, and nothing else", || protocols() == ["0000", "0806"]);
}
