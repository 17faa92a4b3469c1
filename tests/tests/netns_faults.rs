//! What goes wrong around a DHCP client (F), and a flood (H-14): killed agents, readers that are gone, a busy kernel.
#![allow(clippy::wildcard_enum_match_arm, reason = "a test looks at the events that it is about")]

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::Stdio,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
};

use dhcproto::v4::MessageType::{Ack, Discover, Nak, Offer, Release, Request};
use landfall_api::{Event, LostReason};
use landfall_tests::{
    agent::{Agent, forward, spec},
    lan::Lan,
    netns::Netns,
    removal::Folder,
    run::wait_until,
    scripted::{Answer, GIVEN, Scripted, reply_to},
    tap::{Tap, from_client, to_client},
};
use nix::{sys::signal::Signal, unistd::Pid};

/// Message types (RFC 2132, section 9.6).
const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const ACK: u8 = 5;

/// How many frames of junk are read while the agent's memory is watched, and how much it may grow meanwhile, in KiB: a client that
/// keeps a frame, or what it says of one, grows by a megabyte at least.
const FLOOD: u64 = 5000;
const GROWTH: u64 = 256;

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

fn shown(agent: &Agent) -> String {
    agent.namespace.ip("-4 -o addr show dev lan0")
}

#[test]
fn c_32_a_renewal_leaves_the_address_where_it_is() {
    let lan = Lan::without_server();
    let _server = Scripted::start(&lan, leases(12));
    let agent = Agent::on(&lan, &web());
    agent.leased();
    let mut monitor = agent.namespace.command("ip");
    let mut monitor =
        monitor.args(["monitor", "address"]).stdout(Stdio::piped()).spawn().expect("ip is there");
    // The kernel says what becomes of the address, in this order, whenever the monitor has begun
    let mut changes = BufReader::new(monitor.stdout.take().expect("piped")).lines().map_while(Result::ok);
    let change = changes.find(|line| line.contains(&GIVEN.to_string())).expect("a change");
    monitor.kill().and_then(|()| monitor.wait()).expect("it runs");
    assert!(!change.contains("Deleted"), "{change}");
    agent.renewed();
}

#[test]
fn f_15_an_agent_that_is_killed_comes_back_to_its_address() {
    let lan = Lan::new();
    let directory = Folder::new();
    let tap = Tap::on(&lan.router, "br0");
    let mut agent = Agent::new();
    lan.plug(&agent.namespace, "lan0");
    let mut first = None;
    for number in 0..10 {
        agent.kill_and_start(directory.path());
        // It says nothing before it has a spec.
        tap.drain();
        agent.tell(&spec(&web()));
        let lease = agent.ready();
        assert_eq!(*first.get_or_insert(lease.address), lease.address);
        // Then only the first begins with a search; where the server is slow the others search as well, once they have asked
        let begins = tap.expect("a message", |frame| from_client(frame).map(|message| message[242]));
        assert_eq!(begins, if number == 0 { DISCOVER } else { REQUEST });
    }
    // And nothing was left over by those before
    assert_eq!(shown(&agent).lines().count(), 1);
    assert_eq!(agent.namespace.ip("route show default dev lan0").lines().count(), 1);
    assert_eq!(agent.namespace.run(&["nft", "list", "tables"]), "table inet landfall\n");
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
    agent.leased();
    agent.stop_reading();
    // Then the lease is renewed twice, and given back at the end
    let count =
        |kind| server.heard().iter().filter(|heard| heard.kind == kind && heard.is_extension()).count();
    wait_until("renewed twice", || count(Request) >= 2);
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
    agent.leased();
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
    let second = agent.leased().address;
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
    agent.leased();
}

/// How many frames the flood sends before it looks whether the agent has read them: as many as its socket holds.
const BURST: u64 = 50;

/// A flood that somebody sends as fast as the agent reads it, until it is over. Faster, and a machine that has little time for the
/// agent would lose what it waits for.
fn flood(agent: Pid, tap: &Tap, frame: &[u8], sent: &AtomicU64, is_over: &AtomicBool) {
    let sockets = format!("/proc/{agent}/net/packet");
    let unread = || {
        let sockets = fs::read_to_string(&sockets).expect("it runs");
        sockets.lines().skip(1).any(|socket| socket.split_whitespace().nth(6) != Some("0"))
    };
    while !is_over.load(Ordering::Relaxed) {
        (0..BURST).for_each(|_| tap.send(frame));
        while unread() && !is_over.load(Ordering::Relaxed) {
            thread::yield_now();
        }
        sent.fetch_add(BURST, Ordering::Relaxed);
    }
}

/// Ends a flood, after a panic too.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn h_14_a_flood_of_junk_neither_delays_the_lease_nor_grows_the_agent() {
    // Given a client that searches, and somebody who answers it with what is not asked for
    let lan = Lan::without_server();
    let tap = Tap::on(&lan.router, "br0");
    let agent = Agent::on(&lan, &web());
    let question = || tap.expect("a question", |frame| from_client(frame).map(<[u8]>::to_vec));
    let discover = question();
    let mut junk = reply_to(&discover, 2);
    junk[4] ^= 0xff;
    let frame = to_client(&discover, &junk, None);
    // What it has written to, in KiB: nothing that the kernel may take away again, or count later.
    let written = || -> u64 {
        let memory = fs::read_to_string(format!("/proc/{}/smaps_rollup", agent.pid())).expect("it runs");
        let line =
            memory.lines().find_map(|line| line.strip_prefix("Anonymous:")).expect("the kernel counts");
        line.trim_end_matches("kB").trim().parse().expect("a number")
    };
    let (sent, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    let after = |more: u64| {
        let until = sent.load(Ordering::Relaxed) + more;
        wait_until("the agent reads the flood", || sent.load(Ordering::Relaxed) >= until);
        written()
    };
    thread::scope(|scope| {
        let _end = End(&is_over);
        let (agent_pid, tap, frame, sent, is_over) = (agent.pid(), &tap, &frame, &sent, &is_over);
        scope.spawn(move || flood(agent_pid, tap, frame, sent, is_over));
        // When it has read thousands, then it has kept none
        let before = after(1000);
        let kept = after(FLOOD);
        assert!(kept < before + GROWTH, "{before} KiB became {kept}");
        // And what it waits for gets through
        loop {
            let asked = question();
            let answer = if asked[242] == REQUEST { ACK } else { OFFER };
            tap.send(&to_client(&asked, &reply_to(&asked, answer), None));
            if answer == ACK {
                break;
            }
        }
        agent.leased();
        // And one that has its lease keeps none either
        let before = after(1000);
        let kept = after(FLOOD);
        assert!(kept < before + GROWTH, "{before} KiB became {kept}");
    });
    assert!(shown(&agent).contains(&GIVEN.to_string()));
}
