//! One forward that leads to several places: how connections are spread, and what becomes of those of a place that goes.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
};

use landfall_api::Event;
use landfall_tests::{
    agent::{Agent, address, spec, spec_for},
    client::{echo_from, fetch, is_closed, serve},
    lan::Lan,
    netns::Netns,
    run::wait_until,
};

/// Two places on networks of their own, as wires are.
struct Scene {
    _lan: Lan,
    agent: Agent,
    places: [Netns; 2],
    client: Netns,
    address: Ipv4Addr,
}

fn place(agent: &Agent, number: u8) -> Netns {
    let place = Netns::new();
    let near = format!("wire{number}");
    agent.namespace.connect(&near, &place, "eth0");
    agent.namespace.ip(&format!("addr add 172.31.{number}.2/30 dev {near}"));
    agent.namespace.ip(&format!("addr add fd00:31:{number}::2/126 dev {near} nodad"));
    agent.namespace.ip(&format!("link set {near} up"));
    place.ip(&format!("addr add 172.31.{number}.1/30 dev eth0"));
    place.ip(&format!("addr add fd00:31:{number}::1/126 dev eth0 nodad"));
    place.ip("link set eth0 up");
    place.ip(&format!("route add default via 172.31.{number}.2"));
    place.ip(&format!("route add default via fd00:31:{number}::2"));
    serve(&place, &format!("--tcp 80 --tcp 8080 --udp 53 --host place{number}"));
    place
}

const FORWARDS: &str =
    "  - {protocol: tcp, port: 80, to: 172.31.0.1, replicas: [172.31.1.1], masquerade: false}
  - {protocol: tcp, port: 81, to: \"172.31.0.1:8080\", replicas: [172.31.1.1], masquerade: false}
  - {protocol: udp, port: 53, to: 172.31.0.1, replicas: [172.31.1.1], masquerade: false}";

impl Scene {
    fn new() -> Self {
        let lan = Lan::new();
        let agent = Agent::on(&lan, FORWARDS);
        let places = [0, 1].map(|number| place(&agent, number));
        let (client, address) = (lan.client(), address(&agent.ready()));
        Self { _lan: lan, agent, places, client, address }
    }

    fn answers(&self, port: u16) -> BTreeMap<String, usize> {
        answers(&self.client, (self.address, port).into())
    }

    /// Waits until the agent says what has become of a place, and until its rules are about that.
    fn hears(&self) -> (String, bool) {
        let said = self.agent.expect("news of a place", |event| {
            if let Event::Replica { address, is_there } = event {
                Some((address.to_string(), is_there))
            } else {
                None
            }
        });
        self.agent.forwarding();
        said
    }
}

/// Who answers how many of 60 connections.
fn answers(client: &Netns, to: SocketAddr) -> BTreeMap<String, usize> {
    let mut answers = BTreeMap::new();
    for _ in 0..60 {
        let page = fetch(client, to).expect("an answer");
        let who = page.split("hello from ").nth(1).and_then(|rest| rest.lines().next()).expect("a name");
        *answers.entry(who.to_owned()).or_default() += 1;
    }
    answers
}

/// Of 60 with even chances less than one time in a million fewer than ten are on one side.
fn are_spread(answers: &BTreeMap<String, usize>) -> bool {
    answers.len() == 2 && answers.values().all(|count| *count >= 10)
}

#[test]
fn connections_are_spread_over_all_places() {
    let scene = Scene::new();
    for port in [80, 81] {
        let answers = scene.answers(port);
        assert!(are_spread(&answers), "{port}: {answers:?}");
    }
}

#[test]
fn a_place_that_goes_is_left_out_until_it_is_back() {
    let mut scene = Scene::new();
    assert!(are_spread(&scene.answers(80)));
    // When its network goes, as that of a container that has died
    scene.agent.namespace.ip("link del wire1");
    // Then the other one has all connections
    assert_eq!(scene.hears(), ("172.31.1.1".to_owned(), false));
    for port in [80, 81] {
        assert_eq!(scene.answers(port), [("place0".to_owned(), 60)].into());
    }
    // And both have them when it is there again
    scene.places[1] = place(&scene.agent, 1);
    assert_eq!(scene.hears(), ("172.31.1.1".to_owned(), true));
    assert!(are_spread(&scene.answers(81)));
    // And where both are gone nothing changes any more
    scene.agent.namespace.ip("link del wire1");
    scene.hears();
    scene.agent.namespace.ip("link del wire0");
    assert_eq!(scene.hears(), ("172.31.0.1".to_owned(), false));
    scene.places[0] = place(&scene.agent, 0);
    assert_eq!(scene.hears(), ("172.31.0.1".to_owned(), true));
    assert_eq!(scene.answers(80), [("place0".to_owned(), 60)].into());
}

#[test]
fn who_speaks_to_a_place_that_goes_is_answered_by_another() {
    // Given clients that each send all their datagrams from one port, to either place
    let scene = Scene::new();
    let ask = |port: u16| echo_from(&scene.client, port, (scene.address, 53), "question");
    let ports = || 40_000..40_020;
    assert!(ports().all(|port| ask(port).is_ok()));
    // When one goes
    scene.agent.namespace.ip("link del wire1");
    scene.hears();
    // Then the other one answers those that spoke to it, too
    for port in ports() {
        assert_eq!(ask(port).expect("an answer"), "question", "from port {port}");
    }
}

#[test]
fn a_place_that_is_named_later_is_left_out_as_well() {
    // Given a second place that is there before anything leads to it
    let lan = Lan::new();
    let mut agent = Agent::on(&lan, &FORWARDS.replace(", replicas: [172.31.1.1]", ""));
    let _places = [0, 1].map(|number| place(&agent, number));
    let address = address(&agent.ready());
    agent.tell(&spec(FORWARDS));
    agent.forwarding();
    let client = lan.client();
    assert!(are_spread(&answers(&client, (address, 80).into())));
    // When new forwards are told in the moment in which it goes
    agent.namespace.ip("link del wire1");
    agent.tell(&spec(&FORWARDS.replace("port: 81", "port: 82")));
    agent.expect("news of a place", |event| matches!(event, Event::Replica { .. }).then_some(()));
    // Then both hold
    wait_until("the other one has all connections", || {
        let mut pages = (0..30).map(|_| fetch(&client, (address, 82)));
        pages.all(|page| page.is_ok_and(|page| page.contains("place0")))
    });
    assert!(is_closed(&client, (address, 81)));
}

#[test]
fn over_ipv6_they_are_spread_as_well() {
    let lan = Lan::with_ipv6(&["--enable-ra", "--dhcp-range=2001:db8:99::,ra-only,64,2m"]);
    let mut agent = Agent::new();
    lan.plug(&agent.namespace, "lan0");
    let ipv6 = "replicas: [172.31.1.1], to6: 'fd00:31:0::1', replicas6: ['fd00:31:1::1']";
    agent.tell(&spec_for("6", &FORWARDS.replace("replicas: [172.31.1.1]", ipv6)));
    let _places = [0, 1].map(|number| place(&agent, number));
    let address = agent.ipv6(1).addresses[0].address.addr();
    let client = lan.client6();
    for port in [80, 81] {
        let answers = answers(&client, (address, port).into());
        assert!(are_spread(&answers), "{port}: {answers:?}");
    }
}

#[test]
fn a_replica_of_one_family_only_is_refused() {
    let mut agent = Agent::new();
    agent
        .tell(&spec("  - {protocol: tcp, port: 80, to: 172.31.0.1, to6: 'fd00::1', replicas: [172.31.1.1]}"));
    let (code, log) = agent.wait();
    assert_eq!(code, 2);
    assert!(log.contains("there are 1 replicas and 0 of them over IPv6"), "{log}");
}
