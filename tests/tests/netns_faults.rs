//! What goes wrong around a DHCP client (F), and a flood (H-14): killed agents, readers that are gone, a busy kernel.
#![allow(clippy::wildcard_enum_match_arm, reason = "a test looks at the events that it is about")]

use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use dhcproto::v4::MessageType::{Ack, Discover, Nak, Offer, Release, Request};
use ipnet::Ipv4Net;
use landfall_api::{Event, LostReason};
use landfall_tests::{
    agent::{Agent, forward, spec},
    lan::Lan,
    netns::Netns,
    run::{now, wait_until},
    scripted::{Answer, GIVEN, Scripted, reply_to},
    tap::{Tap, from_client, to_client},
};
use nix::sys::signal::Signal;

fn web() -> String {
    forward("tcp", "80", "172.30.0.2")
}

/// A server that leases one address for so many seconds.
fn leases(seconds: u32) -> impl Fn(dhcproto::v4::MessageType, usize) -> Answer + Send + 'static {
    move |kind, _| match kind {
        Discover => Some((Offer, seconds)),
        Request => Some((Ack, seconds)),
        _ => None,
    }
}

fn leased(agent: &Agent) -> Ipv4Net {
    agent.expect(
        "leased",
        |event| if let Event::Leased { lease, .. } = event { Some(lease.address) } else { None },
    )
}

fn shown(agent: &Agent) -> String {
    agent.namespace.ip("-4 -o addr show dev lan0")
}

#[test]
fn c_32_a_renewal_leaves_the_address_where_it_is() {
    let lan = Lan::without_server();
    let _server = Scripted::start(&lan, leases(12));
    let agent = Agent::on(&lan, &web());
    agent.ready();
    let mut events = agent.namespace.command("ip");
    let mut events = events
        .args(["monitor", "address"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("ip is there");
    agent.expect("renewed", |event| matches!(event, Event::Renewed { .. }).then_some(()));
    events.kill().expect("it runs");
    let said = String::from_utf8(events.wait_with_output().expect("it ran").stdout).expect("text");
    assert!(!said.contains("Deleted"), "{said}");
}

#[test]
fn f_15_an_agent_that_is_killed_comes_back_to_its_address() {
    let lan = Lan::new();
    let directory = tempfile::tempdir().expect("a directory");
    let mut agent = Agent::new();
    lan.plug(&agent.namespace, "lan0");
    let mut first = None;
    for _ in 0..10 {
        agent.kill_and_start(directory.path());
        agent.tell(&spec(&web()));
        let lease = agent.ready();
        assert_eq!(*first.get_or_insert(lease.address), lease.address);
    }
    // Then nothing was left over by those before, and the first exchange was the only whole one
    assert_eq!(shown(&agent).lines().count(), 1);
    assert_eq!(agent.namespace.ip("route show default dev lan0").lines().count(), 1);
    assert_eq!(agent.namespace.run(&["nft", "list", "tables"]), "table inet landfall\n");
    assert_eq!(lan.log().matches("DHCPDISCOVER(").count(), 1, "{}", lan.log());
}

#[test]
fn f_19_an_address_and_a_route_that_are_there_already_are_taken_over() {
    let lan = Lan::without_server();
    let _server = Scripted::start(&lan, leases(120));
    let namespace = Netns::new();
    lan.plug(&namespace, "lan0");
    namespace.ip("link set lan0 up");
    namespace.ip(&format!("addr add {GIVEN}/24 dev lan0"));
    namespace.ip("route add default via 10.99.0.1 dev lan0");
    let mut agent = Agent::within(namespace);
    agent.tell(&spec(&web()));
    agent.ready();
    let shown = shown(&agent);
    assert!(shown.lines().count() == 1 && !shown.contains("valid_lft forever"), "{shown}");
    assert_eq!(agent.namespace.ip("route show default").lines().count(), 1);
}

#[test]
fn f_20_an_uplink_that_goes_in_any_state_is_waited_for() {
    // Given a server that lets the client come as far as it says
    for script in [
        (|_, _| None) as fn(_, usize) -> Answer,
        |kind, _| (kind == Discover).then_some((Offer, 60)),
        |kind, _| Some((if kind == Discover { Offer } else { Ack }, 60)),
        |kind, _| Some((if kind == Discover { Offer } else { Nak }, 60)),
    ] {
        let lan = Lan::without_server();
        let server = Scripted::start(&lan, script);
        let agent = Agent::on(&lan, &web());
        wait_until("it asks", || !server.heard().is_empty());
        agent.namespace.ip("link del lan0");
        drop(server);
        // When another one comes, with a server that leases
        let _server = Scripted::start(&lan, leases(60));
        lan.plug(&agent.namespace, "lan0");
        agent.expect("uplink again", |event| matches!(event, Event::UplinkFound { .. }).then_some(()));
        wait_until("leased", || shown(&agent).contains("10.99.0.150"));
    }
}

#[test]
fn f_21_a_reader_that_is_gone_changes_nothing() {
    let lan = Lan::without_server();
    let server = Scripted::start(&lan, leases(12));
    let mut agent = Agent::on(&lan, &web());
    agent.ready();
    agent.stop_reading();
    // Then the lease is renewed twice, and given back at the end
    let count = |kind| server.heard().iter().filter(|heard| heard.kind == kind).count();
    wait_until("renewed twice", || count(Request) >= 3);
    assert!(shown(&agent).contains("10.99.0.150"));
    agent.signal(Signal::SIGTERM);
    assert_eq!(agent.wait().0, 0);
    wait_until("given back", || count(Release) == 1);
}

#[test]
fn f_22_a_pool_that_has_room_again_is_noticed_by_the_next_message() {
    let lan = Lan::without_server();
    let _server = Scripted::start(&lan, |kind, before| match (kind, before) {
        (Discover, 0..3) => None,
        (Discover, _) => Some((Offer, 60)),
        _ => Some((Ack, 60)),
    });
    let agent = Agent::on(&lan, &web());
    agent.expect("searching", |event| match event {
        Event::Searching(search) => (search.offers == 0).then_some(()),
        _ => None,
    });
    leased(&agent);
}

#[test]
fn f_23_another_mac_address_is_another_client() {
    let lan = Lan::new();
    let agent = Agent::on(&lan, &web());
    let first = agent.ready().address;
    agent.namespace.ip("link set lan0 address 02:00:00:00:47:11");
    agent.expect("lost", |event| match event {
        Event::Lost { address, reason } => {
            ((address, reason) == (first, LostReason::UplinkGone)).then_some(())
        }
        _ => None,
    });
    let second = leased(&agent);
    assert_ne!(first, second);
    wait_until("only the new address is there", || shown(&agent).lines().count() == 1);
    assert!(shown(&agent).contains(&second.to_string()));
}

#[test]
fn f_25_a_message_that_cannot_be_sent_is_a_lost_one() {
    let lan = Lan::new();
    let namespace = Netns::new();
    lan.plug(&namespace, "lan0");
    // Given an uplink that takes no frame of that size
    namespace.ip("link set lan0 mtu 200");
    let mut agent = Agent::within(namespace);
    agent.tell(&spec(&web()));
    agent.expect("searching", |event| matches!(event, Event::Searching(_)).then_some(()));
    assert!(!lan.log().contains("DHCPDISCOVER("));
    agent.namespace.ip("link set lan0 mtu 1500");
    leased(&agent);
}

#[test]
fn h_14_a_flood_of_junk_neither_delays_the_lease_nor_grows_the_agent() {
    // Given somebody who answers everything with what is not asked for, as fast as a core can
    let lan = Lan::new();
    let tap = Tap::on(&lan.router, "br0");
    let agent = Agent::on(&lan, &web());
    let discover = tap.expect("a DISCOVER", |frame| from_client(frame).map(<[u8]>::to_vec));
    let mut junk = reply_to(&discover, 2);
    junk[4] ^= 0xff;
    let frame = to_client(&discover, &junk, None);
    let (is_over, begin) = (AtomicBool::new(false), now());
    let sent = thread::scope(|scope| {
        let flood = scope.spawn(|| {
            let mut sent = 0;
            while !is_over.load(Ordering::Relaxed) {
                tap.send(&frame);
                sent += 1;
            }
            sent
        });
        agent.ready();
        let resident = || -> u64 {
            let status = fs::read_to_string(format!("/proc/{}/statm", agent.pid())).expect("it runs");
            4 * status.split_whitespace().nth(1).expect("a number").parse::<u64>().expect("a number")
        };
        let before = resident();
        thread::park_timeout(std::time::Duration::from_secs(5));
        let after = resident();
        is_over.store(true, Ordering::Relaxed);
        assert!(after <= before + 64, "{before} KiB became {after}");
        flood.join().expect("it floods")
    });
    let rate = f64::from(sent) / now().duration_since(begin).as_secs_f64();
    assert!(rate > 5000.0, "only {rate:.0} frames a second");
    assert!(shown(&agent).contains("10.99.0."));
}
