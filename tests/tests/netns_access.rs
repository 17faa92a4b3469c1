//! Who may begin connections, how often, and what is counted of them.

use landfall_tests::{
    agent::{Scene, TARGET, forward, spec},
    client::{ask, connect, echo, fetch, is_closed, is_cut, is_silent},
    lan::CLIENT,
    run::{LIMIT, wait_until},
};
use serde_json::Value;

/// The counter of a port in one of the agent's sets: packets and bytes; none if it is not in there.
fn counter(scene: &Scene, set: &str, port: u16) -> Option<(u64, u64)> {
    let listed = scene.agent.namespace.run(&["nft", "-j", "list", "set", "inet", "landfall", set]);
    let listed: Value = serde_json::from_str(&listed).expect("nft writes JSON");
    let mut elements = listed["nftables"][1]["set"]["elem"].as_array().into_iter().flatten();
    let counter = &elements.find(|element| element["elem"]["val"] == port)?["elem"]["counter"];
    Some((counter["packets"].as_u64()?, counter["bytes"].as_u64()?))
}

/// A forward with more to it.
fn with(forward: &str, more: &str) -> String {
    forward.replace('}', &format!(", {more}}}"))
}

fn from(port: &str, sources: &str) -> String {
    with(&forward("tcp", port, TARGET), &format!("from: [{sources}]"))
}

#[test]
fn only_listed_sources_get_through() {
    // Given ports for one machine of the LAN, for another network, for both, and for everybody
    let forwards = [
        from("80", CLIENT),
        from("81", "10.98.0.0/24, 192.0.2.1"),
        from("82-83", &format!("10.98.0.0/16, {CLIENT}, 10.98.0.0/24")),
        from("84", "0.0.0.0/0"),
        forward("tcp", "85", TARGET),
        with(&forward("udp", "53", TARGET), &format!("from: [{CLIENT}]")),
    ];
    let scene =
        Scene::new(&forwards.concat(), "--tcp 80 --tcp 81 --tcp 82 --tcp 83 --tcp 84 --tcp 85 --udp 53");
    let (near, far) = (scene.lan.client(), scene.lan.routed_client());
    // Then each of them gets to those that are for it, and to no others
    for port in [80, 82, 83, 84, 85] {
        assert!(fetch(&near, scene.port(port)).is_ok(), "{port} is closed to who may");
    }
    for port in [81, 82, 83, 84, 85] {
        assert!(fetch(&far, scene.port(port)).is_ok(), "{port} is closed to who may");
    }
    assert!(is_closed(&near, scene.port(81)) && is_closed(&far, scene.port(80)));
    assert_eq!(echo(&near, scene.port(53), "question").expect("an answer"), "question");
    assert!(is_silent(&far, scene.port(53)));
}

#[test]
fn a_list_that_changes_holds_for_connections_that_are_open() {
    let mut scene = Scene::new(&from("80", "10.99.0.0/24"), "--tcp 80");
    let client = scene.lan.client();
    let mut open = connect(&client, scene.port(80)).expect("it may");
    assert!(ask(&mut open).is_ok());
    // When the list no longer has the client
    scene.agent.tell(&spec(&from("80", "192.0.2.0/24")));
    scene.agent.forwarding();
    // Then what was open is closed, too
    assert!(is_cut(&mut open), "it goes on");
    assert!(is_closed(&client, scene.port(80)));
    // And when it has it again, it goes on
    scene.agent.tell(&spec(&from("80", "10.99.0.10, 10.99.0.0/24")));
    scene.agent.forwarding();
    wait_until("an answer", || fetch(&client, scene.port(80)).is_ok());
}

#[test]
fn so_many_connections_may_begin_and_no_more() {
    let forwards = [
        with(&forward("tcp", "80", TARGET), "limit: 3/hour"),
        with(&forward("tcp", "8080", &format!("{TARGET}:81")), "limit: 2/hour, masquerade: true"),
        with(&forward("udp", "53", TARGET), "limit: 1/day"),
        forward("tcp", "82", TARGET),
    ];
    let scene = Scene::new(&forwards.concat(), "--tcp 80 --tcp 81 --tcp 82 --udp 53");
    let client = scene.lan.client();
    // Then as many connections begin as may, at each port for itself
    for (port, limit) in [(80, 3), (8080, 2), (82, 5)] {
        for number in 1..=5 {
            if number <= limit {
                connect(&client, scene.port(port)).expect("one that may begin");
            } else {
                assert!(is_closed(&client, scene.port(port)), "{port}: connection {number} begins");
            }
        }
    }
    // And what has begun goes on, datagrams as well
    let socket = client.within(|| std::net::UdpSocket::bind("0.0.0.0:0")).expect("a socket");
    socket.connect(scene.port(53)).expect("it has a route");
    socket.set_read_timeout(Some(LIMIT)).expect("a timeout");
    for question in ["one", "two", "three"] {
        socket.send(question.as_bytes()).expect("it is sent");
        let mut answer = [0; 16];
        let length = socket.recv(&mut answer).expect("an answer");
        assert_eq!(&answer[..length], question.as_bytes());
    }
    assert!(is_silent(&client, scene.port(53)));
    // And each that began is counted, none that did not
    let connections = |set: &str, port| counter(&scene, set, port).map(|(packets, _)| packets);
    assert_eq!(connections("tcp_connections", 80), Some(3));
    assert_eq!(connections("tcp_connections", 8080), Some(2));
    assert_eq!(connections("tcp_connections", 82), Some(5));
    assert_eq!(connections("udp_connections", 53), Some(1));
}

#[test]
fn what_passes_is_counted_and_what_does_not_is_not() {
    let scene = Scene::new(&[forward("tcp", "80", TARGET), from("81", "192.0.2.1")].concat(), "--tcp 80");
    let client = scene.lan.client();
    assert_eq!(counter(&scene, "tcp_forward", 80), Some((0, 0)));
    fetch(&client, scene.port(80)).expect("an answer");
    // A TCP connection with one question takes eight packets at least, both ways together; the last come when it is closed.
    wait_until("its packets are counted", || {
        let (packets, bytes) = counter(&scene, "tcp_forward", 80).expect("a counter");
        packets >= 8 && bytes >= 8 * 52
    });
    assert!(is_closed(&client, scene.port(81)));
    assert_eq!(counter(&scene, "tcp_forward", 81), Some((0, 0)));
    assert_eq!(counter(&scene, "tcp_connections", 81), None);
    // A port that nobody forwards is not counted either.
    assert!(is_closed(&client, scene.port(82)));
    assert_eq!(counter(&scene, "tcp_connections", 82), None);
}
